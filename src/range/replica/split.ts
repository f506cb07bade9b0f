/**
 * Splits: where to cut, and the transaction that cuts; how long the sides stay apart. What every replica does when the command is
 * applied is in `applier.ts` and `store/right-side.ts`.
 */
import { metaEnd } from '../../encoding/index.ts';
import {
  asRangeId,
  compareTimestamps,
  containsKey,
  equalTimestamps,
  isChanging,
  KvFailure,
  type Db,
  type KvError,
  type RangeDescriptor,
  type Timestamp,
  zeroTimestamp,
} from '../../kv/index.ts';
import { headSpan, keyOfHead, type EngineSnapshot } from '../../storage/index.ts';
import { rangeIdCounterKey } from '../store/bootstrap.ts';
import { commitDescriptors } from './descriptor-txn.ts';
import { type Replica } from './replica.ts';

/** Splits at `splitKey`; a range that starts there already only keeps apart for longer. Undefined on success. */
export async function splitAt(
  replica: Replica,
  db: Db,
  splitKey: Buffer,
  stickyUntil: Timestamp,
): Promise<KvError | undefined> {
  const range = replica.descriptor;
  const held = replica.checkLease(replica.clock.now());
  if (held !== undefined) return held;
  if (range.startKey.equals(splitKey)) {
    if (compareTimestamps(stickyUntil, range.stickyUntil) <= 0) return undefined;
    return changeStickiness(replica, db, stickyUntil);
  }
  if (!containsKey(range, splitKey)) {
    return { kind: 'range-key-mismatch', ranges: [range] };
  }
  if (splitKey.compare(metaEnd) < 0) {
    return { kind: 'invalid-request', reason: 'the meta records are not split' };
  }
  if (isChanging(range)) {
    return { kind: 'unavailable', reason: `the replicas of range ${range.rangeId} are changing` };
  }
  const rangeId = await nextRangeId(db);
  if (typeof rangeId !== 'number') return rangeId;
  const generation = range.generation + 1;
  const left: RangeDescriptor = { ...range, endKey: splitKey, generation };
  const right: RangeDescriptor = {
    ...range,
    rangeId: asRangeId(rangeId),
    startKey: splitKey,
    generation,
    stickyUntil,
  };
  return commitDescriptors(db, {
    name: 'split',
    expected: range,
    descriptors: [left, right],
    trigger: { kind: 'split', left, right },
  });
}

/** Lets the range that starts at `key` be merged with its left neighbour. Undefined on success. */
export async function unsplitAt(
  replica: Replica,
  db: Db,
  key: Buffer,
): Promise<KvError | undefined> {
  const { startKey, stickyUntil } = replica.descriptor;
  if (!startKey.equals(key)) {
    return { kind: 'invalid-request', reason: 'no range starts at this key' };
  }
  if (equalTimestamps(stickyUntil, zeroTimestamp)) return undefined;
  return changeStickiness(replica, db, zeroTimestamp);
}

function changeStickiness(
  replica: Replica,
  db: Db,
  stickyUntil: Timestamp,
): Promise<KvError | undefined> {
  const expected = replica.descriptor;
  const range = { ...expected, generation: expected.generation + 1, stickyUntil };
  return commitDescriptors(db, {
    name: 'stickiness',
    expected,
    descriptors: [range],
    trigger: { kind: 'change-replicas', range },
  });
}

async function nextRangeId(db: Db): Promise<number | KvError> {
  try {
    return Number(await db.increment(rangeIdCounterKey, 1n));
  } catch (error) {
    if (error instanceof KvFailure) return error.kvError;
    throw error;
  }
}

/**
 * The key at which about half of the range's head records (by bytes) lie to the left. Undefined when
 * there is no key strictly inside, or when there are fewer than `bytesMin` bytes to divide: old versions
 * stay with their key, so splitting would not help. Every key of a table is a row of its own. Closes the
 * snapshot.
 */
export async function findSplitKey(
  snapshot: EngineSnapshot,
  range: RangeDescriptor,
  bytesMin: number,
): Promise<Buffer | undefined> {
  const first = range.startKey.compare(metaEnd) > 0 ? range.startKey : metaEnd;
  const span = headSpan(first, range.endKey);
  try {
    const total = await walk(snapshot, span, () => false);
    if (total < bytesMin) return undefined;
    let seen = 0;
    let found: Buffer | undefined;
    await walk(snapshot, span, (key, bytes) => {
      const inside = key.compare(first) > 0;
      if (inside && seen * 2 >= total) {
        found = key;
        return true;
      }
      seen += bytes;
      return false;
    });
    return found;
  } finally {
    snapshot.close();
  }
}

/** Returns the bytes seen; stops when `visit` says so. */
async function walk(
  snapshot: EngineSnapshot,
  span: { readonly start: Buffer; readonly end: Buffer },
  visit: (key: Buffer, bytes: number) => boolean,
): Promise<number> {
  let bytes = 0;
  const iterator = snapshot.iterate(span);
  try {
    for (;;) {
      const rows = await iterator.next(512);
      if (rows.length === 0) return bytes;
      for (const [engineKey, value] of rows) {
        const size = engineKey.length + value.length;
        if (visit(keyOfHead(engineKey), size)) return bytes;
        bytes += size;
      }
    }
  } finally {
    await iterator.close();
  }
}
