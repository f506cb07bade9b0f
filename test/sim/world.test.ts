/**
 * The world itself. Cause of the first: events of a paused process were put off by the rest of the pause, which
 * rounded to just before its end, so they were put off again by a time too short to pass: the run hung (seed 2037).
 */
import { expect, it } from 'vitest';
import { MemoryDisk, SeededRandom, World } from '../../src/sim/index.ts';
import { ProcessEnv } from '../../src/sim/world.ts';
import { silentLogger } from '../../src/util/index.ts';
import { drainMicrotasks, outside } from './harness.ts';

function worldOf(seed: number): { world: World; env: ProcessEnv } {
  const world = new World({ seed, drainMicrotasks, trace: undefined });
  const disk = new MemoryDisk({ random: new SeededRandom(seed) });
  const skew = { offsetMs: 0, driftPpm: 0 };
  return { world, env: new ProcessEnv(world, { disk, log: silentLogger, skew }) };
}

it('a pause ends, whatever its end rounds to', async () => {
  await outside(() => {
    const random = new SeededRandom(1);
    for (let i = 0; i < 2_000; i++) {
      const { world, env } = worldOf(i);
      world.run(random.float() * 1e5);
      env.pauseUntil(world.nowMs + random.float() * 4_000);
      let ranAt = -1;
      env.timers.after(random.float() * 100, () => {
        ranAt = world.nowMs;
      });
      world.run(world.nowMs + 5_000, () => ranAt >= 0 || world.events > 10);
      expect(ranAt).toBeGreaterThan(0);
      expect(world.events).toBeLessThan(4);
    }
  });
});

it('a process that was killed runs nothing any more', async () => {
  await outside(() => {
    const { world, env } = worldOf(1);
    let ran = 0;
    env.timers.after(10, () => ran++);
    env.timers.immediate(() => ran++);
    env.kill();
    world.run(100);
    expect(ran).toBe(0);
  });
});
