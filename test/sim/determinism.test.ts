/** The same seed gives the same run, to the last event; in another process, too. */
import { resolve } from 'node:path';
import { describe, expect, it } from 'vitest';
import { run } from '../drivers/programs.ts';
import { simulate } from './harness.ts';

const program = resolve(import.meta.dirname, '../../bin/skein.cjs');

describe('determinism', () => {
  it.each(Array.from({ length: 20 }, (_, i) => 2000 + i))(
    'seed %i twice',
    async (seed) => {
      const first = await simulate(seed, 60);
      const second = await simulate(seed, 60);
      expect(first.problems).toEqual([]);
      expect(second.traceHash).toBe(first.traceHash);
      expect(second.events).toBe(first.events);
    },
    300_000,
  );

  it('in another process', async () => {
    const { traceHash } = await simulate(2000, 60);
    const args = ['sim', '--seed', '2000', '--seconds', '60'];
    const { stdout } = await run(process.execPath, [program, ...args]);
    expect(stdout).toContain(`trace hash ${traceHash} ok`);
    expect((await simulate(2001, 60)).traceHash).not.toBe(traceHash);
  }, 300_000);
});
