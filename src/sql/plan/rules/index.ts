/** The ordered list of rewrites. Each is tested by a plan script that names it. */
import { outputOf, type Rel } from '../logical.ts';
import { type Expr } from '../expr.ts';
import { mapChildren, mapInputs, mapOwnExprs } from '../walk.ts';
import { sameExpr } from '../bind/same.ts';
import { checkLocks } from './check-locks.ts';
import { decorrelateScalar } from './decorrelate-scalar.ts';
import { foldConstants } from './fold-constants.ts';
import { inlineCte } from './inline-cte.ts';
import { minMaxByIndex } from './min-max.ts';
import { mergeProjects } from './merge-projects.ts';
import { simplifyOuterJoin } from './outer-join.ts';
import { pruneColumns } from './prune-columns.ts';
import { pushFilters } from './push-filters.ts';
import { pushLimit } from './push-limit.ts';
import { type Rule, type RuleContext } from './rule.ts';
import { semiJoin } from './semi-join.ts';

/** Those that look into subqueries by themselves. */
const whole: readonly Rule[] = [inlineCte, semiJoin, decorrelateScalar];

/** Applied to the query and to each subquery that is left in an expression. */
const local: readonly Rule[] = [
  foldConstants,
  simplifyOuterJoin,
  pushFilters,
  simplifyOuterJoin,
  pushFilters,
  checkLocks,
  mergeProjects,
  pushLimit,
  pruneColumns,
  mergeProjects,
  minMaxByIndex,
];

/** `trace` collects the names of the rules that changed something. */
export function rewrite(rel: Rel, context: RuleContext, trace?: Set<string>): Rel {
  let done = rel;
  const run = (rule: Rule, input: Rel): Rel => {
    const after = rule.apply(input, context);
    if (trace !== undefined && after !== input && !sameExpr(after, input)) trace.add(rule.name);
    return after;
  };
  for (const rule of whole) done = run(rule, done);
  for (const rule of local) done = run(rule, done);
  return rewriteSubqueries(done, (inner) =>
    local.reduce<Rel>((input, rule) => run(rule, input), inner),
  );
}

/** Subqueries inside expressions, innermost last. */
function rewriteSubqueries(rel: Rel, fn: (inner: Rel) => Rel): Rel {
  const inExpr = (expr: Expr): Expr => {
    if (expr.kind !== 'subquery') return mapChildren(expr, inExpr);
    const needed = new Set(expr.columns);
    const inner = rewriteSubqueries(fn(expr.rel), fn);
    const complete = [...needed].every((id) => outputOf(inner).includes(id));
    const test = expr.test && inExpr(expr.test);
    return { ...expr, rel: complete ? inner : expr.rel, test };
  };
  return mapOwnExprs(
    mapInputs(rel, (input) => rewriteSubqueries(input, fn)),
    inExpr,
  );
}
