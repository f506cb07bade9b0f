/** The table that a statement writes: its columns, defaults, and names for its rows. */
import { must } from '../../../util/index.ts';
import { type ColumnDescriptor, type TableDescriptor } from '../../catalog/descriptors.ts';
import { constExpr, type ColumnId, type Expr } from '../expr.ts';
import { childScope, failAt, plainContext, type Binder, type Names } from './binder.ts';
import { coerceToColumn } from './coerce.ts';
import { bindExpr } from './context.ts';
import { lookupRelation, namedItem } from './from.ts';
import { type RangeVar } from '@pgsql/types';

export function targetTable(
  binder: Binder,
  name: RangeVar,
  verb: string,
): { readonly table: TableDescriptor; readonly schemaName: string } {
  const relation = lookupRelation(binder, name);
  if (relation.kind === 'table') return relation;
  const kind = relation.kind === 'virtual' ? 'system view' : relation.kind;
  throw failAt('wrongObjectType', `cannot ${verb} ${kind} "${name.relname ?? ''}"`, name.location);
}

export function findColumn(table: TableDescriptor, name: string, location?: number): number {
  const position = table.columns.findIndex(
    (column) => column.name === name && column.state === 'public',
  );
  if (position < 0) {
    throw failAt(
      'undefinedColumn',
      `column "${name}" of relation "${table.name}" does not exist`,
      location,
    );
  }
  return position;
}

/** The column's default as an expression; NULL when it has none. */
export function defaultOf(binder: Binder, table: TableDescriptor, position: number): Expr {
  const column = must(table.columns[position]);
  const node = binder.prefetched.defaults.get(table.id)?.get(position);
  if (node === undefined) return { ...constExpr(null, column.typeOid), typmod: column.typmod };
  const c = plainContext(binder, childScope(undefined), 'DEFAULT expressions');
  return coerceToColumn(binder, bindExpr(c, node), column);
}

export function rowColumns(binder: Binder, table: TableDescriptor, alias: string): ColumnId[] {
  return table.columns.map((column) =>
    binder.newColumn({
      name: column.name,
      type: column.typeOid,
      typmod: column.typmod,
      qualified: `${alias}.${column.name}`,
    }),
  );
}

/** The names of a row of `table` whose columns (by position) are `ids`. */
export function rowNames(
  table: TableDescriptor,
  ids: readonly ColumnId[],
  alias: string,
  schema: string | undefined,
): Names {
  const columns = table.columns.flatMap((column: ColumnDescriptor, position) =>
    column.state === 'public'
      ? [
          {
            id: must(ids[position]),
            name: column.name,
            tableOid: table.id,
            columnNumber: column.id,
            hidden: column.hidden === true,
          },
        ]
      : [],
  );
  return namedItem(columns, undefined, alias, { table, schema });
}
