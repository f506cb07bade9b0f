/** Requests per second over the last seconds: a ring of one-second counters. */
import { type Clock } from '../../util/index.ts';

const seconds = 10;

export class LoadMeter {
  readonly #clock: Clock;
  readonly #counts = new Float64Array(seconds);
  #second: number;
  #lastMs: number;

  constructor(clock: Clock) {
    this.#clock = clock;
    this.#lastMs = clock.monotonicMs();
    this.#second = Math.floor(this.#lastMs / 1000);
  }

  count(requests: number): void {
    this.#lastMs = this.#clock.monotonicMs();
    this.#advance(this.#lastMs);
    const slot = this.#second % seconds;
    this.#counts[slot] = (this.#counts[slot] ?? 0) + requests;
  }

  perSecond(): number {
    this.#advance(this.#clock.monotonicMs());
    return this.#counts.reduce((sum, count) => sum + count, 0) / seconds;
  }

  /** Milliseconds since the last request, or since this meter began. */
  get idleMs(): number {
    return this.#clock.monotonicMs() - this.#lastMs;
  }

  #advance(nowMs: number): void {
    const now = Math.floor(nowMs / 1000);
    const steps = Math.min(now - this.#second, seconds);
    for (let i = 1; i <= steps; i++) this.#counts[(this.#second + i) % seconds] = 0;
    if (now > this.#second) this.#second = now;
  }
}
