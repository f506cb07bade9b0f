/**
 * Object ids. Databases, schemas, tables, sequences and views have their descriptor id as oid, which
 * starts at 16384 for user objects as in PostgreSQL, so they never meet oids of built-in types and functions.
 *
 * Indexes, constraints, defaults and rules have no descriptor: their oids are made from the table's id
 * and a number inside the table, above 2^31, where no descriptor id comes. Each kind is unique within its own
 * pg_catalog table (pg_class, pg_constraint, ...); kinds overlap with each other, as oids of different
 * PostgreSQL catalogs may.
 */
import { type TableDescriptor } from './descriptors.ts';

export const firstUserId = 16384;

const derivedBase = 2 ** 31;
const perTable = 4096;
const tables = derivedBase / perTable;

function derivedOid(tableId: number, local: number): number {
  return derivedBase + (tableId % tables) * perTable + (local % perTable);
}

/** pg_class.oid and pg_index.indexrelid of an index. */
export function indexOid(tableId: number, indexId: number): number {
  return derivedOid(tableId, indexId);
}

/** pg_constraint.oid; `kind` keeps primary/unique, check and foreign keys of one table apart. */
export function constraintOid(
  tableId: number,
  kind: 'index' | 'check' | 'foreign',
  local: number,
): number {
  const offset = kind === 'index' ? 0 : kind === 'check' ? 2048 : 3072;
  return derivedOid(tableId, offset + (local % 1024));
}

/** pg_attrdef.oid. */
export function defaultOid(tableId: number, columnId: number): number {
  return derivedOid(tableId, columnId);
}

/** pg_rewrite.oid of a view's only rule. */
export function ruleOid(viewId: number): number {
  return derivedOid(viewId, 1);
}

/** pg_type.oid of a table's or view's row type. */
export function rowTypeOid(relationId: number): number {
  return derivedOid(relationId, 0);
}

/** The id of the implicit or explicit index with this derived oid, if it belongs to `table`. */
export function indexIdOfOid(table: TableDescriptor, oid: number): number | undefined {
  for (const index of [table.primaryIndex, ...table.indexes]) {
    if (indexOid(table.id, index.id) === oid) return index.id;
  }
  return undefined;
}
