/**
 * UPSERT INTO t (cols) ... is INSERT ... ON CONFLICT (primary key) DO UPDATE SET every listed column
 * that is not in the key: written into the tree, so that the planner knows only one form.
 */
import { type InsertStmt, type Node } from '@pgsql/types';
import { type Catalog } from '../catalog/index.ts';
import { type TableDescriptor } from '../catalog/index.ts';
import { sqlError } from '../errors.ts';

export async function upsertAsInsert(node: Node, catalog: Catalog): Promise<Node> {
  if ('ExplainStmt' in node && node.ExplainStmt.query !== undefined) {
    return {
      ExplainStmt: {
        ...node.ExplainStmt,
        query: await upsertAsInsert(node.ExplainStmt.query, catalog),
      },
    };
  }
  if (!('InsertStmt' in node)) return node;
  const insert = node.InsertStmt;
  if (insert.onConflictClause !== undefined) {
    throw sqlError('syntaxError', 'UPSERT cannot have an ON CONFLICT clause');
  }
  const { relname = '', schemaname, catalogname } = insert.relation ?? {};
  const relation = await catalog.findRelation({
    name: relname,
    schema: schemaname,
    catalog: catalogname,
  });
  // Anything else fails in the planner with the message an INSERT would get.
  if (relation?.kind !== 'table') return node;
  return { InsertStmt: { ...insert, onConflictClause: conflictClause(insert, relation.table) } };
}

function conflictClause(
  insert: InsertStmt,
  table: TableDescriptor,
): NonNullable<InsertStmt['onConflictClause']> {
  const keyIds = new Set(table.primaryIndex.columns.map((column) => column.columnId));
  const columns = table.columns.filter(
    (column) =>
      column.state === 'public' && column.hidden !== true && column.generatedSql === undefined,
  );
  const listed = (insert.cols ?? []).flatMap((target) =>
    'ResTarget' in target ? [target.ResTarget.name ?? ''] : [],
  );
  const isSet = (name: string): boolean => listed.length === 0 || listed.includes(name);
  const targetList = columns
    .filter((column) => !keyIds.has(column.id) && isSet(column.name))
    .map((column): Node => ({
      ResTarget: {
        name: column.name,
        val: {
          ColumnRef: {
            fields: [{ String: { sval: 'excluded' } }, { String: { sval: column.name } }],
          },
        },
      },
    }));
  const indexElems = table.primaryIndex.columns.flatMap(({ columnId }): Node[] => {
    const column = table.columns.find(({ id }) => id === columnId);
    if (column === undefined) return [];
    return [
      {
        IndexElem: {
          name: column.name,
          ordering: 'SORTBY_DEFAULT',
          nulls_ordering: 'SORTBY_NULLS_DEFAULT',
        },
      },
    ];
  });
  if (targetList.length === 0) return { action: 'ONCONFLICT_NOTHING', infer: { indexElems } };
  return { action: 'ONCONFLICT_UPDATE', infer: { indexElems }, targetList };
}
