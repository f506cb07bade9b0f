/** Virtual time for a whole cluster: `run` fires timers in order and lets promises settle in between. */
import { SeededRandom } from '../../random.ts';
import {
  silentLogger,
  type Clock,
  type Disk,
  type Env,
  type Random,
  type TimerHandle,
} from '../../../src/util/index.ts';

interface Pending {
  readonly atMs: number;
  readonly order: number;
  fn: (() => void) | undefined;
}

export class VirtualTime {
  nowMs = 0;
  #order = 0;
  #pending: Pending[] = [];

  /** Timers that wait to fire. */
  get pendingTimers(): number {
    return this.#pending.filter(({ fn }) => fn !== undefined).length;
  }

  after(delayMs: number, fn: () => void): TimerHandle {
    const entry: Pending = { atMs: this.nowMs + delayMs, order: this.#order++, fn };
    let low = 0;
    let high = this.#pending.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      const other = this.#pending[middle];
      if (other !== undefined && other.atMs <= entry.atMs) low = middle + 1;
      else high = middle;
    }
    this.#pending.splice(low, 0, entry);
    return {
      cancel: () => {
        entry.fn = undefined;
      },
    };
  }

  /** Runs everything that is due up to `ms` from now, or until `done`. */
  async run(ms: number, done: () => boolean = () => false): Promise<boolean> {
    const until = this.nowMs + ms;
    await settle();
    while (!done()) {
      const next = this.#pending[0];
      if (next === undefined || next.atMs > until) {
        this.nowMs = until;
        return done();
      }
      this.#pending.shift();
      this.nowMs = Math.max(this.nowMs, next.atMs);
      const { fn } = next;
      next.fn = undefined;
      if (fn === undefined) continue;
      fn();
      await settle();
    }
    return true;
  }

  /** Runs until the promise is settled. */
  async settleOf<T>(promise: Promise<T>, limitMs = 120_000): Promise<T> {
    let ended = false;
    const end = (): void => {
      ended = true;
    };
    promise.then(end, end);
    if (!(await this.run(limitMs, () => ended))) throw new Error('it does not end in virtual time');
    return promise;
  }
}

/** All promise jobs that are ready have run. */
function settle(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}

/** The Env of one process; nothing of it fires any more once it was killed, or while it is paused. */
export class VirtualEnv implements Env {
  readonly clock: Clock;
  readonly random: Random;
  readonly disk: Disk;
  readonly log = silentLogger;
  readonly checks = true;
  /** Distance of this machine's wall clock from true time. */
  offsetMs = 0;
  killed = false;
  pausedUntilMs = 0;
  readonly timers: Env['timers'];

  constructor(time: VirtualTime, disk: Disk, seed: number) {
    this.disk = disk;
    this.random = new SeededRandom(seed);
    this.clock = {
      wallMicros: () => 1_700_000_000_000_000 + Math.floor((time.nowMs + this.offsetMs) * 1000),
      monotonicMs: () => time.nowMs,
    };
    const guard = (fn: () => void) => (): void => {
      if (this.killed) return;
      if (time.nowMs < this.pausedUntilMs) {
        time.after(this.pausedUntilMs - time.nowMs, guard(fn));
      } else fn();
    };
    this.timers = {
      after: (delayMs, fn) => time.after(delayMs, guard(fn)),
      immediate: (fn) => {
        time.after(0, guard(fn));
      },
    };
  }

  sometimes(): boolean {
    return false;
  }
}
