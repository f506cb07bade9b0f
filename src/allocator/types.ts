/** What placement decisions are made from and what they look like. Plain data. */
import { type NodeId, type RangeId, type ReplicaDescriptor, type StoreId } from '../kv/index.ts';
import { type Locality } from './diversity.ts';

/**
 * 'suspect': silent, but not for long enough to be given up. 'dead': silent for longer than the limit.
 * 'draining': shutting down in order; keeps its replicas, takes no new ones and no leases.
 * 'decommissioning': serves, but its replicas are to leave. 'decommissioned': will never come back.
 */
export type StoreStatus =
  | 'live'
  | 'suspect'
  | 'dead'
  | 'draining'
  | 'decommissioning'
  | 'decommissioned';

export interface StorePicture {
  readonly storeId: StoreId;
  readonly nodeId: NodeId;
  readonly status: StoreStatus;
  readonly locality: Locality;
  /** Of the store and of its node, which constraints such as `+ssd` ask for. */
  readonly attributes: readonly string[];
  readonly rangeCount: number;
  readonly leaseCount: number;
  /** Requests per second to the ranges it holds the lease of. */
  readonly qps: number;
  /** Processor milliseconds per second that these cost it; a range's share is its share of `qps`. */
  readonly cpuMs: number;
  readonly usedBytes: number;
  readonly availableBytes: number;
}

/** What is known of a range without asking its leaseholder. */
export interface RangeOutline {
  readonly rangeId: RangeId;
  readonly replicas: readonly ReplicaDescriptor[];
  readonly sizeBytes: number;
}

/**
 * What may be done for a range now, beyond what it needs: its replicas and leases may be moved to even out counts,
 * or load, too.
 */
export type Balancing = 'none' | 'counts' | 'counts and load';

export interface RangePicture extends RangeOutline {
  readonly leaseholder: StoreId;
  /** Requests per second. */
  readonly qps: number;
  readonly balancing: Balancing;
}

export type LoadObjective = 'qps' | 'cpu';
export type LoadMoves = 'nothing' | 'leases' | 'leases and replicas';

/** The cluster settings `kv.allocator.*` (`settings.ts`). Thresholds are shares of the mean. */
export interface AllocatorSettings {
  readonly rangeThreshold: number;
  readonly leaseThreshold: number;
  readonly loadThreshold: number;
  readonly loadObjective: LoadObjective;
  readonly loadMoves: LoadMoves;
  /** However small the mean, a store may differ from it by so much: requests per second, processor milliseconds per second. */
  readonly loadBandMin: Readonly<Record<LoadObjective, number>>;
}

/** 'recovery': the range lacks a replica that lives. 'rebalance': it has all of them, and one moves. */
export type ChangePurpose = 'recovery' | 'rebalance';

export type ReplicaRole = 'voter' | 'non-voter';

export interface AllocatorTarget {
  readonly nodeId: NodeId;
  readonly storeId: StoreId;
}

/** One store that might have been chosen: how good it is, or why it cannot be. */
export interface Considered {
  readonly storeId: StoreId;
  readonly verdict: string;
}

interface Explained {
  readonly reason: string;
  /** It evens out load. */
  readonly isForLoad?: true;
  /** The best first; a bounded number. */
  readonly considered: readonly Considered[];
}

export type AllocatorAction =
  /** `blocked`: what is due but cannot be done, in words. */
  | { readonly kind: 'none'; readonly blocked: readonly string[] }
  /** Too few voters are alive to change anything. */
  | { readonly kind: 'unavailable'; readonly live: number; readonly needed: number }
  /** A replica change was left half-way. */
  | { readonly kind: 'finish-change' }
  | PlacementAction;

export type PlacementAction =
  | (Explained & {
      readonly kind: 'add';
      readonly role: ReplicaRole;
      readonly target: AllocatorTarget;
    })
  | (Explained & {
      readonly kind: 'remove';
      readonly role: ReplicaRole;
      readonly target: AllocatorTarget;
    })
  | (Explained & {
      readonly kind: 'replace';
      readonly role: ReplicaRole;
      readonly add: AllocatorTarget;
      readonly remove: AllocatorTarget;
      readonly purpose: ChangePurpose;
    })
  /** A non-voter becomes a voter; it has the data already. */
  | (Explained & { readonly kind: 'promote'; readonly target: AllocatorTarget })
  /** A voter becomes a non-voter. */
  | (Explained & { readonly kind: 'demote'; readonly target: AllocatorTarget })
  /** Both at once: a voter and a non-voter change roles. */
  | (Explained & {
      readonly kind: 'swap';
      readonly promote: AllocatorTarget;
      readonly demote: AllocatorTarget;
    })
  | (Explained & { readonly kind: 'transfer-lease'; readonly to: StoreId });
