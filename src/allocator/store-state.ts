/** Stores as decisions see them, and what their condition allows. */
import { type NodeId, type StoreId } from '../kv/index.ts';
import { type Locality } from './diversity.ts';
import { type LoadObjective, type RangePicture, type StoreStatus } from './types.ts';

/** What is left free: below the first share a store takes nothing and gives away, below the second it takes what it must. */
const freeShareMin = 0.05;
const freeShareToBalance = 0.075;

export interface Site {
  readonly index: number;
  readonly locality: Locality;
  readonly attributes: readonly string[];
  /** Live ones only, those with the fewest ranges first. */
  readonly live: StoreState[];
  liveRanges: number;
  liveLeases: number;
}

/** A store within a picture. Only the picture writes to it. */
export interface StoreState {
  readonly storeId: StoreId;
  readonly nodeId: NodeId;
  readonly status: StoreStatus;
  readonly site: Site;
  /** False: a replica names it, and nobody has said anything about it. */
  readonly isKnown: boolean;
  rangeCount: number;
  leaseCount: number;
  qps: number;
  cpuMs: number;
  usedBytes: number;
  availableBytes: number;
}

/** What a picture of the cluster is made of. */
export interface Layout {
  readonly sites: readonly Site[];
  readonly stores: ReadonlyMap<StoreId, StoreState>;
}

/** It runs: what it holds can be read and voted on. */
export function isAlive({ status }: StoreState): boolean {
  return status === 'live' || status === 'draining' || status === 'decommissioning';
}

/** What it held is lost. */
export function isLost({ status }: Pick<StoreState, 'status'>): boolean {
  return status === 'dead' || status === 'decommissioned';
}

/** It is here to stay. */
export function isStaying(store: StoreState): boolean {
  return store.isKnown && !isLost(store) && store.status !== 'decommissioning';
}

/** Room for a replica that the range needs. A store that does not tell how large it is has room. */
export function hasRoom(store: StoreState): boolean {
  return freeShare(store) >= freeShareMin;
}

/** Room for a replica that could as well stay where it is. More than the other, so that none goes to and fro. */
export function hasRoomToBalance(store: StoreState): boolean {
  return freeShare(store) >= freeShareToBalance;
}

export function freeShare(store: StoreState): number {
  const capacity = store.usedBytes + store.availableBytes;
  return capacity === 0 ? 1 : store.availableBytes / capacity;
}

export function loadOf(store: StoreState, objective: LoadObjective): number {
  return objective === 'qps' ? store.qps : store.cpuMs;
}

/** Processor time is known per store only: a range's share of it is its share of the requests. */
export function loadOfRange(
  range: RangePicture,
  leaseholder: StoreState,
  objective: LoadObjective,
): number {
  if (objective === 'qps') return range.qps;
  return leaseholder.qps === 0 ? 0 : (range.qps / leaseholder.qps) * leaseholder.cpuMs;
}
