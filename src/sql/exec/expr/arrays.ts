/** Array values: constructors, subscripts, slices, casts, ANY and ALL. */
import { sqlError } from '../../errors.ts';
import { type EvalContext } from '../../functions/registry-types.ts';
import {
  type ArrayCastExpr,
  type ArrayCompareExpr,
  type ArrayExpr,
  type SubscriptExpr,
} from '../../plan/expr.ts';
import { ArrayDatum, type Datum, typeOps } from '../../types/index.ts';

export function buildArray(expr: ArrayExpr, values: readonly Datum[]): Datum {
  if (values.length === 0) return new ArrayDatum(expr.elementType, [], []);
  if (!expr.nested) {
    return new ArrayDatum(
      expr.elementType,
      [...values],
      [{ length: values.length, lowerBound: 1 }],
    );
  }
  const parts = values.filter((value) => value instanceof ArrayDatum);
  const [first] = parts;
  if (first === undefined || parts.length !== values.length) {
    if (
      values.every(
        (value) => value === null || (value instanceof ArrayDatum && value.elements.length === 0),
      )
    ) {
      return new ArrayDatum(expr.elementType, [], []);
    }
    throw mismatch();
  }
  for (const part of parts) {
    const same =
      part.dimensions.length === first.dimensions.length &&
      part.dimensions.every((dimension, i) => dimension.length === first.dimensions[i]?.length);
    if (!same) throw mismatch();
  }
  if (first.dimensions.length === 0) return new ArrayDatum(expr.elementType, [], []);
  return new ArrayDatum(
    expr.elementType,
    parts.flatMap((part) => [...part.elements]),
    [{ length: parts.length, lowerBound: 1 }, ...first.dimensions],
  );
}

function mismatch(): Error {
  return sqlError(
    'arraySubscriptError',
    'multidimensional arrays must have array expressions with matching dimensions',
  );
}

export function castArray(value: Datum, expr: ArrayCastExpr, context: EvalContext): Datum {
  if (!(value instanceof ArrayDatum)) return null;
  const { cast, typmod, explicit, elementType } = expr;
  const ops = typmod < 0 ? undefined : typeOps(elementType);
  const elements = value.elements.map((element) => {
    if (element === null) return null;
    const done =
      cast === undefined ? element : (cast.call(element, typmod, context, explicit) as Datum);
    return ops === undefined || done === null ? done : ops.applyTypmod(done, typmod, explicit);
  });
  return new ArrayDatum(elementType, elements, value.dimensions);
}

/** `values`: the array, then the bounds in the order they were written. */
export function subscript(expr: SubscriptExpr, values: readonly Datum[]): Datum {
  const array = values[0] ?? null;
  if (!(array instanceof ArrayDatum)) return null;
  let at = 1;
  const bounds: { lower: number | undefined; upper: number | undefined; slice: boolean }[] = [];
  for (const index of expr.indices) {
    const lower = index.lower === undefined ? undefined : (values[at++] ?? null);
    const upper = index.upper === undefined ? undefined : (values[at++] ?? null);
    if (lower === null || upper === null) return null;
    bounds.push({
      lower: lower === undefined ? undefined : Number(lower),
      upper: upper === undefined ? undefined : Number(upper),
      slice: index.slice,
    });
  }
  return expr.slice ? sliceOf(array, bounds) : elementOf(array, bounds);
}

function elementOf(
  array: ArrayDatum,
  bounds: readonly { readonly upper: number | undefined }[],
): Datum {
  if (bounds.length !== array.dimensions.length) return null;
  let offset = 0;
  for (const [i, dimension] of array.dimensions.entries()) {
    const index = (bounds[i]?.upper ?? 0) - dimension.lowerBound;
    if (index < 0 || index >= dimension.length) return null;
    offset = offset * dimension.length + index;
  }
  return array.elements[offset] ?? null;
}

function sliceOf(
  array: ArrayDatum,
  bounds: readonly { lower: number | undefined; upper: number | undefined; slice: boolean }[],
): Datum {
  const empty = new ArrayDatum(array.elementOid, [], []);
  if (bounds.length > array.dimensions.length) return empty;
  const ranges = array.dimensions.map((dimension, i) => {
    const bound = bounds[i];
    const last = dimension.lowerBound + dimension.length - 1;
    // In a slice a plain index n means 1:n.
    const from =
      bound === undefined
        ? dimension.lowerBound
        : bound.slice
          ? (bound.lower ?? dimension.lowerBound)
          : 1;
    const to = bound === undefined ? last : (bound.upper ?? last);
    return {
      start: Math.max(from, dimension.lowerBound) - dimension.lowerBound,
      end: Math.min(to, last) - dimension.lowerBound + 1,
    };
  });
  if (ranges.some((range) => range.end <= range.start)) return empty;
  const elements: Datum[] = [];
  const walk = (level: number, offset: number): void => {
    const range = ranges[level];
    const dimension = array.dimensions[level];
    if (range === undefined || dimension === undefined) {
      elements.push(array.elements[offset] ?? null);
      return;
    }
    for (let i = range.start; i < range.end; i++) walk(level + 1, offset * dimension.length + i);
  };
  walk(0, 0);
  return new ArrayDatum(
    array.elementOid,
    elements,
    ranges.map((range) => ({ length: range.end - range.start, lowerBound: 1 })),
  );
}

/** left OP ANY|ALL (array), three-valued. */
export function compareWithArray(
  expr: ArrayCompareExpr,
  left: Datum,
  right: Datum,
  context: EvalContext,
): Datum {
  if (!(right instanceof ArrayDatum)) return null;
  if (right.elements.length === 0) return expr.all;
  if (left === null && expr.fn.strict) return null;
  const decides = !expr.all;
  let unknown = false;
  for (const element of right.elements) {
    const value =
      element === null && expr.fn.strict
        ? null
        : expr.fn.call([left, element], context, expr.callTypes);
    if (value === decides) return decides;
    if (value === null) unknown = true;
  }
  return unknown ? null : expr.all;
}
