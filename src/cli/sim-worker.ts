/**
 * A process of its own for simulated runs: the parent sends jobs, one at a time, and gets a result for each.
 * Whatever is thrown behind a run's back ends the process, which the parent takes for a finding.
 */
import { type SimResult } from '../sim/index.ts';
import { microtaskDrain } from './microtask-drain.ts';
import { runJob, type SimJob } from './sim-job.ts';

export type SimAnswer =
  | { readonly kind: 'result'; readonly result: SimResult }
  | { readonly kind: 'threw'; readonly error: string };

const drainMicrotasks = microtaskDrain();

async function serve(job: SimJob): Promise<void> {
  let answer: SimAnswer;
  try {
    const result = await runJob(job, { drainMicrotasks, trace: undefined });
    answer = { kind: 'result', result };
  } catch (error) {
    answer = {
      kind: 'threw',
      error: error instanceof Error ? (error.stack ?? error.message) : String(error),
    };
  }
  process.send?.(answer);
}

process.on('message', (job: SimJob) => {
  void serve(job);
});
process.on('disconnect', () => process.exit());
