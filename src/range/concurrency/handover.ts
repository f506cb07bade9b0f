/**
 * What an executor hands to its successor beside its low water: locks that nobody has written down, with their holders
 * (whoever waits asks again and queues up anew), and tombstones. Bounded, because it travels in one command.
 */
import { type Handover, type HeldLock } from '../../kv/index.ts';
import { type FinishedTxns } from './finished-txns.ts';
import { type LockTable, metaOf } from './lock-table.ts';
import { type TxnTombstones } from './txn-tombstones.ts';

/** Together less than the least size to which commands may be limited. */
const maxBytes = { tombstones: 128 << 10, locks: 768 << 10 } as const;
/** What a lock takes beside its keys, roughly. */
const lockBytes = 64;

export function handOver(locks: LockTable, tombstones: TxnTombstones): Handover {
  return { locks: someOf(locks.unreplicated()), ...tombstones.newest(maxBytes.tombstones) };
}

/** The table knows nothing yet of the keys that are locked. */
export function takeOver(
  handover: Handover,
  known: {
    readonly locks: LockTable;
    readonly tombstones: TxnTombstones;
    readonly finished: FinishedTxns;
  },
): void {
  known.tombstones.adopt(handover);
  for (const { finished } of handover.tombstones) {
    if (finished?.status === 'aborted') known.finished.add(finished);
  }
  for (const { key, owner, strength } of handover.locks) {
    known.locks.tryAcquire(key, metaOf(owner), strength);
  }
}

function someOf(locks: Iterable<HeldLock>): HeldLock[] {
  const some: HeldLock[] = [];
  let bytes = 0;
  for (const lock of locks) {
    bytes += lock.key.length + (lock.owner.anchor?.length ?? 0) + lockBytes;
    if (bytes > maxBytes.locks) break;
    some.push(lock);
  }
  return some;
}
