/**
 * Replicas that were removed from their range while nobody could tell them, or whose range is no more. A doubtful replica
 * reads the range's descriptor, consistently (trap R6: never from a cache), and removes itself when it is not in it.
 */
import { metaLookupSpan } from '../../encoding/index.ts';
import {
  decodeDescriptor,
  KvFailure,
  replicaOnStore,
  type Db,
  type RangeDescriptor,
  type ScanPage,
} from '../../kv/index.ts';
import { rangeFrom } from '../replica/merge.ts';
import { type Replica } from '../replica/replica.ts';
import { afterAllReplicas } from '../store/remover.ts';
import { type Store } from '../store/store.ts';

/** A quiet range is silent for as long as it likes: its followers are more patient. */
const quietFactor = 5;

/**
 * Whether a follower has reason to ask if it still belongs to its range. 'leaderless': nobody seems to lead it,
 * perhaps the range goes on without it. 'quiet': there is a leader, and nothing was heard of it for long; so
 * it is in a range that nobody uses, and in one that removed this replica while its messages were lost.
 */
export function doubtOf(store: Store, replica: Replica): 'none' | 'leaderless' | 'quiet' {
  if (replica.raft.role === 'leader') return 'none';
  const leader = replica.address(replica.raft.leader);
  const isLed = leader !== undefined && store.liveness.supports(leader.storeId);
  const patience = store.settings.replicaGcSilenceMs * (isLed ? quietFactor : 1);
  if (replica.silentMs < patience) return 'none';
  return isLed ? 'quiet' : 'leaderless';
}

/** Asks. True when the replica was removed. */
export async function checkMembership(store: Store, replica: Replica): Promise<boolean> {
  replica.noteContact();
  const { rangeId, replicaId } = replica;
  let range: RangeDescriptor | undefined;
  try {
    range = await rangeFrom(store.deps.db, replica.descriptor.startKey);
    if (range?.rangeId !== rangeId) return await checkAbsorbed(store, replica);
  } catch (error) {
    if (error instanceof KvFailure) return false;
    throw error;
  }
  if (replica.destroyed || range.generation < replica.descriptor.generation) return false;
  if (range.replicas.some((each) => each.replicaId === replicaId)) return false;
  // The range may have come back to this store under a newer id by now: that one is not over.
  const successor = replicaOnStore(range, store.storeId);
  store.remover.remove(replica, successor?.replicaId ?? range.nextReplicaId);
  return true;
}

/**
 * No range of this id begins there any more: another one has absorbed it. The replica is needed as long as the left one
 * beside it may still apply that merge, so that one has to be as new as its range, or gone, before this one goes. In this
 * order: what the left one is compared with is read after the merge was seen.
 */
async function checkAbsorbed(store: Store, replica: Replica): Promise<boolean> {
  const { rangeId, descriptor } = replica;
  const { db } = store.deps;
  const holder = await rangeHolding(db, descriptor.startKey);
  if (holder === undefined || holder.rangeId === rangeId) return false;
  if (holder.generation <= descriptor.generation) return false;
  const left = leftOf(store, descriptor);
  if (left !== undefined) {
    const newest = await rangeFrom(db, left.descriptor.startKey);
    if (newest?.rangeId !== left.rangeId) return false;
    if (left.destroyed || newest.generation !== left.descriptor.generation) return false;
  }
  if (replica.destroyed || leftOf(store, descriptor) !== left) return false;
  store.remover.remove(replica, afterAllReplicas);
  return true;
}

/** The replica of this store that ends where `range` begins. */
function leftOf(store: Store, range: RangeDescriptor): Replica | undefined {
  for (const each of store.replicas.values()) {
    if (each.initialised && each.descriptor.endKey.equals(range.startKey)) return each;
  }
  return undefined;
}

/** The range that holds `key`, as of now. */
async function rangeHolding(db: Db, key: Buffer): Promise<RangeDescriptor | undefined> {
  const span = metaLookupSpan(key);
  if (span === undefined) return undefined;
  return db.run({ name: 'range holding a key' }, async (txn) => {
    let rest: typeof span | undefined = span;
    while (rest !== undefined) {
      const page: ScanPage = await txn.scan({ ...rest, maxRows: 1 });
      const [stored] = page.values;
      if (stored !== undefined) return decodeDescriptor(stored);
      rest = page.resume;
    }
    return undefined;
  });
}
