/**
 * A cluster of stores and ranges in virtual seconds, whose replicas are placed by the shipped rules. Real: decisions,
 * turns, what stores know of each other and how late, how long copies take and how many are made at once. Not
 * simulated: consensus. A change of replicas succeeds when its target is up at its end.
 *
 * Each store looks at the ranges it holds the lease of every second when it is its turn to balance or when it has
 * heard of a change in the cluster, otherwise now and then.
 */
import {
  allocatorSettings,
  apply,
  balanceTurn,
  movesInTurn,
  ClusterPicture,
  decide,
  type AllocatorSettings,
  type Balancing,
  type PlacementAction,
  type RangePicture,
  type StorePicture,
  type StoreStatus,
} from '../../src/allocator/index.ts';
import {
  asNodeId,
  asRangeId,
  asReplicaId,
  asStoreId,
  ClusterSettings,
  type StoreId,
  type ZoneConfig,
} from '../../src/kv/index.ts';
import { SeededRandom } from '../../src/sim/random.ts';
import { SimulatedView, type Published } from './simulated-view.ts';

/** As a node's store has them: `range/store/settings.ts`. */
const turnS = 2;
const movesPerTurn = 4;
const copiesAtOnce = 2;
const copyBytesPerS = 32 << 20;
const loadIntervalS = 60;
/** Silence after which a store is suspected, and given up. */
const suspectS = 2;
const deadS = 300;
/** Ranges whose leaseholder is gone have another one after so long. */
const takeoverS = 3;
const walkS = 10;

export interface SimulatedStore {
  readonly locality: StorePicture['locality'];
  readonly attributes?: readonly string[];
  readonly nodeId?: number;
}

export interface SimulatedRange {
  readonly stores: readonly number[];
  readonly qps?: number;
  readonly zone: ZoneConfig;
}

export interface SimulationOptions {
  readonly seed: number;
  readonly stores: readonly SimulatedStore[];
  readonly ranges: readonly SimulatedRange[];
  /** How old is what stores know of each other. */
  readonly gossipDelayS?: number;
  /** Measured load differs from the true one by up to this share. */
  readonly noise?: number;
  readonly settings?: AllocatorSettings;
}

interface Store {
  readonly view: SimulatedView;
  picture: StorePicture;
  isUp: boolean;
  heardS: number;
  wish: 'stay' | 'drain' | 'decommission';
  copies: number;
  wasTurn: boolean;
  movesLeft: number;
  lookedAtLoadS: number;
}

export interface Range {
  readonly zone: ZoneConfig;
  picture: RangePicture;
  trueQps: number;
  isBusy: boolean;
}

interface Change {
  readonly endS: number;
  readonly end: () => void;
}

/** What was done since the start. */
export interface Totals {
  copies: number;
  leases: number;
  /** Removals and changes of roles. */
  others: number;
}

const rangeBytes = 64 << 20;
const capacityBytes = 1e15;

export class Simulation {
  readonly stores = new Map<StoreId, Store>();
  readonly ranges: Range[] = [];
  readonly totals: Totals = { copies: 0, leases: 0, others: 0 };
  nowS = 0;
  /** Told of every action before it is begun. */
  onAction: (range: Range, action: PlacementAction, stores: readonly StorePicture[]) => void =
    () => {};
  readonly #options: SimulationOptions;
  readonly #random: SeededRandom;
  readonly #settings: AllocatorSettings;
  readonly #published: Published[] = [];
  #changes: Change[] = [];
  #isChanged = true;
  #statuses: ReadonlyMap<StoreId, StoreStatus> = new Map();
  /** All stores look at everything until then: something about the cluster has changed. */
  #alarmUntilS = walkS;

  constructor(options: SimulationOptions) {
    this.#options = options;
    this.#random = new SeededRandom(options.seed);
    this.#settings = options.settings ?? allocatorSettings(new ClusterSettings());
    for (const store of options.stores) this.addStore(store);
    for (const range of options.ranges) this.addRange(range);
  }

  addStore({ locality, attributes, nodeId }: SimulatedStore): StoreId {
    const storeId = asStoreId(this.stores.size + 1);
    this.stores.set(storeId, {
      view: new SimulatedView(),
      isUp: true,
      heardS: this.nowS,
      wish: 'stay',
      copies: 0,
      wasTurn: false,
      movesLeft: 0,
      lookedAtLoadS: -this.#random.between(0, loadIntervalS),
      picture: {
        storeId,
        nodeId: asNodeId(nodeId ?? storeId),
        status: 'live',
        locality,
        attributes: attributes ?? [],
        rangeCount: 0,
        leaseCount: 0,
        qps: 0,
        cpuMs: 0,
        usedBytes: 0,
        availableBytes: capacityBytes,
      },
    });
    this.#alarm();
    return storeId;
  }

  addRange({ stores, qps = 0, zone }: SimulatedRange): void {
    const replicas = stores.map((id, at) => ({
      storeId: asStoreId(id),
      nodeId: this.#store(asStoreId(id)).picture.nodeId,
      replicaId: asReplicaId(at + 1),
      kind: 'voter' as const,
    }));
    const picture: RangePicture = {
      rangeId: asRangeId(this.ranges.length + 1),
      replicas,
      leaseholder: asStoreId(stores[0] ?? 1),
      sizeBytes: rangeBytes,
      qps,
      balancing: 'none',
    };
    this.ranges.push({ zone, picture, trueQps: qps, isBusy: false });
  }

  /** A node dies, comes back, drains, is to go. */
  set(storeId: StoreId, change: 'kill' | 'restart' | 'drain' | 'decommission'): void {
    const store = this.#store(storeId);
    store.isUp = change !== 'kill';
    store.wish = change === 'drain' || change === 'decommission' ? change : 'stay';
    this.#alarm();
  }

  setLoad(range: Range, qps: number): void {
    range.trueQps = qps;
    this.#isChanged = true;
  }

  run(seconds: number): void {
    for (const endS = this.nowS + seconds; this.nowS < endS; this.nowS++) this.#tick();
  }

  /** Runs until nothing has been done for `quietS`; undefined: something was still done at the end. */
  converge(secondsMax: number, quietS = 2 * loadIntervalS): number | undefined {
    let settledS = this.nowS;
    let done = this.#done();
    for (const endS = this.nowS + secondsMax; this.nowS < endS;) {
      this.run(1);
      if (this.#done() !== done || this.#changes.length > 0) {
        done = this.#done();
        settledS = this.nowS;
      } else if (this.nowS - settledS >= quietS) return settledS;
    }
    return undefined;
  }

  /** As they are, not as they are known to anybody. */
  pictures(): StorePicture[] {
    this.#count();
    return this.#asTheyAre();
  }

  #asTheyAre(): StorePicture[] {
    return [...this.stores.values()].map((each) => ({
      ...each.picture,
      status: this.#status(each),
    }));
  }

  #done(): number {
    return this.totals.copies + this.totals.leases + this.totals.others;
  }

  #alarm(): void {
    this.#isChanged = true;
    this.#alarmUntilS = this.nowS + 3 * walkS;
  }

  #tick(): void {
    this.#endChanges();
    this.#takeOver();
    this.#count();
    for (const store of this.stores.values()) if (store.isUp) store.heardS = this.nowS;
    const stores = [...this.stores.values()].map((each) => each.picture);
    this.#published.push({ atS: this.nowS, stores });
    const heard = this.#heard();
    const statuses = new Map<StoreId, StoreStatus>();
    for (const [storeId, store] of this.stores) statuses.set(storeId, this.#status(store));
    const known = {
      atS: heard.atS,
      stores: heard.stores.map((each) => ({
        ...each,
        status: statuses.get(each.storeId) ?? each.status,
      })),
    };
    if ([...statuses].some(([id, status]) => this.#statuses.get(id) !== status)) this.#alarm();
    this.#statuses = statuses;
    for (const store of this.stores.values()) if (store.isUp) this.#pass(store, known);
  }

  /** One look of a store at the ranges it serves. */
  #pass(store: Store, heard: Published): void {
    const { storeId } = store.picture;
    const isTurn = balanceTurn(heard.stores, storeId, this.nowS * 1000, turnS * 1000);
    store.movesLeft = !isTurn
      ? 0
      : store.wasTurn
        ? store.movesLeft
        : movesInTurn(heard.stores, movesPerTurn);
    store.wasTurn = isTurn;
    const isDue = (this.nowS + storeId) % walkS === 0 || this.nowS < this.#alarmUntilS;
    if (!isTurn && !isDue) return;
    const ranges = this.ranges.filter(({ picture }) => picture.leaseholder === storeId);
    const looksAtLoad = isTurn && this.nowS - store.lookedAtLoadS >= loadIntervalS;
    if (looksAtLoad) store.lookedAtLoadS = this.nowS;
    const own = { ...store.picture, status: this.#status(store) };
    let stores = store.view.pictures(heard, own);
    let cluster = new ClusterPicture(stores);
    for (const range of ranges) {
      if (range.isBusy) continue;
      const mayBalance = store.movesLeft > 0;
      const balancing: Balancing = !mayBalance
        ? 'none'
        : looksAtLoad
          ? 'counts and load'
          : 'counts';
      const picture = { ...range.picture, balancing };
      const action = decide(cluster, picture, range.zone, this.#settings);
      if (!('considered' in action)) continue;
      const copies = action.kind === 'add' || action.kind === 'replace';
      if (copies && store.copies >= copiesAtOnce) continue;
      this.onAction(range, action, stores);
      store.movesLeft--;
      this.#begin(store, range, action);
      stores = store.view.pictures(heard, own);
      cluster = new ClusterPicture(stores);
    }
  }

  #begin(store: Store, range: Range, action: PlacementAction): void {
    const copies = action.kind === 'add' || action.kind === 'replace';
    const met = store.view.expect(range.picture, action);
    range.isBusy = true;
    if (copies) store.copies++;
    const seconds = copies ? Math.ceil(range.picture.sizeBytes / copyBytesPerS) : 0;
    this.#changes.push({
      endS: this.nowS + seconds + 1,
      end: () => {
        range.isBusy = false;
        if (copies) store.copies--;
        met(this.nowS);
        if (!store.isUp || !this.#isReady(action)) return;
        range.picture = apply(new ClusterPicture([]), range.picture, action);
        this.#isChanged = true;
        if (copies) this.totals.copies++;
        else if (action.kind === 'transfer-lease') this.totals.leases++;
        else this.totals.others++;
      },
    });
  }

  #isReady(action: PlacementAction): boolean {
    switch (action.kind) {
      case 'add':
        return this.#store(action.target.storeId).isUp;
      case 'replace':
        return this.#store(action.add.storeId).isUp;
      case 'transfer-lease':
        return this.#store(action.to).isUp;
      default:
        return true;
    }
  }

  #endChanges(): void {
    const ended = this.#changes.filter(({ endS }) => endS <= this.nowS);
    this.#changes = this.#changes.filter(({ endS }) => endS > this.nowS);
    for (const { end } of ended) end();
  }

  /** Ranges whose leaseholder is gone get another one. */
  #takeOver(): void {
    for (const range of this.ranges) {
      const { leaseholder, replicas } = range.picture;
      const store = this.#store(leaseholder);
      if (store.isUp || this.nowS - store.heardS < takeoverS) continue;
      const voters = replicas.filter((each) => each.kind === 'voter');
      const up = voters.filter((each) => this.#store(each.storeId).isUp);
      const heir = up[this.#random.between(0, up.length - 1)];
      if (heir === undefined || up.length <= voters.length / 2) continue;
      range.picture = { ...range.picture, leaseholder: heir.storeId };
      this.#isChanged = true;
    }
  }

  /** Anew only when something has changed, or when every measurement differs. */
  #count(): void {
    const { noise = 0 } = this.#options;
    if (!this.#isChanged && noise === 0) return;
    this.#isChanged = false;
    const counts = new Map<StoreId, { ranges: number; leases: number; qps: number }>();
    for (const storeId of this.stores.keys()) counts.set(storeId, { ranges: 0, leases: 0, qps: 0 });
    for (const range of this.ranges) {
      const factor = noise === 0 ? 1 : 1 + noise * (2 * this.#random.float() - 1);
      range.picture = { ...range.picture, qps: range.trueQps * factor };
      for (const { storeId } of range.picture.replicas) {
        const count = counts.get(storeId);
        if (count !== undefined) count.ranges++;
      }
      const count = counts.get(range.picture.leaseholder);
      if (count === undefined) continue;
      count.leases++;
      count.qps += range.picture.qps;
    }
    for (const [storeId, store] of this.stores) {
      const { ranges = 0, leases = 0, qps = 0 } = counts.get(storeId) ?? {};
      if (!store.isUp) continue;
      store.picture = {
        ...store.picture,
        rangeCount: ranges,
        leaseCount: leases,
        qps,
        usedBytes: ranges * rangeBytes,
        availableBytes: capacityBytes - ranges * rangeBytes,
      };
    }
  }

  #heard(): Published {
    const { gossipDelayS = 1 } = this.#options;
    while (this.#published.length > gossipDelayS + 1) this.#published.shift();
    const [oldest] = this.#published;
    if (oldest === undefined) throw new Error('nothing was published yet');
    return oldest;
  }

  #status(store: Store): StoreStatus {
    const silentS = this.nowS - store.heardS;
    if (!store.isUp && silentS > deadS) return 'dead';
    if (!store.isUp && silentS > suspectS) return 'suspect';
    if (store.wish === 'stay') return 'live';
    return store.wish === 'drain' ? 'draining' : 'decommissioning';
  }

  #store(storeId: StoreId): Store {
    const store = this.stores.get(storeId);
    if (store === undefined) throw new Error(`there is no store ${storeId}`);
    return store;
  }
}

/** Ranges that lie on `spread` stores in turn, three replicas each. */
export function rangesOn(
  count: number,
  spread: number,
  zone: ZoneConfig,
  qps = 0,
): SimulatedRange[] {
  return Array.from({ length: count }, (_, i) => ({
    stores: [0, 1, 2].map((replica) => ((i + replica) % spread) + 1),
    qps,
    zone,
  }));
}
