/**
 * A circuit breaker per range. A request to a range that nobody serves waits, because most often somebody will serve it
 * soon. Once it has been unserved for `kv.replica_circuit_breaker.slow_replication_threshold`, waiting is no
 * use any more: each request asks all replicas once and fails if none of them serves. The first one that is answered
 * closes the breaker. An outage that nobody looked at for a while is taken for a new one.
 */
import { type RangeId } from '../kv/index.ts';

interface Outage {
  readonly sinceMs: number;
  seenMs: number;
}

const forgetAfterMs = 5_000;
/** More ranges than that are not watched; their requests wait. */
const maxOutages = 10_000;

export class RangeBreaker {
  readonly #outages = new Map<RangeId, Outage>();

  /** Nobody serves the range. Returns for how long that has been so, in milliseconds. */
  unserved(rangeId: RangeId, nowMs: number): number {
    const outage = this.#outages.get(rangeId);
    if (outage !== undefined && nowMs - outage.seenMs < forgetAfterMs) {
      outage.seenMs = nowMs;
      return nowMs - outage.sinceMs;
    }
    if (outage === undefined && this.#outages.size >= maxOutages) this.#forget(nowMs);
    if (this.#outages.size < maxOutages)
      this.#outages.set(rangeId, { sinceMs: nowMs, seenMs: nowMs });
    return 0;
  }

  served(rangeId: RangeId): void {
    if (this.#outages.size > 0) this.#outages.delete(rangeId);
  }

  #forget(nowMs: number): void {
    for (const [rangeId, { seenMs }] of this.#outages) {
      if (nowMs - seenMs >= forgetAfterMs) this.#outages.delete(rangeId);
    }
  }
}
