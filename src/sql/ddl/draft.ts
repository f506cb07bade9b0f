/** A table descriptor while a statement changes it, and the look-ups every change needs. */
import { sqlError } from '../errors.ts';
import {
  type ColumnDescriptor,
  type IndexDescriptor,
  type TableDescriptor,
} from '../catalog/index.ts';

export type TableDraft = { -readonly [Key in keyof TableDescriptor]: TableDescriptor[Key] };

export function publicColumns(table: TableDescriptor): ColumnDescriptor[] {
  return table.columns.filter((column) => column.state === 'public' && column.hidden !== true);
}

export function findColumn(table: TableDescriptor, name: string): ColumnDescriptor | undefined {
  return table.columns.find((column) => column.name === name && column.state === 'public');
}

/** Throws 42703. */
export function requireColumn(table: TableDescriptor, name: string): ColumnDescriptor {
  const column = findColumn(table, name);
  if (column === undefined) {
    throw sqlError(
      'undefinedColumn',
      `column "${name}" of relation "${table.name}" does not exist`,
    );
  }
  return column;
}

/** For keys of constraints and indexes, whose error text has no table. Throws 42703. */
export function requireKeyColumn(table: TableDescriptor, name: string): ColumnDescriptor {
  const column = findColumn(table, name);
  if (column === undefined) {
    throw sqlError('undefinedColumn', `column "${name}" named in key does not exist`);
  }
  return column;
}

export function columnById(table: TableDescriptor, id: number): ColumnDescriptor | undefined {
  return table.columns.find((column) => column.id === id);
}

export function columnNames(table: TableDescriptor, ids: readonly number[]): string[] {
  return ids.map((id) => columnById(table, id)?.name ?? '?');
}

export function replaceColumn(draft: TableDraft, column: ColumnDescriptor): void {
  draft.columns = draft.columns.map((old) => (old.id === column.id ? column : old));
}

/** The table once its rows have been looked at: NOT NULL instead of the checks that stood for it and are still there. */
export function settleNotNull(table: TableDescriptor, ids: readonly number[]): TableDescriptor {
  const columns = new Set(
    table.checks.flatMap(({ becomesNotNull, columnIds }) =>
      becomesNotNull !== undefined && ids.includes(becomesNotNull) ? columnIds : [],
    ),
  );
  return {
    ...table,
    columns: table.columns.map((column) =>
      columns.has(column.id) ? { ...column, nullable: false } : column,
    ),
    checks: table.checks.filter(
      (check) =>
        check.becomesNotNull === undefined || !check.columnIds.some((id) => columns.has(id)),
    ),
  };
}

/** The table without these checks that stood for NOT NULL. */
export function giveUpNotNull(table: TableDescriptor, ids: readonly number[]): TableDescriptor {
  return {
    ...table,
    checks: table.checks.filter(
      ({ becomesNotNull }) => becomesNotNull === undefined || !ids.includes(becomesNotNull),
    ),
  };
}

export function allIndexes(table: TableDescriptor): IndexDescriptor[] {
  return [table.primaryIndex, ...table.indexes];
}

/** Primary key columns that are not among the index's own. */
export function suffixFor(
  primary: IndexDescriptor,
  columns: IndexDescriptor['columns'],
): readonly number[] {
  const own = new Set(columns.map(({ columnId }) => columnId));
  return primary.columns.map(({ columnId }) => columnId).filter((id) => !own.has(id));
}

/** 23502 for rows that are there already. */
export function containsNulls(table: TableDescriptor, column: ColumnDescriptor): Error {
  return sqlError(
    'notNullViolation',
    `column "${column.name}" of relation "${table.name}" contains null values`,
    { table: table.name, column: column.name },
  );
}

/** True when the stored expression names a column so, as far as its text tells. */
export function namesWord(sql: string, name: string): boolean {
  return new RegExp(
    `(^|[^\\w"])"?${name.replace(/[.*+?^${}()|[\]\\]/g, '\\$&')}"?($|[^\\w"])`,
  ).test(sql);
}

/** Columns that are generated from this one. */
export function generatedFrom(
  table: TableDescriptor,
  column: ColumnDescriptor,
): ColumnDescriptor[] {
  return table.columns.filter(
    ({ id, generatedSql }) =>
      id !== column.id && generatedSql !== undefined && namesWord(generatedSql, column.name),
  );
}

/** Names of all constraints of the table: their own namespace in PostgreSQL. */
export function constraintNames(table: TableDescriptor): Set<string> {
  const names = new Set<string>();
  for (const index of allIndexes(table)) if (index.isConstraint) names.add(index.name);
  for (const check of table.checks) names.add(check.name);
  for (const key of table.foreignKeys) names.add(key.name);
  return names;
}
