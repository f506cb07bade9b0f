/**
 * The time of a cluster in this process: the machine's, plus what a test has added. Added time passes in small steps,
 * and after each of them the nodes do what has come due, so heartbeats keep pace and leases hold: an hour goes by as
 * it does on idle machines, only sooner (3 s of processor time for three nodes).
 */
import { type Clock, type Env, type TimerHandle, type Timers } from '../util/index.ts';

/** Shorter than the interval of the heartbeats between stores. */
const stepMs = 100;
/** Turns of the event loop that a step is given at least: for clients in this process, which nobody counts. */
const turnsMin = 3;
/** ... and at most, when there is no end to what the nodes do. */
const turnsMax = 100;

interface Pending {
  readonly dueMs: number;
  readonly fn: () => void;
  real: TimerHandle;
}

export class ClusterClock {
  readonly #real: Pick<Env, 'clock' | 'timers'>;
  /** Some node waits for its disk: that takes real time. */
  readonly #isDiskBusy: () => boolean;
  readonly #pending = new Set<Pending>();
  readonly #startMicros: number;
  readonly #startMs: number;
  #aheadMs = 0;
  /** The machine's time does not count while time is added. */
  #frozenAtMs: number | undefined;
  #immediates = 0;
  #advancing: Promise<void> = Promise.resolve();

  constructor(real: Pick<Env, 'clock' | 'timers'>, isDiskBusy: () => boolean) {
    this.#real = real;
    this.#isDiskBusy = isDiskBusy;
    this.#startMicros = real.clock.wallMicros();
    this.#startMs = real.clock.monotonicMs();
  }

  readonly clock: Clock = {
    wallMicros: () => this.#startMicros + Math.floor((this.#nowMs() - this.#startMs) * 1000),
    monotonicMs: () => this.#nowMs(),
  };

  readonly timers: Timers = {
    after: (delayMs, fn) => {
      const timer = { dueMs: this.#nowMs() + delayMs, fn, real: noTimer };
      this.#pending.add(timer);
      this.#arm(timer);
      return {
        cancel: () => {
          timer.real.cancel();
          this.#pending.delete(timer);
        },
      };
    },
    immediate: (fn) => {
      this.#immediates++;
      this.#real.timers.immediate(() => {
        this.#immediates--;
        fn();
      });
    },
  };

  /** Resolves when that much time has passed. */
  advance(ms: number): Promise<void> {
    this.#advancing = this.#advancing.then(() => this.#advance(ms));
    return this.#advancing;
  }

  #nowMs(): number {
    return (this.#frozenAtMs ?? this.#real.clock.monotonicMs()) + this.#aheadMs;
  }

  async #advance(ms: number): Promise<void> {
    const frozenAtMs = this.#real.clock.monotonicMs();
    this.#frozenAtMs = frozenAtMs;
    for (let left = ms; left > 0; left -= stepMs) {
      this.#aheadMs += Math.min(left, stepMs);
      await this.#settle();
    }
    this.#aheadMs -= this.#real.clock.monotonicMs() - frozenAtMs;
    this.#frozenAtMs = undefined;
    for (const timer of this.#pending) {
      timer.real.cancel();
      this.#arm(timer);
    }
  }

  /** Lets the nodes do what is due, and what follows from it. */
  async #settle(): Promise<void> {
    for (let turn = 0; turn < turnsMax; turn++) {
      const fired = this.#fireDue();
      await this.#turn();
      while (this.#isDiskBusy()) await this.#turn();
      if (!fired && this.#immediates === 0 && turn >= turnsMin) return;
    }
  }

  #turn(): Promise<void> {
    return new Promise((resolve) => this.#real.timers.immediate(resolve));
  }

  #fireDue(): boolean {
    const nowMs = this.#nowMs();
    const due = [...this.#pending].filter(({ dueMs }) => dueMs <= nowMs);
    due.sort((a, b) => a.dueMs - b.dueMs);
    for (const timer of due) {
      timer.real.cancel();
      // An earlier one may have canceled it.
      if (this.#pending.delete(timer)) timer.fn();
    }
    return due.length > 0;
  }

  #arm(timer: Pending): void {
    const restMs = Math.max(0, timer.dueMs - this.#nowMs());
    timer.real = this.#real.timers.after(restMs, () => {
      this.#pending.delete(timer);
      timer.fn();
    });
  }
}

const noTimer: TimerHandle = { cancel: () => undefined };
