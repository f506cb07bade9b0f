/**
 * Each workload that is checked over SQL, on simulated clusters under faults: SIM_SEED and SIM_RUNS choose other seeds,
 * SIM_ISOLATION one level for all. And whether they would find anything: each planted bug must be found.
 */
import { afterEach, describe, expect, it, vi } from 'vitest';
import { checkedWorkloadNames } from '../../src/sim/index.ts';
import {
  isolationLevels,
  type CheckedWorkloadName,
  type IsolationLevel,
} from '../../src/sim/workloads/sql/index.ts';
import { Refresher } from '../../src/txn/refresher.ts';
import { simulateSql } from './sql-runs.ts';

const firstSeed = Number(process.env['SIM_SEED'] ?? 3000);
const runs = Number(process.env['SIM_RUNS'] ?? 1);
const chosenLevel = isolationLevels.find((each) => each === process.env['SIM_ISOLATION']);

afterEach(() => {
  vi.restoreAllMocks();
});

interface Case {
  readonly name: CheckedWorkloadName;
  readonly isolation: IsolationLevel;
}

/** All run as serializable, and those that tell most at the other levels, too. */
const cases = checkedWorkloadNames.flatMap((name): Case[] => {
  if (chosenLevel !== undefined) return [{ name, isolation: chosenLevel }];
  const isTelling = name === 'list-append' || name === 'bank';
  const levels = isTelling ? isolationLevels : (['serializable'] as const);
  return levels.map((isolation) => ({ name, isolation }));
});

describe.each(cases)('$name, $isolation', ({ name, isolation }) => {
  it(`seeds ${firstSeed} to ${firstSeed + runs - 1} hold`, async () => {
    for (let seed = firstSeed; seed < firstSeed + runs; seed++) {
      const { run, problems } = await simulateSql(name, isolation, seed);
      expect(problems, `seed ${seed}`).toEqual([]);
      const { valid, counts } = run.verdict();
      expect(valid).toBe(true);
      const never = Object.entries(counts).filter(([, { ok }]) => ok === 0);
      expect(never, `seed ${seed}: what never succeeded`).toEqual([]);
    }
  }, 300_000);
});

/** What was read is forgotten: nothing has to be refreshed when the timestamp moves. */
function forgetReads(): void {
  vi.spyOn(Refresher.prototype, 'noteRead').mockImplementation(() => undefined);
}

/** Serializability rests on refreshed reads: each of these workloads shows that in its own way. */
const signs = {
  'list-append': /G2|G-/,
  'rw-register': /G2|G-|lost-update/,
  g2: /G2/,
  monotonic: /duplicate/,
  bank: /wrong-total/,
  'txn-cycle': /missing-receipt|changed-report/,
} as const satisfies Partial<Record<CheckedWorkloadName, RegExp>>;

/** Runs that it may take. */
const seedsMax = 10;

describe('planted: reads are not refreshed', () => {
  it.each(Object.keys(signs).filter((name) => isSign(name)))(
    '%s finds it',
    async (name) => {
      forgetReads();
      const seen: string[] = [];
      for (let seed = 1; seed <= seedsMax; seed++) {
        const { problems } = await simulateSql(name, 'serializable', seed);
        if (problems.some((problem) => signs[name].test(problem))) return;
        seen.push(...problems.map((problem) => `seed ${seed}: ${problem}`));
      }
      expect.fail(`not found; seen: ${seen.join('; ').slice(0, 2_000) || 'nothing'}`);
    },
    300_000,
  );
});

function isSign(name: string): name is keyof typeof signs {
  return Object.hasOwn(signs, name);
}
