/** What users ask of jobs: PAUSE, RESUME, CANCEL. Each is a change of the row; whoever works on the job heeds it. */
import { type Txn } from '../../kv/index.ts';
import { type Env } from '../../util/index.ts';
import { sqlError } from '../errors.ts';
import { hasEnded, nowMicros, readJob, writeJob, type Job, type JobStatus } from './job.ts';
import { type JobType } from './registry.ts';

export type JobRequest = 'pause' | 'resume' | 'cancel';

/** The job as it is then; undefined when nothing was to change. Throws 42704 for a job that does not exist, 55000 where the job or its state do not allow it. */
export async function requestOfJob(
  txn: Txn,
  env: Env,
  types: ReadonlyMap<string, JobType>,
  id: bigint,
  request: JobRequest,
): Promise<Job | undefined> {
  const job = await readJob(txn, id);
  if (job === undefined) throw noJob(id);
  const change = changeFor(job, types.get(job.type), request);
  if (change === undefined) return undefined;
  const changed: Job = { ...job, ...change, modified: nowMicros(env) };
  writeJob(txn, changed);
  return changed;
}

export function noJob(id: bigint): Error {
  return sqlError('undefinedObject', `job ${id} does not exist`);
}

/** Undefined: it is so already. */
function changeFor(
  job: Job,
  type: JobType | undefined,
  request: JobRequest,
): Partial<Job> | undefined {
  const refuse = (why: string): never => {
    throw sqlError(
      'objectNotInPrerequisiteState',
      `job ${job.id} cannot be ${past[request]}: ${why}`,
    );
  };
  if (hasEnded(job))
    return refuse(`it has ${job.status === 'canceled' ? 'been ' : ''}${job.status}`);
  switch (request) {
    case 'pause':
      if (isOneOf(job, 'paused', 'pause-requested')) return undefined;
      if (!isOneOf(job, 'running')) return refuse(`its status is ${job.status}`);
      if (type?.isOfSession === true) return refuse('a session waits for it');
      return { status: job.claim === null ? 'paused' : 'pause-requested' };
    case 'resume':
      if (isOneOf(job, 'running')) return undefined;
      if (!isOneOf(job, 'paused', 'pause-requested')) return refuse(`its status is ${job.status}`);
      return { status: 'running' };
    case 'cancel':
      if (isOneOf(job, 'cancel-requested', 'reverting')) return undefined;
      if (type?.revert === undefined) return refuse(`${job.type} jobs run to their end`);
      return { status: 'cancel-requested' };
  }
}

const past: Readonly<Record<JobRequest, string>> = {
  pause: 'paused',
  resume: 'resumed',
  cancel: 'canceled',
};

function isOneOf({ status }: Job, ...statuses: readonly JobStatus[]): boolean {
  return statuses.includes(status);
}
