/**
 * Batches that wait until somebody serves a range again. They take turns in asking: the more of them wait, the longer
 * each waits for its turn, and whoever is answered wakes the others. So a new leaseholder is found soon by all of them,
 * and a range that nobody serves costs the same however many want it.
 */
import { type RangeId } from '../kv/index.ts';
import { type Env } from '../util/index.ts';

/** Between two turns: at first, when the lease is perhaps just being handed over, and later. */
const turnMs = { min: 5, max: 40 };
/** Nobody waits longer for its turn. */
const waitMaxMs = 2_000;

export class LeaseWaits {
  readonly #env: Env;
  readonly #waiting = new Map<RangeId, Set<() => void>>();

  constructor(env: Env) {
    this.#env = env;
  }

  /** Resolves when it is this caller's turn to ask, or when somebody was answered. `round`: how often it has asked. */
  wait(rangeId: RangeId, round: number): Promise<void> {
    const waiting = this.#waiting.get(rangeId) ?? new Set();
    this.#waiting.set(rangeId, waiting);
    return new Promise((resolve) => {
      const awake = (): void => {
        timer.cancel();
        waiting.delete(awake);
        if (waiting.size === 0 && this.#waiting.get(rangeId) === waiting) {
          this.#waiting.delete(rangeId);
        }
        resolve();
      };
      waiting.add(awake);
      const turn = Math.min(turnMs.min * 2 ** (round - 1), turnMs.max);
      const delayMs = turn * waiting.size * (0.5 + this.#env.random.float());
      const timer = this.#env.timers.after(Math.min(delayMs, waitMaxMs), awake);
    });
  }

  /** Somebody serves the range. */
  served(rangeId: RangeId): void {
    if (this.#waiting.size === 0) return;
    for (const awake of this.#waiting.get(rangeId) ?? []) awake();
  }
}
