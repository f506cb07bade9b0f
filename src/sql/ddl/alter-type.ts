/** ALTER COLUMN ... TYPE: without touching rows where old values are valid new ones, else by a rewrite. */
import { type Node } from '@pgsql/types';
import {
  indexesOf,
  quoteIdentifier,
  type ColumnDescriptor,
  type TableDescriptor,
} from '../catalog/index.ts';
import { sqlError } from '../errors.ts';
import { charLength, formatType, numericModifier, oids } from '../types/index.ts';
import { checkBoolean, checkComparable, validateCheck, validateForeignKey } from './constraints.ts';
import { identityType } from './columns.ts';
import { bindQuery, type Ddl } from './context.ts';
import { generatedFrom, replaceColumn, type TableDraft } from './draft.ts';
import { viewsUsing } from './drop.ts';
import { columnType, type ColumnType } from './nodes.ts';
import { rewriteTable, valueSql } from './rewrite.ts';
import { storedExpression } from './stored-expressions.ts';

/** True when the column has new values: `validateRetyped` then belongs to the end of the statement. */
export async function changeType(
  ddl: Ddl,
  table: TableDescriptor,
  column: ColumnDescriptor,
  def: Node | undefined,
): Promise<boolean> {
  if (def === undefined || !('ColumnDef' in def)) return false;
  const type = columnType(def.ColumnDef.typeName);
  if (column.identity !== undefined) identityType(type.oid);
  const using = def.ColumnDef.raw_default;
  if (column.generatedSql !== undefined && using !== undefined) {
    throw sqlError(
      'invalidColumnDefinition',
      'cannot specify USING when altering type of generated column',
    );
  }
  const [generated] = generatedFrom(table, column);
  if (generated !== undefined) {
    throw sqlError(
      'featureNotSupported',
      'cannot alter type of a column used by a generated column',
      { detail: `Column "${column.name}" is used by generated column "${generated.name}".` },
    );
  }
  const [view] = viewsUsing(ddl, table, column.name);
  if (view !== undefined) {
    throw sqlError('featureNotSupported', 'cannot alter type of a column used by a view or rule', {
      detail: `rule _RETURN on view ${view.name} depends on column "${column.name}"`,
    });
  }
  const partitioned = indexesOf(table).find(
    ({ partitioning, columns }) =>
      partitioning !== undefined &&
      columns.slice(0, partitioning.columns).some(({ columnId }) => columnId === column.id),
  );
  if (partitioned !== undefined) {
    throw sqlError('featureNotSupported', 'cannot alter type of a column that bounds partitions', {
      hint: `ALTER INDEX ${partitioned.name} PARTITION BY NOTHING removes them.`,
    });
  }
  const old = { oid: column.typeOid, typmod: column.typmod };
  const changed = await withDefault(ddl, { ...column, typeOid: type.oid, typmod: type.typmod });
  const draft: TableDraft = { ...table };
  replaceColumn(draft, changed);
  if (using === undefined && isSameStored(old, type)) {
    ddl.writer.replace({ ...draft });
    return false;
  }
  const source = using === undefined ? quoteIdentifier(column.name) : storedExpression(ddl, using);
  if (using === undefined) checkAssignable(column, type);
  const { missingText: _, ...filled } = changed;
  replaceColumn(draft, filled);
  await rewriteTable(ddl, table, draft, new Map([[column.id, valueSql(source, changed)]]));
  return true;
}

/**
 * Looks at what is demanded of columns with new values, here and by foreign keys of other tables. Throws 23514 and
 * 23503; 42883 and 42804 where an expression or a key does not fit the new type.
 */
export async function validateRetyped(
  ddl: Ddl,
  table: TableDescriptor,
  columnIds: ReadonlySet<number>,
): Promise<void> {
  const isRetyped = (id: number): boolean => columnIds.has(id);
  for (const check of table.checks) {
    if (!check.columnIds.some(isRetyped)) continue;
    if (check.validated) await validateCheck(ddl, table, check);
    else await checkBoolean(ddl, table, check.sql, 'CHECK');
  }
  for (const { predicateSql } of table.indexes) {
    if (predicateSql !== undefined) await checkBoolean(ddl, table, predicateSql, 'WHERE');
  }
  const { snapshot } = ddl.catalog;
  const referring = new Set([table.id, ...table.referencedBy.map(({ tableId }) => tableId)]);
  for (const id of referring) {
    const child = snapshot.tableById(id);
    for (const key of child?.foreignKeys ?? []) {
      const parent = snapshot.tableById(key.referencedTableId);
      const isTouched =
        (id === table.id && key.columnIds.some(isRetyped)) ||
        (parent?.id === table.id && key.referencedColumnIds.some(isRetyped));
      if (!isTouched || child === undefined || parent === undefined) continue;
      checkComparable(child, key, parent);
      if (key.validated) await validateForeignKey(ddl, child, key);
    }
  }
}

/** A default must fit the new type too. Throws 42804. */
async function withDefault(ddl: Ddl, column: ColumnDescriptor): Promise<ColumnDescriptor> {
  const { defaultSql } = column;
  if (defaultSql === undefined || column.ownedSequenceIds !== undefined) return column;
  const display = formatType(column.typeOid, column.typmod);
  const bare = /^('(?:[^']|'')*')::[a-z ]+$/.exec(defaultSql)?.[1];
  const sql = bare === undefined ? defaultSql : `${bare}::${formatType(column.typeOid, -1)}`;
  await bindQuery(ddl.context, `SELECT (${sql})::${display}`).catch(() => {
    throw sqlError(
      'datatypeMismatch',
      `default for column "${column.name}" cannot be cast automatically to type ${formatType(column.typeOid)}`,
    );
  });
  return { ...column, defaultSql: sql };
}

function checkAssignable(column: ColumnDescriptor, type: ColumnType): void {
  const isText = (oid: number): boolean =>
    [oids.text, oids.varchar, oids.bpchar].some((other) => other === oid);
  // Text becomes something else only by USING; everything becomes text.
  if (!isText(column.typeOid) || isText(type.oid)) return;
  throw sqlError(
    'datatypeMismatch',
    `column "${column.name}" cannot be cast automatically to type ${formatType(type.oid)}`,
    {
      hint: `You might need to specify "USING ${quoteIdentifier(column.name)}::${formatType(type.oid, type.typmod)}".`,
    },
  );
}

const width = new Map<number, number>([
  [oids.int2, 2],
  [oids.int4, 4],
  [oids.int8, 8],
]);

/** True when every stored value of `from` reads back as the same value of `to`, in rows and in keys. */
export function isSameStored(from: ColumnType, to: ColumnType): boolean {
  const [oldWidth, newWidth] = [width.get(from.oid), width.get(to.oid)];
  if (oldWidth !== undefined && newWidth !== undefined) return newWidth >= oldWidth;
  const isVarying = (oid: number): boolean => oid === oids.text || oid === oids.varchar;
  if (isVarying(from.oid) && isVarying(to.oid)) {
    const limit = to.oid === oids.text ? undefined : charLength(to.typmod);
    const before = from.oid === oids.text ? undefined : charLength(from.typmod);
    return limit === undefined || (before !== undefined && before <= limit);
  }
  if (from.oid !== to.oid) return false;
  if (from.typmod === to.typmod || (to.typmod === -1 && from.oid !== oids.bpchar)) return true;
  if (from.oid !== oids.numeric) return false;
  const [old, wanted] = [numericModifier(from.typmod), numericModifier(to.typmod)];
  return (
    old !== undefined &&
    wanted !== undefined &&
    old.scale === wanted.scale &&
    wanted.precision >= old.precision
  );
}
