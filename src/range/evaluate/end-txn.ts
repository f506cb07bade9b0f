/**
 * Evaluation of end-txn: the moment at which a transaction commits is the moment its record (or, in
 * one phase, its writes) is applied.
 *
 * A parallel commit is staged: it is committed when its writes in flight have landed, too, and becomes so explicitly by
 * a second end-txn behind the answer, or by whoever recovers it. Its coordinator may abort it as long as it has told nobody:
 * all others act on what they have found at the keys only by way of the record.
 *
 * A committed transaction keeps its record until all its intents are resolved. An aborted one needs
 * none: without a record and with a tombstone (or a beginning below the low water) it cannot commit
 * any more, which is what aborted means (trap X5).
 */
import { compareBytes } from '../../util/index.ts';
import {
  compareTimestamps,
  containsKey,
  equalTimestamps,
  laterTimestamp,
  type EndTxnRequest,
  type FinishedTxn,
  type KvResult,
  type RangeDescriptor,
  type Span,
  type Timestamp,
  type TxnMeta,
  type TxnRecord,
  type TxnStatus,
} from '../../kv/index.ts';
import { addressOf } from '../../encoding/index.ts';
import { decodeHead, headKey } from '../../storage/index.ts';
import { finishedFrom } from '../concurrency/txn-wait-queue.ts';
import {
  failed,
  invalid,
  ok,
  raiseWrite,
  type EvaluationContext,
  type Outcome,
} from './context.ts';
import { encodeRecord, readRecord, recordEngineKey } from './txn-record.ts';
import { prepare, toCoordinator } from './two-phase.ts';

/** Intents on the record's own range are resolved in the same command, up to this many. */
const maxLocalSpans = 256;
const maxLocalBytes = 256 << 10;

export function evaluateEndTxn(ctx: EvaluationContext, request: EndTxnRequest): Outcome {
  const { txn } = ctx;
  if (txn === undefined) return invalid('end-txn without a transaction');
  const record = readRecord(ctx.batch, request.anchor, txn.id);
  if (request.twoPhase === 'finish') {
    if (record?.status !== 'prepared') return aborted('the transaction is not prepared');
    return (request.commit ? commit : abort)(ctx, record.meta, request, record);
  }
  if (record?.status === 'prepared') return toCoordinator(request, record);
  if (!request.commit) {
    return request.onePhase
      ? settleOnePhase(ctx, txn, request, record)
      : abort(ctx, txn, request, record);
  }
  if (record?.status === 'committed') {
    return ok(endedBefore(record.meta.writeTimestamp));
  }
  if (ctx.state.tombstones.finished(txn.id)?.status === 'committed') {
    // A second delivery (trap X8): true, but nothing that this batch may claim to have done.
    return failed({ kind: 'ambiguous-result', reason: 'the transaction has committed before' });
  }
  const refused = refusal(ctx, txn, request, record);
  if (refused !== undefined) return aborted(refused);
  const fence = onePhaseFence(ctx);
  if (request.onePhase && compareTimestamps(ctx.header.timestamp, fence) <= 0) {
    return failed({ kind: 'txn-pushed', retryAt: fence });
  }

  const pushed = laterTimestamp(
    ctx.state.tombstones.pushedTo(txn.id),
    record?.meta.writeTimestamp ?? txn.writeTimestamp,
  );
  if (!request.onePhase && compareTimestamps(pushed, txn.writeTimestamp) > 0) {
    ctx.txn = raiseWrite(txn, pushed);
    // What was verified up to the timestamp before has to be verified again.
    if (request.twoPhase === 'prepare') return failed({ kind: 'txn-pushed', retryAt: pushed });
  }
  const final = ctx.txn ?? txn;
  const { deadline } = request;
  if (deadline !== undefined && compareTimestamps(final.writeTimestamp, deadline) > 0) {
    // Its coordinator knows whether there is a later one.
    return failed({ kind: 'txn-pushed', retryAt: final.writeTimestamp });
  }
  if (!mayStand(final, request.notAbove)) {
    const retryAt = final.writeTimestamp;
    return { kind: 'raise-read', to: retryAt, error: { kind: 'txn-pushed', retryAt } };
  }
  return request.twoPhase === 'prepare'
    ? prepare(ctx, final, request)
    : commit(ctx, final, request, record);
}

/**
 * A commit in one phase that was sent before may come late: its coordinator may have been told since that it was not made, by an
 * earlier leaseholder or by what this one has forgotten. Who still waits for the answer sends it again.
 */
function onePhaseFence({ state }: EvaluationContext): Timestamp {
  return laterTimestamp(state.port.leaseTakenAt, state.tombstones.abortsForgottenUpTo);
}

function mayStand(
  { isolation, readTimestamp, writeTimestamp }: TxnMeta,
  notAbove: Timestamp | undefined,
): boolean {
  if (notAbove !== undefined && compareTimestamps(writeTimestamp, notAbove) > 0) return false;
  return isolation !== 'serializable' || equalTimestamps(readTimestamp, writeTimestamp);
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

function commit(
  ctx: EvaluationContext,
  txn: TxnMeta,
  request: EndTxnRequest,
  record: TxnRecord | undefined,
): Outcome {
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
    return answer(txn, request, 'staging');
  }
  if (request.onePhase) ctx.committed = { id: txn.id, timestamp: txn.writeTimestamp };
  const finished = finishedFrom(txn, 'committed');
  const { remaining, unresolved } = resolveLocal(ctx, request.lockSpans, finished);
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
  return answer(txn, request, 'committed', unresolved ? undefined : ctx.state.port.descriptor);
}

/**
 * The answer to a commit in one phase was lost. If it was applied this store knows; otherwise it never will be: not under this
 * lease, behind the tombstone, nor under a later one, behind the fence.
 */
function settleOnePhase(
  ctx: EvaluationContext,
  txn: TxnMeta,
  request: EndTxnRequest,
  record: TxnRecord | undefined,
): Outcome {
  const outcome = ctx.state.port.onePhaseOutcome(txn);
  const isKnown = ctx.state.tombstones.finished(txn.id)?.status === 'committed';
  if (outcome === 'unknown' && !isKnown) {
    const reason = 'nobody knows what became of the commit any more';
    return failed({ kind: 'ambiguous-result', reason });
  }
  const isApplied = outcome !== 'none' && outcome !== 'unknown';
  return isApplied ? ok(endedBefore(outcome)) : abort(ctx, txn, request, record);
}

function abort(
  ctx: EvaluationContext,
  txn: TxnMeta,
  request: EndTxnRequest,
  record: TxnRecord | undefined,
): Outcome {
  const ended = ctx.state.tombstones.finished(txn.id);
  if (record?.status === 'committed') return ok(endedBefore(record.meta.writeTimestamp));
  if (ended?.status === 'committed') return ok(endedBefore(ended.timestamp));
  const finished = finishedFrom(txn, 'aborted');
  const { unresolved } = resolveLocal(ctx, request.lockSpans, finished);
  if (record !== undefined) {
    ctx.batch.putUnversioned(recordEngineKey(request.anchor, txn.id), undefined);
  }
  ctx.afterApply.push(() => finish(ctx, finished, true));
  return answer(txn, request, 'aborted', unresolved ? undefined : ctx.state.port.descriptor);
}

/** What the rest of the range learns of a transaction's end. */
export function finish(ctx: EvaluationContext, finished: FinishedTxn, tombstone: boolean): void {
  const { locks, pushes, tombstones } = ctx.state;
  if (tombstone) tombstones.addFinished(finished, ctx.now);
  if (finished.status === 'aborted' || !tombstone) ctx.state.finished.add(finished);
  if (finished.status === 'aborted') {
    locks.failWaits(finished.id, { kind: 'txn-aborted', reason: 'the transaction has ended' });
  }
  locks.releaseUnreplicated(finished.id);
  pushes.wake(finished.id);
}

/**
 * Resolves the transaction's intents on this range when they are few; returns the spans that are left.
 * A large transaction is not finished in one command: others could not get a word in.
 */
function resolveLocal(
  ctx: EvaluationContext,
  spans: readonly Span[],
  finished: FinishedTxn,
): { readonly remaining: readonly Span[]; readonly unresolved: boolean } {
  if (!settlesAtEnd(spans)) return { remaining: spans, unresolved: true };
  const remaining: Span[] = [];
  let unresolved = false;
  let bytes = 0;
  for (const span of spans) {
    if (!isLocal(ctx, span)) {
      remaining.push(span);
      continue;
    }
    bytes += ctx.batch.get(headKey(span.start))?.length ?? 0;
    if (bytes > maxLocalBytes) {
      remaining.push(span);
      unresolved = true;
      continue;
    }
    resolveKeys(ctx, span, finished, [span.start]);
  }
  return { remaining, unresolved };
}

/** True when the end of a transaction looks at its own intents: single keys, and not many. */
export function settlesAtEnd(spans: readonly Span[]): boolean {
  return spans.length <= maxLocalSpans && spans.every((span) => span.end === undefined);
}

export function isLocal(ctx: EvaluationContext, span: Span): boolean {
  const range = ctx.state.port.descriptor;
  return (
    containsKey(range, addressOf(span.start)) &&
    (span.end === undefined || compareBytes(span.end, range.endKey) <= 0)
  );
}

/** Finishes intents of a transaction on `keys` of `span`, and its locks in there once that is applied. */
export function resolveKeys(
  ctx: EvaluationContext,
  span: Span,
  finished: FinishedTxn,
  keys: readonly Buffer[],
): void {
  for (const key of keys) ctx.batch.resolve(key, finished);
  const { locks } = ctx.state;
  if (finished.status === 'committed' || finished.status === 'aborted') {
    ctx.afterApply.push(() => locks.release(finished.id, span));
    return;
  }
  const gone = keys.filter((key) => !hasIntent(ctx, key));
  ctx.afterApply.push(() => {
    for (const key of keys) locks.intentMoved(key);
    for (const key of gone) locks.intentGone(finished.id, key);
  });
}

function hasIntent({ batch }: EvaluationContext, key: Buffer): boolean {
  const stored = batch.get(headKey(key));
  return stored !== undefined && decodeHead(stored).intent !== undefined;
}

export function aborted(reason: string): Outcome {
  return failed({ kind: 'txn-aborted', reason });
}

/** The answer about a transaction that is committed already; intents may be left anywhere. */
function endedBefore(commitTimestamp: Timestamp): KvResult {
  return {
    kind: 'end-txn',
    status: 'committed',
    commitTimestamp,
    onePhase: false,
  };
}

function answer(
  txn: TxnMeta,
  request: EndTxnRequest,
  status: TxnStatus,
  settledIn?: RangeDescriptor,
): Outcome {
  return ok({
    kind: 'end-txn',
    status,
    commitTimestamp: txn.writeTimestamp,
    onePhase: request.onePhase,
    ...(settledIn && { settledIn: { startKey: settledIn.startKey, endKey: settledIn.endKey } }),
  });
}
