/**
 * A rate that many share: a token bucket turned around (the generic cell rate algorithm). Remembered is only when the
 * line is free again. Who wants to send books the line for as long as its bytes take and waits until its turn begins.
 */
import { sleep, type Env } from './env.ts';

export class Pace {
  readonly #env: Env;
  /** Monotonic milliseconds. */
  #freeAtMs = 0;

  constructor(env: Env) {
    this.#env = env;
  }

  /** Resolves when `bytes` may leave. The rate may be another one each time. */
  async take(bytes: number, bytesPerSecond: number): Promise<void> {
    const nowMs = this.#env.clock.monotonicMs();
    const startsMs = Math.max(nowMs, this.#freeAtMs);
    this.#freeAtMs = startsMs + (bytes / bytesPerSecond) * 1000;
    if (startsMs > nowMs) await sleep(this.#env, startsMs - nowMs);
  }
}
