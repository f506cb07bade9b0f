/** What placement decisions are made from and what they look like. Plain data. */
import { type NodeId, type ReplicaDescriptor, type StoreId } from '../kv/index.ts';

/**
 * 'suspect': silent, but not for long enough to be given up. 'dead': silent for longer than the limit.
 * 'draining': shutting down in order; keeps its replicas, takes no new ones and no leases.
 */
export type StoreStatus = 'live' | 'suspect' | 'dead' | 'draining';

export interface StorePicture {
  readonly storeId: StoreId;
  readonly nodeId: NodeId;
  readonly status: StoreStatus;
  /** Ordered tiers, most general first. */
  readonly locality: readonly (readonly [string, string])[];
  readonly rangeCount: number;
  readonly leaseCount: number;
  readonly usedBytes: number;
  readonly availableBytes: number;
}

export interface RangePicture {
  readonly replicas: readonly ReplicaDescriptor[];
  readonly leaseholder: StoreId;
  /** False: only what is needed is done now; balancing is not this store's turn. Default true. */
  readonly balance?: boolean;
}

/** 'recovery': the range lacks a replica that lives. 'rebalance': it has all of them, and one moves. */
export type ChangePurpose = 'recovery' | 'rebalance';

export interface AllocatorTarget {
  readonly nodeId: NodeId;
  readonly storeId: StoreId;
}

export type AllocatorAction =
  | { readonly kind: 'none' }
  /** Too few voters are alive to change anything. */
  | { readonly kind: 'unavailable'; readonly live: number; readonly needed: number }
  /** A replica change was left half-way. */
  | { readonly kind: 'finish-change' }
  | { readonly kind: 'add'; readonly target: AllocatorTarget; readonly reason: string }
  | { readonly kind: 'remove'; readonly target: AllocatorTarget; readonly reason: string }
  | {
      readonly kind: 'replace';
      readonly add: AllocatorTarget;
      readonly remove: AllocatorTarget;
      readonly purpose: ChangePurpose;
      readonly reason: string;
    }
  | { readonly kind: 'transfer-lease'; readonly to: StoreId; readonly reason: string };
