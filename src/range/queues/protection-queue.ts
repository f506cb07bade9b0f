/** Protected timestamps outlive nobody: now and then the leaseholder of their records removes those whose job is gone. */
import { containsKey, kvSettings, KvFailure, protectedTimestamps } from '../../kv/index.ts';
import { type Replica } from '../replica/replica.ts';
import { type Store } from '../store/store.ts';

const lastMs = new WeakMap<Replica, number>();

export async function reconcileProtection(store: Store, replica: Replica): Promise<void> {
  const { isJobGone } = store.deps;
  if (isJobGone === undefined || replica.destroyed || !replica.holdsLease) return;
  if (!containsKey(replica.descriptor, protectedTimestamps.start)) return;
  const nowMs = store.env.clock.monotonicMs();
  const intervalMs = store.clusterSettings.get(kvSettings.protectionReconciliationInterval);
  if (nowMs - (lastMs.get(replica) ?? -Infinity) < intervalMs) return;
  lastMs.set(replica, nowMs);
  try {
    await store.protectedTimes.reconcile(isJobGone);
  } catch (error) {
    // The next time is soon.
    if (!(error instanceof KvFailure)) throw error;
  }
}
