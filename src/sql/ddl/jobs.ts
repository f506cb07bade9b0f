/**
 * Jobs: rows of system.jobs for work that goes on behind a committed schema change. They are written in the same
 * transaction, so that after a crash the node that owned the work finds what it left half done.
 */
import { type Db, type Txn } from '../../kv/index.ts';
import { type Env } from '../../util/index.ts';
import {
  changeCatalog,
  jobsTable,
  newDescriptorId,
  putRow,
  readRows,
  type CatalogCache,
  type CatalogPin,
  type TableDescriptor,
} from '../catalog/index.ts';
import { type Datum } from '../types/index.ts';
import { clearIndexes } from './backfill.ts';

export interface Span {
  readonly tableId: number;
  readonly indexId: number;
}

export type JobPayload =
  | { readonly kind: 'clear'; readonly nodeId: number; readonly spans: readonly Span[] }
  | {
      readonly kind: 'build';
      readonly nodeId: number;
      readonly tableId: number;
      readonly indexIds: readonly number[];
    };

export interface Job {
  readonly id: bigint;
  readonly type: string;
  readonly description: string;
  readonly user: string;
  readonly status: 'running' | 'succeeded' | 'failed';
  readonly runningStatus: string | null;
  readonly createdMicros: bigint;
  readonly finishedMicros: bigint | null;
  readonly fraction: number;
  readonly error: string | null;
  readonly payload: JobPayload | null;
}

/** Microseconds from 1970 to 2000, where SQL timestamps begin. */
const epochMicros = 946_684_800_000_000n;

export function nowMicros(env: Env): bigint {
  return BigInt(env.clock.wallMicros()) - epochMicros;
}

function encode(job: Job): Datum[] {
  return [
    job.id,
    job.type,
    job.description,
    job.user,
    job.status,
    job.runningStatus,
    job.createdMicros,
    job.finishedMicros,
    job.fraction,
    job.error,
    job.payload === null ? null : JSON.stringify(job.payload),
  ];
}

function decode(row: readonly Datum[]): Job {
  const text = (at: number): string => {
    const value = row[at];
    return typeof value === 'string' ? value : typeof value === 'bigint' ? String(value) : '';
  };
  const optional = (at: number): string | null => (row[at] === null ? null : text(at));
  return {
    id: BigInt(text(0)),
    type: text(1),
    description: text(2),
    user: text(3),
    status: text(4) as Job['status'],
    runningStatus: optional(5),
    createdMicros: BigInt(text(6)),
    finishedMicros: row[7] === null ? null : BigInt(text(7)),
    fraction: Number(row[8]),
    error: optional(9),
    payload: row[10] === null ? null : (JSON.parse(text(10)) as JobPayload),
  };
}

/** Writes a running job in `txn`. */
export async function startJob(
  db: Db,
  env: Env,
  txn: Txn,
  spec: Pick<Job, 'type' | 'description' | 'user' | 'runningStatus' | 'payload'>,
): Promise<Job> {
  const job: Job = {
    ...spec,
    id: BigInt(await newDescriptorId(db)),
    status: 'running',
    createdMicros: nowMicros(env),
    finishedMicros: null,
    fraction: 0,
    error: null,
  };
  putRow(txn, jobsTable, encode(job));
  return job;
}

export async function finishJob(db: Db, env: Env, job: Job, error: string | null): Promise<void> {
  await db.run({ name: 'finish job' }, async (txn) => {
    putRow(
      txn,
      jobsTable,
      encode({
        ...job,
        status: error === null ? 'succeeded' : 'failed',
        runningStatus: null,
        finishedMicros: nowMicros(env),
        fraction: error === null ? 1 : job.fraction,
        error,
      }),
    );
  });
}

export async function listJobs(txn: Txn): Promise<Job[]> {
  return (await readRows(txn, jobsTable)).map(decode);
}

/**
 * Called once when a node has started: what it left half done. Dropped data is cleared; an index that was
 * being built is removed again (its statement never reported success).
 */
export async function resumeJobs(cache: CatalogCache): Promise<void> {
  const { db, env, nodeId } = cache;
  const jobs = await db.run({ name: 'list jobs' }, listJobs);
  for (const job of jobs) {
    const { payload } = job;
    if (job.status !== 'running' || payload === null || payload.nodeId !== nodeId) continue;
    if (payload.kind === 'clear') {
      const dead = payload.spans.filter((span) => !isAlive(cache, span));
      await clearIndexes(db, env, dead);
      await finishJob(db, env, job, null);
    } else {
      await abandonIndexes(cache, payload.tableId, payload.indexIds);
      await finishJob(db, env, job, 'the node that built the index was restarted');
    }
  }
}

/** True when a descriptor still refers to the span: its change did not come to an end. */
function isAlive(cache: CatalogCache, span: Span): boolean {
  const owner = cache.current.byId(span.tableId);
  if (owner === undefined) return false;
  if (owner.kind !== 'table') return true;
  return [owner.primaryIndex, ...owner.indexes].some(({ id }) => id === span.indexId);
}

/** Takes indexes that are not public out of their table and clears them. `pin`: of the session that does it;
 * `undo`: what else was changed for their sake. */
export async function abandonIndexes(
  cache: CatalogCache,
  tableId: number,
  indexIds: readonly number[],
  pin?: CatalogPin,
  undo: (table: TableDescriptor) => TableDescriptor = (table) => table,
): Promise<void> {
  await changeCatalog(cache, { name: 'abandon index', pin }, async (writer) => {
    const table = writer.snapshot.tableById(tableId);
    if (table === undefined) return;
    const indexes = table.indexes.filter(
      (index) => !indexIds.includes(index.id) || index.state === 'public',
    );
    if (indexes.length < table.indexes.length) writer.replace(undo({ ...table, indexes }));
  });
  await clearIndexes(
    cache.db,
    cache.env,
    indexIds.map((indexId) => ({ tableId, indexId })),
  );
}
