/**
 * Asks the allocator what is due for a range and does it: one step per visit, so that every decision is
 * made from a fresh picture.
 */
import { decide, type AllocatorAction, type StorePicture } from '../../allocator/index.ts';
import { asNodeId, asStoreId, gossipKeys, type KvError } from '../../kv/index.ts';
import { unreachable } from '../../util/index.ts';
import { changeDeps } from '../replica/admin.ts';
import { changeReplicas, finishChange } from '../replica/change-replicas.ts';
import { type Replica } from '../replica/replica.ts';
import { transferLease } from '../replica/transfer.ts';
import { type Store } from '../store/store.ts';

/** True when something was done. */
export async function replicateOnce(store: Store, replica: Replica): Promise<boolean> {
  if (replica.destroyed || !replica.holdsLease) return false;
  const action = decide(
    clusterPicture(store),
    { replicas: replica.descriptor.replicas, leaseholder: store.storeId },
    store.deps.zoneConfigFor(replica.descriptor.startKey),
  );
  if (action.kind === 'none') return false;
  if (action.kind === 'unavailable') return false;
  const error = await replica.exclusively(() => perform(store, replica, action));
  const log = { range: replica.rangeId, ...action };
  if (error === undefined) store.env.log.info(log, 'replicas of a range were changed');
  else store.env.log.debug({ ...log, error: error.kind }, 'a change is tried again');
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
      return finishChange(replica, deps, { add: [], remove: [] });
    case 'add':
      return changeReplicas(replica, deps, { add: [action.target], remove: [] });
    case 'remove':
      return changeReplicas(replica, deps, { add: [], remove: [action.target] });
    case 'replace':
      return changeReplicas(replica, deps, { add: [action.add], remove: [action.remove] });
    case 'transfer-lease':
      return transferLease(replica, action.to, store.settings.transferTimeoutMs);
    default:
      return unreachable(action);
  }
}

/** Stores as gossip describes them and liveness knows them. */
export function clusterPicture(store: Store): StorePicture[] {
  const pictures: StorePicture[] = [];
  for (const [, value] of store.deps.gossip.list(gossipKeys.storePrefix)) {
    const picture = decodePicture(store, value);
    if (picture !== undefined) pictures.push(picture);
  }
  return pictures;
}

function decodePicture(store: Store, value: unknown): StorePicture | undefined {
  if (typeof value !== 'object' || value === null) return undefined;
  const count = (name: string): number => {
    const field: unknown = Reflect.get(value, name);
    return typeof field === 'number' ? field : 0;
  };
  const storeId = asStoreId(count('storeId'));
  if (storeId === 0) return undefined;
  const locality: unknown = Reflect.get(value, 'locality');
  return {
    storeId,
    nodeId: asNodeId(count('nodeId')),
    status: statusOf(store, storeId, Reflect.get(value, 'draining') === true),
    // Published by StoreCapacity in this shape; anything else counts as no locality.
    locality: Array.isArray(locality) ? (locality as StorePicture['locality']) : [],
    rangeCount: count('rangeCount'),
    leaseCount: count('leaseCount'),
    usedBytes: count('usedBytes'),
    availableBytes: count('availableBytes'),
  };
}

function statusOf(
  store: Store,
  storeId: StorePicture['storeId'],
  draining: boolean,
): StorePicture['status'] {
  if (storeId === store.storeId) return draining ? 'draining' : 'live';
  const silentMs = store.silentMs(storeId);
  if (silentMs > store.settings.timeUntilStoreDeadMs) return 'dead';
  if (silentMs > store.settings.livenessSupportMs) return 'suspect';
  return draining ? 'draining' : 'live';
}
