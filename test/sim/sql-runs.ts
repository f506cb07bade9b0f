/** Runs workloads that are checked over SQL on simulated clusters of three nodes under faults. */
import { installVirtualGlobals } from '../../src/cli/virtual-globals.ts';
import {
  startWorkload,
  type CheckedWorkloadName,
  type IsolationLevel,
  type WorkloadRun,
} from '../../src/sim/workloads/sql/index.ts';
import { CheckedSql } from '../../src/sim/workloads/sql/simulated.ts';
import { loadParser } from '../../src/sql/index.ts';
import { simulate } from './harness.ts';

const faults = ['crash', 'power', 'pause', 'partition', 'split', 'transfer', 'move'] as const;
const faultSeconds = 10;

export async function simulateSql(
  name: CheckedWorkloadName,
  isolation: IsolationLevel,
  seed: number,
): Promise<{ readonly run: WorkloadRun; readonly problems: readonly string[] }> {
  await loadParser();
  let run: WorkloadRun | undefined;
  let restore = (): void => undefined;
  try {
    const { problems } = await simulate(seed, faultSeconds, {
      nodes: 3,
      faults,
      workload: {
        name,
        clients: 6,
        sql: true,
        make(context, random, cluster) {
          restore = installVirtualGlobals(context.world, random.fork());
          run = startWorkload(name, isolation, () => context.world.nowMs);
          return new CheckedSql(context, run, { cluster, random });
        },
      },
    });
    if (run === undefined) throw new Error('the run has not begun');
    return { run, problems };
  } finally {
    restore();
  }
}
