/** The Env of one node of a cluster in this process: it ends with the node, stalls with it, and has a wall clock of its own. */
import { type Env, type TimerHandle } from '../util/index.ts';

export interface NodeEnv extends Env {
  /** No timer fires any more, and none is left. */
  kill(): void;
  /** The node's event loop stands still for so long: what comes due waits, and then runs in a burst. */
  stall(ms: number): void;
  /** Moves the wall clock. */
  moveWallClock(ms: number): void;
}

export function createNodeEnv(env: Env): NodeEnv {
  let isAlive = true;
  let aheadMicros = 0;
  let awakeAtMs = Number.NEGATIVE_INFINITY;
  const held: (() => void)[] = [];
  /** What they wait for would keep the process of a test alive. */
  const pending = new Set<TimerHandle>();
  const wake = (): void => {
    const restMs = awakeAtMs - env.clock.monotonicMs();
    if (restMs > 0) {
      env.timers.after(restMs, wake);
      return;
    }
    const due = held.splice(0);
    for (const fn of due) fn();
  };
  const guard = (fn: () => void) => (): void => {
    if (!isAlive) return;
    if (env.clock.monotonicMs() < awakeAtMs || held.length > 0) held.push(guard(fn));
    else fn();
  };
  return {
    ...env,
    clock: {
      wallMicros: () => env.clock.wallMicros() + aheadMicros,
      monotonicMs: () => env.clock.monotonicMs(),
    },
    timers: {
      after(delayMs, fn) {
        let isCanceled = !isAlive;
        if (isCanceled) return { cancel() {} };
        const timer = env.timers.after(delayMs, () => {
          pending.delete(timer);
          guard(() => {
            if (!isCanceled) fn();
          })();
        });
        pending.add(timer);
        return {
          cancel() {
            isCanceled = true;
            pending.delete(timer);
            timer.cancel();
          },
        };
      },
      immediate: (fn) => env.timers.immediate(guard(fn)),
    },
    kill: () => {
      isAlive = false;
      for (const timer of pending) timer.cancel();
      pending.clear();
    },
    stall: (ms) => {
      awakeAtMs = Math.max(awakeAtMs, env.clock.monotonicMs() + ms);
      env.timers.after(ms, wake);
    },
    moveWallClock: (ms) => {
      aheadMicros += ms * 1000;
    },
  };
}
