/**
 * A correlated scalar subquery that aggregates over rows equal to outer columns becomes a left join
 * with one aggregation per key (Kim's type JA, with the outer join that keeps empty groups; only for
 * aggregates that give NULL over no rows, and where groups that nobody asks for cannot raise an error).
 */
import { type ColumnId, columnExpr, conjuncts, type Expr, type SubqueryExpr } from '../expr.ts';
import { type AggregateRel, outputOf, type Rel } from '../logical.ts';
import { freeColumns, mapAll, mapChildren, mapOwnExprs, visitAllRels } from '../walk.ts';
import {
  cannotFail,
  hasSubquery,
  isPlainComparison,
  isVolatileRel,
  usesAny,
  usesOnly,
} from './predicates.ts';
import { type Rule, type RuleContext } from './rule.ts';

export const decorrelateScalar: Rule = {
  name: 'DecorrelateScalar',
  apply(rel, context) {
    return mapAll(rel, (node) => {
      if (node.kind !== 'filter') return node;
      let input = node.input;
      const conditions = node.conditions.flatMap(conjuncts).map((condition) => {
        if (!isPlainComparison(condition)) return condition;
        return mapChildren(condition, (arg) => {
          if (arg.kind !== 'subquery') return arg;
          const joined = join(input, arg, context);
          if (joined === undefined) return arg;
          input = joined.rel;
          return joined.value;
        });
      });
      if (input === node.input) return node;
      // The join adds columns: put the original ones back on top.
      const filtered: Rel = { kind: 'filter', input, conditions };
      const items = outputOf(node.input).map((id) => {
        const { type, typmod } = context.binder.info(id);
        return { id, expr: columnExpr(id, type, typmod) };
      });
      return { kind: 'project', input: filtered, items };
    });
  },
};

function join(
  input: Rel,
  sub: SubqueryExpr,
  { binder }: RuleContext,
): { readonly rel: Rel; readonly value: Expr } | undefined {
  if (sub.mode !== 'scalar' || isVolatileRel(sub.rel) || !relCannotFail(sub.rel)) return undefined;
  const project = sub.rel.kind === 'project' ? sub.rel : undefined;
  const aggregate = project === undefined ? sub.rel : project.input;
  if (aggregate.kind !== 'aggregate' || aggregate.groups.length > 0 || aggregate.sets !== undefined)
    return undefined;
  // count() gives 0, not NULL, over no rows.
  if (
    aggregate.aggregates.some((call) => call.fn.name === 'count' || call.fn.name === 'regr_count')
  )
    return undefined;
  if (project !== undefined && !project.items.every((item) => isNullPreserving(item.expr)))
    return undefined;
  const keys = correlatedKeys(aggregate, new Set(outputOf(input)));
  if (keys === undefined) return undefined;
  const groups = keys.pairs.map(({ inner }) => ({
    id: binder.newColumn({ name: 'key', type: inner.type, typmod: inner.typmod }),
    expr: inner,
  }));
  const grouped: Rel = { ...aggregate, input: keys.input, groups };
  const withKeys: Rel =
    project === undefined
      ? grouped
      : {
          ...project,
          input: grouped,
          items: [
            ...project.items,
            ...groups.map(({ id, expr }) => ({ id, expr: columnExpr(id, expr.type, expr.typmod) })),
          ],
        };
  if ([...freeColumns(withKeys)].some((id) => outputOf(input).includes(id))) return undefined;
  const on = keys.pairs.map(({ condition, inner, innerIndex }, i) => {
    const group = groups[i];
    if (group === undefined || condition.kind !== 'call') return condition;
    const reference = columnExpr(group.id, inner.type, inner.typmod);
    return {
      ...condition,
      args: condition.args.map((arg, at) => (at === innerIndex ? reference : arg)),
    };
  });
  const id = sub.columns[0];
  if (id === undefined) return undefined;
  return {
    rel: { kind: 'join', type: 'left', left: input, right: withKeys, on },
    value: columnExpr(id, sub.type, sub.typmod),
  };
}

/** Whether no row in any group makes it throw. */
function relCannotFail(rel: Rel): boolean {
  let safe = true;
  visitAllRels(rel, (node) => {
    safe &&= safeKinds.has(node.kind);
    if (node.kind === 'aggregate') {
      safe &&= node.aggregates.every((call) => safeAggregates.has(call.fn.name));
    }
    mapOwnExprs(node, (expr) => {
      safe &&= cannotFail(expr);
      return expr;
    });
  });
  return safe;
}

const safeKinds: ReadonlySet<Rel['kind']> = new Set([
  'scan',
  'virtual',
  'values',
  'project',
  'filter',
  'join',
  'aggregate',
  'sort',
  'distinct',
  'set-op',
  'with',
  'cte',
]);

/** Sums that overflow are taken for what does not happen. */
const safeAggregates: ReadonlySet<string> = new Set([
  'sum',
  'avg',
  'min',
  'max',
  'count',
  'bool_and',
  'bool_or',
  'every',
]);

/** NULL in, NULL out: what a padded row must give. */
function isNullPreserving(expr: Expr): boolean {
  switch (expr.kind) {
    case 'column':
      return true;
    case 'cast':
      return isNullPreserving(expr.arg);
    case 'call':
      return expr.fn.strict && expr.args.some(isNullPreserving) && !expr.args.some(hasSubquery);
    default:
      return false;
  }
}

interface Key {
  readonly condition: Expr;
  readonly inner: Expr;
  readonly innerIndex: number;
}

/** The equalities with outer columns directly below the aggregation; undefined when there is anything else. */
function correlatedKeys(
  aggregate: AggregateRel,
  outer: ReadonlySet<ColumnId>,
): { readonly input: Rel; readonly pairs: readonly Key[] } | undefined {
  const filter = aggregate.input;
  if (filter.kind !== 'filter') return undefined;
  const all = filter.conditions.flatMap(conjuncts);
  const correlated = all.filter((condition) => usesAny(condition, outer));
  if (correlated.length === 0) return undefined;
  const local = new Set(outputOf(filter.input));
  const pairs: Key[] = [];
  for (const condition of correlated) {
    // An outer row must meet one group at most.
    if (condition.kind !== 'call' || condition.fn.name !== '=' || !isPlainComparison(condition))
      return undefined;
    const innerIndex = condition.args.findIndex(
      (arg) => usesOnly(arg, local) && usesAny(arg, local),
    );
    const inner = condition.args[innerIndex];
    const other = condition.args[1 - innerIndex];
    if (
      inner === undefined ||
      other === undefined ||
      !usesOnly(other, outer) ||
      hasSubquery(condition)
    )
      return undefined;
    pairs.push({ condition, inner, innerIndex });
  }
  const rest = all.filter((condition) => !correlated.includes(condition));
  return {
    input: rest.length === 0 ? filter.input : { ...filter, conditions: rest },
    pairs,
  };
}
