/** A simulated run as it is asked for on the command line, in words that a message between processes can carry. */
import {
  type FaultName,
  isWorkloadName,
  runSimulation,
  type SimOptions,
  type SimResult,
} from '../sim/index.ts';
import { outsideOfPromiseJobs } from './microtask-drain.ts';
import { isCheckedWorkload, openCheckedWorkload } from './checked-workload.ts';
import { openWorkloadFile } from './workload-file.ts';

export interface SimJob extends Pick<
  SimOptions,
  'seed' | 'nodes' | 'faultSeconds' | 'faults' | 'onlyFaults'
> {
  /** The name of a shipped workload (`sql:bank:read-committed`: one that is checked over SQL), or a file; default: drawn from the seed. */
  readonly workload?: string;
}

/** What operators of a cluster meet: what an application is tried under unless it asks for other classes. */
export const applicationFaults: readonly FaultName[] = [
  'crash',
  'power',
  'pause',
  'rolling-restart',
  'partition',
  'one-way',
  'slow-net',
  'loss',
  'clock',
  'disk-full',
  'disk-error',
  'split',
  'transfer',
  'move',
];

export async function runJob(
  job: SimJob,
  how: Pick<SimOptions, 'drainMicrotasks' | 'trace' | 'log'>,
): Promise<SimResult> {
  const { workload, ...rest } = job;
  if (workload === undefined || isWorkloadName(workload)) {
    const named = workload === undefined ? {} : { workload };
    return outsideOfPromiseJobs(() => runSimulation({ ...rest, ...named, ...how }));
  }
  const open = isCheckedWorkload(workload) ? openCheckedWorkload : openWorkloadFile;
  const opened = await open(workload);
  try {
    return await outsideOfPromiseJobs(() =>
      runSimulation({ faults: applicationFaults, ...rest, ...how, workload: opened.workload }),
    );
  } finally {
    opened.close();
  }
}
