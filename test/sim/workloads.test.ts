/** Each workload on simulated clusters under faults: SIM_SEED and SIM_RUNS choose other seeds. */
import { describe, expect, it } from 'vitest';
import { workloadNames } from '../../src/sim/index.ts';
import { simulate } from './harness.ts';

const firstSeed = Number(process.env['SIM_SEED'] ?? 2000);
const runs = Number(process.env['SIM_RUNS'] ?? 4);

describe.each(workloadNames)('%s', (workload) => {
  it(`seeds ${firstSeed} to ${firstSeed + runs - 1} hold`, async () => {
    for (let seed = firstSeed; seed < firstSeed + runs; seed++) {
      const { problems } = await simulate(seed, 15, { workload });
      expect(problems, `seed ${seed}`).toEqual([]);
    }
  }, 300_000);
});
