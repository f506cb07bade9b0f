/** Removing the data of what a transaction dropped, once it has committed. */
import { type Ddl } from './context.ts';
import { clearIndexes } from './backfill.ts';
import { finishJob, startJob, type Span } from './jobs.ts';

/** The spans are cleared behind the commit; a job makes sure of it. */
export async function clearLater(
  ddl: Ddl,
  description: string,
  spans: readonly Span[],
): Promise<void> {
  if (spans.length === 0) return;
  const { context, catalog } = ddl;
  const { db, env } = context;
  const job = await startJob(db, env, context.txn, {
    type: 'SCHEMA CHANGE GC',
    description: `GC for ${description}`,
    user: context.eval.currentUser,
    runningStatus: 'clearing data',
    payload: { kind: 'clear', nodeId: catalog.cache.nodeId, spans },
  });
  context.ddl.add({
    description: job.description,
    run: async () => {
      await clearIndexes(db, env, spans);
      await finishJob(db, env, job, null);
    },
  });
}
