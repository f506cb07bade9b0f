/** An Env for storage tests: real turns of the event loop, no time, a disk in memory. */
import { MemoryDisk } from '../../src/sim/memory-disk.ts';
import { silentLogger, type Env } from '../../src/util/index.ts';
import { SeededRandom } from '../random.ts';

export function testEnv(
  seed: number,
): Env & { readonly disk: MemoryDisk; readonly random: SeededRandom } {
  const random = new SeededRandom(seed);
  return {
    clock: { wallMicros: () => 0, monotonicMs: () => 0 },
    timers: {
      after: () => {
        throw new Error('storage waits for no time');
      },
      immediate: (fn) => {
        setImmediate(fn);
      },
    },
    random,
    disk: new MemoryDisk({ random: new SeededRandom(seed + 1) }),
    log: silentLogger,
    checks: true,
    sometimes: (percent) => random.below(100) < percent,
  };
}
