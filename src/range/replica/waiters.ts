/** Administrative work that waits for its replica to get somewhere. Rarely anybody does: then nothing is kept. */
import { type TimerHandle, type Timers } from '../../util/index.ts';

interface Waiter {
  readonly condition: () => boolean;
  readonly settle: (met: boolean) => void;
}

export class Waiters {
  #waiting: Set<Waiter> | undefined;

  get any(): boolean {
    return this.#waiting !== undefined;
  }

  /** Resolves true once a `check` finds that `condition` holds, false after `timeoutMs` or `giveUp`. */
  add(timers: Timers, condition: () => boolean, timeoutMs: number): Promise<boolean> {
    return new Promise((resolve) => {
      let timer: TimerHandle | undefined;
      const waiter: Waiter = {
        condition,
        settle: (met) => {
          timer?.cancel();
          this.#remove(waiter);
          resolve(met);
        },
      };
      timer = timers.after(timeoutMs, () => waiter.settle(condition()));
      this.#waiting ??= new Set();
      this.#waiting.add(waiter);
    });
  }

  check(): void {
    for (const waiter of this.#waiting ?? []) if (waiter.condition()) waiter.settle(true);
  }

  giveUp(): void {
    for (const waiter of this.#waiting ?? []) waiter.settle(false);
  }

  #remove(waiter: Waiter): void {
    this.#waiting?.delete(waiter);
    if (this.#waiting?.size === 0) this.#waiting = undefined;
  }
}
