/** Aggregates (chapter 9.21). */
import { must } from '../../util/index.ts';
import { sqlError } from '../errors.ts';
import {
  ArrayDatum,
  asArray,
  asBigint,
  asInterval,
  asNumber,
  asText,
  type Datum,
  isArrayType,
  Jsonb,
  type JsonNode,
  makeArray,
  makeJsonObject,
  Numeric,
  numericFromInt,
  oids,
  typeOps,
} from '../types/index.ts';
import {
  addNumeric,
  divideAtScale,
  divisionScale,
  multiplyNumeric,
  numericNaN,
  numericSign,
  numericZero,
  subtractNumeric,
} from '../types/numeric.ts';
import { sqrtNumeric } from '../types/numeric-math.ts';
import { quoteJson } from '../types/json.ts';
import { addInterval, negateInterval, scaleInterval } from '../types/interval.ts';
import {
  BoolState,
  CountState,
  ExtremeState,
  FloatSumState,
  IntegerAvgState,
  IntegerSumState,
  IntervalSumState,
  NumericSumState,
  partialOf,
} from './aggregate-states.ts';
import { aggregate, type Types } from './define.ts';
import { keyText, toJsonNode, toJsonText } from './json-output.ts';
import { type AggregateFunction, type AggregateState, type EvalContext } from './registry-types.ts';

const countPartial = partialOf(() => [oids.int8]);
const sumPartial = partialOf(() => [oids.numeric, oids.int8]);
const floatPartial = partialOf(() => [oids.float8, oids.int8]);
const intervalPartial = partialOf(() => [oids.interval, oids.int8]);
const boolPartial = partialOf(() => [oids.bool]);
const extremePartial = partialOf((types) => [types[0] ?? oids.text]);

const sums: AggregateFunction[] = [
  aggregate('count() int8', () => new CountState(), { partial: countPartial }),
  aggregate('count("any") int8', () => new CountState(), { partial: countPartial }),
  aggregate('sum(int2) int8', () => new IntegerSumState(false), { partial: sumPartial }),
  aggregate('sum(int4) int8', () => new IntegerSumState(false), { partial: sumPartial }),
  aggregate('sum(int8) numeric', () => new IntegerSumState(true), { partial: sumPartial }),
  aggregate('sum(numeric) numeric', () => new NumericSumState(false), { partial: sumPartial }),
  aggregate('sum(float4) float4', () => new FloatSumState(false, true), { partial: floatPartial }),
  aggregate('sum(float8) float8', () => new FloatSumState(false, false), { partial: floatPartial }),
  aggregate('sum(interval) interval', () => new IntervalSumState(false), {
    partial: intervalPartial,
  }),
  ...['int2', 'int4', 'int8'].map((type) =>
    aggregate(`avg(${type}) numeric`, () => new IntegerAvgState(), { partial: sumPartial }),
  ),
  aggregate('avg(numeric) numeric', () => new NumericSumState(true), { partial: sumPartial }),
  aggregate('avg(float4) float8', () => new FloatSumState(true, false), { partial: floatPartial }),
  aggregate('avg(float8) float8', () => new FloatSumState(true, false), { partial: floatPartial }),
  aggregate('avg(interval) interval', () => new IntervalSumState(true), {
    partial: intervalPartial,
  }),
];

const extremeTypes = [
  'int2',
  'int4',
  'int8',
  'oid',
  'float4',
  'float8',
  'numeric',
  'text',
  'bpchar',
  'date',
  'time',
  'timetz',
  'timestamp',
  'timestamptz',
  'interval',
  'uuid',
  'bytea',
  'anyarray',
];

/** min and max; those of uuid and bytea go beyond PostgreSQL 16. */
const extremes: AggregateFunction[] = extremeTypes.flatMap((type) => {
  const state = (direction: 1 | -1) => (types: Types) =>
    new ExtremeState(typeOps(types[0] ?? oids.text), direction);
  return [
    aggregate(`min(${type}) ${type}`, state(-1), { partial: extremePartial }),
    aggregate(`max(${type}) ${type}`, state(1), { partial: extremePartial }),
  ];
});

const booleans: AggregateFunction[] = [
  aggregate('bool_and(bool) bool', () => new BoolState(false), { partial: boolPartial }),
  aggregate('every(bool) bool', () => new BoolState(false), { partial: boolPartial }),
  aggregate('bool_or(bool) bool', () => new BoolState(true), { partial: boolPartial }),
];

/** Folds non-null values with a function of two; null for no input. */
class FoldState implements AggregateState {
  #value: Datum = null;
  readonly #fold: (a: Datum, b: Datum) => Datum;

  constructor(fold: (a: Datum, b: Datum) => Datum) {
    this.#fold = fold;
  }

  add(args: readonly Datum[]): void {
    const value = args[0] ?? null;
    if (value !== null) this.#value = this.#value === null ? value : this.#fold(this.#value, value);
  }

  result(): Datum {
    return this.#value;
  }
}

const bits: AggregateFunction[] = ['int2', 'int4', 'int8'].flatMap((type) => {
  const wide = type === 'int8';
  const make = (
    name: string,
    small: (a: number, b: number) => number,
    big: (a: bigint, b: bigint) => bigint,
  ): AggregateFunction =>
    aggregate(
      `${name}(${type}) ${type}`,
      () =>
        new FoldState((a, b) =>
          wide ? big(asBigint(a), asBigint(b)) : small(asNumber(a), asNumber(b)),
        ),
    );
  return [
    make(
      'bit_and',
      (a, b) => a & b,
      (a, b) => a & b,
    ),
    make(
      'bit_or',
      (a, b) => a | b,
      (a, b) => a | b,
    ),
    make(
      'bit_xor',
      (a, b) => a ^ b,
      (a, b) => a ^ b,
    ),
  ];
});

// --------------------------------------------------------------------------------- collections

/** Collects rows of arguments and finishes them at the end. */
class CollectState implements AggregateState {
  readonly #rows: (readonly Datum[])[] = [];
  readonly #finish: (rows: readonly (readonly Datum[])[]) => Datum;

  constructor(finish: (rows: readonly (readonly Datum[])[]) => Datum) {
    this.#finish = finish;
  }

  add(args: readonly Datum[]): void {
    this.#rows.push([...args]);
  }

  result(): Datum {
    return this.#rows.length === 0 ? null : this.#finish(this.#rows);
  }
}

function collect(
  signature: string,
  finish: (rows: readonly (readonly Datum[])[], types: Types, context: EvalContext) => Datum,
): AggregateFunction {
  return aggregate(
    signature,
    (types, context) => new CollectState((rows) => finish(rows, types, context)),
    { nulls: true },
  );
}

function stringAgg(rows: readonly (readonly Datum[])[]): Datum {
  let out: string | null = null;
  for (const [value = null, delimiter = null] of rows) {
    if (value === null) continue;
    out =
      out === null
        ? asText(value)
        : out + (delimiter === null ? '' : asText(delimiter)) + asText(value);
  }
  return out;
}

function byteaAgg(rows: readonly (readonly Datum[])[]): Datum {
  const parts: Buffer[] = [];
  for (const [value = null, delimiter = null] of rows) {
    if (!(value instanceof Buffer)) continue;
    if (parts.length > 0 && delimiter instanceof Buffer) parts.push(delimiter);
    parts.push(value);
  }
  return parts.length === 0 ? null : Buffer.concat(parts);
}

/** Arrays become the elements of an array with one more dimension. */
function arrayOfArrays(rows: readonly (readonly Datum[])[]): Datum {
  const arrays = rows.map(([value = null]) => {
    if (value === null) throw sqlError('nullValueNotAllowed', 'cannot accumulate null arrays');
    return asArray(value);
  });
  const first = must(arrays[0]);
  if (first.dimensions.length === 0) {
    throw sqlError('arraySubscriptError', 'cannot accumulate empty arrays');
  }
  const shape = (array: ArrayDatum): string => array.dimensions.map(({ length }) => length).join();
  if (arrays.some((array) => shape(array) !== shape(first))) {
    throw sqlError('arraySubscriptError', 'cannot accumulate arrays of different dimensionality');
  }
  return new ArrayDatum(
    first.elementOid,
    arrays.flatMap((array) => [...array.elements]),
    [{ length: arrays.length, lowerBound: 1 }, ...first.dimensions],
  );
}

function jsonKey(value: Datum, oid: number, context: EvalContext): string {
  if (value === null) throw sqlError('nullValueNotAllowed', 'field name must not be null');
  return keyText(value, oid, context);
}

const collections: AggregateFunction[] = [
  collect('string_agg(text,text) text', stringAgg),
  collect('string_agg(bytea,bytea) bytea', byteaAgg),
  collect('array_agg(anynonarray) anyarray', (rows, types) =>
    makeArray(
      types[0] ?? oids.text,
      rows.map(([value = null]) => value),
    ),
  ),
  collect('array_agg(anyarray) anyarray', arrayOfArrays),
  collect('json_agg(anyelement) json', (rows, types, context) => {
    const oid = types[0] ?? oids.text;
    const isContainer = oid === oids.record || isArrayType(oid);
    const parts = rows.map(([value = null]) => toJsonText(value, oid, context));
    return `[${parts.join(isContainer ? ', \n ' : ', ')}]`;
  }),
  collect(
    'jsonb_agg(anyelement) jsonb',
    (rows, types, context) =>
      new Jsonb(rows.map(([value = null]) => toJsonNode(value, types[0] ?? oids.text, context))),
  ),
  collect('json_object_agg("any","any") json', (rows, types, context) => {
    const parts = rows.map(
      ([key = null, value = null]) =>
        `${quoteJson(jsonKey(key, types[0] ?? oids.text, context))} : ${toJsonText(value, types[1] ?? oids.text, context)}`,
    );
    return `{ ${parts.join(', ')} }`;
  }),
  collect('jsonb_object_agg("any","any") jsonb', (rows, types, context) => {
    const entries = rows.map(([key = null, value = null]): [string, JsonNode] => [
      jsonKey(key, types[0] ?? oids.text, context),
      toJsonNode(value, types[1] ?? oids.text, context),
    ]);
    return new Jsonb(makeJsonObject(entries));
  }),
  aggregate('any_value(anyelement) anyelement', () => new FoldState((a) => a)),
];

// ------------------------------------------------------------------------------------ statistics

type Spread = 'var_pop' | 'var_samp' | 'stddev_pop' | 'stddev_samp';

/** Exact: N * sum(x^2) - sum(x)^2 over N^2 or N (N-1). */
class NumericSpreadState implements AggregateState {
  #count = 0;
  #sum: Numeric = numericZero;
  #squares: Numeric = numericZero;
  readonly #kind: Spread;

  constructor(kind: Spread) {
    this.#kind = kind;
  }

  add(args: readonly Datum[]): void {
    const given = args[0] ?? null;
    const value =
      given instanceof Numeric
        ? given
        : numericFromInt(typeof given === 'bigint' ? given : asNumber(given));
    this.#count++;
    this.#sum = addNumeric(this.#sum, value);
    this.#squares = addNumeric(this.#squares, multiplyNumeric(value, value));
  }

  result(): Datum {
    const sample = this.#kind.endsWith('samp');
    if (this.#count === 0 || (sample && this.#count === 1)) return null;
    if (this.#sum.kind !== 'finite' || this.#squares.kind !== 'finite') return numericNaN;
    const n = numericFromInt(this.#count);
    const spread = subtractNumeric(
      multiplyNumeric(n, this.#squares),
      multiplyNumeric(this.#sum, this.#sum),
    );
    if (numericSign(spread) <= 0) return numericZero;
    const divisor = numericFromInt(
      BigInt(this.#count) * BigInt(sample ? this.#count - 1 : this.#count),
    );
    const variance = divideAtScale(spread, divisor, divisionScale(spread, divisor));
    return this.#kind.startsWith('var') ? variance : sqrtNumeric(variance);
  }
}

/** Youngs and Cramer's updating formula, as PostgreSQL's float8_accum. */
class FloatSpreadState implements AggregateState {
  #count = 0;
  #sum = 0;
  #spread = 0;
  readonly #kind: Spread;

  constructor(kind: Spread) {
    this.#kind = kind;
  }

  add(args: readonly Datum[]): void {
    const value = asNumber(args[0]);
    this.#count++;
    this.#sum += value;
    const n = this.#count;
    if (n > 1) {
      const delta = value * n - this.#sum;
      this.#spread += (delta * delta) / (n * (n - 1));
    } else if (!Number.isFinite(value)) this.#spread = NaN;
  }

  result(): Datum {
    const sample = this.#kind.endsWith('samp');
    if (this.#count === 0 || (sample && this.#count === 1)) return null;
    const variance = this.#spread / (sample ? this.#count - 1 : this.#count);
    return this.#kind.startsWith('var') ? variance : Math.sqrt(variance);
  }
}

const spreads: AggregateFunction[] = (
  [
    ['var_pop', 'var_pop'],
    ['var_samp', 'var_samp'],
    ['variance', 'var_samp'],
    ['stddev_pop', 'stddev_pop'],
    ['stddev_samp', 'stddev_samp'],
    ['stddev', 'stddev_samp'],
  ] as const
).flatMap(([name, kind]) => [
  ...['int2', 'int4', 'int8', 'numeric'].map((type) =>
    aggregate(`${name}(${type}) numeric`, () => new NumericSpreadState(kind)),
  ),
  ...['float4', 'float8'].map((type) =>
    aggregate(`${name}(${type}) float8`, () => new FloatSpreadState(kind)),
  ),
]);

interface Regression {
  readonly n: number;
  readonly meanX: number;
  readonly meanY: number;
  readonly sxx: number;
  readonly syy: number;
  readonly sxy: number;
}

/** Pairs (Y, X) as SQL orders them. */
class RegressionState implements AggregateState {
  #n = 0;
  #sumX = 0;
  #sumY = 0;
  #sxx = 0;
  #syy = 0;
  #sxy = 0;
  readonly #finish: (r: Regression) => number | null;

  constructor(finish: (r: Regression) => number | null) {
    this.#finish = finish;
  }

  add(args: readonly Datum[]): void {
    const y = asNumber(args[0]);
    const x = asNumber(args[1]);
    this.#n++;
    this.#sumX += x;
    this.#sumY += y;
    const n = this.#n;
    if (n === 1) return;
    const dx = x * n - this.#sumX;
    const dy = y * n - this.#sumY;
    const scale = 1 / (n * (n - 1));
    this.#sxx += dx * dx * scale;
    this.#syy += dy * dy * scale;
    this.#sxy += dx * dy * scale;
  }

  result(): Datum {
    const n = this.#n;
    if (n === 0) return null;
    return this.#finish({
      n,
      meanX: this.#sumX / n,
      meanY: this.#sumY / n,
      sxx: this.#sxx,
      syy: this.#syy,
      sxy: this.#sxy,
    });
  }
}

const regressionFunctions: readonly (readonly [string, (r: Regression) => number | null])[] = [
  ['corr', ({ sxx, syy, sxy }) => (sxx === 0 || syy === 0 ? null : sxy / Math.sqrt(sxx * syy))],
  ['covar_pop', ({ n, sxy }) => sxy / n],
  ['covar_samp', ({ n, sxy }) => (n < 2 ? null : sxy / (n - 1))],
  ['regr_avgx', ({ meanX }) => meanX],
  ['regr_avgy', ({ meanY }) => meanY],
  ['regr_sxx', ({ sxx }) => sxx],
  ['regr_syy', ({ syy }) => syy],
  ['regr_sxy', ({ sxy }) => sxy],
  ['regr_slope', ({ sxx, sxy }) => (sxx === 0 ? null : sxy / sxx)],
  [
    'regr_intercept',
    ({ sxx, sxy, meanX, meanY }) => (sxx === 0 ? null : meanY - (sxy / sxx) * meanX),
  ],
  [
    'regr_r2',
    ({ sxx, syy, sxy }) => (sxx === 0 ? null : syy === 0 ? 1 : (sxy * sxy) / (sxx * syy)),
  ],
];

const regressions: AggregateFunction[] = [
  ...regressionFunctions.map(([name, finish]) =>
    aggregate(`${name}(float8,float8) float8`, () => new RegressionState(finish)),
  ),
  aggregate('regr_count(float8,float8) int8', () => new CountState(), { partial: countPartial }),
];

// -------------------------------------------------------------------------------- ordered sets

/**
 * WITHIN GROUP: `add` gets the direct arguments followed by the aggregated ones, and the caller feeds
 * rows in the requested order.
 */
class OrderedSetState implements AggregateState {
  #direct: readonly Datum[] = [];
  readonly #values: Exclude<Datum, null>[] = [];
  readonly #directArgs: number;
  readonly #finish: (values: readonly Exclude<Datum, null>[], direct: readonly Datum[]) => Datum;

  constructor(
    directArgs: number,
    finish: (values: readonly Exclude<Datum, null>[], direct: readonly Datum[]) => Datum,
  ) {
    this.#directArgs = directArgs;
    this.#finish = finish;
  }

  add(args: readonly Datum[]): void {
    this.#direct = args.slice(0, this.#directArgs);
    const value = args[this.#directArgs] ?? null;
    if (value !== null) this.#values.push(value);
  }

  result(): Datum {
    return this.#values.length === 0 ? null : this.#finish(this.#values, this.#direct);
  }
}

function fraction(value: Datum): number {
  const p = asNumber(value);
  if (p < 0 || p > 1 || Number.isNaN(p)) {
    throw sqlError('numericValueOutOfRange', `percentile value ${p} is not between 0 and 1`);
  }
  return p;
}

function percentileDisc(values: readonly Exclude<Datum, null>[], p: number): Datum {
  return values[Math.max(Math.ceil(p * values.length) - 1, 0)] ?? null;
}

function percentileCont(
  values: readonly Exclude<Datum, null>[],
  p: number,
  mix: (low: Datum, high: Datum, part: number) => Datum,
): Datum {
  const at = p * (values.length - 1);
  const low = values[Math.floor(at)] ?? null;
  const high = values[Math.ceil(at)] ?? null;
  return Math.floor(at) === Math.ceil(at) ? low : mix(low, high, at - Math.floor(at));
}

const mixFloat = (low: Datum, high: Datum, part: number): Datum =>
  asNumber(low) + part * (asNumber(high) - asNumber(low));
const mixInterval = (low: Datum, high: Datum, part: number): Datum =>
  addInterval(
    asInterval(low),
    scaleInterval(addInterval(asInterval(high), negateInterval(asInterval(low))), part),
  );

function orderedSet(
  signature: string,
  directArgs: number,
  finish: (
    values: readonly Exclude<Datum, null>[],
    direct: readonly Datum[],
    types: Types,
  ) => Datum,
): AggregateFunction {
  return aggregate(
    signature,
    (types) => new OrderedSetState(directArgs, (values, direct) => finish(values, direct, types)),
    { nulls: true, directArgs },
  );
}

/** Applies `one` to every fraction of a float8[] argument. */
function eachFraction(value: Datum, elementOid: number, one: (p: number) => Datum): Datum {
  if (value === null) return null;
  const fractions = asArray(value);
  return new ArrayDatum(
    elementOid,
    fractions.elements.map((p) => (p === null ? null : one(fraction(p)))),
    fractions.dimensions,
  );
}

function mode(values: readonly Exclude<Datum, null>[], types: Types): Datum {
  const ops = typeOps(types[0] ?? oids.text);
  const counts = new Map<unknown, { count: number; value: Datum }>();
  let best: { count: number; value: Datum } = { count: 0, value: null };
  for (const value of values) {
    const key = ops.hashKey(value);
    const entry = counts.get(key) ?? { count: 0, value };
    entry.count++;
    counts.set(key, entry);
  }
  for (const entry of counts.values()) if (entry.count > best.count) best = entry;
  return best.value;
}

const orderedSets: AggregateFunction[] = [
  orderedSet('percentile_disc(float8,anyelement) anyelement', 1, (values, [p = null]) =>
    p === null ? null : percentileDisc(values, fraction(p)),
  ),
  orderedSet('percentile_disc(float8[],anyelement) anyarray', 1, (values, [p = null], types) =>
    eachFraction(p, types[1] ?? oids.text, (one) => percentileDisc(values, one)),
  ),
  orderedSet('percentile_cont(float8,float8) float8', 1, (values, [p = null]) =>
    p === null ? null : percentileCont(values, fraction(p), mixFloat),
  ),
  orderedSet('percentile_cont(float8,interval) interval', 1, (values, [p = null]) =>
    p === null ? null : percentileCont(values, fraction(p), mixInterval),
  ),
  orderedSet('percentile_cont(float8[],float8) float8[]', 1, (values, [p = null]) =>
    eachFraction(p, oids.float8, (one) => percentileCont(values, one, mixFloat)),
  ),
  orderedSet('percentile_cont(float8[],interval) interval[]', 1, (values, [p = null]) =>
    eachFraction(p, oids.interval, (one) => percentileCont(values, one, mixInterval)),
  ),
  orderedSet('mode(anyelement) anyelement', 0, (values, _direct, types) => mode(values, types)),
];

export const aggregateFunctions: readonly AggregateFunction[] = [
  ...sums,
  ...extremes,
  ...booleans,
  ...bits,
  ...collections,
  ...spreads,
  ...regressions,
  ...orderedSets,
];
