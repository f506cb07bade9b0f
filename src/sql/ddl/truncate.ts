/** TRUNCATE: the table goes on with new index ids; the old data is cleared behind the commit. */
import { type TruncateStmt } from '@pgsql/types';
import { objectName, type TableDescriptor } from '../catalog/index.ts';
import { sqlError } from '../errors.ts';
import { type StatementResult } from '../session/types.ts';
import { done, findTable, refuseUnbuilt, type Ddl } from './context.ts';
import { type TableDraft } from './draft.ts';
import { clearLater } from './drop-data.ts';
import { renewIndexes } from './rewrite.ts';
import { restartSequence } from './sequences.ts';

export async function truncateTables(ddl: Ddl, stmt: TruncateStmt): Promise<StatementResult> {
  const { catalog, context } = ddl;
  const tables = new Map<number, TableDescriptor>();
  for (const node of stmt.relations ?? []) {
    if (!('RangeVar' in node)) continue;
    const table = findTable(ddl, node.RangeVar);
    tables.set(table.id, table);
  }
  // The map grows while referencing tables are found.
  for (const table of tables.values()) {
    for (const { tableId } of table.referencedBy) {
      const other = catalog.snapshot.tableById(tableId);
      if (other === undefined || tables.has(tableId)) continue;
      if (stmt.behavior !== 'DROP_CASCADE') {
        throw sqlError(
          'featureNotSupported',
          'cannot truncate a table referenced in a foreign key constraint',
          {
            detail: `Table "${other.name}" references "${table.name}".`,
            hint: `Truncate table "${other.name}" at the same time, or use TRUNCATE ... CASCADE.`,
          },
        );
      }
      context.notice('NOTICE', '00000', `truncate cascades to table "${other.name}"`);
      tables.set(tableId, other);
    }
  }
  for (const table of tables.values()) {
    refuseUnbuilt(table);
    const draft: TableDraft = { ...table };
    const old = renewIndexes(draft);
    ddl.writer.replace({ ...draft });
    const spans = old.map((indexId) => ({ tableId: table.id, indexId }));
    const { databaseId } = table;
    const name = objectName(catalog.snapshot, table);
    await clearLater(ddl, `TRUNCATE TABLE ${name}`, { databaseId, spans });
    if (stmt.restart_seqs === true) restartSequences(ddl, table);
    context.events.record('truncate_table', table.id, { TableName: name });
  }
  return done('TRUNCATE TABLE');
}

function restartSequences(ddl: Ddl, table: TableDescriptor): void {
  for (const column of table.columns) {
    for (const id of column.ownedSequenceIds ?? []) {
      const sequence = ddl.catalog.snapshot.byId(id);
      if (sequence?.kind === 'sequence') restartSequence(ddl.context.txn, sequence);
    }
  }
}
