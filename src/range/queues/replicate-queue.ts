/**
 * Asks the allocator what is due for a range and does it: one step per visit, so that every decision is
 * made from a fresh picture.
 */
import {
  allocatorSettings,
  ClusterPicture,
  decide,
  type AllocatorAction,
} from '../../allocator/index.ts';
import { type KvError } from '../../kv/index.ts';
import { unreachable } from '../../util/index.ts';
import { changeDeps } from '../replica/admin.ts';
import { changeReplicas, finishChange } from '../replica/change-replicas.ts';
import { type Replica } from '../replica/replica.ts';
import { transferLease } from '../replica/transfer.ts';
import { type Store } from '../store/store.ts';
import { type ClusterView } from './cluster-view.ts';

/** True when something was done. */
export async function replicateOnce(
  store: Store,
  view: ClusterView,
  replica: Replica,
): Promise<boolean> {
  if (replica.destroyed || !replica.holdsLease) return false;
  const action = decide(
    new ClusterPicture(view.stores(replica.descriptor.replicas)),
    {
      rangeId: replica.rangeId,
      replicas: replica.descriptor.replicas,
      leaseholder: store.storeId,
      sizeBytes: replica.stats.totalBytes,
      qps: 0,
      balancing: view.mayBalance() ? 'counts' : 'none',
    },
    store.deps.zoneConfigFor(replica.descriptor.startKey),
    allocatorSettings(store.deps.clusterSettings),
  );
  if (action.kind === 'none') return false;
  if (action.kind === 'unavailable') return false;
  const error = await replica.exclusively(() => perform(store, replica, action));
  const log = { range: replica.rangeId, ...action };
  if (error === undefined) {
    view.note(action);
    store.env.log.info(log, 'replicas of a range were changed');
  } else store.env.log.debug({ ...log, error: error.kind }, 'a change is tried again');
  return error === undefined;
}

function perform(
  store: Store,
  replica: Replica,
  action: Exclude<AllocatorAction, { kind: 'none' | 'unavailable' }>,
): Promise<KvError | undefined> {
  const deps = changeDeps(store);
  switch (action.kind) {
    case 'finish-change':
      return finishChange(replica, deps);
    case 'add':
      return changeReplicas(replica, deps, {
        add: [action.target],
        remove: [],
        purpose: 'recovery',
      });
    case 'remove':
      return changeReplicas(replica, deps, {
        add: [],
        remove: [action.target],
        purpose: 'rebalance',
      });
    case 'replace':
      return changeReplicas(replica, deps, {
        add: [action.add],
        remove: [action.remove],
        purpose: action.purpose,
      });
    case 'promote':
    case 'demote':
    case 'swap':
      return Promise.resolve({ kind: 'invalid-request', reason: 'a change of roles' });
    case 'transfer-lease':
      return transferLease(replica, action.to, store.settings.transferTimeoutMs);
    default:
      return unreachable(action);
  }
}
