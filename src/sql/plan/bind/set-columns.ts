/** The columns of set operations: common types, and casts to them. */
import { type Expr, unknownOid } from '../expr.ts';
import { type Rel } from '../logical.ts';
import { type Binder, type BoundQuery, failAt } from './binder.ts';
import { coerceCommon, unifyTypes } from './coerce.ts';
import { requireOrder } from './sort.ts';

/** Unifies the column types of both sides and puts the set operation over them. */
export function combine(
  binder: Binder,
  op: 'union' | 'intersect' | 'except',
  all: boolean,
  left: BoundQuery,
  right: BoundQuery,
  location?: number,
): BoundQuery {
  const what = op.toUpperCase();
  if (left.columns.length !== right.columns.length) {
    throw failAt(
      'syntaxError',
      `each ${what} query must have the same number of columns`,
      location,
    );
  }
  const types = left.columns.map((column, i) => {
    const other = right.columns[i] ?? column;
    const a = binder.info(column.id);
    const b = binder.info(other.id);
    const literal = (rel: Rel, id: number): boolean => isLiteral(rel, id);
    const aType = literal(left.rel, column.id) && b.type !== 25 ? unknownOid : a.type;
    const bType = literal(right.rel, other.id) && a.type !== 25 ? unknownOid : b.type;
    const type = unifyTypes([aType, bType], what);
    if (!(op === 'union' && all)) requireOrder(type);
    return { type, typmod: a.typmod === b.typmod && a.type === b.type ? a.typmod : -1 };
  });
  const adaptedLeft = adapt(
    binder,
    left,
    types.map((t) => t.type),
    what,
  );
  const adaptedRight = adapt(
    binder,
    right,
    types.map((t) => t.type),
    what,
  );
  const columns = left.columns.map((column, i) => ({
    id: binder.newColumn({
      name: column.name,
      type: types[i]?.type ?? unknownOid,
      typmod: types[i]?.typmod ?? -1,
    }),
    name: column.name,
    tableOid: 0,
    columnNumber: 0,
  }));
  return {
    rel: {
      kind: 'set-op',
      op,
      all,
      left: adaptedLeft.rel,
      right: adaptedRight.rel,
      leftColumns: adaptedLeft.columns.map((column) => column.id),
      rightColumns: adaptedRight.columns.map((column) => column.id),
      columns: columns.map((column) => column.id),
    },
    columns,
  };
}

/** A text column that is nothing but a string literal or NULL was of unknown type before it was settled. */
function isLiteral(rel: Rel, id: number): boolean {
  if (rel.kind !== 'project') return false;
  const item = rel.items.find((candidate) => candidate.id === id);
  return item?.expr.kind === 'const' && item.expr.type === 25;
}

/** Casts the columns of a query to `types`; string literals are read as that type. */
export function adapt(
  binder: Binder,
  query: BoundQuery,
  types: readonly number[],
  what: string,
): BoundQuery {
  if (query.columns.every((column, i) => binder.info(column.id).type === types[i])) return query;
  const { rel } = query;
  const items = query.columns.map((column, i) => {
    const want = types[i] ?? unknownOid;
    const { type } = binder.info(column.id);
    if (type === want) return { id: column.id, expr: binder.reference(column.id) };
    let expr: Expr = binder.reference(column.id);
    const inner =
      rel.kind === 'project' ? rel.items.find((item) => item.id === column.id)?.expr : undefined;
    if (inner?.kind === 'const' && inner.type === 25) expr = { ...inner, type: unknownOid };
    const cast = coerceCommon(binder, expr, want, what);
    return { id: binder.newColumn({ name: column.name, type: want }), expr: cast };
  });
  return {
    rel: { kind: 'project', input: rel, items },
    columns: query.columns.map((column, i) => ({ ...column, id: items[i]?.id ?? column.id })),
  };
}
