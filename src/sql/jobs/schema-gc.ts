/**
 * `SCHEMA CHANGE GC`: what DROP, TRUNCATE and others have taken out of the catalog stays readable in the past (AS OF
 * SYSTEM TIME) for as long as the zone configuration says, then its data is removed with range deletions, and reads of the
 * time before the drop are refused.
 *
 * The time is counted from when the job was first seen: what its transaction took away was there up to the commit, which may
 * come long behind the statement that wrote the job.
 */
import { must } from '../../util/index.ts';
import { fullZone, type CatalogSnapshot } from '../catalog/index.ts';
import { clearSpan } from '../ddl/backfill.ts';
import { wallOfTimestamp } from '../types/index.ts';
import { type Job } from './job.ts';
import { type JobRun, type JobType } from './registry.ts';

export const schemaGcType = 'SCHEMA CHANGE GC';
export const waitingForTtl = 'waiting for GC TTL';

export interface DroppedSpan {
  readonly tableId: number;
  readonly indexId: number;
}

export interface SchemaGcPayload {
  readonly spans: readonly DroppedSpan[];
  readonly databaseId: number;
  /** Set on the table itself, which is gone with its zone; undefined: what holds for the database. */
  readonly ttlSeconds?: number | undefined;
}

export const schemaGc: JobType = {
  waitingFor: waitingForTtl,
  dueAt: (job, snapshot) =>
    goneSince(job) + BigInt(ttlSeconds(payloadOf(job), snapshot)) * 1_000_000n,
  run,
};

/** Nobody who reads at this time or later finds the data by the catalog. */
function goneSince({ started }: Job): bigint {
  return must(started, 'a job that waits for its time was seen');
}

function payloadOf(job: Job): SchemaGcPayload {
  // Written by `drop-data.ts` alone.
  return job.payload as SchemaGcPayload;
}

/** Of the table if it lives, else what it had, else of its database. */
function ttlSeconds(payload: SchemaGcPayload, snapshot: CatalogSnapshot): number {
  const { spans, databaseId } = payload;
  const tables = spans.filter(({ tableId }) => snapshot.tableById(tableId) !== undefined);
  if (tables.length > 0) {
    return Math.max(
      ...tables.map(({ tableId }) => fullZone(snapshot, { id: tableId, subId: 0 }).gcTtlSeconds),
    );
  }
  return payload.ttlSeconds ?? fullZone(snapshot, { id: databaseId, subId: 0 }).gcTtlSeconds;
}

async function run({ job, db, cache, check, progress }: JobRun): Promise<void> {
  const { spans } = payloadOf(job);
  const threshold = { wall: wallOfTimestamp(goneSince(job)), logical: 0 };
  await progress({ fraction: 0, runningStatus: 'clearing data' });
  for (const [at, span] of spans.entries()) {
    check();
    // Its change did not come to an end if a descriptor still refers to it.
    if (!isAlive(cache.current, span)) await clearSpan(db, span, threshold);
    await progress({ fraction: (at + 1) / spans.length, runningStatus: 'clearing data' });
  }
}

function isAlive(snapshot: CatalogSnapshot, span: DroppedSpan): boolean {
  const owner = snapshot.byId(span.tableId);
  if (owner === undefined) return false;
  if (owner.kind !== 'table') return true;
  return [owner.primaryIndex, ...owner.indexes].some(({ id }) => id === span.indexId);
}
