/** ORDER BY items. */
import { type Node, type SortBy } from '@pgsql/types';
import { type Expr } from '../expr.ts';
import { type SortKey } from '../logical.ts';
import { type ExprContext, failAt, typeName } from './binder.ts';
import { settle } from './coerce.ts';
import { bindExpr } from './context.ts';
import { isComparisonOf } from './resolve.ts';

export function sortByOf(node: Node): SortBy {
  if ('SortBy' in node) return node.SortBy;
  return { node, sortby_dir: 'SORTBY_DEFAULT', sortby_nulls: 'SORTBY_NULLS_DEFAULT' };
}

/** An ORDER BY item that is an expression (in aggregates and windows). */
export function bindSortKey(c: ExprContext, node: Node): SortKey {
  const item = sortByOf(node);
  return sortKey(settle(c.binder, bindExpr(c, item.node)), item);
}

export function sortKey(expr: Expr, item: SortBy): SortKey {
  let descending = item.sortby_dir === 'SORTBY_DESC';
  if (item.sortby_dir === 'SORTBY_USING') {
    const last = item.useOp?.at(-1);
    const name = last !== undefined && 'String' in last ? last.String.sval : undefined;
    if (name !== '<' && name !== '>') {
      throw failAt(
        'wrongObjectType',
        `operator ${name ?? ''} is not a valid ordering operator`,
        item.location,
      );
    }
    descending = name === '>';
  }
  requireOrder(expr.type, item.location);
  const nullsFirst =
    item.sortby_nulls === 'SORTBY_NULLS_FIRST'
      ? true
      : item.sortby_nulls === 'SORTBY_NULLS_LAST'
        ? false
        : descending;
  return { expr, descending, nullsFirst };
}

export function requireEquality(type: number, location?: number): void {
  if (isComparisonOf(type)) return;
  throw failAt(
    'undefinedFunction',
    `could not identify an equality operator for type ${typeName(type)}`,
    location,
  );
}

/** Sorting, grouping and DISTINCT need a total order. */
export function requireOrder(type: number, location?: number): void {
  if (isComparisonOf(type)) return;
  throw failAt(
    'undefinedFunction',
    `could not identify an ordering operator for type ${typeName(type)}`,
    location,
    { hint: 'Use an explicit ordering operator or modify the query.' },
  );
}
