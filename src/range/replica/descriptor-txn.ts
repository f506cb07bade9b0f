/**
 * Changes of range descriptors: one transaction that rewrites the descriptor and its meta records, and
 * whose commit carries the trigger that every replica of the range executes below raft. The
 * transaction is anchored in the range itself (its first lock is the descriptor), so the trigger
 * reaches the right log.
 */
import { metaRecordKeys, rangeDescriptorKey } from '../../encoding/index.ts';
import {
  encodeDescriptor,
  KvFailure,
  type CommitTrigger,
  type Db,
  type KvError,
  type RangeDescriptor,
  type Txn,
} from '../../kv/index.ts';

const attemptsMax = 8;

export interface DescriptorChange {
  readonly name: string;
  /** What the caller based its decision on; when the stored descriptor is another one, nothing is changed. */
  readonly expected: RangeDescriptor;
  readonly descriptors: readonly RangeDescriptor[];
  /** Their records go, unless one of `descriptors` takes their place. */
  readonly removed?: readonly RangeDescriptor[];
  /** A function has the last word before the commit; a KvFailure that it throws ends the change. */
  readonly trigger: CommitTrigger | ((txn: Txn) => Promise<CommitTrigger>);
}

/** Undefined on success. */
export async function commitDescriptors(
  db: Db,
  change: DescriptorChange,
): Promise<KvError | undefined> {
  for (let attempt = 1; ; attempt++) {
    try {
      return await commitOnce(db, change);
    } catch (error) {
      if (!(error instanceof KvFailure)) throw error;
      const { kind } = error.kvError;
      const again = kind === 'txn-retry' || kind === 'txn-aborted' || kind === 'deadlock';
      if (!again || attempt >= attemptsMax) return error.kvError;
    }
  }
}

async function commitOnce(db: Db, change: DescriptorChange): Promise<KvError | undefined> {
  const { name, expected, descriptors, removed = [], trigger } = change;
  const txn = db.begin({ name, priority: 'high' });
  try {
    const key = rangeDescriptorKey(expected.startKey);
    const stored = await txn.get(key, { lock: 'update' });
    if (stored === undefined || !stored.equals(encodeDescriptor(expected))) {
      await txn.rollback();
      return { kind: 'unavailable', reason: `range ${expected.rangeId} changed meanwhile` };
    }
    for (const each of removed) for (const record of recordKeys(each)) txn.delete(record);
    for (const each of descriptors) {
      for (const record of recordKeys(each)) txn.put(record, encodeDescriptor(each));
    }
    await txn.commit({ trigger: typeof trigger === 'function' ? await trigger(txn) : trigger });
    return undefined;
  } catch (error) {
    if (txn.status === 'open') await txn.rollback();
    throw error;
  }
}

/** Where a descriptor stands: beside its range, and in the meta ranges. */
function recordKeys(range: RangeDescriptor): Buffer[] {
  return [rangeDescriptorKey(range.startKey), ...metaRecordKeys(range)];
}
