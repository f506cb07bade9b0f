/**
 * The cluster as this store sees it when it decides about its ranges. Gossip is seconds old, so what
 * this store has just done is counted on top until the store concerned has published again: otherwise a
 * whole pass would send everything to the same empty store.
 */
import { type AllocatorAction, type StorePicture } from '../../allocator/index.ts';
import { asNodeId, asStoreId, gossipKeys, type StoreId } from '../../kv/index.ts';
import { type Store } from '../store/store.ts';

interface Adjustment {
  /** The gossiped value it is relative to. */
  readonly basis: unknown;
  ranges: number;
  leases: number;
}

export class ClusterView {
  readonly #store: Store;
  readonly #adjustments = new Map<StoreId, Adjustment>();
  #pictures: StorePicture[] = [];

  constructor(store: Store) {
    this.#store = store;
  }

  /** Reads gossip and the own counts; once per pass. */
  refresh(): void {
    const store = this.#store;
    const { leases, ranges } = store.metrics().gauges;
    this.#pictures = [];
    for (const [, value] of store.deps.gossip.list(gossipKeys.storePrefix)) {
      const picture = decodePicture(store, value);
      if (picture === undefined) continue;
      if (picture.storeId === store.storeId) {
        this.#adjustments.delete(picture.storeId);
        this.#pictures.push({ ...picture, leaseCount: leases, rangeCount: ranges });
        continue;
      }
      const adjustment = this.#adjustments.get(picture.storeId);
      if (adjustment !== undefined && adjustment.basis !== value) {
        this.#adjustments.delete(picture.storeId);
      }
      this.#pictures.push(this.#adjusted(picture, value));
    }
  }

  stores(): readonly StorePicture[] {
    return this.#pictures;
  }

  /** The action was carried out. */
  note(action: AllocatorAction): void {
    switch (action.kind) {
      case 'add':
        this.#change(action.target.storeId, 1, 0);
        return;
      case 'remove':
        this.#change(action.target.storeId, -1, 0);
        return;
      case 'replace':
        this.#change(action.add.storeId, 1, 0);
        this.#change(action.remove.storeId, -1, 0);
        return;
      case 'transfer-lease':
        this.#change(action.to, 0, 1);
        this.#change(this.#store.storeId, 0, -1);
        return;
      case 'none':
      case 'unavailable':
      case 'finish-change':
    }
  }

  #change(storeId: StoreId, ranges: number, leases: number): void {
    const at = this.#pictures.findIndex((each) => each.storeId === storeId);
    const picture = this.#pictures[at];
    if (picture === undefined) return;
    this.#pictures[at] = {
      ...picture,
      rangeCount: picture.rangeCount + ranges,
      leaseCount: picture.leaseCount + leases,
    };
    const basis = this.#store.deps.gossip.get(gossipKeys.store(storeId));
    const adjustment = this.#adjustments.get(storeId) ?? { basis, ranges: 0, leases: 0 };
    adjustment.ranges += ranges;
    adjustment.leases += leases;
    this.#adjustments.set(storeId, adjustment);
  }

  #adjusted(picture: StorePicture, basis: unknown): StorePicture {
    const adjustment = this.#adjustments.get(picture.storeId);
    if (adjustment === undefined || adjustment.basis !== basis) return picture;
    return {
      ...picture,
      rangeCount: picture.rangeCount + adjustment.ranges,
      leaseCount: picture.leaseCount + adjustment.leases,
    };
  }
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

function statusOf(store: Store, storeId: StoreId, draining: boolean): StorePicture['status'] {
  if (storeId === store.storeId) return draining ? 'draining' : 'live';
  const silentMs = store.silentMs(storeId);
  if (silentMs > store.settings.timeUntilStoreDeadMs) return 'dead';
  if (silentMs > store.settings.livenessSupportMs) return 'suspect';
  return draining ? 'draining' : 'live';
}
