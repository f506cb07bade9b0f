/** SHOW JOBS, SHOW JOB, PAUSE, RESUME and CANCEL JOB. */
import { sleep } from '../../util/index.ts';
import { sqlError } from '../errors.ts';
import {
  hasEnded,
  jobTypes,
  noJob,
  nowMicros,
  readJob,
  readJobs,
  requestOfJob,
  type Job,
} from '../jobs/index.ts';
import { type JobIds, type JobStatement } from '../parse/index.ts';
import { type StatementContext, type StatementResult } from '../session/types.ts';
import { makeArray, oids, type Datum, type Row } from '../types/index.ts';
import { done, resultColumn, type UtilityContext } from './context.ts';
import { runNode } from './range-rows.ts';
import { type Shown } from './types.ts';

/** Jobs that have ended are listed for so long. */
const listedMicros = 12n * 3_600_000_000n;
const descriptionMax = 100;
const pollMs = 200;

const columns = [
  resultColumn('job_id', oids.int8),
  resultColumn('job_type', oids.text),
  resultColumn('description', oids.text),
  resultColumn('statement', oids.text),
  resultColumn('user_name', oids.text),
  resultColumn('status', oids.text),
  resultColumn('running_status', oids.text),
  resultColumn('created', oids.timestamptz),
  resultColumn('started', oids.timestamptz),
  resultColumn('finished', oids.timestamptz),
  resultColumn('modified', oids.timestamptz),
  resultColumn('fraction_completed', oids.float8),
  resultColumn('error', oids.text),
  resultColumn('coordinator_id', oids.int8),
  resultColumn('trace_id', oids.int8),
  resultColumn('execution_errors', oids.textArray),
];

function rowOf(job: Job, isWhole: boolean): Row {
  const { description } = job;
  return [
    job.id,
    job.type,
    isWhole || description.length <= descriptionMax
      ? description
      : `${description.slice(0, descriptionMax - 3)}...`,
    description,
    job.user,
    job.status,
    job.runningStatus,
    job.created,
    job.started,
    job.finished,
    job.modified,
    job.fraction,
    job.error ?? '',
    job.claim === null ? null : BigInt(job.claim.split('/', 1)[0] ?? 0),
    // Nothing is traced.
    null,
    makeArray(oids.text, job.executionErrors),
  ];
}

/** Jobs that have not ended, the newest first, then those that have. */
export const showJobs: Shown = {
  columns,
  rows: async ({ txn, env }) => {
    const since = nowMicros(env) - listedMicros;
    const jobs = (await readJobs(txn)).filter(
      (job) => !hasEnded(job) || (job.finished ?? job.modified) >= since,
    );
    jobs.sort((a, b) => Number(hasEnded(a)) - Number(hasEnded(b)) || (a.id < b.id ? 1 : -1));
    return jobs.map((job) => rowOf(job, false));
  },
};

/** Nothing here runs by itself and as a job. */
export const showAutomaticJobs: Shown = { columns, rows: () => [] };

/** Throws 42704 for a job that is not there. */
export function showJob({ ids, wait }: Extract<JobStatement, { kind: 'show-job' }>): Shown {
  return {
    columns,
    rows: async (context) => {
      const wanted = await idsOf(ids, context);
      if (wait) await awaitEnd(wanted, context);
      const jobs = await Promise.all(wanted.map((id) => readOwn(id, wait, context)));
      return jobs.map((job) => rowOf(job, true));
    },
  };
}

/** With `isNow` as it is now, and not when the statement's transaction began. */
async function readOwn(id: bigint, isNow: boolean, context: StatementContext): Promise<Job> {
  const job = isNow
    ? await context.db.run({ name: 'job' }, (txn) => readJob(txn, id))
    : await readJob(context.txn, id);
  if (job === undefined) throw noJob(id);
  return job;
}

async function awaitEnd(ids: readonly bigint[], context: StatementContext): Promise<void> {
  for (const id of ids) {
    while (!hasEnded(await readOwn(id, true, context))) {
      context.checkCanceled();
      await sleep(context.env, pollMs);
    }
  }
}

export async function controlJobs(
  { request, ids }: Extract<JobStatement, { kind: 'control-jobs' }>,
  context: UtilityContext,
): Promise<StatementResult> {
  const { txn, env } = context;
  if (context.readOnly) {
    throw sqlError(
      'readOnlySqlTransaction',
      `cannot execute ${request.toUpperCase()} JOB in a read-only transaction`,
    );
  }
  const wanted = await idsOf(ids, context);
  for (const id of wanted) {
    const job = await requestOfJob(txn, env, jobTypes, id, request);
    if (job === undefined) continue;
    context.events.record(`${request}_job`, 0, {
      JobID: Number(id),
      JobType: job.type,
      Description: job.description,
      Status: job.status,
    });
  }
  const { jobs } = context;
  context.ddl.add({
    description: `${request} jobs`,
    run: async () => {
      await jobs.heedRequests();
      jobs.wake();
    },
  });
  return done(`${request.toUpperCase()} JOBS ${wanted.length}`);
}

async function idsOf(ids: JobIds, context: StatementContext): Promise<bigint[]> {
  const { types, rows } = await runNode(
    ids.kind === 'query'
      ? ids.query
      : { SelectStmt: { targetList: [{ ResTarget: { val: ids.id } }] } },
    context,
  );
  if (types.length !== 1) {
    throw sqlError('syntaxError', 'jobs are named by one column of numbers');
  }
  return rows.map(([value]) => jobId(value ?? null));
}

function jobId(value: Datum): bigint {
  if (typeof value === 'bigint') return value;
  if (typeof value === 'number' && Number.isSafeInteger(value)) return BigInt(value);
  if (typeof value === 'string' && /^\d+$/.test(value)) return BigInt(value);
  throw sqlError('invalidParameterValue', 'a job is named by its number');
}
