/**
 * `SCHEMA CHANGE GC`: what DROP, TRUNCATE and others have taken out of the catalog stays readable in the past (AS OF
 * SYSTEM TIME) for as long as the zone configuration says, then its data is removed with range deletions, and reads of a
 * time before that are refused.
 */
import { fullZone, type CatalogSnapshot } from '../catalog/index.ts';
import { clearSpan } from '../ddl/backfill.ts';
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
  dueAt: (job, snapshot) => job.created + BigInt(ttlSeconds(payloadOf(job), snapshot)) * 1_000_000n,
  run,
};

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
  const payload = payloadOf(job);
  const { spans } = payload;
  const keptMicros = ttlSeconds(payload, cache.current) * 1_000_000;
  const threshold = { wall: db.clock.physicalMicros() - keptMicros, logical: 0 };
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
