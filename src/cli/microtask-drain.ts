/** Runs all promise jobs at once, so that one call can drive a whole simulated run. */
import { setFlagsFromString } from 'node:v8';
import { runInThisContext } from 'node:vm';

/** V8's own checkpoint. Works only outside of promise jobs. */
export function microtaskDrain(): () => void {
  setFlagsFromString('--allow-natives-syntax');
  const drain = runInThisContext('(() => { %PerformMicrotaskCheckpoint(); })') as () => void;
  // A function is compiled when it is first called: that has to be while the syntax is allowed.
  drain();
  setFlagsFromString('--no-allow-natives-syntax');
  return drain;
}

/** `work` in a turn of its own, where the drain works. */
export function outsideOfPromiseJobs<T>(work: () => T): Promise<T> {
  return new Promise((resolve, reject) => {
    setImmediate(() => {
      try {
        resolve(work());
      } catch (error) {
        reject(error instanceof Error ? error : new Error(String(error)));
      }
    });
  });
}
