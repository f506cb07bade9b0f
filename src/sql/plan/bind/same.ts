/** Structural equality of bound expressions: for grouping, duplicate aggregates, index matching. */
import { Numeric } from '../../types/index.ts';

/**
 * Where something stood in the text does not matter. Nor does a modifier, which follows from what is below: only a cast
 * makes other values of it.
 */
const ignored: ReadonlySet<string> = new Set(['position', 'typmod']);
const ignoredOfCasts: ReadonlySet<string> = new Set(['position']);

/** The same value in every row. */
export function sameExpr(a: unknown, b: unknown): boolean {
  if (Object.is(a, b)) return true;
  if (typeof a !== 'object' || typeof b !== 'object' || a === null || b === null) return false;
  if (Array.isArray(a)) {
    return Array.isArray(b) && a.length === b.length && a.every((item, i) => sameExpr(item, b[i]));
  }
  if (Buffer.isBuffer(a)) return Buffer.isBuffer(b) && a.equals(b);
  if (a instanceof Map || b instanceof Map) {
    return a instanceof Map && b instanceof Map && sameExpr([...a], [...b]);
  }
  if (a instanceof Numeric || b instanceof Numeric) {
    return (
      a instanceof Numeric &&
      b instanceof Numeric &&
      a.kind === b.kind &&
      a.digits === b.digits &&
      a.scale === b.scale
    );
  }
  const left = entriesOf(a);
  const right = entriesOf(b);
  if (left.length !== right.length) return false;
  const other = new Map(right);
  return left.every(([key, value]) => other.has(key) && sameExpr(value, other.get(key)));
}

function entriesOf(node: object): [string, unknown][] {
  const isCast = 'kind' in node && (node.kind === 'cast' || node.kind === 'array-cast');
  const leftOut = isCast ? ignoredOfCasts : ignored;
  return Object.entries(node).filter(([key]) => !leftOut.has(key));
}
