/**
 * A job: work that goes on behind a statement, for as long as it takes, on whichever node. It is a row of system.jobs:
 * written in the transaction that asks for the work, read by all nodes, changed only by whoever holds its claim or, for
 * requests (pause, resume, cancel), by a statement.
 *
 *     running <-> pause-requested -> paused -> running
 *     running, pause-requested, paused -> cancel-requested -> reverting -> canceled
 *     running  -> succeeded | failed (what can be undone is undone first: reverting)
 */
import { type Db, type Txn } from '../../kv/index.ts';
import { type Env } from '../../util/index.ts';
import {
  deleteRow,
  jobsTable,
  newDescriptorId,
  putRow,
  readRow,
  readRows,
} from '../catalog/index.ts';
import { type Datum, timestampOfWall } from '../types/index.ts';

export type JobStatus =
  | 'running'
  | 'pause-requested'
  | 'paused'
  | 'cancel-requested'
  | 'reverting'
  | 'succeeded'
  | 'failed'
  | 'canceled';

const ended: ReadonlySet<JobStatus> = new Set<JobStatus>(['succeeded', 'failed', 'canceled']);

/** Times are microseconds since 2000, as SQL's timestamptz. */
export interface Job {
  readonly id: bigint;
  /** As SHOW JOBS prints it: `SCHEMA CHANGE GC`. */
  readonly type: string;
  readonly description: string;
  readonly user: string;
  readonly status: JobStatus;
  readonly runningStatus: string | null;
  readonly created: bigint;
  /** When work on it began, or when it began to wait for its time. */
  readonly started: bigint | null;
  readonly finished: bigint | null;
  readonly modified: bigint;
  readonly fraction: number;
  readonly error: string | null;
  /** What is to be done: plain data that only the job's type understands. */
  readonly payload: unknown;
  /** `node/session` of who works on it; see `sessions.ts`. */
  readonly claim: string | null;
  /** Why earlier attempts ended, the last `executionErrorsMax` of them, the oldest first. */
  readonly executionErrors: readonly string[];
}

export const executionErrorsMax = 10;
const executionErrorMax = 1_000;

/** The errors of a job whose attempt has ended in one more. */
export function withExecutionError({ executionErrors }: Job, message: string): readonly string[] {
  return [...executionErrors, message.slice(0, executionErrorMax)].slice(-executionErrorsMax);
}

export function hasEnded({ status }: Job): boolean {
  return ended.has(status);
}

/** What the machine's clock shows: to tell users when they asked for something. */
export function nowMicros(env: Env): bigint {
  return timestampOfWall(env.clock.wallMicros());
}

/** By the clock that the nodes keep together: what they do when is decided by it. */
export function jobTime({ clock }: Pick<Db, 'clock'>): bigint {
  return timestampOfWall(clock.physicalMicros());
}

export interface JobSpec {
  readonly type: string;
  readonly description: string;
  readonly user: string;
  readonly runningStatus: string | null;
  readonly payload: unknown;
  readonly claim?: string;
}

/** Writes a new job in `txn`: it runs once that has committed. */
export async function createJob(db: Db, txn: Txn, spec: JobSpec): Promise<Job> {
  const now = jobTime(db);
  const job: Job = {
    ...spec,
    id: BigInt(await newDescriptorId(db)),
    status: 'running',
    created: now,
    started: spec.claim === undefined ? null : now,
    finished: null,
    modified: now,
    fraction: 0,
    error: null,
    claim: spec.claim ?? null,
    executionErrors: [],
  };
  writeJob(txn, job);
  return job;
}

export function writeJob(txn: Txn, job: Job): void {
  putRow(txn, jobsTable, encode(job));
}

export function deleteJob(txn: Txn, job: Job): void {
  deleteRow(txn, jobsTable, encode(job));
}

export async function readJob(txn: Txn, id: bigint): Promise<Job | undefined> {
  const row = await readRow(txn, jobsTable, [id]);
  return row === undefined ? undefined : decode(row);
}

/** The job of that id (in decimal) has ended, or never was. */
export async function isJobGone(txn: Txn, id: string): Promise<boolean> {
  const job = /^[0-9]{1,18}$/.test(id) ? await readJob(txn, BigInt(id)) : undefined;
  return job === undefined || hasEnded(job);
}

export async function readJobs(txn: Txn): Promise<Job[]> {
  return (await readRows(txn, jobsTable)).map(decode);
}

function encode(job: Job): Datum[] {
  return [
    job.id,
    job.type,
    job.description,
    job.user,
    job.status,
    job.runningStatus,
    job.created,
    job.started,
    job.finished,
    job.modified,
    job.fraction,
    job.error,
    job.payload === undefined ? null : JSON.stringify(job.payload),
    job.claim,
    job.executionErrors.length === 0 ? null : JSON.stringify(job.executionErrors),
  ];
}

function decode(row: readonly Datum[]): Job {
  const text = (at: number): string => {
    const value = row[at];
    return typeof value === 'string' ? value : typeof value === 'bigint' ? String(value) : '';
  };
  const optional = (at: number): string | null => (row[at] === null ? null : text(at));
  const time = (at: number): bigint | null => (row[at] === null ? null : BigInt(text(at)));
  return {
    id: BigInt(text(0)),
    type: text(1),
    description: text(2),
    user: text(3),
    // Nobody but `encode` writes this column.
    status: text(4) as JobStatus,
    runningStatus: optional(5),
    created: BigInt(text(6)),
    started: time(7),
    finished: time(8),
    modified: BigInt(text(9)),
    fraction: Number(row[10]),
    error: optional(11),
    payload: row[12] === null ? undefined : JSON.parse(text(12)),
    claim: optional(13),
    // Nobody but `encode` writes this column.
    executionErrors: JSON.parse(optional(14) ?? '[]') as string[],
  };
}
