/** Evaluates what depends on nothing, and simplifies boolean expressions with known parts. */
import { compile } from '../../exec/expr/compile.ts';
import { type EvalContext } from '../../functions/registry-types.ts';
import { unreachable } from '../../../util/index.ts';
import { boolOid, constExpr, type Expr, falseExpr, trueExpr } from '../expr.ts';
import { type Rel } from '../logical.ts';
import { mapChildren, mapInputs, mapOwnExprs, rewriteExpr } from '../walk.ts';
import { type Rule } from './rule.ts';

const noEnv = {
  layout: new Map<number, number>(),
  outer: new Map<number, number>(),
  subquery: (): never => {
    throw new Error('constants hold no subqueries');
  },
};

export const foldConstants: Rule = {
  name: 'FoldConstants',
  apply(rel, { binder }) {
    const fold = (node: Rel): Rel => {
      const after = mapOwnExprs(mapInputs(node, fold), (expr) => foldExpr(expr, binder.eval));
      if (after.kind !== 'filter') return after;
      const conditions = after.conditions.filter((condition) => condition !== trueExpr);
      if (conditions.length === after.conditions.length) return after;
      return conditions.length === 0 ? after.input : { ...after, conditions };
    };
    return fold(rel);
  },
};

export function foldExpr(expr: Expr, context: EvalContext): Expr {
  return rewriteExpr(expr, (node) => foldNode(node, context));
}

function foldNode(expr: Expr, context: EvalContext): Expr {
  switch (expr.kind) {
    case 'const':
    case 'param':
    case 'column':
    case 'context':
    case 'subquery':
    case 'row':
    case 'field':
      return expr;
    case 'and':
    case 'or':
      return foldJunction(expr);
    case 'not':
      return expr.arg.kind === 'const' ? evaluate(expr, context) : expr;
    case 'case':
      return foldCase(expr);
    case 'coalesce': {
      const kept = expr.args.filter((arg) => !(arg.kind === 'const' && arg.value === null));
      const [first] = kept;
      if (first === undefined) return { ...constExpr(null, expr.type), typmod: expr.typmod };
      return first.kind === 'const' || kept.length === 1
        ? first
        : kept.length === expr.args.length
          ? expr
          : { ...expr, args: kept };
    }
    case 'call':
      if (expr.fn.volatility !== 'immutable' || expr.fn.async) return expr;
      if (expr.fn.strict && expr.args.some((arg) => arg.kind === 'const' && arg.value === null)) {
        return constExpr(null, expr.type);
      }
      return allConstant(expr) ? evaluate(expr, context) : expr;
    case 'cast':
    case 'array-cast':
      if (expr.cast !== undefined && (expr.cast.volatility !== 'immutable' || expr.cast.async))
        return expr;
      return allConstant(expr) ? evaluate(expr, context) : expr;
    case 'array-compare':
      return expr.fn.volatility === 'immutable' && allConstant(expr)
        ? evaluate(expr, context)
        : expr;
    case 'distinct-from':
    case 'nullif':
    case 'minmax':
    case 'is-null':
    case 'bool-test':
    case 'in-list':
    case 'array':
    case 'subscript':
    case 'row-compare':
      return allConstant(expr) ? evaluate(expr, context) : expr;
    default:
      return unreachable(expr);
  }
}

function allConstant(expr: Expr): boolean {
  let constant = true;
  mapChildren(expr, (child) => {
    if (child.kind !== 'const') constant = false;
    return child;
  });
  return constant;
}

/** An error is left for execution: the expression may never be reached. */
function evaluate(expr: Expr, context: EvalContext): Expr {
  const compiled = compile(expr, noEnv);
  if (!compiled.sync) return expr;
  try {
    const value = compiled.run([], { eval: context, params: [], slots: [] } as never);
    return { kind: 'const', type: expr.type, typmod: expr.typmod, value };
  } catch {
    return expr;
  }
}

function foldJunction(expr: Extract<Expr, { kind: 'and' | 'or' }>): Expr {
  const isAnd = expr.kind === 'and';
  const flat = expr.args.flatMap((arg) => (arg.kind === expr.kind ? arg.args : [arg]));
  const kept: Expr[] = [];
  for (const arg of flat) {
    if (arg.kind === 'const') {
      if (arg.value === !isAnd) return isAnd ? falseExpr : trueExpr;
      if (arg.value === isAnd) continue;
    }
    kept.push(arg);
  }
  const [first] = kept;
  if (first === undefined) return isAnd ? trueExpr : falseExpr;
  if (kept.length === 1) return first;
  return kept.length === expr.args.length
    ? expr
    : { kind: expr.kind, type: boolOid, typmod: -1, args: kept };
}

function foldCase(expr: Extract<Expr, { kind: 'case' }>): Expr {
  const whens: { when: Expr; result: Expr }[] = [];
  for (const item of expr.whens) {
    if (item.when.kind === 'const') {
      if (item.when.value !== true) continue;
      if (whens.length === 0) return item.result;
      return { ...expr, whens, otherwise: item.result };
    }
    whens.push(item);
  }
  if (whens.length === 0) return expr.otherwise;
  return whens.length === expr.whens.length ? expr : { ...expr, whens };
}
