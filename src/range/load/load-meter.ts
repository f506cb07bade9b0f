/** Batches of requests per second over the last seconds: a ring of one-second counters. */
import { type Clock } from '../../util/index.ts';

const seconds = 10;

export class LoadMeter {
  readonly #clock: Clock;
  readonly #counts: Float64Array;
  #second: number;
  #lastMs: number;

  constructor(clock: Clock, counts = new Float64Array(seconds)) {
    this.#clock = clock;
    this.#counts = counts;
    this.#lastMs = clock.monotonicMs();
    this.#second = Math.floor(this.#lastMs / 1000);
  }

  /** True for the first batch of a second: `lastSecond` is complete. */
  count(nowMs: number): boolean {
    const isNext = Math.floor(nowMs / 1000) > Math.floor(this.#lastMs / 1000);
    this.#lastMs = nowMs;
    this.#advance(nowMs);
    const slot = this.#second % seconds;
    this.#counts[slot] = (this.#counts[slot] ?? 0) + 1;
    return isNext;
  }

  perSecond(): number {
    this.#advance(this.#clock.monotonicMs());
    return this.#counts.reduce((sum, count) => sum + count, 0) / seconds;
  }

  /** Batches of the second before this one. */
  lastSecond(): number {
    return this.#counts[(this.#second + seconds - 1) % seconds] ?? 0;
  }

  /** Milliseconds since the last batch, or since this meter began. */
  get idleMs(): number {
    return this.#clock.monotonicMs() - this.#lastMs;
  }

  /** A meter that has counted `share` as much. */
  scaled(share: number): LoadMeter {
    this.#advance(this.#clock.monotonicMs());
    return new LoadMeter(
      this.#clock,
      this.#counts.map((count) => count * share),
    );
  }

  #advance(nowMs: number): void {
    const now = Math.floor(nowMs / 1000);
    const steps = Math.min(now - this.#second, seconds);
    for (let i = 1; i <= steps; i++) this.#counts[(this.#second + i) % seconds] = 0;
    if (now > this.#second) this.#second = now;
  }
}
