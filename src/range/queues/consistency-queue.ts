/**
 * Has every range checked once per `server.consistency_check.interval`, by its leaseholder, one at a time per store. When a
 * lease comes here nobody knows when the range was checked last, so its first turn lies somewhere within an interval, at a
 * place that its id decides: ranges that come together are not checked together.
 */
import { kvSettings } from '../../kv/index.ts';
import { type Replica } from '../replica/replica.ts';
import { type Store } from '../store/store.ts';

/** Multiples of it spread evenly over [0, 1). */
const goldenRatio = 0.618_033_988_749_895;

export class ConsistencyQueue {
  readonly #store: Store;
  /** Monotonic milliseconds of the last check; negative for one that may have been made elsewhere. */
  readonly #checkedAtMs = new WeakMap<Replica, number>();
  #isBusy = false;

  constructor(store: Store) {
    this.#store = store;
  }

  /** Begins the check of a range that is due; it goes on behind the pass. */
  visit(replica: Replica): void {
    const { clusterSettings, env } = this.#store.deps;
    const intervalMs = clusterSettings.get(kvSettings.consistencyCheckInterval);
    if (intervalMs === 0 || this.#isBusy || replica.destroyed || !replica.holdsLease) return;
    const nowMs = env.clock.monotonicMs();
    let checkedAtMs = this.#checkedAtMs.get(replica);
    if (checkedAtMs === undefined) {
      checkedAtMs = nowMs - intervalMs * (1 - ((replica.rangeId * goldenRatio) % 1));
      this.#checkedAtMs.set(replica, checkedAtMs);
    }
    if (nowMs - checkedAtMs < intervalMs) return;
    this.#checkedAtMs.set(replica, nowMs);
    this.#isBusy = true;
    this.#store.consistency.check(replica, 'data', this.#store.clock.now().wall).then(
      () => {
        this.#isBusy = false;
      },
      (error: unknown) => this.#store.fatal(error),
    );
  }
}
