/** Date and time functions and operators (chapter 9.9), without to_char and its relatives. */
import { sqlError } from '../errors.ts';
import {
  dateFromDays,
  dayOfWeek,
  daysFromDate,
  daysInMonth,
  joinMicros,
  microsPerDay,
  microsPerDayBig,
  microsPerHour,
  microsPerMinute,
  microsPerSecond,
  splitMicros,
  unixEpochSeconds,
} from '../types/calendar.ts';
import {
  asBigint,
  asBool,
  asInterval,
  asNumber,
  asText,
  asTimeTz,
  type Datum,
  Interval,
  timestampInfinity,
  timestampMinusInfinity,
  TimeTz,
} from '../types/index.ts';
import { checkDate, checkTimestamp } from '../types/datetime-parse.ts';
import { formatOffset, formatTime } from '../types/datetime-format.ts';
import { monthNames } from '../types/datetime-words.ts';
import {
  addInterval,
  divideInterval,
  makeInterval,
  negateInterval,
  roundHalfEven,
  scaleInterval,
} from '../types/interval.ts';
import {
  localToUtc,
  offsetOfInstant,
  parseOffset,
  utcToLocal,
  type Zone,
  zoneOf,
} from '../types/timezone.ts';
import {
  addToDate,
  addToTime,
  addToTimestamp,
  addToTimestamptz,
  dateToTimestamp,
  isInfinite,
  subtractDates,
  subtractFromTime,
  subtractTimestamps,
  timestampToDate,
  timestampToTimestamptz,
  timestamptzToTimestamp,
  timestamptzToTimeTz,
} from './date-arithmetic.ts';
import { datetimeFieldFunctions } from './datetime-fields.ts';
import { type Args, scalar, stable, volatile } from './define.ts';
import { type EvalContext, type ScalarFunction } from './registry-types.ts';

function n(args: Args, i = 0): number {
  return asNumber(args[i]);
}

function b(args: Args, i = 0): bigint {
  return asBigint(args[i]);
}

function v(args: Args, i = 0): Interval {
  return asInterval(args[i]);
}

// ----------------------------------------------------------------------------------- operators

const operators: ScalarFunction[] = [
  scalar('+(date,int4) date', (a) => addToDate(n(a), n(a, 1))),
  scalar('+(int4,date) date', (a) => addToDate(n(a, 1), n(a))),
  scalar('-(date,int4) date', (a) => addToDate(n(a), -n(a, 1))),
  scalar('-(date,date) int4', (a) => subtractDates(n(a), n(a, 1))),
  scalar('+(date,interval) timestamp', (a) => addToTimestamp(dateToTimestamp(n(a)), v(a, 1))),
  scalar('+(interval,date) timestamp', (a) => addToTimestamp(dateToTimestamp(n(a, 1)), v(a))),
  scalar('-(date,interval) timestamp', (a) =>
    addToTimestamp(dateToTimestamp(n(a)), negateInterval(v(a, 1))),
  ),
  scalar('+(date,time) timestamp', (a) => dateTime(n(a), n(a, 1))),
  scalar('+(time,date) timestamp', (a) => dateTime(n(a, 1), n(a))),
  scalar('+(date,timetz) timestamptz', (a) => dateTimeTz(n(a), asTimeTz(a[1]))),
  scalar('+(timetz,date) timestamptz', (a) => dateTimeTz(n(a, 1), asTimeTz(a[0]))),
  scalar('+(timestamp,interval) timestamp', (a) => addToTimestamp(b(a), v(a, 1))),
  scalar('+(interval,timestamp) timestamp', (a) => addToTimestamp(b(a, 1), v(a))),
  scalar('-(timestamp,interval) timestamp', (a) => addToTimestamp(b(a), negateInterval(v(a, 1)))),
  stable('+(timestamptz,interval) timestamptz', (a, c) => addToTimestamptz(b(a), v(a, 1), c)),
  stable('+(interval,timestamptz) timestamptz', (a, c) => addToTimestamptz(b(a, 1), v(a), c)),
  stable('-(timestamptz,interval) timestamptz', (a, c) =>
    addToTimestamptz(b(a), negateInterval(v(a, 1)), c),
  ),
  scalar('-(timestamp,timestamp) interval', (a) => subtractTimestamps(b(a), b(a, 1))),
  scalar('-(timestamptz,timestamptz) interval', (a) => subtractTimestamps(b(a), b(a, 1))),
  scalar('+(interval,interval) interval', (a) => addInterval(v(a), v(a, 1))),
  scalar('-(interval,interval) interval', (a) => addInterval(v(a), negateInterval(v(a, 1)))),
  scalar('-(interval) interval', (a) => negateInterval(v(a))),
  scalar('*(interval,float8) interval', (a) => scaleInterval(v(a), n(a, 1))),
  scalar('*(float8,interval) interval', (a) => scaleInterval(v(a, 1), n(a))),
  scalar('/(interval,float8) interval', (a) => divideInterval(v(a), n(a, 1))),
  scalar('+(time,interval) time', (a) => addToTime(n(a), v(a, 1))),
  scalar('-(time,interval) time', (a) => subtractFromTime(n(a), v(a, 1))),
  scalar('+(interval,time) time', (a) => addToTime(n(a, 1), v(a))),
  scalar('-(time,time) interval', (a) => new Interval(0, 0, BigInt(n(a) - n(a, 1)))),
  scalar('+(timetz,interval) timetz', (a) => shiftTimeTz(asTimeTz(a[0]), v(a, 1))),
  scalar('-(timetz,interval) timetz', (a) => shiftTimeTz(asTimeTz(a[0]), negateInterval(v(a, 1)))),
  scalar('+(interval,timetz) timetz', (a) => shiftTimeTz(asTimeTz(a[1]), v(a))),
];

function dateTime(days: number, micros: number): bigint {
  const start = dateToTimestamp(days);
  return isInfinite(start) ? start : checkTimestamp(start + BigInt(micros));
}

function dateTimeTz(days: number, time: TimeTz): bigint {
  const start = dateToTimestamp(days);
  if (isInfinite(start)) return start;
  return checkTimestamp(start + BigInt(time.micros) + BigInt(time.zoneSeconds) * 1_000_000n);
}

function shiftTimeTz(time: TimeTz, interval: Interval): TimeTz {
  return new TimeTz(addToTime(time.micros, interval), time.zoneSeconds);
}

// ---------------------------------------------------------------------------- age and justify

/** Difference in years, months, days and time (wall clock). */
function age(a: bigint, c: bigint): Interval {
  if (isInfinite(a) || isInfinite(c)) {
    throw sqlError('datetimeFieldOverflow', 'timestamp out of range');
  }
  if (a < c) return negateInterval(age2(c, a, true));
  return age2(a, c, false);
}

/** `later` >= `earlier`. Borrowed days are those of the month that the earlier (or, negated, later) date is in. */
function age2(later: bigint, earlier: bigint, swapped: boolean): Interval {
  const x = splitMicros(later);
  const y = splitMicros(earlier);
  const from = dateFromDays(y.days);
  const to = dateFromDays(x.days);
  let micros = x.micros - y.micros;
  let days = to.day - from.day;
  let months = to.year * 12 + to.month - (from.year * 12 + from.month);
  if (micros < 0) {
    micros += microsPerDay;
    days--;
  }
  const borrowed = swapped ? to : from;
  while (days < 0) {
    days += daysInMonth(borrowed.year, borrowed.month);
    months--;
  }
  return new Interval(months, days, BigInt(micros));
}

function justifyHours(value: Interval): Interval {
  let days = value.days + Number(value.micros / microsPerDayBig);
  let micros = value.micros % microsPerDayBig;
  if (days > 0 && micros < 0n) {
    micros += microsPerDayBig;
    days--;
  } else if (days < 0 && micros > 0n) {
    micros -= microsPerDayBig;
    days++;
  }
  return makeInterval(value.months, days, micros);
}

function justifyDays(value: Interval): Interval {
  let months = value.months + Math.trunc(value.days / 30);
  let days = value.days % 30;
  if (months > 0 && days < 0) {
    days += 30;
    months--;
  } else if (months < 0 && days > 0) {
    days -= 30;
    months++;
  }
  return makeInterval(months, days, value.micros);
}

function justifyInterval(value: Interval): Interval {
  let days = value.days + Number(value.micros / microsPerDayBig);
  let micros = value.micros % microsPerDayBig;
  let months = value.months + Math.trunc(days / 30);
  days %= 30;
  if (months > 0 && (days < 0 || (days === 0 && micros < 0n))) {
    days += 30;
    months--;
  } else if (months < 0 && (days > 0 || (days === 0 && micros > 0n))) {
    days -= 30;
    months++;
  }
  if (days > 0 && micros < 0n) {
    micros += microsPerDayBig;
    days--;
  } else if (days < 0 && micros > 0n) {
    micros -= microsPerDayBig;
    days++;
  }
  return makeInterval(months, days, micros);
}

function today(context: EvalContext): bigint {
  const local = utcToLocal(zoneOf(context.timeZone), context.statementMicros);
  return joinMicros(splitMicros(local).days, 0);
}

const ages: ScalarFunction[] = [
  scalar('age(timestamp,timestamp) interval', (a) => age(b(a), b(a, 1))),
  stable('age(timestamptz,timestamptz) interval', (a, c) =>
    age(timestamptzToTimestamp(b(a), c), timestamptzToTimestamp(b(a, 1), c)),
  ),
  stable('age(timestamp) interval', (a, c) => age(today(c), b(a))),
  stable('age(timestamptz) interval', (a, c) => age(today(c), timestamptzToTimestamp(b(a), c))),
  scalar('justify_hours(interval) interval', (a) => justifyHours(v(a))),
  scalar('justify_days(interval) interval', (a) => justifyDays(v(a))),
  scalar('justify_interval(interval) interval', (a) => justifyInterval(v(a))),
];

// ---------------------------------------------------------------------------------- time zones

function zoneOfInterval(value: Interval): Zone {
  if (value.months !== 0 || value.days !== 0) {
    throw sqlError('invalidParameterValue', `interval time zone must not include months or days`);
  }
  const seconds = Number(value.micros / 1_000_000n);
  return { name: '', offsetAt: () => seconds, abbreviationAt: () => undefined };
}

/** As AT TIME ZONE reads names: `+3` and `UTC+3` are POSIX and count west. */
function namedZone(text: string): Zone {
  const offset = parseOffset(text);
  if (offset === undefined) return zoneOf(text);
  return { name: text, offsetAt: () => -offset, abbreviationAt: () => undefined };
}

const zoneFunctions: ScalarFunction[] = (
  [
    ['text', (a: Args) => namedZone(asText(a[0]))],
    ['interval', (a: Args) => zoneOfInterval(v(a))],
  ] as const
).flatMap(([type, zone]) => [
  scalar(`timezone(${type},timestamp) timestamptz`, (a) =>
    isInfinite(b(a, 1)) ? b(a, 1) : checkTimestamp(localToUtc(zone(a), b(a, 1))),
  ),
  scalar(`timezone(${type},timestamptz) timestamp`, (a) =>
    isInfinite(b(a, 1)) ? b(a, 1) : checkTimestamp(utcToLocal(zone(a), b(a, 1))),
  ),
  scalar(
    `timezone(${type},timetz) timetz`,
    (a, c) => {
      const time = asTimeTz(a[1]);
      const offset = offsetOfInstant(zone(a), c.statementMicros);
      const shifted = time.micros + (time.zoneSeconds + offset) * microsPerSecond;
      return new TimeTz(((shifted % microsPerDay) + microsPerDay) % microsPerDay, 0 - offset);
    },
    { volatility: type === 'text' ? 'volatile' : 'immutable' },
  ),
]);

// ----------------------------------------------------------------------------- make_* functions

function fieldOverflow(kind: string, text: string): Error {
  return sqlError('datetimeFieldOverflow', `${kind} field value out of range: ${text}`);
}

function makeDate(year: number, month: number, day: number): number {
  const real = year < 0 ? year + 1 : year;
  if (year === 0 || month < 1 || month > 12 || day < 1 || day > daysInMonth(real, month)) {
    throw fieldOverflow(
      'date',
      `${year}-${String(month).padStart(2, '0')}-${String(day).padStart(2, '0')}`,
    );
  }
  return checkDate(daysFromDate(real, month, day));
}

function makeTime(hour: number, minute: number, second: number): number {
  const micros = hour * microsPerHour + minute * microsPerMinute + Math.round(second * 1e6);
  if (
    hour < 0 ||
    minute < 0 ||
    minute > 59 ||
    !(second >= 0 && second <= 60) ||
    hour > 24 ||
    micros > microsPerDay
  ) {
    throw fieldOverflow(
      'time',
      `${hour}:${String(minute).padStart(2, '0')}:${String(second).padStart(2, '0')}`,
    );
  }
  return micros;
}

function makeTimestamp(a: Args): bigint {
  return checkTimestamp(
    joinMicros(makeDate(n(a), n(a, 1), n(a, 2)), makeTime(n(a, 3), n(a, 4), n(a, 5))),
  );
}

const intervalArguments = ['years', 'months', 'weeks', 'days', 'hours', 'mins', 'secs'] as const;

/** Missing (null) arguments are 0: calls by name leave them out. */
function makeIntervalFrom(a: Args): Interval {
  const part = (i: number): number => Number(a[i] ?? 0);
  const seconds = part(6);
  if (!Number.isFinite(seconds)) throw sqlError('datetimeFieldOverflow', 'interval out of range');
  const micros =
    BigInt(part(4)) * BigInt(microsPerHour) +
    BigInt(part(5)) * BigInt(microsPerMinute) +
    BigInt(roundHalfEven(seconds * 1e6));
  return makeInterval(part(0) * 12 + part(1), part(2) * 7 + part(3), micros);
}

const intervalTypes = ['int4', 'int4', 'int4', 'int4', 'int4', 'int4', 'float8'];

const makers: ScalarFunction[] = [
  scalar('make_date(int4,int4,int4) date', (a) => makeDate(n(a), n(a, 1), n(a, 2)), {
    argNames: ['year', 'month', 'day'],
  }),
  scalar('make_time(int4,int4,float8) time', (a) => makeTime(n(a), n(a, 1), n(a, 2)), {
    argNames: ['hour', 'min', 'sec'],
  }),
  scalar('make_timestamp(int4,int4,int4,int4,int4,float8) timestamp', makeTimestamp, {
    argNames: ['year', 'month', 'mday', 'hour', 'min', 'sec'],
  }),
  stable('make_timestamptz(int4,int4,int4,int4,int4,float8) timestamptz', (a, c) =>
    timestampToTimestamptz(makeTimestamp(a), c),
  ),
  stable('make_timestamptz(int4,int4,int4,int4,int4,float8,text) timestamptz', (a) =>
    localToUtc(makeZone(asText(a[6])), makeTimestamp(a)),
  ),
  ...Array.from({ length: 8 }, (_, count) =>
    scalar(
      `make_interval(${intervalTypes.slice(0, count).join(',')}) interval`,
      makeIntervalFrom,
      count === 7 ? { argNames: intervalArguments } : {},
    ),
  ),
];

/** In make_timestamptz offsets are ISO: `+3` is east. */
function makeZone(text: string): Zone {
  return zoneOf(text);
}

// ---------------------------------------------------------------------------- now and friends

const clock: ScalarFunction[] = [
  ...['now', 'transaction_timestamp', 'current_timestamp'].map((name) =>
    stable(`${name}() timestamptz`, (_a, c) => c.nowMicros),
  ),
  stable('statement_timestamp() timestamptz', (_a, c) => c.statementMicros),
  volatile('clock_timestamp() timestamptz', (_a, c) => c.clockMicros()),
  stable(
    'follower_read_timestamp() timestamptz',
    (_a, c) => c.statementMicros - (c.followerLagMicros ?? 4_200_000n),
  ),
  stable('current_date() date', (_a, c) => timestampToDate(timestamptzToTimestamp(c.nowMicros, c))),
  stable('localtimestamp() timestamp', (_a, c) => timestamptzToTimestamp(c.nowMicros, c)),
  stable('current_time() timetz', (_a, c) => timestamptzToTimeTz(c.nowMicros, c)),
  stable('localtime() time', (_a, c) => splitMicros(timestamptzToTimestamp(c.nowMicros, c)).micros),
  volatile('timeofday() text', (_a, c) => timeOfDay(c)),
];

function timeOfDay(context: EvalContext): string {
  const now = context.clockMicros();
  const zone = zoneOf(context.timeZone);
  const { days, micros } = splitMicros(utcToLocal(zone, now));
  const { year, month, day } = dateFromDays(days);
  const weekday = ['Sun', 'Mon', 'Tue', 'Wed', 'Thu', 'Fri', 'Sat'][dayOfWeek(days)] ?? '';
  const name =
    zone.abbreviationAt(Number(now / 1_000_000n)) ?? formatOffset(offsetOfInstant(zone, now));
  const time = `${formatTime(micros - (micros % microsPerSecond))}.${String(micros % microsPerSecond).padStart(6, '0')}`;
  return `${weekday} ${(monthNames[month - 1] ?? '').slice(0, 3)} ${String(day).padStart(2, '0')} ${time} ${year} ${name}`;
}

function toTimestampEpoch(seconds: number): bigint {
  if (Number.isNaN(seconds)) throw sqlError('datetimeFieldOverflow', 'timestamp cannot be NaN');
  if (!Number.isFinite(seconds)) return seconds > 0 ? timestampInfinity : timestampMinusInfinity;
  const rest = seconds - unixEpochSeconds;
  if (Math.abs(rest) > 1e13) {
    throw sqlError('datetimeFieldOverflow', `timestamp out of range: "${seconds}"`);
  }
  return checkTimestamp(BigInt(roundHalfEven(rest * 1e6)));
}

// ------------------------------------------------------------------------------------ overlaps

/** Order of the ends does not matter; a null end makes the period a point at its start. */
function overlaps(
  a: Args,
  end: (start: Datum, value: Datum) => Datum,
  compare: (x: Datum, y: Datum) => number,
): boolean | null {
  const period = (start: Datum, second: Datum): [Datum, Datum] => {
    const stop = start === null || second === null ? second : end(start, second);
    if (start === null) return [stop, null];
    if (stop === null) return [start, null];
    return compare(start, stop) > 0 ? [stop, start] : [start, stop];
  };
  const [s1, e1] = period(a[0] ?? null, a[1] ?? null);
  const [s2, e2] = period(a[2] ?? null, a[3] ?? null);
  if (s1 === null || s2 === null) return null;
  const order = compare(s1, s2);
  const [firstEnd, secondStart] = order > 0 ? [e2, s1] : [e1, s2];
  if (order === 0) return e1 !== null && e2 !== null ? true : null;
  if (firstEnd === null) return null;
  if (compare(secondStart, firstEnd) < 0) return true;
  const secondEnd = order > 0 ? e1 : e2;
  return secondEnd === null ? null : false;
}

const compareDatum = (x: Datum, y: Datum): number => {
  if (x === null || y === null) return 0;
  return x < y ? -1 : x > y ? 1 : 0;
};
const asIs = (_start: Datum, value: Datum): Datum => value;

const overlapFunctions: ScalarFunction[] = [
  ...['timestamp', 'timestamptz', 'time', 'date'].map((type) =>
    scalar(
      `overlaps(${type},${type},${type},${type}) bool`,
      (a) => overlaps(a, asIs, compareDatum),
      {
        strict: false,
      },
    ),
  ),
  scalar(
    'overlaps(timestamp,interval,timestamp,interval) bool',
    (a) =>
      overlaps(
        a,
        (start, value) => addToTimestamp(asBigint(start), asInterval(value)),
        compareDatum,
      ),
    { strict: false },
  ),
  stable(
    'overlaps(timestamptz,interval,timestamptz,interval) bool',
    (a, c) =>
      overlaps(
        a,
        (start, value) => addToTimestamptz(asBigint(start), asInterval(value), c),
        compareDatum,
      ),
    { strict: false },
  ),
  scalar(
    'overlaps(date,interval,date,interval) bool',
    (a) =>
      overlaps(
        a.map((value, i) =>
          i % 2 === 0 && value !== null ? dateToTimestamp(asNumber(value)) : value,
        ),
        (start, value) => addToTimestamp(asBigint(start), asInterval(value)),
        compareDatum,
      ),
    { strict: false },
  ),
];

export const datetimeFunctions: readonly ScalarFunction[] = [
  ...operators,
  ...datetimeFieldFunctions,
  ...ages,
  ...zoneFunctions,
  ...makers,
  ...clock,
  ...overlapFunctions,
  scalar('to_timestamp(float8) timestamptz', (a) => toTimestampEpoch(n(a))),
  scalar('isfinite(date) bool', (a) => Number.isFinite(n(a))),
  scalar('isfinite(timestamp) bool', (a) => !isInfinite(b(a))),
  scalar('isfinite(timestamptz) bool', (a) => !isInfinite(b(a))),
  scalar('isfinite(interval) bool', (a) => asBool(v(a) !== undefined)),
  stable('timestamptz(date,time) timestamptz', (a, c) =>
    timestampToTimestamptz(dateTime(n(a), n(a, 1)), c),
  ),
  stable('date_add(timestamptz,interval) timestamptz', (a, c) =>
    addToTimestamptz(b(a), v(a, 1), c),
  ),
  stable('date_add(timestamptz,interval,text) timestamptz', (a, c) =>
    addToTimestamptz(b(a), v(a, 1), c, asText(a[2])),
  ),
  stable('date_subtract(timestamptz,interval) timestamptz', (a, c) =>
    addToTimestamptz(b(a), negateInterval(v(a, 1)), c),
  ),
];
