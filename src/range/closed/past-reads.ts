/**
 * Follower reads: any replica, a non-voter too, serves reads at or below its closed timestamp. It needs no lease, no latches and no
 * timestamp cache, because nothing is written there any more. What it cannot decide it leaves to the leaseholder, as a
 * replica does that holds no lease: intents that may belong to a committed transaction, above all.
 *
 * A range that is closed ahead of the clock serves reads of the present in this way. They may see everything up to the
 * end of their uncertainty interval, so that has to be closed; a value inside of it is left to the leaseholder, too.
 * A transaction that has left intents does not read here: if another one has aborted it and taken them away, only the leaseholder knows.
 *
 * Everything is read from one snapshot of the engine, taken in the step in which the closed timestamp was looked at: what
 * happens to the replica meanwhile (garbage collection, a snapshot, its removal) does no harm.
 */
import {
  compareTimestamps,
  isPlainRead,
  kvSettings,
  previousTimestamp,
  zeroTimestamp,
  type BatchHeader,
  type BatchRequest,
  type BatchResponse,
  type KvError,
  type KvRequest,
  type KvResult,
  type TxnMeta,
} from '../../kv/index.ts';
import { createMvccBatch } from '../../storage/index.ts';
import { assert } from '../../util/index.ts';
import { FinishedTxns } from '../concurrency/finished-txns.ts';
import { LockTable } from '../concurrency/lock-table.ts';
import { TimestampCache } from '../concurrency/timestamp-cache.ts';
import { TxnTombstones } from '../concurrency/txn-tombstones.ts';
import { TxnWaitQueue } from '../concurrency/txn-wait-queue.ts';
import { EvaluationContext, type Outcome } from '../evaluate/context.ts';
import { evaluateGet, evaluateScan } from '../evaluate/reads.ts';
import { readThreshold } from '../replica/range-state.ts';
import { type Replica } from '../replica/replica.ts';

/** Of an executor that nobody has asked for anything: plain reads look at it and change nothing. */
const idle = {
  locks: new LockTable(() => 0),
  reads: new TimestampCache(zeroTimestamp),
  tombstones: new TxnTombstones(zeroTimestamp),
  pushes: new TxnWaitQueue(),
  finished: new FinishedTxns(),
};

/** Undefined: it is not a read of the past, or it is left to the leaseholder. */
export function readPast(
  replica: Replica,
  batch: BatchRequest,
): Promise<BatchResponse> | undefined {
  const { txn, nearest } = batch.header;
  if (txn === undefined || !isForReplicas(replica, batch)) return undefined;
  const closed = { wall: replica.closedTimestamp, logical: 0 };
  const isKnown =
    compareTimestamps(txn.uncertaintyLimit, closed) <= 0 &&
    compareTimestamps(txn.readTimestamp, closed) <= 0;
  if (isKnown) return serve(replica, batch, txn);
  if (nearest !== true) return undefined;
  return Promise.resolve(failure(replica, { kind: 'not-closed', closed }));
}

function isForReplicas(replica: Replica, { header, requests }: BatchRequest): boolean {
  return (
    header.anyReplica === true &&
    !replica.holdsLease &&
    requests.every(isPlainRead) &&
    // While a snapshot is being installed the data are neither the old nor the new ones.
    replica.suspended === 0 &&
    !replica.destroyed &&
    replica.host.clusterSettings.get(kvSettings.followerReads)
  );
}

async function serve(
  replica: Replica,
  { header, requests }: BatchRequest,
  txn: TxnMeta,
): Promise<BatchResponse> {
  const timestamp = txn.readTimestamp;
  const threshold = readThreshold(replica.engine, replica.descriptor);
  if (compareTimestamps(timestamp, threshold) < 0) {
    return failure(replica, { kind: 'below-gc-threshold', timestamp, threshold });
  }
  const snapshot = replica.host.engineSnapshot();
  try {
    const ctx = new EvaluationContext(
      { ...idle, port: replica },
      {
        header,
        batch: createMvccBatch(snapshot),
        now: replica.clock.now(),
        at: timestamp,
        oldest: timestamp,
        txn,
        onePhase: false,
      },
    );
    const results: KvResult[] = [];
    for (const [index, request] of requests.entries()) {
      const outcome = await evaluate(ctx, request);
      if (outcome.kind === 'error') return failure(replica, outcome.error, index);
      if (outcome.kind !== 'ok') return failure(replica, obstacle(replica, outcome, header));
      results.push(outcome.result);
    }
    replica.host.counters.followerReads++;
    const now = replica.clock.now();
    const closesAhead = replica.closedTimestamp > now.wall;
    return { kind: 'ok', now, txn, results, isFollowerRead: true, closesAhead };
  } finally {
    snapshot.close();
  }
}

function evaluate(ctx: EvaluationContext, request: KvRequest): Outcome | Promise<Outcome> {
  if (request.kind === 'get') return evaluateGet(ctx, request);
  assert(request.kind === 'scan', 'plain reads are gets and scans');
  return evaluateScan(ctx, request);
}

/** Whoever takes what is there has to go back behind the intents in the way; the leaseholder can do more about them. */
function obstacle(
  replica: Replica,
  outcome: Exclude<Outcome, { kind: 'ok' | 'error' }>,
  { nearest }: BatchHeader,
): KvError {
  if (nearest !== true || outcome.kind !== 'intents') return replica.notLeaseholder();
  const found = outcome.intents.map(({ intent }) => intent.timestamp);
  const oldest = found.reduce((a, b) => (compareTimestamps(a, b) <= 0 ? a : b));
  return { kind: 'not-closed', closed: previousTimestamp(oldest) };
}

function failure(replica: Replica, error: KvError, index?: number): BatchResponse {
  return { kind: 'error', now: replica.clock.now(), error, index };
}
