/**
 * Tells the cluster what this store holds: soon after its counts change, because others decide by them where
 * the next range or lease goes, and now and then anyway.
 */
import { gossipKeys } from '../../kv/index.ts';
import { type Store } from './store.ts';

export class CapacityPublisher {
  readonly #store: Store;
  #published = { ranges: -1, leases: -1 };
  #publishedAtMs = 0;

  constructor(store: Store) {
    this.#store = store;
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
    store.capacity().then(
      (capacity) => {
        if (!store.running) return;
        store.deps.gossip.set(gossipKeys.store(store.storeId), capacity, { ttlMs: 0 });
      },
      (error: unknown) => store.fatal(error),
    );
  }
}
