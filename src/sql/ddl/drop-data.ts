/** Removing the data of what a transaction took out of the catalog: a job does it when nobody may read it any more. */
import { ownZone } from '../catalog/index.ts';
import { schemaGcType, waitingForTtl, type DroppedSpan } from '../jobs/index.ts';
import { type StatementContext } from '../session/types.ts';
import { type Ddl } from './context.ts';

export async function clearLater(
  ddl: Ddl,
  description: string,
  dropped: { readonly databaseId: number; readonly spans: readonly DroppedSpan[] },
): Promise<void> {
  const { context } = ddl;
  await collectLater(context, {
    ...dropped,
    description: `GC for ${description}`,
    ttlSeconds: ownTtl(ddl, dropped.spans),
  });
  context.ddl.add({ description: 'look for jobs', run: async () => context.jobs.wake() });
}

/** In `context.txn`, or in another transaction that takes the spans out of the catalog. */
export async function collectLater(
  context: Pick<StatementContext, 'jobs' | 'txn' | 'eval'>,
  dropped: {
    readonly description: string;
    readonly databaseId: number;
    readonly spans: readonly DroppedSpan[];
    readonly ttlSeconds?: number | undefined;
  },
): Promise<void> {
  const { description, ...payload } = dropped;
  if (payload.spans.length === 0) return;
  await context.jobs.create(context.txn, {
    type: schemaGcType,
    description,
    user: context.eval.currentUser,
    runningStatus: waitingForTtl,
    payload,
  });
}

/** Set on the table itself: its zone goes with it. */
function ownTtl({ catalog }: Ddl, spans: readonly DroppedSpan[]): number | undefined {
  const [first] = spans;
  if (first === undefined) return undefined;
  return ownZone(catalog.snapshot, { id: first.tableId, subId: 0 })?.gcTtlSeconds;
}
