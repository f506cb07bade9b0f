/**
 * The ends of RANGE frames with an offset (PostgreSQL's in_range functions): the current row's sort key minus or plus the offset, in a
 * type with room for it. A date plus an interval is a timestamp; integers do not overflow there, times do not wrap around.
 */
import { sqlError } from '../errors.ts';
import {
  asBigint,
  asBool,
  asInterval,
  asNumber,
  asNumeric,
  asTimeTz,
  type Datum,
  Interval,
  oids,
  TimeTz,
  typeOf,
} from '../types/index.ts';
import { addInterval, intervalSpan, negateInterval } from '../types/interval.ts';
import {
  addNumeric,
  negateNumeric,
  numericInfinity,
  numericMinusInfinity,
  numericSign,
} from '../types/numeric.ts';
import { addToTimestamp, addToTimestamptz, dateToTimestamp } from './date-arithmetic.ts';
import { scalar } from './define.ts';
import { type EvalContext, type ScalarFunction } from './registry-types.ts';

export interface RangeEnds {
  /** The type of offsets. */
  readonly offset: number;
  /** In which sort keys and ends are compared. */
  readonly type: number;
  /** A sort key in that type. */
  readonly widen: (key: Datum) => Datum;
  /** (sort key, offset, whether the offset is taken away, whether this is the frame's greatest value). Refuses negative offsets. */
  readonly end: ScalarFunction;
}

interface Offsets {
  readonly type: number;
  readonly isNegative: (offset: Datum) => boolean;
  readonly negate: (offset: Datum) => Datum;
}

const integers: Offsets = {
  type: oids.int8,
  isNegative: (offset) => asBigint(offset) < 0n,
  negate: (offset) => -asBigint(offset),
};

const floats: Offsets = {
  type: oids.float8,
  isNegative: (offset) => !(asNumber(offset) >= 0),
  negate: (offset) => -asNumber(offset),
};

const numerics: Offsets = {
  type: oids.numeric,
  isNegative: (offset) => asNumeric(offset).kind === 'nan' || numericSign(asNumeric(offset)) < 0,
  negate: (offset) => negateNumeric(asNumeric(offset)),
};

const intervals: Offsets = {
  type: oids.interval,
  isNegative: (offset) => intervalSpan(asInterval(offset)) < 0n,
  negate: (offset) => negateInterval(asInterval(offset)),
};

/** Times move by the time part alone. */
const timeParts: Offsets = {
  ...intervals,
  isNegative: (offset) => asInterval(offset).micros < 0n,
  negate: (offset) => new Interval(0, 0, -asInterval(offset).micros),
};

function rangeEnds(
  key: number,
  offsets: Offsets,
  type: number,
  widen: (key: Datum) => Datum,
  add: (key: Datum, offset: Datum, isUpper: boolean, context: EvalContext) => Datum,
): [number, RangeEnds] {
  const names = [key, offsets.type, oids.bool, oids.bool].map((oid) => typeOf(oid).name);
  const end = scalar(
    `range_end(${names.join(',')}) ${typeOf(type).name}`,
    ([own = null, offset = null, isMinus = null, isUpper = null], context) => {
      if (offsets.isNegative(offset)) {
        throw sqlError(
          'invalidPrecedingOrFollowingSize',
          'invalid preceding or following size in window function',
        );
      }
      const by = asBool(isMinus) ? offsets.negate(offset) : offset;
      return add(widen(own), by, asBool(isUpper), context);
    },
    { volatility: 'stable' },
  );
  return [key, { offset: offsets.type, type, widen, end }];
}

const same = (key: Datum): Datum => key;

function integerEnds(key: number): [number, RangeEnds] {
  return rangeEnds(
    key,
    integers,
    oids.int8,
    (own) => BigInt(typeof own === 'bigint' ? own : asNumber(own)),
    (own, by) => asBigint(own) + asBigint(by),
  );
}

/** Infinity less infinity: everything is in range. */
function floatEnds(key: number): [number, RangeEnds] {
  return rangeEnds(key, floats, oids.float8, same, (own, by, isUpper) => {
    const sum = asNumber(own) + asNumber(by);
    if (!Number.isNaN(sum) || Number.isNaN(asNumber(own))) return sum;
    return isUpper ? Infinity : -Infinity;
  });
}

const byKey: ReadonlyMap<number, RangeEnds> = new Map([
  integerEnds(oids.int2),
  integerEnds(oids.int4),
  integerEnds(oids.int8),
  floatEnds(oids.float4),
  floatEnds(oids.float8),
  rangeEnds(oids.numeric, numerics, oids.numeric, same, (own, by, isUpper) => {
    const sum = addNumeric(asNumeric(own), asNumeric(by));
    if (sum.kind !== 'nan' || asNumeric(own).kind === 'nan') return sum;
    return isUpper ? numericInfinity : numericMinusInfinity;
  }),
  rangeEnds(
    oids.date,
    intervals,
    oids.timestamp,
    (own) => dateToTimestamp(asNumber(own)),
    (own, by) => addToTimestamp(asBigint(own), asInterval(by)),
  ),
  rangeEnds(oids.timestamp, intervals, oids.timestamp, same, (own, by) =>
    addToTimestamp(asBigint(own), asInterval(by)),
  ),
  rangeEnds(oids.timestamptz, intervals, oids.timestamptz, same, (own, by, _isUpper, context) =>
    addToTimestamptz(asBigint(own), asInterval(by), context),
  ),
  rangeEnds(oids.interval, intervals, oids.interval, same, (own, by) =>
    addInterval(asInterval(own), asInterval(by)),
  ),
  rangeEnds(
    oids.time,
    timeParts,
    oids.time,
    same,
    (own, by) => asNumber(own) + Number(asInterval(by).micros),
  ),
  rangeEnds(oids.timetz, timeParts, oids.timetz, same, (own, by) => {
    const { micros, zoneSeconds } = asTimeTz(own);
    return new TimeTz(micros + Number(asInterval(by).micros), zoneSeconds);
  }),
]);

/** Undefined for sort keys of a type that has no offsets. */
export function rangeEndsOf(key: number): RangeEnds | undefined {
  return byKey.get(key);
}
