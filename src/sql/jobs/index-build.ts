/**
 * `SCHEMA CHANGE`: an index that is built behind the commit of its statement, by the node of its session. Its statement
 * has not reported success before the index is there; so when that node is gone, the index is taken back.
 */
import { zeroTimestamp } from '../../kv/index.ts';
import {
  changeCatalog,
  objectName,
  type CatalogCache,
  type CatalogPin,
  type CatalogWriter,
  type IndexDescriptor,
  type TableDescriptor,
} from '../catalog/index.ts';
import { clearSpan } from '../ddl/backfill.ts';
import { giveUpNotNull } from '../ddl/draft.ts';
import { type JobType } from './registry.ts';

export const indexBuildType = 'SCHEMA CHANGE';

export interface IndexBuildPayload {
  readonly tableId: number;
  readonly indexIds: readonly number[];
  /** Checks (`becomesNotNull`) that were added for their sake. Absent in jobs of earlier versions. */
  readonly notNullIds?: readonly number[];
}

/** Only adopted jobs are run by their type: the builder does the work itself (`JobRegistry.runHere`). */
export const indexBuild: JobType = {
  isOfSession: true,
  run: async () => {
    throw new Error('the node that built the index is gone');
  },
  revert: async ({ job, cache, eventLog }) => {
    // Written by `indexes.ts` alone.
    const payload = job.payload as IndexBuildPayload;
    const { tableId } = payload;
    await abandonIndexes(cache, payload, {
      tell: ({ txn, snapshot }, table) =>
        eventLog.write(txn, {
          type: 'reverse_schema_change',
          targetId: tableId,
          fields: {
            User: job.user,
            DescriptorID: tableId,
            TableName: objectName(snapshot, table),
            Error: job.error ?? '',
          },
        }),
    });
  },
};

export interface Abandoning {
  /** Of the session that does it. */
  readonly pin?: CatalogPin | undefined;
  /** Writes the event, in the same transaction. */
  readonly tell: (writer: CatalogWriter, table: TableDescriptor) => void;
}

/** Takes indexes that are not public out of their table and clears them: nobody has ever read them. */
export async function abandonIndexes(
  cache: CatalogCache,
  { tableId, indexIds, notNullIds = [] }: IndexBuildPayload,
  { pin, tell }: Abandoning,
): Promise<void> {
  const gone = await changeCatalog(cache, { name: 'abandon index', pin }, async (writer) => {
    const table = writer.snapshot.tableById(tableId);
    if (table === undefined) return indexIds;
    const isGone = ({ id, state }: IndexDescriptor): boolean =>
      indexIds.includes(id) && state !== 'public';
    const kept = table.indexes.filter((index) => !isGone(index));
    if (kept.length < table.indexes.length) {
      writer.replace({ ...giveUpNotNull(table, notNullIds), indexes: kept });
      tell(writer, table);
    }
    const used = new Set([table.primaryIndex, ...kept].map(({ id }) => id));
    return indexIds.filter((id) => !used.has(id));
  });
  for (const indexId of gone) await clearSpan(cache.db, { tableId, indexId }, zeroTimestamp);
}
