/** What this process uses of the processor. */
import { type Clock } from '../../util/index.ts';

/** Processor milliseconds per second, since it was last asked. */
export class ProcessorLoad {
  readonly #clock: Clock;
  readonly #usedMs: () => number;
  #before: { readonly atMs: number; readonly usedMs: number };
  #perSecond = 0;

  /** `usedMs`: what this process has used so far. */
  constructor(clock: Clock, usedMs: () => number) {
    this.#clock = clock;
    this.#usedMs = usedMs;
    this.#before = { atMs: clock.monotonicMs(), usedMs: usedMs() };
  }

  perSecond(): number {
    const atMs = this.#clock.monotonicMs();
    const { atMs: sinceMs, usedMs: before } = this.#before;
    // A shorter time says little.
    if (atMs - sinceMs < 1000) return this.#perSecond;
    const usedMs = this.#usedMs();
    this.#perSecond = ((usedMs - before) / (atMs - sinceMs)) * 1000;
    this.#before = { atMs, usedMs };
    return this.#perSecond;
  }
}
