/**
 * Each workload that is checked over SQL, on simulated clusters under faults: SIM_SEED and SIM_RUNS choose other seeds,
 * SIM_ISOLATION one level for all.
 */
import { beforeAll, describe, expect, it } from 'vitest';
import { installVirtualGlobals } from '../../src/cli/virtual-globals.ts';
import { checkedWorkloadNames } from '../../src/sim/index.ts';
import {
  isolationLevels,
  startWorkload,
  type CheckedWorkloadName,
  type IsolationLevel,
  type WorkloadRun,
} from '../../src/sim/workloads/sql/index.ts';
import { CheckedSql } from '../../src/sim/workloads/sql/simulated.ts';
import { loadParser } from '../../src/sql/index.ts';
import { simulate } from './harness.ts';

const firstSeed = Number(process.env['SIM_SEED'] ?? 3000);
const runs = Number(process.env['SIM_RUNS'] ?? 1);
const chosenLevel = isolationLevels.find((each) => each === process.env['SIM_ISOLATION']);
const classes = ['crash', 'power', 'pause', 'partition', 'split', 'transfer', 'move'] as const;

beforeAll(loadParser);

/** All run as serializable, and those that tell most at the other levels, too. */
const cases = checkedWorkloadNames.flatMap((name): Case[] => {
  if (chosenLevel !== undefined) return [{ name, isolation: chosenLevel }];
  const isTelling = name === 'list-append' || name === 'bank';
  return (isTelling ? isolationLevels : (['serializable'] as const)).map((isolation) => ({
    name,
    isolation,
  }));
});

interface Case {
  readonly name: CheckedWorkloadName;
  readonly isolation: IsolationLevel;
}

async function run({ name, isolation }: Case, seed: number): Promise<WorkloadRun> {
  let started: WorkloadRun | undefined;
  let restore = (): void => undefined;
  try {
    const { problems } = await simulate(seed, 10, {
      nodes: 3,
      faults: classes,
      workload: {
        name,
        clients: 6,
        sql: true,
        make(context, random, cluster) {
          restore = installVirtualGlobals(context.world, random.fork());
          started = startWorkload(name, isolation, () => context.world.nowMs);
          return new CheckedSql(context, started, { cluster, random });
        },
      },
    });
    expect(problems, `seed ${seed}`).toEqual([]);
  } finally {
    restore();
  }
  if (started === undefined) throw new Error('the run has not begun');
  return started;
}

describe.each(cases)('$name, $isolation', (each) => {
  it(`seeds ${firstSeed} to ${firstSeed + runs - 1} hold`, async () => {
    for (let seed = firstSeed; seed < firstSeed + runs; seed++) {
      const started = await run(each, seed);
      const { valid, counts } = started.verdict();
      expect(valid).toBe(true);
      const never = Object.entries(counts).filter(([, { ok }]) => ok === 0);
      expect(never, `seed ${seed}: what never succeeded`).toEqual([]);
    }
  }, 300_000);
});
