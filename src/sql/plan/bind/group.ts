/** GROUP BY: plain expressions and grouping sets, rollup, cube. */
import { columnsOf } from '../walk.ts';
import { type Node, type SelectStmt } from '@pgsql/types';
import { type Expr } from '../expr.ts';
import { type ExprContext, failAt, nothingAllowed } from './binder.ts';
import { settle } from './coerce.ts';
import { bindExpr, locationOf } from './context.ts';
import { positionNumber } from './limit.ts';
import { sameExpr } from './same.ts';
import { requireOrder } from './sort.ts';
import { bareName, type Target } from './targets.ts';

export interface Grouping {
  readonly exprs: readonly Expr[];
  /** Undefined: one set of all expressions. */
  readonly sets: readonly (readonly number[])[] | undefined;
}

/** PostgreSQL's own limit. */
const maxSets = 4096;

export function bindGroups(
  c: ExprContext,
  stmt: SelectStmt,
  targets: readonly Target[],
): Grouping | undefined {
  if (stmt.groupClause === undefined) return undefined;
  const exprs: Expr[] = [];
  const inner: ExprContext = { ...c, clause: 'GROUP BY', allow: nothingAllowed };
  const add = (node: Node): number => {
    const expr = groupExpr(inner, node, targets);
    requireOrder(expr.type, locationOf(node));
    const at = exprs.findIndex((other) => sameExpr(other, expr));
    if (at >= 0) return at;
    exprs.push(expr);
    return exprs.length - 1;
  };
  let isPlain = true;
  let product: number[][] = [[]];
  for (const node of stmt.groupClause) {
    if ('GroupingSet' in node) isPlain = false;
    const sets = setsOf(node, add);
    product = product.flatMap((left) => sets.map((right) => [...new Set([...left, ...right])]));
    if (product.length > maxSets) {
      throw failAt(
        'statementTooComplex',
        `too many grouping sets present (maximum ${maxSets})`,
        locationOf(node),
      );
    }
  }
  if (stmt.groupDistinct === true) {
    const seen = new Map(product.map((set) => [[...set].sort((a, b) => a - b).join(','), set]));
    product = [...seen.values()];
  }
  return { exprs, sets: isPlain ? undefined : product };
}

function setsOf(node: Node, add: (node: Node) => number): number[][] {
  if (!('GroupingSet' in node)) return [itemsOf(node, add)];
  const { kind, content = [] } = node.GroupingSet;
  switch (kind) {
    case 'GROUPING_SET_EMPTY':
      return [[]];
    case 'GROUPING_SET_ROLLUP': {
      const parts = content.map((item) => itemsOf(item, add));
      return parts.map((_part, i) => parts.slice(0, parts.length - i).flat()).concat([[]]);
    }
    case 'GROUPING_SET_CUBE': {
      const parts = content.map((item) => itemsOf(item, add));
      if (parts.length > 12) throw failAt('programLimitExceeded', 'CUBE is limited to 12 elements');
      const sets: number[][] = [];
      for (let bits = 2 ** parts.length - 1; bits >= 0; bits--) {
        sets.push(parts.flatMap((part, i) => ((bits >> (parts.length - 1 - i)) & 1 ? part : [])));
      }
      return sets;
    }
    case 'GROUPING_SET_SETS':
      return content.flatMap((item) => setsOf(item, add));
    default:
      return content.map((item) => itemsOf(item, add));
  }
}

/** (a, b) counts as both. */
function itemsOf(node: Node, add: (node: Node) => number): number[] {
  if ('RowExpr' in node && node.RowExpr.row_format === 'COERCE_IMPLICIT_CAST') {
    return (node.RowExpr.args ?? []).map(add);
  }
  if ('List' in node) return (node.List.items ?? []).map(add);
  return [add(node)];
}

/** Names mean columns of FROM first, then the select list. */
function groupExpr(c: ExprContext, node: Node, targets: readonly Target[]): Expr {
  const position = positionNumber(node);
  if (position !== undefined) {
    const target = targets[position - 1];
    if (target === undefined) {
      throw failAt(
        'invalidColumnReference',
        `GROUP BY position ${position} is not in select list`,
        locationOf(node),
      );
    }
    checkPlain(c, target.expr, node);
    return target.expr;
  }
  const name = bareName(node);
  if (name !== undefined && !c.scope.columns.some((column) => column.name === name)) {
    const matches = targets.filter((candidate) => candidate.name === name);
    const [target] = matches;
    if (target !== undefined) {
      if (matches.some((other) => !sameExpr(other.expr, target.expr))) {
        throw failAt('ambiguousColumn', `GROUP BY "${name}" is ambiguous`, locationOf(node));
      }
      checkPlain(c, target.expr, node);
      return target.expr;
    }
  }
  if ('A_Const' in node && node.A_Const.isnull !== true && node.A_Const.ival === undefined) {
    throw failAt('syntaxError', 'non-integer constant in GROUP BY', locationOf(node));
  }
  return settle(c.binder, bindExpr(c, node));
}

function checkPlain(c: ExprContext, expr: Expr, node: Node): void {
  const level = c.level;
  if (level === undefined) return;
  const made = new Set([
    ...level.aggregates.map((call) => call.id),
    ...level.windows.flatMap((window) => window.calls.map((call) => call.id)),
  ]);
  if (usesAny(expr, made)) {
    throw failAt(
      'groupingError',
      'aggregate functions are not allowed in GROUP BY',
      locationOf(node),
    );
  }
}

function usesAny(expr: Expr, ids: ReadonlySet<number>): boolean {
  return [...columnsOf(expr)].some((id) => ids.has(id));
}
