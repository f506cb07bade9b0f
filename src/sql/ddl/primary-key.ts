/**
 * Changing the primary key of a table. On a table that is empty, small (inside a transaction block) or new, the rows
 * are rewritten in the transaction. Otherwise the new primary index is built beside the table as an ordinary unique
 * index that stores every column, whose entries have exactly the form of primary rows; and so are new
 * versions of the other indexes, which point to rows by the new key. One last commit exchanges all of them.
 */
import { type Constraint } from '@pgsql/types';
import { type IndexDescriptor, type TableDescriptor } from '../catalog/index.ts';
import { sqlError } from '../errors.ts';
import { isEmptyTable } from './backfill.ts';
import {
  addNotNullCheck,
  implicitKey,
  primaryKey,
  rowIdDefault,
  validateNotNull,
} from './constraints.ts';
import { type Ddl } from './context.ts';
import { columnById, suffixFor, type TableDraft } from './draft.ts';
import { buildLater } from './indexes.ts';
import { rewriteTable } from './rewrite.ts';

export async function addPrimaryKey(
  ddl: Ddl,
  table: TableDescriptor,
  constraint: Constraint,
): Promise<void> {
  if (table.primaryIndex.isConstraint) {
    throw sqlError(
      'invalidTableDefinition',
      `multiple primary keys for table "${table.name}" are not allowed`,
    );
  }
  const draft: TableDraft = { ...table };
  const primary = primaryKey(ddl, draft, constraint);
  const { context, writer } = ddl;
  if (!writer.isNew(table.id) && context.autocommit && !(await isEmptyTable(context.txn, table))) {
    draft.columns = table.columns;
    await exchangeLater(ddl, draft, primary);
    return;
  }
  await checkNulls(ddl, table, primary);
  const hidden = hiddenKeyColumn(table);
  draft.primaryIndex = primary;
  draft.indexes = draft.indexes.map((index) => withSuffix(index, primary));
  draft.columns = draft.columns.filter(({ id }) => id !== hidden);
  await rewriteTable(ddl, table, draft, new Map());
}

/** The primary key constraint goes; rows get a hidden key. */
export async function dropPrimaryKey(ddl: Ddl, table: TableDescriptor): Promise<void> {
  const draft: TableDraft = { ...table };
  const primary = implicitKey(draft);
  const column = primary.columns[0]?.columnId ?? 0;
  draft.primaryIndex = primary;
  draft.indexes = draft.indexes.map((index) => withSuffix(index, primary));
  await rewriteTable(ddl, table, draft, new Map([[column, rowIdDefault()]]));
}

function withSuffix(index: IndexDescriptor, primary: IndexDescriptor): IndexDescriptor {
  const suffixColumnIds = suffixFor(primary, index.columns);
  const storedColumnIds = index.storedColumnIds.filter((id) => !suffixColumnIds.includes(id));
  return { ...index, suffixColumnIds, storedColumnIds };
}

function hiddenKeyColumn(table: TableDescriptor): number | undefined {
  const id = table.primaryIndex.columns[0]?.columnId;
  return table.columns.find((column) => column.id === id && column.hidden === true)?.id;
}

async function checkNulls(
  ddl: Ddl,
  table: TableDescriptor,
  primary: IndexDescriptor,
): Promise<void> {
  for (const { columnId } of primary.columns) {
    const column = columnById(table, columnId);
    if (column?.nullable === true) await validateNotNull(ddl, table, column);
  }
}

/** Adds the new indexes as write-only; once filled they take the place of the old ones, and key columns are NOT NULL. */
async function exchangeLater(ddl: Ddl, draft: TableDraft, primary: IndexDescriptor): Promise<void> {
  const keys = new Set(primary.columns.map(({ columnId }) => columnId));
  const oldPrimary = draft.primaryIndex;
  const building: IndexDescriptor = {
    ...primary,
    suffixColumnIds: suffixFor(oldPrimary, primary.columns),
    storedColumnIds: draft.columns.map(({ id }) => id).filter((id) => !keys.has(id)),
    state: 'write-only',
    replaces: oldPrimary.id,
  };
  const replacements = draft.indexes.map((index): IndexDescriptor => ({
    ...withSuffix(index, primary),
    id: draft.nextIndexId++,
    name: `${index.name}_new_${index.id}`,
    isConstraint: false,
    state: 'write-only',
    replaces: index.id,
  }));
  const added = [building, ...replacements];
  const oldIds = [oldPrimary.id, ...draft.indexes.map(({ id }) => id)];
  draft.indexes = [...draft.indexes, ...added];
  const notNullIds: number[] = [];
  for (const column of draft.columns) {
    if (keys.has(column.id) && column.nullable)
      notNullIds.push(await addNotNullCheck(ddl, draft, column));
  }
  const table = ddl.writer.replace({ ...draft });
  const description = `ALTER TABLE ${table.name} ADD PRIMARY KEY`;
  await buildLater(
    ddl,
    table.id,
    added,
    description,
    (writer, current) => {
      const hidden = hiddenKeyColumn(current);
      // As they are called by now.
      const indexes = current.indexes.flatMap((index) => {
        const made = current.indexes.find(({ replaces }) => replaces === index.id);
        return made === undefined ? [] : [{ ...withSuffix(index, primary), id: made.id }];
      });
      const { replaces: _, ...built } =
        current.indexes.find(({ id }) => id === building.id) ?? building;
      const { suffixColumnIds, storedColumnIds } = primary;
      writer.replace({
        ...current,
        primaryIndex: { ...built, suffixColumnIds, storedColumnIds, state: 'public' },
        indexes,
        columns: current.columns.filter(({ id }) => id !== hidden),
      });
    },
    { obsoleteIds: oldIds, notNullIds },
  );
}
