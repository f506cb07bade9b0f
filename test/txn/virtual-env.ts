/** An Env in virtual time for one process: timers fire only when `runFor` moves the clock. */
import { SeededRandom } from '../random.ts';
import { silentLogger, type Disk, type Env, type TimerHandle } from '../../src/util/index.ts';

interface PendingTimer {
  readonly atMs: number;
  readonly order: number;
  readonly fn: () => void;
  canceled: boolean;
}

export class VirtualEnv implements Env {
  #nowMs = 0;
  #order = 0;
  #timers: PendingTimer[] = [];
  readonly #random: SeededRandom;
  readonly checks = true;
  readonly log = silentLogger;

  constructor(seed = 1) {
    this.#random = new SeededRandom(seed);
  }

  readonly clock = {
    wallMicros: (): number => 1_700_000_000_000_000 + Math.floor(this.#nowMs * 1000),
    monotonicMs: (): number => this.#nowMs,
  };

  readonly timers = {
    after: (delayMs: number, fn: () => void): TimerHandle => {
      const timer = { atMs: this.#nowMs + delayMs, order: this.#order++, fn, canceled: false };
      this.#timers.push(timer);
      return {
        cancel: () => {
          timer.canceled = true;
        },
      };
    },
    immediate: (fn: () => void): void => {
      setImmediate(fn);
    },
  };

  readonly random = {
    u32: (): number => this.#random.u32(),
    float: (): number => this.#random.float(),
    bytes: (length: number): Buffer =>
      Buffer.from(Array.from({ length }, () => this.#random.u32() & 0xff)),
  };

  get disk(): Disk {
    throw new Error('no disk here');
  }

  sometimes(): boolean {
    return false;
  }

  /** Lets everything run that needs no time. */
  async settle(): Promise<void> {
    for (let i = 0; i < 20; i++) await new Promise((resolve) => setImmediate(resolve));
  }

  /** Moves time on by `ms`, or until `done` says so, firing the timers on the way in order. */
  async runFor(ms: number, done: () => boolean = () => false): Promise<void> {
    const endMs = this.#nowMs + ms;
    await this.settle();
    while (!done()) {
      this.#timers = this.#timers.filter((timer) => !timer.canceled);
      const next = this.#timers.reduce<PendingTimer | undefined>(
        (a, b) =>
          a === undefined || b.atMs < a.atMs || (b.atMs === a.atMs && b.order < a.order) ? b : a,
        undefined,
      );
      if (next === undefined || next.atMs > endMs) {
        this.#nowMs = endMs;
        return;
      }
      this.#timers = this.#timers.filter((timer) => timer !== next);
      this.#nowMs = Math.max(this.#nowMs, next.atMs);
      next.fn();
      await this.settle();
    }
  }
}
