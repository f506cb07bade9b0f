/**
 * Whether one condition follows from another: that every row that passes `given` passes `wanted`. Proves what PostgreSQL
 * proves for the usual predicates of partial indexes (optimizer/util/predtest.c), never what is wrong. A parameter
 * is equal to itself alone: its value is not known yet.
 */
import { type Datum, typeOps } from '../types/index.ts';
import { sameExpr } from './bind/same.ts';
import { boolOid, type Expr } from './expr.ts';
import { rejectsNulls } from './rules/predicates.ts';
import { columnsOf } from './walk.ts';

/** Both bound over the same columns, and folded. */
export function implies(given: Expr, wanted: Expr): boolean {
  if (wanted.kind === 'const' && wanted.value === true) return true;
  if (wanted.kind === 'and') return wanted.args.every((arg) => implies(given, arg));
  const givenArms = armsOf(given);
  if (givenArms !== undefined) return givenArms.every((arm) => implies(arm, wanted));
  if (given.kind === 'and' && given.args.some((arg) => implies(arg, wanted))) return true;
  const wantedArms = armsOf(wanted);
  if (wantedArms !== undefined) return wantedArms.some((arm) => implies(given, arm));
  return impliesAtom(given, wanted);
}

/** What stands between ORs. */
function armsOf(expr: Expr): readonly Expr[] | undefined {
  if (expr.kind === 'or') return expr.args;
  if (expr.kind !== 'in-list' || expr.negated || expr.items.length < 2) return undefined;
  return expr.items.map((item) => ({ ...expr, items: [item] }));
}

function impliesAtom(given: Expr, wanted: Expr): boolean {
  if (sameExpr(plain(given), plain(wanted))) return true;
  if (wanted.kind === 'is-null' && wanted.negated && wanted.arg.kind === 'column') {
    return rejectsNulls(given, columnsOf(wanted.arg));
  }
  const [from, to] = [comparisonOf(given), comparisonOf(wanted)];
  if (from === undefined || to === undefined || from.type !== to.type) return false;
  if (!sameExpr(from.operand, to.operand)) return false;
  const between = Math.sign(typeOps(from.type).compare(from.value, to.value));
  // Where the operand may stand to `to.value`, given where it stands to `from.value`.
  const possible = from.signs.flatMap((sign) =>
    between === 0 ? [sign] : sign === 0 || sign === between ? [between] : [-1, 0, 1],
  );
  return possible.every((sign) => to.signs.includes(sign));
}

/** `x = true` is x, `x = false` is NOT x. */
function plain(expr: Expr): Expr {
  const comparison = comparisonOf(expr);
  if (comparison?.type !== boolOid || comparison.signs !== signsOf['=']) return expr;
  const { operand, value } = comparison;
  return value === true ? operand : { kind: 'not', type: boolOid, typmod: -1, arg: operand };
}

interface Comparison {
  readonly operand: Expr;
  /** How the operand may compare to `value`. */
  readonly signs: readonly number[];
  readonly value: Exclude<Datum, null>;
  /** Of `value`. */
  readonly type: number;
}

const signsOf: Readonly<Record<string, readonly number[]>> = {
  '=': [0],
  '<': [-1],
  '<=': [-1, 0],
  '>': [1],
  '>=': [0, 1],
  '<>': [-1, 1],
};

const mirrored: Readonly<Record<string, string>> = { '<': '>', '<=': '>=', '>': '<', '>=': '<=' };

/** An expression compared to a constant. */
function comparisonOf(expr: Expr): Comparison | undefined {
  if (expr.kind === 'in-list' && !expr.negated && expr.items.length === 1) {
    return compared(expr.arg, '=', expr.items[0]);
  }
  if (expr.kind !== 'call' || !expr.fn.strict || expr.args.length !== 2) return undefined;
  const [left, right] = expr.args;
  const { name } = expr.fn;
  return compared(left, name, right) ?? compared(right, mirrored[name] ?? name, left);
}

function compared(
  operand: Expr | undefined,
  operator: string,
  value: Expr | undefined,
): Comparison | undefined {
  const signs = signsOf[operator];
  if (operand === undefined || signs === undefined) return undefined;
  if (value?.kind !== 'const' || value.value === null || operand.type !== value.type)
    return undefined;
  return { operand, signs, value: value.value, type: value.type };
}
