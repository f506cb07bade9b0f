/** Which expressions may run beside the data: immutable, synchronous, and without outside help. */
import { type ColumnId, type Expr } from '../../plan/expr.ts';
import { columnsOf } from '../../plan/walk.ts';
import { isArrayType, oids, typeOf } from '../../types/index.ts';

/** True when `expr` can travel in a row program; columns that are not the scan's own become parameters. */
export function canPush(expr: Expr): boolean {
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
        expr.args.every((arg) => canPush(arg))
      );
    case 'cast':
      return (
        (expr.cast === undefined || (expr.cast.volatility === 'immutable' && !expr.cast.async)) &&
        !isShownBySettings(expr.arg.type, expr.type) &&
        canPush(expr.arg)
      );
    case 'not':
    case 'is-null':
    case 'bool-test':
      return expr.arg.type !== 2249 && canPush(expr.arg);
    case 'and':
    case 'or':
    case 'coalesce':
    case 'minmax':
      return expr.args.every((arg) => canPush(arg));
    case 'case':
      return (
        expr.operand === undefined &&
        expr.whens.every(({ when, result }) => canPush(when) && canPush(result)) &&
        canPush(expr.otherwise)
      );
    case 'nullif':
      return canPush(expr.arg) && canPush(expr.equal);
    case 'distinct-from':
      return expr.equal !== undefined && canPush(expr.equal);
    case 'in-list':
      return canPush(expr.arg) && expr.items.every((item) => canPush(item));
    case 'array-compare':
      return (
        expr.fn.volatility === 'immutable' &&
        !expr.fn.async &&
        expr.fn.oid !== 0 &&
        canPush(expr.left) &&
        canPush(expr.right)
      );
    default:
      return false;
  }
}

/** How these read as text is up to the session (extra_float_digits, bytea_output), which the other side does not know. */
function isShownBySettings(from: number, to: number): boolean {
  const [source, target] = [scalarOf(from), scalarOf(to)];
  return (
    (source === oids.float4 || source === oids.float8 || source === oids.bytea) &&
    typeOf(target).category === 'S'
  );
}

function scalarOf(type: number): number {
  return isArrayType(type) ? typeOf(type).elementOid : type;
}

/** Functions made while resolving (casts in function form, reordered arguments) are not in the registry. */
function isPlainFunction(expr: Extract<Expr, { kind: 'call' }>): boolean {
  return expr.fn.oid !== 0;
}

export function usesOwn(expr: Expr, own: ReadonlySet<ColumnId>): boolean {
  for (const id of columnsOf(expr)) if (own.has(id)) return true;
  return false;
}
