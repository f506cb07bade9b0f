/**
 * Evaluation of end-txn: the moment at which a transaction commits is the moment its record (or, in
 * one phase, its writes) is applied.
 *
 * A committed transaction keeps its record until all its intents are resolved. An aborted one needs
 * none: without a record and with a tombstone (or a beginning below the low water) it cannot commit
 * any more, which is what aborted means (trap X5).
 */
import {
  compareTimestamps,
  containsKey,
  equalTimestamps,
  laterTimestamp,
  type EndTxnRequest,
  type FinishedTxn,
  type Span,
  type TxnMeta,
  type TxnRecord,
} from '../../kv/index.ts';
import { addressOf } from '../../encoding/index.ts';
import { finishedFrom } from '../concurrency/txn-wait-queue.ts';
import {
  failed,
  invalid,
  ok,
  raiseWrite,
  type EvaluationContext,
  type Outcome,
} from './context.ts';
import { intentsOf } from './reads.ts';
import { encodeRecord, readRecord, recordEngineKey } from './txn-record.ts';

/** Intents on the record's own range are resolved in the same command, up to this many spans. */
const maxLocalSpans = 1_000;

export async function evaluateEndTxn(
  ctx: EvaluationContext,
  request: EndTxnRequest,
): Promise<Outcome> {
  const { txn } = ctx;
  if (txn === undefined) return invalid('end-txn without a transaction');
  const record = readRecord(ctx.batch, request.anchor, txn.id);
  if (!request.commit) return abort(ctx, txn, request, record);
  if (record?.status === 'committed') {
    const commitTimestamp = record.meta.writeTimestamp;
    return ok({ kind: 'end-txn', commitTimestamp, onePhase: false });
  }
  if (ctx.state.tombstones.finished(txn.id)?.status === 'committed') {
    // A second delivery (trap X8): true, but nothing that this batch may claim to have done.
    return failed({ kind: 'ambiguous-result', reason: 'the transaction has committed before' });
  }
  const refused = refusal(ctx, txn, request, record);
  if (refused !== undefined) return aborted(refused);

  const pushed = laterTimestamp(
    ctx.state.tombstones.pushedTo(txn.id),
    record?.meta.writeTimestamp ?? txn.writeTimestamp,
  );
  if (!request.onePhase && compareTimestamps(pushed, txn.writeTimestamp) > 0) {
    ctx.txn = raiseWrite(txn, pushed);
  }
  const final = ctx.txn ?? txn;
  if (
    final.isolation === 'serializable' &&
    !equalTimestamps(final.readTimestamp, final.writeTimestamp)
  ) {
    const retryAt = final.writeTimestamp;
    return { kind: 'raise-read', to: retryAt, error: { kind: 'txn-pushed', retryAt } };
  }
  return commit(ctx, final, request, record);
}

/** Why the transaction may not commit; undefined when it may. */
function refusal(
  ctx: EvaluationContext,
  txn: TxnMeta,
  request: EndTxnRequest,
  record: TxnRecord | undefined,
): string | undefined {
  const { tombstones } = ctx.state;
  if (record?.status === 'aborted') return 'another transaction has aborted this one';
  if (tombstones.finished(txn.id) !== undefined) return 'the transaction has been finished before';
  // One phase leaves nothing behind that anyone could have removed: an old beginning does no harm.
  if (record === undefined && !request.onePhase && !tombstones.mayCreateRecord(txn)) {
    return 'the transaction began before what is known here';
  }
  return undefined;
}

async function commit(
  ctx: EvaluationContext,
  txn: TxnMeta,
  request: EndTxnRequest,
  record: TxnRecord | undefined,
): Promise<Outcome> {
  const recordKey = recordEngineKey(request.anchor, txn.id);
  if (request.inFlightWrites.length > 0) {
    const staged: TxnRecord = {
      meta: txn,
      status: 'staging',
      lastHeartbeat: ctx.now,
      lockSpans: request.lockSpans,
      inFlightWrites: request.inFlightWrites,
    };
    ctx.batch.putUnversioned(recordKey, encodeRecord(staged));
    return answer(txn, request);
  }
  const finished = finishedFrom(txn, 'committed');
  const remaining = await resolveLocal(ctx, request.lockSpans, finished);
  if (remaining.length > 0) {
    const committed: TxnRecord = {
      meta: txn,
      status: 'committed',
      lastHeartbeat: ctx.now,
      lockSpans: remaining,
      inFlightWrites: [],
    };
    ctx.batch.putUnversioned(recordKey, encodeRecord(committed));
  } else if (record !== undefined) {
    ctx.batch.putUnversioned(recordKey, undefined);
  }
  ctx.trigger = request.trigger;
  ctx.afterApply.push(() => finish(ctx, finished, remaining.length === 0));
  return answer(txn, request);
}

async function abort(
  ctx: EvaluationContext,
  txn: TxnMeta,
  request: EndTxnRequest,
  record: TxnRecord | undefined,
): Promise<Outcome> {
  const ended = ctx.state.tombstones.finished(txn.id)?.status;
  if (record?.status === 'committed' || ended === 'committed') {
    return invalid('the transaction is committed');
  }
  const finished = finishedFrom(txn, 'aborted');
  await resolveLocal(ctx, request.lockSpans, finished);
  if (record !== undefined) {
    ctx.batch.putUnversioned(recordEngineKey(request.anchor, txn.id), undefined);
  }
  ctx.afterApply.push(() => finish(ctx, finished, true));
  return answer(txn, request);
}

/** What the rest of the range learns of a transaction's end. */
export function finish(ctx: EvaluationContext, finished: FinishedTxn, tombstone: boolean): void {
  const { locks, pushes, tombstones } = ctx.state;
  if (tombstone) tombstones.addFinished(finished, ctx.now);
  if (finished.status === 'aborted') {
    ctx.state.finished.add(finished);
    locks.failWaits(finished.id, { kind: 'txn-aborted', reason: 'the transaction has ended' });
  }
  locks.releaseUnreplicated(finished.id);
  pushes.wake(finished.id);
}

/** Resolves the transaction's intents on this range; returns the spans that lie elsewhere. */
async function resolveLocal(
  ctx: EvaluationContext,
  spans: readonly Span[],
  finished: FinishedTxn,
): Promise<Span[]> {
  const remaining: Span[] = [];
  let resolved = 0;
  for (const span of spans) {
    if (!isLocal(ctx, span) || resolved >= maxLocalSpans) {
      remaining.push(span);
      continue;
    }
    resolved++;
    await resolveSpan(ctx, span, finished);
  }
  return remaining;
}

export function isLocal(ctx: EvaluationContext, span: Span): boolean {
  const range = ctx.state.port.descriptor;
  return (
    containsKey(range, addressOf(span.start)) &&
    (span.end === undefined || span.end.compare(range.endKey) <= 0)
  );
}

/** Finishes all intents of a transaction in `span`, and its locks once that is applied. */
export async function resolveSpan(
  ctx: EvaluationContext,
  span: Span,
  finished: FinishedTxn,
): Promise<void> {
  const keys = span.end === undefined ? [span.start] : await intentsOf(ctx, span, finished.id);
  for (const key of keys) await ctx.batch.resolve(key, finished);
  const { locks } = ctx.state;
  ctx.afterApply.push(() => {
    if (finished.status === 'committed' || finished.status === 'aborted') {
      locks.release(finished.id, span);
    } else {
      for (const key of keys) locks.intentMoved(key);
    }
  });
}

export function aborted(reason: string): Outcome {
  return failed({ kind: 'txn-aborted', reason });
}

function answer(txn: TxnMeta, request: EndTxnRequest): Outcome {
  return ok({
    kind: 'end-txn',
    commitTimestamp: txn.writeTimestamp,
    onePhase: request.onePhase,
  });
}
