/** Array functions and operators (chapter 9.19). */
import { sqlError } from '../errors.ts';
import {
  ArrayDatum,
  asArray,
  asNumber,
  type Datum,
  makeArray,
  oids,
  type Row,
  typeOf,
  type TypeOps,
  typeOps,
} from '../types/index.ts';
import { type Args, scalar, setFunction, type Types } from './define.ts';
import { type ScalarFunction, type SetFunction } from './registry-types.ts';

const maxElements = 134_217_727;

/** Element type of the array type at `index` of the actual types. */
function elementType(types: Types, index: number): number {
  const oid = types[index] ?? 0;
  const element = typeOf(oid).elementOid;
  return element === 0 ? oid : element;
}

function same(ops: TypeOps, a: Datum, b: Datum): boolean {
  if (a === null || b === null) return a === b;
  return ops.compare(a, b) === 0;
}

function dims(array: ArrayDatum): Datum {
  if (array.dimensions.length === 0) return null;
  return array.dimensions
    .map(({ length, lowerBound }) => `[${lowerBound}:${lowerBound + length - 1}]`)
    .join('');
}

function append(array: Datum | undefined, value: Datum, element: number): ArrayDatum {
  if (array === null || array === undefined) return makeArray(element, [value]);
  const base = asArray(array);
  const [first] = base.dimensions;
  if (first === undefined) return makeArray(element, [value]);
  if (base.dimensions.length > 1) throw notOneDimensional();
  return new ArrayDatum(
    element,
    [...base.elements, value],
    [{ ...first, length: first.length + 1 }],
  );
}

function prepend(value: Datum, array: Datum | undefined, element: number): ArrayDatum {
  if (array === null || array === undefined) return makeArray(element, [value]);
  const base = asArray(array);
  const [first] = base.dimensions;
  if (first === undefined) return makeArray(element, [value]);
  if (base.dimensions.length > 1) throw notOneDimensional();
  // array_prepend keeps the lower bound of its input.
  return new ArrayDatum(
    element,
    [value, ...base.elements],
    [{ ...first, length: first.length + 1 }],
  );
}

function notOneDimensional(): Error {
  return sqlError('arraySubscriptError', 'argument must be empty or one-dimensional array');
}

function incompatible(): Error {
  return sqlError('arraySubscriptError', 'cannot concatenate incompatible arrays', {
    detail: 'Arrays with differing element dimensions are not compatible for concatenation.',
  });
}

function concatenate(x: Datum | undefined, y: Datum | undefined): Datum {
  if (x === null || x === undefined) return y ?? null;
  if (y === null || y === undefined) return x;
  const a = asArray(x);
  const b = asArray(y);
  if (b.dimensions.length === 0) return a;
  if (a.dimensions.length === 0) return b;
  const elements = [...a.elements, ...b.elements];
  const sizes = (dimensions: ArrayDatum['dimensions']): string =>
    dimensions.map(({ length }) => length).join();
  const depth = a.dimensions.length - b.dimensions.length;
  const [firstA, ...restA] = a.dimensions;
  const [firstB, ...restB] = b.dimensions;
  if (firstA === undefined || firstB === undefined) return a;
  if (depth === 0) {
    if (sizes(restA) !== sizes(restB)) throw incompatible();
    return new ArrayDatum(a.elementOid, elements, [
      { ...firstA, length: firstA.length + firstB.length },
      ...restA,
    ]);
  }
  if (depth === 1) {
    if (sizes(restA) !== sizes(b.dimensions)) throw incompatible();
    return new ArrayDatum(a.elementOid, elements, [
      { ...firstA, length: firstA.length + 1 },
      ...restA,
    ]);
  }
  if (depth === -1) {
    if (sizes(a.dimensions) !== sizes(restB)) throw incompatible();
    return new ArrayDatum(b.elementOid, elements, [
      { ...firstB, length: firstB.length + 1 },
      ...restB,
    ]);
  }
  throw incompatible();
}

function checkSearchable(array: ArrayDatum): void {
  if (array.dimensions.length > 1) {
    throw sqlError(
      'featureNotSupported',
      'searching for elements in multidimensional arrays is not supported',
    );
  }
}

function positionOf(a: Args, types: Types): Datum {
  const [array = null, value = null, start] = a;
  if (array === null) return null;
  if (start === null) throw sqlError('nullValueNotAllowed', 'initial position must not be null');
  const base = asArray(array);
  checkSearchable(base);
  const ops = typeOps(elementType(types, 0));
  const lower = base.dimensions[0]?.lowerBound ?? 1;
  const from = start === undefined ? 0 : Math.max(0, asNumber(start) - lower);
  for (let i = from; i < base.elements.length; i++) {
    if (same(ops, base.elements[i] ?? null, value)) return i + lower;
  }
  return null;
}

function positionsOf(a: Args, types: Types): Datum {
  const [array = null, value = null] = a;
  if (array === null) return null;
  const base = asArray(array);
  checkSearchable(base);
  const ops = typeOps(elementType(types, 0));
  const lower = base.dimensions[0]?.lowerBound ?? 1;
  const found: number[] = [];
  base.elements.forEach((item, i) => {
    if (same(ops, item, value)) found.push(i + lower);
  });
  return makeArray(oids.int4, found);
}

function removeAll(a: Args, types: Types): Datum {
  const [array = null, value = null] = a;
  if (array === null) return null;
  const base = asArray(array);
  if (base.dimensions.length > 1) {
    throw sqlError(
      'featureNotSupported',
      'removing elements from multidimensional arrays is not supported',
    );
  }
  const ops = typeOps(elementType(types, 0));
  const kept = base.elements.filter((item) => !same(ops, item, value));
  if (kept.length === base.elements.length) return base;
  const [first] = base.dimensions;
  return first === undefined || kept.length === 0
    ? makeArray(base.elementOid, [])
    : new ArrayDatum(base.elementOid, kept, [{ ...first, length: kept.length }]);
}

function replaceAll(a: Args, types: Types): Datum {
  const [array = null, from = null, to = null] = a;
  if (array === null) return null;
  const base = asArray(array);
  const ops = typeOps(elementType(types, 0));
  return new ArrayDatum(
    base.elementOid,
    base.elements.map((item) => (same(ops, item, from) ? to : item)),
    base.dimensions,
  );
}

/** Every non-null element of `b` equals one of `a`; a null in `b` is never contained. */
function contains(a: ArrayDatum, b: ArrayDatum, ops: TypeOps): boolean {
  const keys = new Set(a.elements.filter((item) => item !== null).map((item) => ops.hashKey(item)));
  return b.elements.every((item) => item !== null && keys.has(ops.hashKey(item)));
}

function overlap(a: ArrayDatum, b: ArrayDatum, ops: TypeOps): boolean {
  const keys = new Set(a.elements.filter((item) => item !== null).map((item) => ops.hashKey(item)));
  return b.elements.some((item) => item !== null && keys.has(ops.hashKey(item)));
}

function fill(a: Args, types: Types): Datum {
  const [value = null, lengths = null, bounds] = a;
  if (lengths === null || bounds === null) {
    throw sqlError('nullValueNotAllowed', 'dimension array or low bound array cannot be null');
  }
  const sizes = dimensionValues(lengths);
  const lowers = bounds === undefined ? sizes.map(() => 1) : dimensionValues(bounds);
  if (sizes.length !== lowers.length) {
    throw sqlError('arraySubscriptError', 'wrong number of array subscripts', {
      detail: 'Low bound array has different size than dimensions array.',
    });
  }
  if (sizes.length > 6) {
    throw sqlError(
      'programLimitExceeded',
      `number of array dimensions (${sizes.length}) exceeds the maximum allowed (6)`,
    );
  }
  const total = sizes.reduce((product, size) => product * size, 1);
  if (sizes.some((size) => size < 0) || total > maxElements) {
    throw sqlError(
      'programLimitExceeded',
      `array size exceeds the maximum allowed (${maxElements})`,
    );
  }
  const element = types[0] ?? oids.text;
  if (sizes.length === 0 || total === 0) return makeArray(element, []);
  return new ArrayDatum(
    element,
    Array.from({ length: total }, () => value),
    sizes.map((length, i) => ({ length, lowerBound: lowers[i] ?? 1 })),
  );
}

function dimensionValues(value: Datum): number[] {
  return asArray(value).elements.map((item) => {
    if (item === null) throw sqlError('nullValueNotAllowed', 'dimension values cannot be null');
    return asNumber(item);
  });
}

function trimArray(array: ArrayDatum, count: number): ArrayDatum {
  const [first, ...rest] = array.dimensions;
  const length = first?.length ?? 0;
  if (count < 0 || count > length) {
    throw sqlError(
      'arraySubscriptError',
      `number of elements to trim must be between 0 and ${length}`,
    );
  }
  if (first === undefined || count === length) return makeArray(array.elementOid, []);
  const each = rest.reduce((product, dimension) => product * dimension.length, 1);
  return new ArrayDatum(array.elementOid, array.elements.slice(0, (length - count) * each), [
    { length: length - count, lowerBound: 1 },
    ...rest,
  ]);
}

export const arrayFunctions: readonly ScalarFunction[] = [
  scalar('array_ndims(anyarray) int4', (a) => asArray(a[0]).dimensions.length || null),
  scalar('array_dims(anyarray) text', (a) => dims(asArray(a[0]))),
  scalar(
    'array_length(anyarray,int4) int4',
    (a) => asArray(a[0]).dimensions[asNumber(a[1]) - 1]?.length ?? null,
  ),
  scalar(
    'array_lower(anyarray,int4) int4',
    (a) => asArray(a[0]).dimensions[asNumber(a[1]) - 1]?.lowerBound ?? null,
  ),
  scalar('array_upper(anyarray,int4) int4', (a) => {
    const dimension = asArray(a[0]).dimensions[asNumber(a[1]) - 1];
    return dimension === undefined ? null : dimension.lowerBound + dimension.length - 1;
  }),
  scalar('cardinality(anyarray) int4', (a) => asArray(a[0]).elements.length),
  scalar(
    'array_append(anycompatiblearray,anycompatible) anycompatiblearray',
    (a, _c, types) => append(a[0], a[1] ?? null, elementType(types, 0)),
    { strict: false },
  ),
  scalar(
    'array_prepend(anycompatible,anycompatiblearray) anycompatiblearray',
    (a, _c, types) => prepend(a[0] ?? null, a[1], elementType(types, 1)),
    { strict: false },
  ),
  scalar(
    'array_cat(anycompatiblearray,anycompatiblearray) anycompatiblearray',
    (a) => concatenate(a[0], a[1]),
    { strict: false },
  ),
  scalar(
    '||(anycompatiblearray,anycompatible) anycompatiblearray',
    (a, _c, types) => append(a[0], a[1] ?? null, elementType(types, 0)),
    { strict: false },
  ),
  scalar(
    '||(anycompatible,anycompatiblearray) anycompatiblearray',
    (a, _c, types) => prepend(a[0] ?? null, a[1], elementType(types, 1)),
    { strict: false },
  ),
  scalar(
    '||(anycompatiblearray,anycompatiblearray) anycompatiblearray',
    (a) => concatenate(a[0], a[1]),
    { strict: false },
  ),
  scalar(
    'array_position(anycompatiblearray,anycompatible) int4',
    (a, _c, types) => positionOf(a, types),
    { strict: false },
  ),
  scalar(
    'array_position(anycompatiblearray,anycompatible,int4) int4',
    (a, _c, types) => positionOf(a, types),
    { strict: false },
  ),
  scalar(
    'array_positions(anycompatiblearray,anycompatible) int4[]',
    (a, _c, types) => positionsOf(a, types),
    { strict: false },
  ),
  scalar(
    'array_remove(anycompatiblearray,anycompatible) anycompatiblearray',
    (a, _c, types) => removeAll(a, types),
    { strict: false },
  ),
  scalar(
    'array_replace(anycompatiblearray,anycompatible,anycompatible) anycompatiblearray',
    (a, _c, types) => replaceAll(a, types),
    { strict: false },
  ),
  scalar('@>(anyarray,anyarray) bool', (a, _c, types) =>
    contains(asArray(a[0]), asArray(a[1]), typeOps(elementType(types, 0))),
  ),
  scalar('<@(anyarray,anyarray) bool', (a, _c, types) =>
    contains(asArray(a[1]), asArray(a[0]), typeOps(elementType(types, 0))),
  ),
  scalar('&&(anyarray,anyarray) bool', (a, _c, types) =>
    overlap(asArray(a[0]), asArray(a[1]), typeOps(elementType(types, 0))),
  ),
  scalar('array_fill(anyelement,int4[]) anyarray', (a, _c, types) => fill(a, types), {
    strict: false,
  }),
  scalar('array_fill(anyelement,int4[],int4[]) anyarray', (a, _c, types) => fill(a, types), {
    strict: false,
  }),
  scalar('trim_array(anyarray,int4) anyarray', (a) => trimArray(asArray(a[0]), asNumber(a[1]))),
];

export const arraySetFunctions: readonly SetFunction[] = [
  setFunction(
    'unnest(anyarray) anyelement',
    (a) => asArray(a[0]).elements.map((item): Row => [item]),
    {
      columns: [['unnest', 'anyelement']],
    },
  ),
  setFunction('generate_subscripts(anyarray,int4) int4', (a) => subscripts(a, false)),
  setFunction('generate_subscripts(anyarray,int4,bool) int4', (a) => subscripts(a, a[2] === true)),
];

function subscripts(a: Args, reverse: boolean): Row[] {
  const dimension = asArray(a[0]).dimensions[asNumber(a[1]) - 1];
  if (dimension === undefined) return [];
  const rows = Array.from({ length: dimension.length }, (_, i): Row => [dimension.lowerBound + i]);
  return reverse ? rows.reverse() : rows;
}
