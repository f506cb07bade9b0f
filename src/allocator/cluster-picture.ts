/**
 * The stores of the cluster, arranged for thousands of decisions in a row. Constraints and diversity see nothing of
 * a store but its locality and attributes; stores that agree in these share a *site*, so most questions are asked
 * once per site and not once per store.
 *
 * A picture is made once per pass and kept true by `note` while the pass acts on it. Its owner alone changes it.
 */
import { type ReplicaDescriptor, type StoreId, type ZoneConfig } from '../kv/index.ts';
import { distance, type Locality } from './diversity.ts';
import { loadOfRange, type Layout, type Site, type StoreState } from './store-state.ts';
import {
  type LoadObjective,
  type PlacementAction,
  type RangePicture,
  type StorePicture,
} from './types.ts';
import { ZoneRules } from './zone-rules.ts';

export class ClusterPicture implements Layout {
  readonly stores = new Map<StoreId, StoreState>();
  readonly sites: Site[] = [];
  readonly #siteByKey = new Map<string, Site>();
  readonly #distances: Float64Array;
  /** By the index of a site: asked for thousands of times per pass, and too large to be made anew each time. */
  readonly #sums: Float64Array;
  readonly #rules = new WeakMap<ZoneConfig, ZoneRules>();
  #live = 0;
  #liveLoad: Record<LoadObjective, number> = { qps: 0, cpu: 0 };

  constructor(stores: readonly StorePicture[]) {
    this.#siteOf([], []);
    for (const { locality, attributes, ...rest } of stores) {
      this.#add({ ...rest, site: this.#siteOf(locality, attributes), isKnown: true });
    }
    const count = this.sites.length;
    this.#distances = new Float64Array(count * count);
    this.#sums = new Float64Array(count);
    for (const a of this.sites) {
      a.live.sort(byRanges);
      for (const b of this.sites) {
        this.#distances[a.index * count + b.index] = distance(a.locality, b.locality);
      }
    }
  }

  /** The store of a replica. One that nothing is known of counts as suspect. */
  storeOf(replica: ReplicaDescriptor): StoreState {
    const known = this.stores.get(replica.storeId);
    if (known !== undefined) return known;
    const { storeId, nodeId } = replica;
    return this.#add({
      storeId,
      nodeId,
      status: 'suspect',
      site: this.#siteOf([], []),
      isKnown: false,
      rangeCount: 0,
      leaseCount: 0,
      qps: 0,
      cpuMs: 0,
      usedBytes: 0,
      availableBytes: 0,
    });
  }

  distance(a: Site, b: Site): number {
    return this.#distances[a.index * this.sites.length + b.index] ?? 0;
  }

  /** For every site, by its index: the sum of its distances to these stores. Valid until the next call; the caller may write to it. */
  distanceSums(to: readonly StoreState[]): Float64Array {
    const count = this.sites.length;
    const sums = this.#sums.fill(0);
    for (const { site } of to) {
      const row = site.index * count;
      for (let i = 0; i < count; i++) sums[i] = (sums[i] ?? 0) + (this.#distances[row + i] ?? 0);
    }
    return sums;
  }

  rulesOf(zone: ZoneConfig): ZoneRules {
    let rules = this.#rules.get(zone);
    if (rules === undefined) {
      rules = new ZoneRules(this, zone);
      this.#rules.set(zone, rules);
    }
    return rules;
  }

  /** Of live stores. */
  meanLoad(objective: LoadObjective): number {
    return this.#live === 0 ? 0 : this.#liveLoad[objective] / this.#live;
  }

  /** The action was carried out. */
  note(range: RangePicture, action: PlacementAction): void {
    switch (action.kind) {
      case 'add':
        this.#moveRange(range, action.target.storeId, 1);
        return;
      case 'remove':
        this.#moveRange(range, action.target.storeId, -1);
        return;
      case 'replace':
        this.#moveRange(range, action.add.storeId, 1);
        this.#moveRange(range, action.remove.storeId, -1);
        return;
      case 'transfer-lease':
        this.#moveLease(range, action.to);
        return;
      case 'promote':
      case 'demote':
      case 'swap':
    }
  }

  #moveRange(range: RangePicture, storeId: StoreId, by: 1 | -1): void {
    const store = this.stores.get(storeId);
    if (store === undefined) return;
    store.rangeCount += by;
    if (store.usedBytes + store.availableBytes > 0) {
      store.usedBytes += by * range.sizeBytes;
      store.availableBytes -= by * range.sizeBytes;
    }
    if (store.status !== 'live') return;
    const { site } = store;
    site.liveRanges += by;
    site.live.splice(site.live.indexOf(store), 1);
    const at = site.live.findIndex((each) => byRanges(each, store) > 0);
    site.live.splice(at < 0 ? site.live.length : at, 0, store);
  }

  #moveLease(range: RangePicture, to: StoreId): void {
    const from = this.stores.get(range.leaseholder);
    const cpuMs = from === undefined ? 0 : loadOfRange(range, from, 'cpu');
    for (const [storeId, by] of [
      [range.leaseholder, -1],
      [to, 1],
    ] as const) {
      const store = this.stores.get(storeId);
      if (store === undefined) continue;
      store.leaseCount += by;
      store.qps += by * range.qps;
      store.cpuMs += by * cpuMs;
      if (store.status !== 'live') continue;
      store.site.liveLeases += by;
      this.#liveLoad.qps += by * range.qps;
      this.#liveLoad.cpu += by * cpuMs;
    }
  }

  #siteOf(locality: Locality, attributes: readonly string[]): Site {
    const sorted = [...attributes].sort();
    const key = JSON.stringify([locality, sorted]);
    let site = this.#siteByKey.get(key);
    if (site === undefined) {
      const index = this.sites.length;
      site = { index, locality, attributes: sorted, live: [], liveRanges: 0, liveLeases: 0 };
      this.#siteByKey.set(key, site);
      this.sites.push(site);
    }
    return site;
  }

  #add(store: StoreState): StoreState {
    this.stores.set(store.storeId, store);
    if (store.status === 'live') {
      store.site.live.push(store);
      store.site.liveRanges += store.rangeCount;
      store.site.liveLeases += store.leaseCount;
      this.#live++;
      this.#liveLoad.qps += store.qps;
      this.#liveLoad.cpu += store.cpuMs;
    }
    return store;
  }
}

function byRanges(a: StoreState, b: StoreState): number {
  return a.rangeCount - b.rangeCount || a.storeId - b.storeId;
}
