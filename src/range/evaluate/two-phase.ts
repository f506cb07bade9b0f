/**
 * Two-phase commit at the record. Its first phase leaves a record that says 'prepared'; the second one ends it.
 *
 * Why a prepared transaction is certain to commit:
 * - its writes are intents, replicated before the record is made, and nobody but the end of the transaction removes them: every push
 *   of it waits, whatever its priority and however long nothing was heard of it;
 * - its timestamp was agreed upon with all its ranges before and does not move any more: a reader above it waits;
 * - what it relies on (its reads, its locks without a write) was verified up to that timestamp, which left a trace in the timestamp
 *   caches: later writes stand above it. A cache that is lost with its lease is replaced by a lease that starts above
 *   all that was served before. So its locks in memory may be lost: what others do then comes later in time.
 *
 * INVARIANT: of all requests that would end it the first one that is applied does; the others find no prepared record.
 */
import { type EndTxnRequest, type TxnMeta, type TxnRecord } from '../../kv/index.ts';
import { invalid, ok, type EvaluationContext, type Outcome } from './context.ts';
import { encodeRecord, recordEngineKey } from './txn-record.ts';

export function prepare(ctx: EvaluationContext, txn: TxnMeta, request: EndTxnRequest): Outcome {
  const record: TxnRecord = {
    meta: txn,
    status: 'prepared',
    lastHeartbeat: ctx.now,
    lockSpans: request.lockSpans,
    inFlightWrites: [],
  };
  ctx.batch.putUnversioned(recordEngineKey(request.anchor, txn.id), encodeRecord(record));
  return isPrepared(record);
}

/** What the coordinator of a prepared transaction is told, which may not know yet that it is one: it can do no more. */
export function toCoordinator(request: EndTxnRequest, record: TxnRecord): Outcome {
  return request.commit && request.twoPhase === undefined
    ? invalid('a prepared transaction is not committed by its coordinator')
    : isPrepared(record);
}

function isPrepared({ meta }: TxnRecord): Outcome {
  const commitTimestamp = meta.writeTimestamp;
  return ok({ kind: 'end-txn', status: 'prepared', commitTimestamp, onePhase: false });
}
