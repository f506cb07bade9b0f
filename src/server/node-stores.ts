/** The stores of one node as the rest of it sees them: one address for batches, one set of figures and reports. */
import {
  type BatchRequest,
  type BatchResponse,
  type HlcClock,
  type StoreReportName,
  type StoreReportRows,
  type Sender,
  type StoreId,
} from '../kv/index.ts';
import { type Store, type StoreMetrics } from '../range/index.ts';

export class NodeStores implements Sender {
  readonly #clock: HlcClock;
  readonly #stores: Store[] = [];

  constructor(clock: HlcClock) {
    this.#clock = clock;
  }

  add(store: Store): void {
    this.#stores.push(store);
  }

  get all(): readonly Store[] {
    return this.#stores;
  }

  find(storeId: StoreId): Store | undefined {
    return this.#stores.find((each) => each.storeId === storeId);
  }

  send(batch: BatchRequest): Promise<BatchResponse> {
    const { storeId, rangeId } = batch.header;
    const [only] = this.#stores;
    const store =
      this.#stores.length === 1
        ? only
        : this.#stores.find((each) =>
            storeId === undefined ? each.replicas.has(rangeId) : each.storeId === storeId,
          );
    if (store !== undefined && (storeId === undefined || store.storeId === storeId)) {
      return store.send(batch);
    }
    const now = this.#clock.now();
    const error = { kind: 'range-not-found', rangeId } as const;
    return Promise.resolve({ kind: 'error', now, error, index: undefined });
  }

  /** Something that all ranges depend on has changed: the queues look at each of them again. */
  lookAtAll(): void {
    for (const store of this.#stores) store.lookAtAll();
  }

  /** What some replica of this node has as the newest committed value of `key`, however old that is. */
  peek(key: Buffer): Buffer | undefined {
    for (const store of this.#stores) {
      const value = store.peek(key);
      if (value !== undefined) return value;
    }
    return undefined;
  }

  report<K extends StoreReportName>(name: K): readonly StoreReportRows[K][] {
    return this.#stores.flatMap((store) => {
      if (!Object.hasOwn(store.reports, name)) throw new Error(`there is no report "${name}"`);
      return store.reports[name]();
    });
  }

  /** Sums; undefined for a node without a store. */
  metrics(): StoreMetrics | undefined {
    const [first, ...others] = this.#stores.map((store) => store.metrics());
    if (first === undefined) return undefined;
    return others.reduce(
      (sum, each) => ({
        counters: added(sum.counters, each.counters),
        gauges: added(sum.gauges, each.gauges),
      }),
      first,
    );
  }
}

/** Sums of the figures of two stores. */
function added<T extends object>(a: T, b: T): T {
  const figures = Object.entries(a).map(([name, value]) => [
    name,
    Number(value) + Number(Reflect.get(b, name)),
  ]);
  // The same names, each with a number, as in both of them.
  return Object.fromEntries(figures) as T;
}
