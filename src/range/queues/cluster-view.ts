/**
 * The cluster as this store sees it when it decides about its ranges. Gossip is about a second old, so what
 * this store has just done is counted on top until the store concerned has counted again after it: otherwise
 * a whole pass would send everything to the same empty store. A store that loses a replica learns of it
 * later than the leaseholder, so a removal is counted for some seconds longer.
 */
import { balanceTurn, type AllocatorAction, type StorePicture } from '../../allocator/index.ts';
import {
  asNodeId,
  asStoreId,
  gossipKeys,
  type ReplicaDescriptor,
  type StoreId,
} from '../../kv/index.ts';
import { statusOf } from '../store/store-status.ts';
import { type Store } from '../store/store.ts';

interface Adjustment {
  readonly storeId: StoreId;
  /** Counts taken before this (HLC wall microseconds) do not have it in them. */
  readonly until: number;
  readonly ranges: number;
  readonly leases: number;
}

const removalMicros = 5_000_000;
/** A store that has published nothing since is away: what it would say is not waited for. */
const keepMicros = 60_000_000;

export class ClusterView {
  readonly #store: Store;
  #adjustments: Adjustment[] = [];
  #pictures: StorePicture[] = [];
  #turn = -1;
  #movesInTurn = 0;

  constructor(store: Store) {
    this.#store = store;
  }

  /** Reads gossip and the own counts; once per pass. */
  refresh(): void {
    const store = this.#store;
    const { leases, ranges } = store.counts();
    const now = store.clock.now().wall;
    this.#adjustments = this.#adjustments.filter(({ until }) => now < until + keepMicros);
    this.#pictures = [];
    for (const [, value] of store.deps.gossip.list(gossipKeys.storePrefix)) {
      const picture = decodePicture(store, value);
      if (picture === undefined) continue;
      this.#pictures.push(
        picture.storeId === store.storeId
          ? { ...picture, leaseCount: leases, rangeCount: ranges }
          : this.#adjusted(picture, countedAt(value)),
      );
    }
  }

  /**
   * The stores gossip tells of, and those of `replicas` that it says nothing about although this store has run for
   * long enough to have heard of them: whoever knew a lost store may have been restarted since.
   */
  stores(replicas: readonly ReplicaDescriptor[]): readonly StorePicture[] {
    const known = new Set(this.#pictures.map(({ storeId }) => storeId));
    const forgotten = replicas
      .filter(({ storeId }) => !known.has(storeId))
      .map(({ nodeId, storeId }): StorePicture => ({
        storeId,
        nodeId,
        status: statusOf(this.#store, { nodeId, storeId }, undefined),
        locality: [],
        attributes: [],
        rangeCount: 0,
        leaseCount: 0,
        qps: 0,
        cpuMs: 0,
        usedBytes: 0,
        availableBytes: 0,
      }))
      .filter(({ status }) => status === 'dead');
    return forgotten.length === 0 ? this.#pictures : [...this.#pictures, ...forgotten];
  }

  /** It is this store's turn to balance, and it has not used it up. */
  mayBalance(): boolean {
    const { settings, storeId, env } = this.#store;
    // Driven by hand: there is nobody to take turns with.
    if (settings.queueIntervalMs === 0) return true;
    const nowMs = env.clock.wallMicros() / 1000;
    if (!balanceTurn(this.#pictures, storeId, nowMs, settings.balanceTurnMs)) return false;
    const turn = Math.floor(nowMs / settings.balanceTurnMs);
    if (turn !== this.#turn) {
      this.#turn = turn;
      this.#movesInTurn = 0;
    }
    return this.#movesInTurn < settings.balanceMovesPerTurn;
  }

  /** The action was carried out. */
  note(action: AllocatorAction): void {
    this.#movesInTurn++;
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
      case 'promote':
      case 'demote':
      case 'swap':
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
    const now = this.#store.clock.now().wall;
    const until = ranges < 0 ? now + removalMicros : now;
    this.#adjustments.push({ storeId, until, ranges, leases });
  }

  #adjusted(picture: StorePicture, countedAtWall: number): StorePicture {
    let { rangeCount, leaseCount } = picture;
    for (const { storeId, until, ranges, leases } of this.#adjustments) {
      if (storeId !== picture.storeId || countedAtWall > until) continue;
      rangeCount += ranges;
      leaseCount += leases;
    }
    return { ...picture, rangeCount, leaseCount };
  }
}

function countedAt(value: unknown): number {
  const at: unknown =
    typeof value === 'object' && value !== null ? Reflect.get(value, 'countedAt') : undefined;
  return typeof at === 'number' ? at : 0;
}

function decodePicture(store: Store, value: unknown): StorePicture | undefined {
  if (typeof value !== 'object' || value === null) return undefined;
  const count = (name: string): number => {
    const field: unknown = Reflect.get(value, name);
    return typeof field === 'number' ? field : 0;
  };
  const storeId = asStoreId(count('storeId'));
  if (storeId === 0) return undefined;
  const nodeId = asNodeId(count('nodeId'));
  const locality: unknown = Reflect.get(value, 'locality');
  const attributes: unknown = Reflect.get(value, 'attributes');
  return {
    storeId,
    nodeId,
    status: statusOf(store, { nodeId, storeId }, value),
    // Published by StoreCapacity in this shape; anything else counts as none.
    locality: Array.isArray(locality) ? (locality as StorePicture['locality']) : [],
    attributes: Array.isArray(attributes) ? (attributes as string[]) : [],
    rangeCount: count('rangeCount'),
    leaseCount: count('leaseCount'),
    qps: count('qps'),
    cpuMs: count('cpuMs'),
    usedBytes: count('usedBytes'),
    availableBytes: count('availableBytes'),
  };
}
