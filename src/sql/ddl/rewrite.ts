/**
 * Rewriting a table inside one transaction: every row is read through a query, and written under new index ids of
 * the changed descriptor. A statement on its own keeps all others from the table meanwhile, as in PostgreSQL; in a block, which may
 * last, a concurrent writer makes the commit fail with 40001. The whole table passes through one transaction: meant for changes of a
 * column's type, of a primary key inside a transaction block, and for volatile defaults.
 */
import {
  quoteIdentifier,
  objectName,
  type ColumnDescriptor,
  type IndexDescriptor,
  type TableDescriptor,
} from '../catalog/index.ts';
import { planStatement } from '../plan/index.ts';
import { tableCodec, type IndexCodec } from '../row/index.ts';
import { formatType, oids, typeOps, type Datum, type FormatSettings } from '../types/index.ts';
import { writeEntries } from './backfill.ts';
import { qualifiedText, type Ddl } from './context.ts';
import { allIndexes, containsNulls, type TableDraft } from './draft.ts';
import { clearLater } from './drop-data.ts';
import { partialFilter } from './indexes.ts';
import { parseOwn } from '../parse/index.ts';

/** Gives every index of the draft a new id and returns the old ids. */
export function renewIndexes(draft: TableDraft): number[] {
  const old = allIndexes(draft).map(({ id }) => id);
  const renew = (index: IndexDescriptor): IndexDescriptor => ({
    ...index,
    id: draft.nextIndexId++,
  });
  draft.primaryIndex = renew(draft.primaryIndex);
  draft.indexes = draft.indexes.map(renew);
  return old;
}

type ColumnType = Pick<ColumnDescriptor, 'typeOid' | 'typmod'>;

const isLimited = ({ typeOid }: ColumnType): boolean =>
  typeOid === oids.varchar || typeOid === oids.bpchar;

/** SQL for a value of the column, whose length is still to be checked: an explicit cast would cut off what is too long. */
export function valueSql(sql: string, column: ColumnType): string {
  return `(${sql})::${isLimited(column) ? 'text' : formatType(column.typeOid, column.typmod)}`;
}

/** Gives a value from `valueSql` its length. Throws 22001. */
export function limited(value: Datum, column: ColumnType, format: FormatSettings): Datum {
  if (typeof value !== 'string' || !isLimited(column)) return value;
  return typeOps(column.typeOid).parse(value, column.typmod, format);
}

/**
 * Stores the draft and moves all rows of `before` over to it. `values` gives SQL (`valueSql`) for columns (by id)
 * whose value is not simply kept; it may name the old columns. Throws 22001 where such a value is too long for its
 * column, 23502 where it is NULL and must not be. What CHECK and FOREIGN KEY say of it is the caller's to look at.
 */
export async function rewriteTable(
  ddl: Ddl,
  before: TableDescriptor,
  draft: TableDraft,
  values: ReadonlyMap<number, string>,
): Promise<TableDescriptor> {
  const { context, writer } = ddl;
  const oldIds = renewIndexes(draft);
  const oldById = new Map(before.columns.map((column) => [column.id, column]));
  const items = draft.columns.map((column) => {
    const given = values.get(column.id);
    const old = oldById.get(column.id);
    return given ?? (old === undefined ? 'NULL' : quoteIdentifier(old.name));
  });
  // Planned and opened against the old descriptor: from here on the rows flow from the old indexes.
  const sql = `SELECT ${items.join(', ')} FROM ${qualifiedText(ddl.catalog, before)}`;
  const plan = await planStatement({
    statement: await parseOwn(sql),
    parameterTypes: [],
    catalog: context.catalog,
    eval: context.eval,
  });
  const holdBack = async (): Promise<void> => {
    if (context.autocommit) await ddl.catalog.holdBack(context.txn, before.id);
  };
  await holdBack();
  const result = await plan.execute({ ...context, autocommit: false });
  const table = writer.replace({ ...draft });
  const codec = tableCodec(table);
  const given = table.columns.flatMap((column, at) =>
    values.has(column.id) ? [{ column, at }] : [],
  );
  while (true) {
    context.checkCanceled();
    await holdBack();
    const batch = await result.next();
    if (batch === undefined) break;
    const rows = batch.map((row): Datum[] => [...row]);
    for (const row of rows) {
      for (const { column, at } of given) {
        const value = limited(row[at] ?? null, column, context.eval);
        if (value === null && !column.nullable) throw containsNulls(table, column);
        row[at] = value;
      }
    }
    // The primary index first, and rows in its order: which of them a partial index holds is asked of the table itself.
    const ordered = inKeyOrder(codec.index(table.primaryIndex.id), rows);
    for (const index of allIndexes(table)) {
      const filter = partialFilter(context, table, index);
      const keep = filter === undefined ? undefined : await filter(context.txn, ordered);
      const mine = keep === undefined ? ordered : ordered.filter((_, at) => keep[at] === true);
      await writeEntries(context.txn, table, codec.index(index.id), mine);
    }
    await context.txn.flushIfLarge();
  }
  await clearLater(ddl, `rewrite of ${objectName(ddl.catalog.snapshot, table)}`, {
    databaseId: table.databaseId,
    spans: oldIds.map((indexId) => ({ tableId: table.id, indexId })),
  });
  return table;
}

function inKeyOrder(primary: IndexCodec, rows: readonly Datum[][]): readonly Datum[][] {
  const keyed = rows.map((row) => ({ row, key: primary.encodeKey(row) }));
  return keyed.sort((a, b) => Buffer.compare(a.key, b.key)).map(({ row }) => row);
}
