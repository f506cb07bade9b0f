/** Structural equality of bound expressions: for grouping, duplicate aggregates, index matching. */
import { Numeric } from '../../types/index.ts';

/** Where something stood in the text does not matter. */
const ignored: ReadonlySet<string> = new Set(['position', 'typmod']);
const ignoredOfValues: ReadonlySet<string> = new Set(['position']);

export function sameExpr(a: unknown, b: unknown): boolean {
  return isSame(a, b, ignored);
}

/** The same value in every row: casts to types of other lengths are not the same. */
export function sameValue(a: unknown, b: unknown): boolean {
  return isSame(a, b, ignoredOfValues);
}

function isSame(a: unknown, b: unknown, leftOut: ReadonlySet<string>): boolean {
  if (Object.is(a, b)) return true;
  if (typeof a !== 'object' || typeof b !== 'object' || a === null || b === null) return false;
  if (Array.isArray(a)) {
    return (
      Array.isArray(b) && a.length === b.length && a.every((item, i) => isSame(item, b[i], leftOut))
    );
  }
  if (Buffer.isBuffer(a)) return Buffer.isBuffer(b) && a.equals(b);
  if (a instanceof Map || b instanceof Map) return false;
  if (a instanceof Numeric || b instanceof Numeric) {
    return (
      a instanceof Numeric &&
      b instanceof Numeric &&
      a.kind === b.kind &&
      a.digits === b.digits &&
      a.scale === b.scale
    );
  }
  const left = Object.entries(a).filter(([key]) => !leftOut.has(key));
  const right = Object.entries(b).filter(([key]) => !leftOut.has(key));
  if (left.length !== right.length) return false;
  const other = new Map<string, unknown>(right);
  return left.every(([key, value]) => other.has(key) && isSame(value, other.get(key), leftOut));
}
