/** What this store knows of another one: what that one published, its membership, and how long it has been silent. */
import { type AllocatorTarget, type StoreStatus } from '../../allocator/index.ts';
import {
  asNodeId,
  gossipKeys,
  leavingAt,
  type Gossip,
  type Member,
  type Membership,
  type StoreId,
} from '../../kv/index.ts';
import { isGone } from './capacity.ts';
import { type Store } from './store.ts';

/** `published` is what gossip has under the store's key. */
export function statusOf(store: Store, of: AllocatorTarget, published: unknown): StoreStatus {
  const leaving = leavingAt(of, (member) => membershipTold(store.deps.gossip, member));
  if (leaving?.membership === 'decommissioned') return 'decommissioned';
  if (of.storeId !== store.storeId) {
    if (isGone(published)) return 'dead';
    const silentMs = store.silentMs(of.storeId);
    if (silentMs > store.timeUntilDeadMs) return 'dead';
    // Nobody waits for one that is to leave anyway.
    if (silentMs > store.settings.livenessSupportMs) {
      return leaving === undefined ? 'suspect' : 'dead';
    }
  }
  if (leaving !== undefined) return 'decommissioning';
  return isDraining(published) ? 'draining' : 'live';
}

/** As far as gossip has come. */
export function membershipTold(gossip: Gossip, { kind, id }: Member): Membership {
  const part = kind === 'node' ? 'nodes' : 'stores';
  const told: unknown = Reflect.get(Object(gossip.get(gossipKeys.memberships)), part);
  const membership: unknown = Reflect.get(Object(told), id);
  return membership === 'decommissioning' || membership === 'decommissioned'
    ? membership
    : 'active';
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
  return { target, status: statusOf(store, target, published) };
}

/** The store hands over its leases. */
export function isDraining(published: unknown): boolean {
  return (
    typeof published === 'object' &&
    published !== null &&
    Reflect.get(published, 'draining') === true
  );
}
