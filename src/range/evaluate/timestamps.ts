/**
 * Where a batch stands in time: how much of the past it is uncertain of, at which timestamp requests without a transaction
 * read and write, and what its writes have to stand above. Looks at what the range remembers and changes nothing.
 */
import {
  compareTimestamps,
  isPlainRead,
  laterTimestamp,
  nextTimestamp,
  type BatchHeader,
  type BatchRequest,
  type HlcClock,
  type KvRequest,
  type Timestamp,
  type TxnMeta,
} from '../../kv/index.ts';
import { type ReplicaPort } from '../ports.ts';
import {
  raiseRead,
  raiseWrite,
  type EvaluationContext,
  type Outcome,
  type RangeState,
} from './context.ts';
import { isWrite, type WriteRequest } from './writes.ts';

/** A transaction that this node meets for the first time meets it now. */
export function meet(clock: HlcClock, batch: BatchRequest): BatchRequest {
  const { header } = batch;
  if (header.txn === undefined || header.observed !== undefined) return batch;
  return { ...batch, header: { ...header, observed: clock.now() } };
}

/**
 * The transaction as this lease sees its uncertainty: what was committed here reached this node's
 * clock before it was acknowledged (a coordinator sees to that on every range it wrote to), or was noted to be
 * ahead of it, or comes from before the lease (trap X3).
 */
export function withLocalLimit(
  { leaseStart, closed }: ReplicaPort,
  txn: TxnMeta | undefined,
  observed: BatchHeader['observed'],
): TxnMeta | undefined {
  if (txn === undefined || observed === undefined) return txn;
  const ahead = { wall: closed.ceiling, logical: 0 };
  const limit = laterTimestamp(laterTimestamp(observed, leaseStart), ahead);
  return compareTimestamps(limit, txn.uncertaintyLimit) < 0
    ? { ...txn, uncertaintyLimit: limit }
    : txn;
}

/**
 * Up to where an intent is in a reader's way: to there it has to be pushed. That is the uncertainty limit, and not
 * above this node's clock: a commit above all clocks would be missed by readers that come later.
 */
export function obstructedUpTo(
  port: ReplicaPort,
  txn: TxnMeta | undefined,
  observed: BatchHeader['observed'],
): Timestamp {
  const reader = withLocalLimit(port, txn, observed);
  return reader === undefined
    ? port.clock.now()
    : laterTimestamp(reader.readTimestamp, reader.uncertaintyLimit);
}

type RefreshRequest = Extract<KvRequest, { kind: 'refresh' }>;

/** Where one evaluation of a batch stands; `at`: whatever in it has no transaction. */
export interface Standing {
  readonly txn: TxnMeta | undefined;
  readonly at: Timestamp;
}

/** `floorWall`: of the range, for writes. `movesReads`: a transaction may read where it has to write. */
export function standingOf(
  state: RangeState,
  requests: readonly KvRequest[],
  txn: TxnMeta | undefined,
  by: { readonly now: Timestamp; readonly floorWall: number; readonly movesReads: boolean },
): Standing {
  const at = txn === undefined ? timestampOf(state.port, requests, by.now) : by.now;
  const floor = writeFloor(state, requests, txn, at, by.floorWall);
  if (floor === undefined) return { txn, at };
  const raised = txn && raiseWrite(txn, floor);
  return {
    txn: raised && by.movesReads ? raiseRead(raised, raised.writeTimestamp) : raised,
    at: laterTimestamp(at, floor),
  };
}

/**
 * What a batch finds depends on nothing older: it reads there, or looks whether something has changed since. Below the GC
 * threshold a deletion is gone without a trace, and so is what was there before (trap T13). What only ends a transaction
 * finds its intents and its record, however old.
 */
export function oldestNeeded(requests: readonly KvRequest[], { txn, at }: Standing): Timestamp {
  let oldest = at;
  const needs = (timestamp: Timestamp): void => {
    if (compareTimestamps(timestamp, oldest) < 0) oldest = timestamp;
  };
  for (const request of requests) {
    if (request.kind === 'refresh' && refreshedUpTo(request, txn) !== undefined)
      needs(request.from);
    if (request.kind === 'get' || request.kind === 'scan' || writesVersion(request)) {
      needs(txn?.readTimestamp ?? at);
    }
    if (isWrite(request) && request.unchangedSince !== undefined) needs(request.unchangedSince);
  }
  return oldest;
}

/** To there the reads of a refresh are to hold; undefined: they stand there already. */
export function refreshedUpTo(
  { from, to, untilCommit }: RefreshRequest,
  txn: TxnMeta | undefined,
): Timestamp | undefined {
  const reached = untilCommit === true ? txn?.writeTimestamp : txn?.readTimestamp;
  const target = laterTimestamp(reached ?? to, to);
  return compareTimestamps(target, from) > 0 ? target : undefined;
}

/** Where values are read or written without a transaction: above all that are here already. */
function timestampOf(port: ReplicaPort, requests: readonly KvRequest[], now: Timestamp): Timestamp {
  const { ahead } = port.closed;
  if (ahead < now.wall) return now;
  const hasValues = requests.some((request) => writesVersion(request) || isPlainRead(request));
  return hasValues ? laterTimestamp(now, { wall: ahead, logical: 0 }) : now;
}

/** Writes have to stand above this: what others have read of their keys, and the floor of the range (wall time). */
function writeFloor(
  { reads }: RangeState,
  requests: readonly KvRequest[],
  txn: TxnMeta | undefined,
  at: Timestamp,
  floorWall: number,
): Timestamp | undefined {
  const writeAt = txn?.writeTimestamp ?? at;
  const closed = { wall: floorWall, logical: 0 };
  let below = compareTimestamps(writeAt, closed) <= 0;
  let latest = below ? closed : writeAt;
  for (const request of requests) {
    if (!writesVersion(request)) continue;
    const read = reads.latest(request.key, txn?.id);
    if (compareTimestamps(read, latest) < 0) continue;
    latest = read;
    below = true;
  }
  return below ? nextTimestamp(latest) : undefined;
}

/** The transaction at the later read timestamp that it needs; undefined: it may not be moved here. */
export function movedRead(
  { state, header, txn }: EvaluationContext,
  { to, error }: Extract<Outcome, { kind: 'raise-read' }>,
): TxnMeta | undefined {
  if (txn === undefined || !header.canForwardReadTimestamp) return undefined;
  const now = state.port.clock.now();
  return raiseRead(txn, error.kind === 'txn-pushed' ? to : laterTimestamp(to, now));
}

/** The request leaves a version of its key at the timestamp of the batch. */
export function writesVersion(
  request: KvRequest,
): request is WriteRequest | Extract<KvRequest, { kind: 'increment' }> {
  return isWrite(request) || request.kind === 'increment';
}
