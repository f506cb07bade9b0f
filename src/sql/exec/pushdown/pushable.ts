/** Which expressions may run beside the data: immutable, synchronous, and without outside help. */
import { type ColumnId, type Expr } from '../../plan/expr.ts';
import { columnsOf } from '../../plan/walk.ts';

/** True when `expr`, over the scan's own columns, can travel in a row program. */
export function canPush(expr: Expr, own: ReadonlySet<ColumnId>): boolean {
  switch (expr.kind) {
    case 'const':
    case 'param':
    case 'column':
      return true;
    case 'call':
      return (
        expr.fn.volatility === 'immutable' &&
        !expr.fn.async &&
        isPlainFunction(expr) &&
        expr.args.every((arg) => canPush(arg, own))
      );
    case 'cast':
      return (
        (expr.cast === undefined || (expr.cast.volatility === 'immutable' && !expr.cast.async)) &&
        canPush(expr.arg, own)
      );
    case 'not':
    case 'is-null':
    case 'bool-test':
      return expr.arg.type !== 2249 && canPush(expr.arg, own);
    case 'and':
    case 'or':
    case 'coalesce':
    case 'minmax':
      return expr.args.every((arg) => canPush(arg, own));
    case 'case':
      return (
        expr.whens.every(({ when, then }) => canPush(when, own) && canPush(then, own)) &&
        canPush(expr.otherwise, own)
      );
    case 'nullif':
      return canPush(expr.arg, own) && canPush(expr.equal, own);
    case 'distinct-from':
      return expr.equal !== undefined && canPush(expr.equal, own);
    case 'in-list':
      return canPush(expr.arg, own) && expr.items.every((item) => canPush(item, own));
    case 'array-compare':
      return (
        expr.fn.volatility === 'immutable' &&
        !expr.fn.async &&
        expr.fn.oid !== 0 &&
        canPush(expr.left, own) &&
        canPush(expr.right, own)
      );
    default:
      return false;
  }
}

/** Functions made while resolving (casts in function form, reordered arguments) are not in the registry. */
function isPlainFunction(expr: Extract<Expr, { kind: 'call' }>): boolean {
  return expr.fn.oid !== 0;
}

export function usesOwn(expr: Expr, own: ReadonlySet<ColumnId>): boolean {
  for (const id of columnsOf(expr)) if (own.has(id)) return true;
  return false;
}
