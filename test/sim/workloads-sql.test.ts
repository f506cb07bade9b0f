/** Each workload that is checked over SQL, on simulated clusters under faults: SIM_SEED and SIM_RUNS choose other seeds. */
import { describe, expect, it } from 'vitest';
import { openCheckedWorkload } from '../../src/cli/checked-workload.ts';
import { checkedWorkloadNames, type SimResult } from '../../src/sim/index.ts';
import { simulate } from './harness.ts';

const firstSeed = Number(process.env['SIM_SEED'] ?? 3000);
const runs = Number(process.env['SIM_RUNS'] ?? 1);
const classes = ['crash', 'power', 'pause', 'partition', 'split', 'transfer', 'move'] as const;

async function run(name: string, seed: number): Promise<SimResult> {
  const opened = await openCheckedWorkload(name);
  try {
    return await simulate(seed, 10, { nodes: 3, workload: opened.workload, faults: classes });
  } finally {
    opened.close();
  }
}

describe.each(checkedWorkloadNames)('%s', (name) => {
  it(`seeds ${firstSeed} to ${firstSeed + runs - 1} hold`, async () => {
    for (let seed = firstSeed; seed < firstSeed + runs; seed++) {
      const { problems, counts } = await run(`sql:${name}`, seed);
      expect(problems, `seed ${seed}`).toEqual([]);
      expect(counts.writes).toBeGreaterThan(10);
    }
  }, 300_000);
});
