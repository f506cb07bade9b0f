/**
 * Replicas that were removed from their range while nobody could tell them. A doubtful replica reads the
 * range's descriptor, consistently (trap R6: never from a cache), and removes itself when it is not in it.
 */
import { rangeDescriptorKey } from '../../encoding/index.ts';
import { decodeDescriptor, KvFailure, replicaOnStore } from '../../kv/index.ts';
import { type Replica } from '../replica/replica.ts';
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
  let stored: Buffer | undefined;
  try {
    stored = await store.deps.db.readCurrent(rangeDescriptorKey(replica.descriptor.startKey));
  } catch (error) {
    if (error instanceof KvFailure) return false;
    throw error;
  }
  if (stored === undefined || replica.destroyed) return false;
  const range = decodeDescriptor(stored);
  if (range.rangeId !== replica.rangeId) return false;
  if (range.generation < replica.descriptor.generation) return false;
  if (range.replicas.some((each) => each.replicaId === replica.replicaId)) return false;
  // The range may have come back to this store under a newer id by now: that one is not over.
  const successor = replicaOnStore(range, store.storeId);
  store.remover.remove(replica, successor?.replicaId ?? range.nextReplicaId);
  return true;
}
