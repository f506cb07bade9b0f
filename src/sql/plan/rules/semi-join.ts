/**
 * EXISTS and IN in WHERE become semi joins, NOT EXISTS becomes an anti join. Conditions inside the
 * subquery that refer to the outer row become join conditions, so that the subquery runs once
 * (Kim, "On optimizing an SQL-like nested query", 1982). NOT IN keeps its form: NULLs make it no anti join.
 */
import { type ColumnId, conjuncts, type Expr, type SubqueryExpr } from '../expr.ts';
import { outputOf, type Rel } from '../logical.ts';
import { freeColumns, mapAll, mapRelExprs, substitute } from '../walk.ts';
import { hasSubquery, isVolatileRel, usesAny } from './predicates.ts';
import { type Rule } from './rule.ts';

export const semiJoin: Rule = {
  name: 'SemiJoin',
  apply(rel) {
    return mapAll(rel, (node) => {
      if (node.kind !== 'filter') return node;
      let input = node.input;
      const rest: Expr[] = [];
      for (const condition of node.conditions.flatMap(conjuncts)) {
        const joined = convert(input, condition);
        if (joined === undefined) rest.push(condition);
        else input = joined;
      }
      if (input === node.input) return node;
      return rest.length === 0 ? input : { kind: 'filter', input, conditions: rest };
    });
  },
};

function convert(input: Rel, condition: Expr): Rel | undefined {
  const negated = condition.kind === 'not';
  const inner = negated ? condition.arg : condition;
  if (inner.kind !== 'subquery' || isVolatileRel(inner.rel)) return undefined;
  if (inner.mode === 'exists') return exists(input, inner, negated);
  if (inner.mode === 'any' && !negated) return anyOf(input, inner);
  return undefined;
}

function exists(input: Rel, sub: SubqueryExpr, negated: boolean): Rel | undefined {
  const pulled = pullUp(dropOutput(sub.rel), new Set(outputOf(input)));
  if (pulled === undefined || (pulled.on.length === 0 && freeColumns(pulled.rel).size > 0))
    return undefined;
  return {
    kind: 'join',
    type: negated ? 'anti' : 'semi',
    left: input,
    right: pulled.rel,
    on: pulled.on,
  };
}

function anyOf(input: Rel, sub: SubqueryExpr): Rel | undefined {
  if (sub.test === undefined || hasSubquery(sub.test)) return undefined;
  const pulled = pullUp(sub.rel, new Set(outputOf(input)));
  if (pulled === undefined) return undefined;
  const test = substitute(sub.test, pulled.names);
  return {
    kind: 'join',
    type: 'semi',
    left: input,
    right: pulled.rel,
    on: [...conjuncts(test), ...pulled.on],
  };
}

/** What EXISTS does not look at: the select list, the order, a limit of at least one row. */
function dropOutput(rel: Rel): Rel {
  switch (rel.kind) {
    case 'project':
    case 'sort':
    case 'distinct':
      return dropOutput(rel.input);
    case 'limit': {
      const positive =
        rel.offset === undefined &&
        rel.count?.kind === 'const' &&
        typeof rel.count.value === 'bigint' &&
        rel.count.value > 0n;
      return positive ? dropOutput(rel.input) : rel;
    }
    default:
      return rel;
  }
}

interface Pulled {
  readonly rel: Rel;
  readonly on: readonly Expr[];
  /** Columns of dropped projections in terms of `rel`. */
  readonly names: ReadonlyMap<ColumnId, Expr>;
}

/** Lifts conditions on outer columns out of `rel`; undefined when some outer reference stays inside. */
function pullUp(rel: Rel, outer: ReadonlySet<ColumnId>): Pulled | undefined {
  const isBound = (node: Rel): boolean => [...freeColumns(node)].every((id) => !outer.has(id));
  if (isBound(rel)) return { rel, on: [], names: new Map() };
  if (rel.kind === 'filter') {
    const all = rel.conditions.flatMap(conjuncts);
    const on = all.filter((condition) => usesAny(condition, outer));
    if (on.some(hasSubquery)) return undefined;
    const rest = all.filter((condition) => !on.includes(condition));
    const below = pullUp(rel.input, outer);
    if (below === undefined) return undefined;
    const stay = rest.map((condition) => substitute(condition, below.names));
    return {
      rel: stay.length === 0 ? below.rel : { kind: 'filter', input: below.rel, conditions: stay },
      on: [...below.on, ...on.map((condition) => substitute(condition, below.names))],
      names: below.names,
    };
  }
  if (rel.kind === 'project') {
    if (rel.items.some((item) => hasSubquery(item.expr))) return undefined;
    const below = pullUp(rel.input, outer);
    if (below === undefined) return undefined;
    const names = new Map(below.names);
    for (const item of rel.items) {
      const expr = substitute(item.expr, below.names);
      if (expr.kind !== 'column' || expr.id !== item.id) names.set(item.id, expr);
    }
    return { rel: below.rel, on: below.on, names };
  }
  if (rel.kind === 'join' && rel.type === 'inner') {
    const left = pullUp(rel.left, outer);
    if (left === undefined) return undefined;
    // LATERAL: the right side may refer to projections that the left side has lost.
    const named = mapRelExprs(rel.right, (expr) => substitute(expr, left.names));
    const right = pullUp(named, outer);
    if (right === undefined) return undefined;
    const names = new Map([...left.names, ...right.names]);
    const all = rel.on.flatMap(conjuncts).map((condition) => substitute(condition, names));
    const on = all.filter((condition) => usesAny(condition, outer));
    if (on.some(hasSubquery)) return undefined;
    return {
      rel: {
        ...rel,
        left: left.rel,
        right: right.rel,
        on: all.filter((condition) => !on.includes(condition)),
      },
      on: [...left.on, ...right.on, ...on],
      names,
    };
  }
  return undefined;
}
