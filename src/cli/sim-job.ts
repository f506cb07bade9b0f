/** A simulated run as it is asked for on the command line, in words that a message between processes can carry. */
import { isWorkloadName, runSimulation, type SimOptions, type SimResult } from '../sim/index.ts';
import { outsideOfPromiseJobs } from './microtask-drain.ts';
import { openWorkloadFile } from './workload-file.ts';

export interface SimJob extends Pick<
  SimOptions,
  'seed' | 'nodes' | 'faultSeconds' | 'faults' | 'onlyFaults'
> {
  /** The name of a shipped workload, or a file; default: drawn from the seed. */
  readonly workload?: string;
}

export async function runJob(
  job: SimJob,
  how: Pick<SimOptions, 'drainMicrotasks' | 'trace' | 'log'>,
): Promise<SimResult> {
  const { workload, ...rest } = job;
  if (workload === undefined || isWorkloadName(workload)) {
    const named = workload === undefined ? {} : { workload };
    return outsideOfPromiseJobs(() => runSimulation({ ...rest, ...named, ...how }));
  }
  const file = await openWorkloadFile(workload);
  try {
    return await outsideOfPromiseJobs(() =>
      runSimulation({ ...rest, ...how, workload: file.workload }),
    );
  } finally {
    file.close();
  }
}
