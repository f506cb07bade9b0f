/**
 * Evaluation of what others ask about a transaction at its anchor (push, query, recovery), of its
 * heartbeats, and of intent queries and resolution at the keys.
 */
import {
  compareTimestamps,
  coordinatorOf,
  equalTimestamps,
  laterTimestamp,
  nextTimestamp,
  type KvRequest,
  type TxnMeta,
  type TxnRecord,
  type TxnStatus,
} from '../../kv/index.ts';
import { isLocalKey } from '../../encoding/index.ts';
import { decodeHead, headKey, unversionedKey } from '../../storage/index.ts';
import { finishedFrom } from '../concurrency/txn-wait-queue.ts';
import { invalid, ok, raiseWrite, type EvaluationContext, type Outcome } from './context.ts';
import { aborted, finish, resolveKeys } from './end-txn.ts';
import { intentsOf } from './reads.ts';
import { resolvePage } from './resolve-pages.ts';
import { encodeRecord, readRecord, recordEngineKey } from './txn-record.ts';

export const heartbeatMs = 1_000;
/**
 * A transaction that has not been heard of for this long is abandoned: any pusher may abort it. At once when its coordinator
 * is gone: who waits for one lock after the other of a node that ended would wait so long for each.
 */
export const abandonedAfterMs = 5 * heartbeatMs;

type Request<K extends KvRequest['kind']> = Extract<KvRequest, { kind: K }>;

export function evaluateHeartbeat(
  ctx: EvaluationContext,
  request: Request<'heartbeat-txn'>,
): Outcome {
  const { txn } = request;
  if (txn.anchor === undefined) return invalid('a heartbeat without an anchor');
  const record = readRecord(ctx.batch, txn.anchor, txn.id);
  if (record === undefined && !ctx.state.tombstones.mayCreateRecord(txn)) {
    const status = ctx.state.tombstones.finished(txn.id)?.status ?? 'aborted';
    return ok({ kind: 'heartbeat-txn', status });
  }
  if (record !== undefined && record.status !== 'pending' && record.status !== 'staging') {
    return ok({ kind: 'heartbeat-txn', status: record.status });
  }
  const pushedTo = ctx.state.tombstones.pushedTo(txn.id);
  const kept: TxnRecord = record ?? {
    meta: raiseWrite(txn, pushedTo),
    status: 'pending',
    lastHeartbeat: ctx.now,
    lockSpans: [],
    inFlightWrites: [],
  };
  ctx.batch.putUnversioned(
    recordEngineKey(txn.anchor, txn.id),
    encodeRecord({ ...kept, lastHeartbeat: laterTimestamp(kept.lastHeartbeat, ctx.now) }),
  );
  return ok({ kind: 'heartbeat-txn', status: kept.status });
}

export function evaluatePush(ctx: EvaluationContext, request: Request<'push-txn'>): Outcome {
  const { pushee, pusher, pushKind, pushTo } = request;
  const { tombstones, pushes, port } = ctx.state;
  const record = readRecord(ctx.batch, request.anchor, pushee.id);
  const nowMs = port.env.clock.monotonicMs();
  const firstSeenMs = pushes.seen(pushee.id, nowMs);
  if (record === undefined) {
    const known = tombstones.finished(pushee.id);
    if (known !== undefined) return ok({ kind: 'push-txn', pushee: known, staged: undefined });
    if (!tombstones.mayCreateRecord(pushee)) return pushResult(pushee, 'aborted');
  } else if (record.status === 'committed' || record.status === 'aborted') {
    return pushResult(record.meta, record.status);
  }
  const current = record?.meta ?? raiseWrite(pushee, tombstones.pushedTo(pushee.id));
  const status: TxnStatus = record?.status ?? 'pending';
  const quietMs =
    record === undefined ? nowMs - firstSeenMs : (ctx.now.wall - record.lastHeartbeat.wall) / 1000;
  const isAbandoned =
    status !== 'prepared' && (quietMs >= abandonedAfterMs || port.isGone(coordinatorOf(pushee.id)));
  if (pushKind === 'touch' && !isAbandoned) return pushResult(current, status);
  const movedAlready = compareTimestamps(current.writeTimestamp, pushTo) > 0;
  if (pushKind === 'timestamp' && movedAlready) return pushResult(current, status);
  const wins =
    status !== 'prepared' &&
    (isAbandoned ||
      (pusher?.txn.priority ?? 1) > pushee.priority ||
      // A staged commit is nobody's to move, and most likely complete: only when it was abandoned somebody goes and looks.
      (pushKind === 'timestamp' && current.isolation !== 'serializable' && status !== 'staging'));
  if (!wins) return request.wait ? { kind: 'wait-push' } : pushResult(current, status);
  // Only its in-flight writes tell whether it is committed: whoever pushes goes and looks.
  if (record?.status === 'staging') return pushResult(current, 'staging', record);
  if (pushKind === 'abort' || isAbandoned) return abortPushee(ctx, request, current, record);
  return moveTimestamp(ctx, request, current, record);
}

function abortPushee(
  ctx: EvaluationContext,
  request: Request<'push-txn'>,
  pushee: TxnMeta,
  record: TxnRecord | undefined,
): Outcome {
  if (record !== undefined) {
    ctx.batch.putUnversioned(recordEngineKey(request.anchor, pushee.id), undefined);
  }
  ctx.afterApply.push(() => finish(ctx, finishedFrom(pushee, 'aborted'), true));
  return pushResult(pushee, 'aborted');
}

function moveTimestamp(
  ctx: EvaluationContext,
  request: Request<'push-txn'>,
  pushee: TxnMeta,
  record: TxnRecord | undefined,
): Outcome {
  const moved = raiseWrite(pushee, nextTimestamp(request.pushTo));
  if (record === undefined) {
    ctx.state.tombstones.addPush(pushee.id, moved.writeTimestamp, ctx.now);
    return pushResult(moved, 'pending');
  }
  const after = { ...record, meta: raiseWrite(record.meta, moved.writeTimestamp) };
  ctx.batch.putUnversioned(recordEngineKey(request.anchor, pushee.id), encodeRecord(after));
  return pushResult(after.meta, after.status);
}

function pushResult(pushee: TxnMeta, status: TxnStatus, staged?: TxnRecord): Outcome {
  return ok({ kind: 'push-txn', pushee: finishedFrom(pushee, status), staged });
}

export function evaluateQueryTxn(ctx: EvaluationContext, request: Request<'query-txn'>): Outcome {
  const { tombstones, pushes } = ctx.state;
  const record = readRecord(ctx.batch, request.anchor, request.txnId);
  const finished = record === undefined ? tombstones.finished(request.txnId) : undefined;
  return ok({
    kind: 'query-txn',
    record,
    ...(finished === undefined ? {} : { finished }),
    waiters: pushes.waitersOf(request.txnId),
  });
}

export function evaluateQueryWait(
  ctx: EvaluationContext,
  { key, txnId, blockers }: Request<'query-wait'>,
): Outcome {
  const isWaiting = ctx.state.locks.isWaiting(key, txnId, new Set(blockers));
  return ok({ kind: 'query-wait', isWaiting });
}

/** A missing write is kept from landing later: its timestamp counts as read by everybody (trap X4). */
export function evaluateQueryIntent(
  ctx: EvaluationContext,
  request: Request<'query-intent'>,
): Outcome {
  const { key, txn, sequence } = request;
  const stored = ctx.batch.get(headKey(key));
  const intent = stored === undefined ? undefined : decodeHead(stored).intent;
  const found =
    intent !== undefined &&
    intent.txnId === txn.id &&
    intent.epoch === txn.epoch &&
    compareTimestamps(intent.timestamp, txn.writeTimestamp) <= 0 &&
    (intent.sequence === sequence || intent.history.some((old) => old.sequence === sequence));
  if (!found) {
    ctx.marks.push({ start: key, end: undefined, timestamp: txn.writeTimestamp, own: false });
  }
  return ok({ kind: 'query-intent', found });
}

export function evaluateQueryKey(ctx: EvaluationContext, { key }: Request<'query-key'>): Outcome {
  const stored = ctx.batch.get(headKey(key));
  const head = stored === undefined ? undefined : decodeHead(stored);
  return ok({
    kind: 'query-key',
    state: { committed: head?.value, writer: head?.intent?.txnId },
  });
}

/**
 * What was found at the keys holds for the record as it was read. One that was staged anew, or has ended, is left as it is:
 * its coordinator is alive, or somebody was faster.
 */
export function evaluateRecover(ctx: EvaluationContext, request: Request<'recover-txn'>): Outcome {
  const { anchor, staged } = request;
  const record = readRecord(ctx.batch, anchor, staged.id);
  if (record === undefined) return aborted('there is no record to recover');
  const isSame =
    record.meta.epoch === staged.epoch &&
    equalTimestamps(record.meta.writeTimestamp, staged.writeTimestamp);
  if (record.status !== 'staging' || !isSame) return ok({ kind: 'recover-txn', record });
  const status = request.implicitlyCommitted ? 'committed' : 'aborted';
  const after: TxnRecord = { ...record, status, inFlightWrites: [] };
  ctx.batch.putUnversioned(
    recordEngineKey(anchor, staged.id),
    request.implicitlyCommitted ? encodeRecord(after) : undefined,
  );
  const tombstone = !request.implicitlyCommitted;
  ctx.afterApply.push(() => {
    finish(ctx, finishedFrom(record.meta, status), tombstone);
    ctx.state.port.countRecovery(status);
  });
  return ok({ kind: 'recover-txn', record: after });
}

/**
 * A span that is the transaction's own record removes that record: its intents are all resolved (trap
 * T5: the caller asks only after their resolution was replicated).
 */
export async function evaluateResolve(
  ctx: EvaluationContext,
  request: Request<'resolve-locks'>,
): Promise<Outcome> {
  const { span, txn } = request;
  if (isLocalKey(span.start) && span.start.subarray(-16).equals(Buffer.from(txn.id, 'hex'))) {
    const engineKey = unversionedKey(span.start);
    if (ctx.batch.get(engineKey) !== undefined) {
      ctx.batch.putUnversioned(engineKey, undefined);
      ctx.afterApply.push(() => ctx.state.tombstones.addFinished(txn, ctx.now));
    }
  } else {
    const { resolved } = ctx;
    const room = {
      keys: resolvePage.keys - resolved.keys,
      bytes: resolvePage.bytes - resolved.bytes,
      heads: resolvePage.heads - resolved.heads,
    };
    if (room.keys <= 0 || room.bytes <= 0 || room.heads <= 0) {
      ctx.unresolved.push(request);
      return ok({ kind: 'resolve-locks' });
    }
    const { keys, bytes, heads, rest } = await intentsOf(ctx.batch, span, txn.id, room);
    resolved.keys += keys.length;
    resolved.bytes += bytes;
    resolved.heads += heads;
    const done = rest === undefined ? span : { start: span.start, end: rest.start };
    resolveKeys(ctx, done, txn, keys);
    if (rest !== undefined) ctx.unresolved.push({ ...request, span: rest });
    if (txn.status === 'aborted') {
      ctx.afterApply.push(() => {
        // It may not know yet, and the lease may move before it reads here again (trap X11).
        ctx.state.tombstones.addFinished(txn, ctx.now);
        ctx.state.locks.failWaits(txn.id, { kind: 'txn-aborted', reason: 'rolled back' });
      });
    }
  }
  return ok({ kind: 'resolve-locks' });
}

/** Locks in memory need no latches. */
export function evaluateRelease(
  ctx: EvaluationContext,
  request: Request<'release-locks'>,
): Outcome {
  const { span, txnId, since } = request;
  ctx.afterApply.push(() => {
    ctx.state.locks.failWaits(txnId, { kind: 'canceled' });
    ctx.state.locks.releaseSince(txnId, span, since);
  });
  return ok({ kind: 'release-locks' });
}

/** Whoever waits goes on: facts need no latches. */
export function evaluateAnnouncement(
  ctx: EvaluationContext,
  { span, txn }: Request<'announce-commit'>,
): Outcome {
  ctx.state.finished.announce(txn);
  ctx.state.locks.release(txn.id, span);
  return ok({ kind: 'announce-commit' });
}
