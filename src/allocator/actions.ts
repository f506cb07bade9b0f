/** Makes actions; what was considered is added by `decide`, once it is clear that the action stands. */
import { target } from './situation.ts';
import { type StoreState } from './store-state.ts';
import { type ChangePurpose, type PlacementAction, type ReplicaRole } from './types.ts';

export function add(role: ReplicaRole, store: StoreState, reason: string): PlacementAction {
  return { kind: 'add', role, target: target(store), reason, considered: [] };
}

export function remove(role: ReplicaRole, store: StoreState, reason: string): PlacementAction {
  return { kind: 'remove', role, target: target(store), reason, considered: [] };
}

export function replace(
  role: ReplicaRole,
  stores: { readonly from: StoreState; readonly to: StoreState },
  purpose: ChangePurpose,
  reason: string,
): PlacementAction {
  const { from, to } = stores;
  return {
    kind: 'replace',
    role,
    add: target(to),
    remove: target(from),
    purpose,
    reason,
    considered: [],
  };
}

export function promote(store: StoreState, reason: string): PlacementAction {
  return { kind: 'promote', target: target(store), reason, considered: [] };
}

export function demote(store: StoreState, reason: string): PlacementAction {
  return { kind: 'demote', target: target(store), reason, considered: [] };
}

export function transferLease({ storeId }: StoreState, reason: string): PlacementAction {
  return { kind: 'transfer-lease', to: storeId, reason, considered: [] };
}
