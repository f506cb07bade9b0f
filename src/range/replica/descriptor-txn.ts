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
} from '../../kv/index.ts';

const attemptsMax = 8;

/**
 * `expected` is what the caller based its decision on; when the stored descriptor is another one,
 * nothing is changed. Undefined on success.
 */
export async function commitDescriptors(
  db: Db,
  change: {
    readonly name: string;
    readonly expected: RangeDescriptor;
    readonly descriptors: readonly RangeDescriptor[];
    readonly trigger: CommitTrigger;
  },
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

async function commitOnce(
  db: Db,
  change: Parameters<typeof commitDescriptors>[1],
): Promise<KvError | undefined> {
  const { name, expected, descriptors, trigger } = change;
  const txn = db.begin({ name, priority: 'high' });
  try {
    const key = rangeDescriptorKey(expected.startKey);
    const stored = await txn.get(key, { lock: 'update' });
    if (stored === undefined || !stored.equals(encodeDescriptor(expected))) {
      await txn.rollback();
      return { kind: 'unavailable', reason: `range ${expected.rangeId} changed meanwhile` };
    }
    for (const descriptor of descriptors) {
      const value = encodeDescriptor(descriptor);
      txn.put(rangeDescriptorKey(descriptor.startKey), value);
      for (const record of metaRecordKeys(descriptor)) txn.put(record, value);
    }
    await txn.commit({ trigger });
    return undefined;
  } catch (error) {
    if (txn.status === 'open') await txn.rollback();
    throw error;
  }
}
