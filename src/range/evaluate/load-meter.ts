/** Requests per second over the last seconds: a ring of one-second counters. */
import { type Clock } from '../../util/index.ts';

const seconds = 10;

export class LoadMeter {
  readonly #clock: Clock;
  readonly #counts = new Float64Array(seconds);
  #second = 0;

  constructor(clock: Clock) {
    this.#clock = clock;
    this.#second = Math.floor(clock.monotonicMs() / 1000);
  }

  count(requests: number): void {
    this.#advance();
    const slot = this.#second % seconds;
    this.#counts[slot] = (this.#counts[slot] ?? 0) + requests;
  }

  perSecond(): number {
    this.#advance();
    return this.#counts.reduce((sum, count) => sum + count, 0) / seconds;
  }

  #advance(): void {
    const now = Math.floor(this.#clock.monotonicMs() / 1000);
    const steps = Math.min(now - this.#second, seconds);
    for (let i = 1; i <= steps; i++) this.#counts[(this.#second + i) % seconds] = 0;
    if (now > this.#second) this.#second = now;
  }
}
