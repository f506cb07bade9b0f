/** What this store knows of another one: what that one published, and how long it has been silent. */
import { type AllocatorTarget, type StoreStatus } from '../../allocator/index.ts';
import { asNodeId, gossipKeys, type StoreId } from '../../kv/index.ts';
import { isGone } from './capacity.ts';
import { type Store } from './store.ts';

/** `published` is what gossip has under the store's key. */
export function statusOf(store: Store, storeId: StoreId, published: unknown): StoreStatus {
  const settled = isDraining(published) ? 'draining' : 'live';
  if (storeId === store.storeId) return settled;
  if (isGone(published)) return 'dead';
  const silentMs = store.silentMs(storeId);
  if (silentMs > store.settings.timeUntilStoreDeadMs) return 'dead';
  if (silentMs > store.settings.livenessSupportMs) return 'suspect';
  return settled;
}

/** Undefined: nobody has heard of such a store. */
export function findStore(
  store: Store,
  storeId: StoreId,
): { readonly target: AllocatorTarget; readonly status: StoreStatus } | undefined {
  const published = store.deps.gossip.get(gossipKeys.store(storeId));
  if (typeof published !== 'object' || published === null) return undefined;
  const nodeId: unknown = Reflect.get(published, 'nodeId');
  if (typeof nodeId !== 'number') return undefined;
  const target = { nodeId: asNodeId(nodeId), storeId };
  return { target, status: statusOf(store, storeId, published) };
}

function isDraining(published: unknown): boolean {
  return (
    typeof published === 'object' &&
    published !== null &&
    Reflect.get(published, 'draining') === true
  );
}
