/**
 * Replicas that were removed from their range while nobody could tell them. A doubtful replica reads the
 * range's descriptor, consistently (trap R6: never from a cache), and removes itself when it is not in it.
 */
import { rangeDescriptorKey } from '../../encoding/index.ts';
import { decodeDescriptor, KvFailure, replicaOnStore } from '../../kv/index.ts';
import { type Replica } from '../replica/replica.ts';
import { type Store } from '../store/store.ts';

/**
 * A quiet range is silent for as long as it likes. But a replica that was removed while its messages were
 * lost hears nothing either, and its leader may live on, so that it never doubts: now and then a silent
 * one asks.
 */
const quietFactor = 5;

/** No leader was heard of for long: perhaps the range goes on without this replica. */
export function mayBeRemoved(store: Store, replica: Replica): boolean {
  if (replica.raft.role === 'leader') return false;
  const leader = replica.address(replica.raft.leader);
  const isLed = leader !== undefined && store.liveness.supports(leader.storeId);
  const patience = store.settings.replicaGcSilenceMs * (isLed ? quietFactor : 1);
  if (replica.silentMs < patience) return false;
  replica.noteContact();
  return true;
}

/** True when the replica was removed. */
export async function checkMembership(store: Store, replica: Replica): Promise<boolean> {
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
