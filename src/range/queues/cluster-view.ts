/**
 * The cluster as this store sees it when it decides about its ranges. Gossip is about a second old, so what
 * this store does is counted on top, from its beginning until the store concerned has counted again after it: otherwise
 * a whole pass would send everything to the same empty store. A store that loses a replica learns of it
 * later than the leaseholder, so a removal is counted for some seconds longer.
 */
import {
  balanceTurn,
  ClusterPicture,
  movesInTurn,
  type AllocatorTarget,
  type Balancing,
  type PlacementAction,
  type RangePicture,
  type StorePicture,
} from '../../allocator/index.ts';
import { asNodeId, asStoreId, gossipKeys, kvSettings, type StoreId } from '../../kv/index.ts';
import { unreachable } from '../../util/index.ts';
import { statusOf } from '../store/store-status.ts';
import { type Store } from '../store/store.ts';

interface Adjustment {
  readonly storeId: StoreId;
  /** Counts taken before this (HLC wall microseconds) do not have it in them; Infinity: it is not done yet. */
  until: number;
  readonly ranges: number;
  readonly leases: number;
}

/** Something is being done, and counts as done from its beginning on. */
export interface Expectation {
  met(): void;
  failed(): void;
}

const removalMicros = 5_000_000;
/** A store that has published nothing since is away: what it would say is not waited for. */
const keepMicros = 60_000_000;

export class ClusterView {
  readonly #store: Store;
  #adjustments: Adjustment[] = [];
  #stores: readonly StorePicture[] = [];
  #picture = new ClusterPicture([]);
  #turn = -1;
  #movesLeft = 0;
  #looksAtLoad = false;
  #lookedAtLoadMs = 0;

  constructor(store: Store) {
    this.#store = store;
  }

  get picture(): ClusterPicture {
    return this.#picture;
  }

  /** Once per pass. */
  beginPass(): void {
    this.refresh();
    this.#scheduleLoad();
  }

  /** Reads gossip and the own counts. */
  refresh(): void {
    const store = this.#store;
    const { leases, ranges } = store.counts();
    const now = store.clock.now().wall;
    this.#adjustments = this.#adjustments.filter(({ until }) => now < until + keepMicros);
    const told = toldOf(store).map(({ picture, countedAtWall }) =>
      picture.storeId === store.storeId
        ? this.#adjusted({ ...picture, leaseCount: leases, rangeCount: ranges }, now)
        : this.#adjusted(picture, countedAtWall),
    );
    this.#stores = [...told, ...forgotten(store, told)];
    this.#picture = new ClusterPicture(this.#stores);
  }

  /** What may be moved besides what must be: it takes turns with other stores, and only so much in a turn. */
  balancing(): Balancing {
    if (!this.#isOurTurn()) return 'none';
    return this.#looksAtLoad ? 'counts and load' : 'counts';
  }

  expect(range: RangePicture, action: PlacementAction): Expectation {
    this.#movesLeft--;
    this.#picture.note(range, action);
    const made = adjustmentsFor(range, action);
    this.#adjustments.push(...made);
    return {
      met: () => {
        const now = this.#store.clock.now().wall;
        for (const each of made) each.until = each.ranges < 0 ? now + removalMicros : now;
      },
      failed: () => {
        this.#adjustments = this.#adjustments.filter((each) => !made.includes(each));
      },
    };
  }

  /** Not only after the interval: there is something new to move. */
  lookAtLoadSoon(): void {
    this.#lookedAtLoadMs = Number.NEGATIVE_INFINITY;
  }

  /** Load is looked at now and then, in a turn of this store: it takes a while to show what a move has changed. */
  #scheduleLoad(): void {
    const { env, deps } = this.#store;
    const nowMs = env.clock.monotonicMs();
    const intervalMs = deps.clusterSettings.get(kvSettings.loadBasedInterval);
    this.#looksAtLoad = nowMs - this.#lookedAtLoadMs >= intervalMs && this.#isOurTurn();
    if (this.#looksAtLoad) this.#lookedAtLoadMs = nowMs;
  }

  #isOurTurn(): boolean {
    const { settings, storeId, env } = this.#store;
    // Driven by hand: there is nobody to take turns with.
    if (settings.queueIntervalMs === 0) return true;
    const nowMs = env.clock.wallMicros() / 1000;
    if (!balanceTurn(this.#stores, storeId, nowMs, settings.balanceTurnMs)) return false;
    const turn = Math.floor(nowMs / settings.balanceTurnMs);
    if (turn !== this.#turn) {
      this.#turn = turn;
      this.#movesLeft = movesInTurn(this.#stores, settings.balanceMovesPerTurn);
    }
    return this.#movesLeft > 0;
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

/** The stores of the cluster as `store` knows them, without what is being done. */
export function storePictures(store: Store): StorePicture[] {
  const told = toldOf(store).map(({ picture }) => picture);
  return [...told, ...forgotten(store, told)];
}

function toldOf(
  store: Store,
): { readonly picture: StorePicture; readonly countedAtWall: number }[] {
  return store.deps.gossip.list(gossipKeys.storePrefix).flatMap(([, value]) => {
    const picture = decodePicture(store, value);
    return picture === undefined ? [] : [{ picture, countedAtWall: countedAt(value) }];
  });
}

/**
 * Stores with replicas of this store's ranges that gossip says nothing about, although this store has run for
 * long enough to have heard of them: whoever knew a lost store may have been restarted since.
 */
function forgotten(store: Store, told: readonly StorePicture[]): StorePicture[] {
  const known = new Set(told.map(({ storeId }) => storeId));
  return [...store.members()]
    .filter(({ storeId }) => !known.has(storeId))
    .map((member) => unknownStore(store, member))
    .filter(({ status }) => status === 'dead' || status === 'decommissioned');
}

function adjustmentsFor(range: RangePicture, action: PlacementAction): Adjustment[] {
  const change = (storeId: StoreId, ranges: number, leases: number): Adjustment => ({
    storeId,
    until: Infinity,
    ranges,
    leases,
  });
  switch (action.kind) {
    case 'add':
      return [change(action.target.storeId, 1, 0)];
    case 'remove':
      return [change(action.target.storeId, -1, 0)];
    case 'replace':
      return [change(action.add.storeId, 1, 0), change(action.remove.storeId, -1, 0)];
    case 'transfer-lease':
      return [change(action.to, 0, 1), change(range.leaseholder, 0, -1)];
    case 'promote':
    case 'demote':
    case 'swap':
      return [];
    default:
      return unreachable(action);
  }
}

function unknownStore(store: Store, { nodeId, storeId }: AllocatorTarget): StorePicture {
  return {
    storeId,
    nodeId,
    status: statusOf(store, { nodeId, storeId }, undefined),
    locality: [],
    attributes: [],
    rangeCount: 0,
    leaseCount: 0,
    qps: 0,
    cpuMs: 0,
    usedBytes: 0,
    availableBytes: 0,
  };
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
