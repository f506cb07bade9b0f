/**
 * Tells the cluster what this store holds: soon after its counts change, because others decide by them where
 * the next range or lease goes, and now and then anyway.
 */
import { gossipKeys, type NodeId, type StoreId } from '../../kv/index.ts';
import { ProcessorLoad } from '../load/processor-load.ts';
import { usedCpuMs } from './store-deps.ts';
import { type Store } from './store.ts';

/** What gossip says about a store (`gossipKeys.store`). Plain data. */
export interface StoreCapacity {
  readonly storeId: StoreId;
  readonly nodeId: NodeId;
  readonly rangeCount: number;
  readonly leaseCount: number;
  readonly usedBytes: number;
  readonly availableBytes: number;
  readonly qps: number;
  /** Processor milliseconds per second, of the whole process. */
  readonly cpuMs: number;
  readonly locality: readonly (readonly [string, string])[];
  readonly attributes: readonly string[];
  readonly draining: boolean;
  /** HLC wall microseconds when the counts were taken. */
  readonly countedAt: number;
}

/** What takes the place of a store's capacity when it was set aside: nobody has to wait for it to be silent for long. */
export interface GoneStore {
  readonly storeId: StoreId;
  readonly nodeId: NodeId;
  readonly isGone: true;
}

export function goneStore(storeId: StoreId, nodeId: NodeId): GoneStore {
  return { storeId, nodeId, isGone: true };
}

/** `published` is what gossip has under the store's key. */
export function isGone(published: unknown): boolean {
  return (
    typeof published === 'object' && published !== null && Reflect.get(published, 'isGone') === true
  );
}

export class CapacityPublisher {
  readonly #store: Store;
  readonly #processor: ProcessorLoad;
  #published = { ranges: -1, leases: -1 };
  #publishedAtMs = 0;

  constructor(store: Store) {
    this.#store = store;
    this.#processor = new ProcessorLoad(store.env.clock, usedCpuMs(store.deps));
  }

  /** Called once per store tick. */
  tick(): void {
    const store = this.#store;
    const { capacityGossipMs, capacityRefreshMs } = store.settings;
    const sinceMs = store.env.clock.monotonicMs() - this.#publishedAtMs;
    if (sinceMs < capacityGossipMs) return;
    const { ranges, leases } = store.counts();
    const changed = ranges !== this.#published.ranges || leases !== this.#published.leases;
    if (changed || sinceMs >= capacityRefreshMs) this.publish();
  }

  publish(): void {
    const store = this.#store;
    if (!store.running) return;
    this.#published = store.counts();
    this.#publishedAtMs = store.env.clock.monotonicMs();
    this.#measure().then(
      (capacity) => {
        if (!store.running) return;
        store.deps.gossip.set(gossipKeys.store(store.storeId), capacity, { ttlMs: 0 });
      },
      (error: unknown) => store.fatal(error),
    );
  }

  async #measure(): Promise<StoreCapacity> {
    const store = this.#store;
    const { capacityBytes = Number.POSITIVE_INFINITY, locality = [], attributes = [] } = store.deps;
    const usedBytes = await store.engine.sizeBytes();
    const { freeBytes } = await store.env.disk.space(store.deps.directory);
    const { gauges } = store.metrics();
    const { ranges, leases } = store.counts();
    const countedAt = store.clock.now().wall;
    return {
      storeId: store.storeId,
      nodeId: store.nodeId,
      rangeCount: ranges,
      leaseCount: leases,
      usedBytes,
      availableBytes: Math.min(freeBytes, Math.max(0, capacityBytes - usedBytes)),
      qps: gauges.queriesPerSecond,
      cpuMs: this.#processor.perSecond(),
      locality,
      attributes,
      draining: store.draining,
      countedAt,
    };
  }
}
