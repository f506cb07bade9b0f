/**
 * Intervals: months, days and microseconds that do not convert into each other, except for comparison
 * (30 days a month, 24 hours a day) and where an operation says so. Text input takes PostgreSQL's units,
 * SQL's year-month and day-time literals and ISO 8601; output has the four IntervalStyles.
 */
import { sqlError } from '../errors.ts';
import { microsPerDayBig, microsPerHour, microsPerMinute, microsPerSecond } from './calendar.ts';
import { Interval } from './datum.ts';
import { formatFraction, pad2 } from './datetime-format.ts';
import { type FormatSettings } from './types.ts';
import { intervalFullRange, intervalHasField, intervalModifier } from './typmod.ts';

export const intervalZero = new Interval(0, 0, 0n);
const daysPerMonth = 30;

export function intervalOutOfRange(): Error {
  return sqlError('datetimeFieldOverflow', 'interval out of range');
}

/** Checks the ranges of the three parts. Throws 22008. */
export function makeInterval(months: number, days: number, micros: bigint): Interval {
  if (
    !(Math.abs(months) <= 2147483648 && Math.abs(days) <= 2147483648) ||
    months > 2147483647 ||
    days > 2147483647 ||
    BigInt.asIntN(64, micros) !== micros
  ) {
    throw intervalOutOfRange();
  }
  return new Interval(months === 0 ? 0 : months, days === 0 ? 0 : days, micros);
}

/** Microseconds with months of 30 days: the order of intervals. */
export function intervalSpan(value: Interval): bigint {
  return BigInt(value.months * daysPerMonth + value.days) * microsPerDayBig + value.micros;
}

export function compareInterval(a: Interval, b: Interval): number {
  const x = intervalSpan(a);
  const y = intervalSpan(b);
  return x < y ? -1 : x > y ? 1 : 0;
}

export function addInterval(a: Interval, b: Interval): Interval {
  return makeInterval(a.months + b.months, a.days + b.days, a.micros + b.micros);
}

export function negateInterval(a: Interval): Interval {
  return makeInterval(-a.months, -a.days, -a.micros);
}

/** Fractions of months cascade to days, fractions of days to time. */
export function scaleInterval(value: Interval, factor: number): Interval {
  if (!Number.isFinite(factor)) throw intervalOutOfRange();
  const monthsExact = value.months * factor;
  const daysExact = value.days * factor;
  const months = Math.trunc(monthsExact);
  let days = Math.trunc(daysExact);
  let monthDays = (monthsExact - months) * daysPerMonth;
  monthDays = roundMicro(monthDays);
  let seconds = (daysExact - days + monthDays - Math.trunc(monthDays)) * 86_400;
  seconds = roundMicro(seconds);
  if (Math.abs(seconds) >= 86_400) {
    const extra = Math.trunc(seconds / 86_400);
    days += extra;
    seconds -= extra * 86_400;
  }
  days += Math.trunc(monthDays);
  const micros = Math.round(Number(value.micros) * factor + seconds * microsPerSecond);
  if (!Number.isFinite(micros)) throw intervalOutOfRange();
  // Large time parts keep their exact value when the factor is whole.
  const exact =
    Number.isInteger(factor) && Math.abs(factor) < 2 ** 53
      ? value.micros * BigInt(factor) + BigInt(Math.round(seconds * microsPerSecond))
      : BigInt(roundHalfEven(Number(value.micros) * factor + seconds * microsPerSecond));
  return makeInterval(months, days, exact);
}

export function divideInterval(value: Interval, divisor: number): Interval {
  if (divisor === 0) throw sqlError('divisionByZero', 'division by zero');
  const monthsExact = value.months / divisor;
  const daysExact = value.days / divisor;
  const months = Math.trunc(monthsExact);
  let days = Math.trunc(daysExact);
  const monthDays = roundMicro((monthsExact - months) * daysPerMonth);
  let seconds = roundMicro((daysExact - days + monthDays - Math.trunc(monthDays)) * 86_400);
  if (Math.abs(seconds) >= 86_400) {
    const extra = Math.trunc(seconds / 86_400);
    days += extra;
    seconds -= extra * 86_400;
  }
  days += Math.trunc(monthDays);
  const micros = roundHalfEven(Number(value.micros) / divisor + seconds * microsPerSecond);
  if (!Number.isFinite(micros)) throw intervalOutOfRange();
  return makeInterval(months, days, BigInt(micros));
}

function roundMicro(value: number): number {
  return roundHalfEven(value * 1e6) / 1e6;
}

/** Rounds as rint() does. */
export function roundHalfEven(value: number): number {
  const floor = Math.floor(value);
  const rest = value - floor;
  if (rest < 0.5) return floor;
  if (rest > 0.5) return floor + 1;
  return floor % 2 === 0 ? floor : floor + 1;
}

// ---------------------------------------------------------------------------------------- input

interface Parts {
  months: number;
  days: number;
  micros: number;
  /** Whole hours beyond what a number holds exactly are kept apart. */
  bigMicros: bigint;
}

type Unit =
  | 'microsecond'
  | 'millisecond'
  | 'second'
  | 'minute'
  | 'hour'
  | 'day'
  | 'week'
  | 'month'
  | 'year'
  | 'decade'
  | 'century'
  | 'millennium';

const units: Readonly<Record<string, Unit>> = {
  us: 'microsecond',
  usec: 'microsecond',
  usecs: 'microsecond',
  usecond: 'microsecond',
  useconds: 'microsecond',
  microsecond: 'microsecond',
  microseconds: 'microsecond',
  microsecon: 'microsecond',
  ms: 'millisecond',
  msec: 'millisecond',
  msecs: 'millisecond',
  msecond: 'millisecond',
  mseconds: 'millisecond',
  millisecond: 'millisecond',
  milliseconds: 'millisecond',
  millisecon: 'millisecond',
  s: 'second',
  sec: 'second',
  secs: 'second',
  second: 'second',
  seconds: 'second',
  m: 'minute',
  min: 'minute',
  mins: 'minute',
  minute: 'minute',
  minutes: 'minute',
  h: 'hour',
  hr: 'hour',
  hrs: 'hour',
  hour: 'hour',
  hours: 'hour',
  d: 'day',
  day: 'day',
  days: 'day',
  w: 'week',
  week: 'week',
  weeks: 'week',
  mon: 'month',
  mons: 'month',
  month: 'month',
  months: 'month',
  y: 'year',
  yr: 'year',
  yrs: 'year',
  year: 'year',
  years: 'year',
  dec: 'decade',
  decs: 'decade',
  decade: 'decade',
  decades: 'decade',
  c: 'century',
  cent: 'century',
  century: 'century',
  centuries: 'century',
  mil: 'millennium',
  mils: 'millennium',
  millennium: 'millennium',
  millennia: 'millennium',
};

const monthsOf: Partial<Record<Unit, number>> = {
  month: 1,
  year: 12,
  decade: 120,
  century: 1200,
  millennium: 12_000,
};
const microsOf: Partial<Record<Unit, number>> = {
  microsecond: 1,
  millisecond: 1000,
  second: microsPerSecond,
  minute: microsPerMinute,
  hour: microsPerHour,
};

/** `factor` has `text` as its decimal form: the whole part stays exact. */
function addUnit(parts: Parts, unit: Unit, text: string): void {
  const negative = text.startsWith('-');
  const [whole = '', fraction = ''] = text.replace(/^[+-]/, '').split('.');
  const sign = negative ? -1 : 1;
  const integer = Number(whole === '' ? '0' : whole) * sign;
  const rest = fraction === '' ? 0 : Number(`0.${fraction}`) * sign;
  const months = monthsOf[unit];
  if (months !== undefined) {
    parts.months += integer * months;
    if (unit === 'month') {
      const days = rest * daysPerMonth;
      parts.days += Math.trunc(days);
      parts.micros += roundHalfEven((days - Math.trunc(days)) * Number(microsPerDayBig));
    } else parts.months += roundHalfEven(rest * months);
    return;
  }
  if (unit === 'day' || unit === 'week') {
    const length = unit === 'week' ? 7 : 1;
    const days = rest * length;
    parts.days += integer * length + Math.trunc(days);
    parts.micros += roundHalfEven((days - Math.trunc(days)) * Number(microsPerDayBig));
    return;
  }
  const micros = microsOf[unit] ?? 1;
  parts.bigMicros += BigInt(whole === '' ? 0 : whole) * BigInt(sign * micros);
  parts.micros += roundHalfEven(rest * micros);
}

function bad(text: string): Error {
  return sqlError('invalidDatetimeFormat', `invalid input syntax for type interval: "${text}"`);
}

function fieldOverflow(text: string): Error {
  return sqlError('intervalFieldOverflow', `interval field value out of range: "${text}"`);
}

const tokenPattern =
  /\s*(?:([+-]?)(\d+):(\d+)(?::(\d+(?:\.\d*)?|\.\d+))?|([+-]?)(\d+)-(\d+)(?=\s|$)|([+-]?(?:\d+\.?\d*|\.\d+))\s*([a-zA-Z]*)|([a-zA-Z]+)|@)/y;

/** Throws 22007, 22008. `typmod` decides what a number without unit means. */
export function parseInterval(text: string, typmod: number, style = 'postgres'): Interval {
  const parts: Parts = { months: 0, days: 0, micros: 0, bigMicros: 0n };
  const trimmed = text.trim();
  if (trimmed === '' || text.length > 1000) throw bad(text);
  if (/^[+-]?P/i.test(trimmed)) return parseIso(text, trimmed);
  let ago = false;
  let fieldCount = 0;
  const seen = new Set<Unit>();
  const once = (...named: readonly Unit[]): void => {
    for (const unit of named) {
      if (seen.has(unit)) throw bad(text);
      seen.add(unit);
    }
  };
  const firstSign = /^[+-]/.exec(trimmed)?.[0];
  // sql_standard: one leading minus covers all fields that have no sign of their own.
  const leading =
    style === 'sql_standard' && firstSign === '-' && !/[\s][+-]/.test(trimmed) ? '-' : '';
  const signOf = (sign: string | undefined): string =>
    sign === undefined || sign === '' ? (fieldCount > 0 ? leading : '') : sign;
  tokenPattern.lastIndex = 0;
  while (tokenPattern.lastIndex < trimmed.length) {
    const at = tokenPattern.lastIndex;
    const match = tokenPattern.exec(trimmed);
    if (match === null) throw bad(text);
    const [all, timeSign, hours, minutes, seconds, ymSign, years, months, number, unit, word] =
      match;
    if (all.trim() === '@') {
      if (at !== 0) throw bad(text);
      continue;
    }
    if (word !== undefined) {
      if (word.toLowerCase() !== 'ago' || fieldCount === 0) throw bad(text);
      ago = true;
      continue;
    }
    if (ago) throw bad(text);
    if (hours !== undefined && minutes !== undefined) {
      once('hour', 'minute', 'second');
      addTime(parts, text, signOf(timeSign), hours, minutes, seconds, typmod);
    } else if (years !== undefined && months !== undefined) {
      once('year', 'month');
      if (Number(months) > 11) throw fieldOverflow(text);
      const total = Number(years) * 12 + Number(months);
      parts.months += signOf(ymSign) === '-' ? -total : total;
    } else if (number !== undefined) {
      const sign = /^[+-]/.test(number) ? '' : fieldCount > 0 ? leading : '';
      const next = trimmed.slice(tokenPattern.lastIndex);
      if (unit === '' && /^\S/.test(next) && !/\s$/.test(all)) throw bad(text);
      const chosen = unitOf(unit ?? '', typmod, next, text);
      once(chosen);
      addUnit(parts, chosen, sign + number);
    }
    fieldCount++;
  }
  if (fieldCount === 0) throw bad(text);
  const result = finish(parts, text);
  return applyIntervalTypmod(ago ? negateInterval(result) : result, typmod);
}

function unitOf(word: string, typmod: number, next: string, text: string): Unit {
  if (word !== '') {
    const unit = Object.hasOwn(units, word.toLowerCase()) ? units[word.toLowerCase()] : undefined;
    if (unit === undefined) throw bad(text);
    return unit;
  }
  // `1 12:30` is a day and a time.
  if (/^\s*[+-]?\d+:/.test(next)) return 'day';
  const range = intervalModifier(typmod)?.range ?? intervalFullRange;
  if (range === intervalFullRange) return 'second';
  for (const field of ['second', 'minute', 'hour', 'day', 'month', 'year'] as const) {
    if (intervalHasField(range, field)) return field;
  }
  return 'second';
}

function addTime(
  parts: Parts,
  text: string,
  sign: string,
  hours: string,
  minutes: string,
  seconds: string | undefined,
  typmod: number,
): void {
  let h = Number(hours);
  let m = Number(minutes);
  let s = seconds === undefined ? 0 : Number(seconds);
  const range = intervalModifier(typmod)?.range ?? intervalFullRange;
  // MINUTE TO SECOND: `12:34` has no hours.
  if (
    seconds === undefined &&
    range !== intervalFullRange &&
    intervalHasField(range, 'second') &&
    !intervalHasField(range, 'hour')
  ) {
    s = m;
    m = h;
    h = 0;
  }
  if ((m > 59 && h !== 0) || m > 59 || s > 60) throw fieldOverflow(text);
  const micros = BigInt(h) * BigInt(microsPerHour) + BigInt(m * microsPerMinute);
  const part = micros + BigInt(Math.round(s * microsPerSecond));
  parts.bigMicros += sign === '-' ? -part : part;
}

function finish(parts: Parts, text: string): Interval {
  if (Math.abs(parts.months) > 2147483647 || Math.abs(parts.days) > 2147483647) {
    throw fieldOverflow(text);
  }
  const micros = parts.bigMicros + BigInt(parts.micros);
  if (BigInt.asIntN(64, micros) !== micros) throw fieldOverflow(text);
  return new Interval(
    parts.months === 0 ? 0 : parts.months,
    parts.days === 0 ? 0 : parts.days,
    micros,
  );
}

const isoDateUnits: Readonly<Record<string, Unit>> = { Y: 'year', M: 'month', W: 'week', D: 'day' };
const isoTimeUnits: Readonly<Record<string, Unit>> = { H: 'hour', M: 'minute', S: 'second' };

/** ISO 8601: P1Y2M3DT4H5M6S with designators, or P0001-02-03T04:05:06. */
function parseIso(text: string, trimmed: string): Interval {
  const parts: Parts = { months: 0, days: 0, micros: 0, bigMicros: 0n };
  const negative = trimmed.startsWith('-');
  const body = trimmed.replace(/^[+-]?P/i, '').toUpperCase();
  const [date = '', time] = body.split('T');
  if (body === '' || time === '') throw bad(text);
  const alternative = /^(-?\d+)-(\d+)(?:-(\d+))?$/.exec(date);
  if (alternative !== null) {
    addUnit(parts, 'year', alternative[1] ?? '0');
    addUnit(parts, 'month', alternative[2] ?? '0');
    addUnit(parts, 'day', alternative[3] ?? '0');
  } else addIsoUnits(parts, date, isoDateUnits, text);
  if (time !== undefined) {
    const clock = /^([+-]?)(\d+):(\d+)(?::(\d+(?:\.\d*)?))?$/.exec(time);
    if (clock === null) addIsoUnits(parts, time, isoTimeUnits, text);
    else addTime(parts, text, clock[1] ?? '', clock[2] ?? '0', clock[3] ?? '0', clock[4], -1);
  }
  const result = finish(parts, text);
  return negative ? negateInterval(result) : result;
}

function addIsoUnits(
  parts: Parts,
  body: string,
  table: Readonly<Record<string, Unit>>,
  text: string,
): void {
  const pattern = /([+-]?(?:\d+(?:\.\d*)?|\.\d+))([A-Z])/y;
  while (pattern.lastIndex < body.length) {
    const match = pattern.exec(body);
    const unit = match === null ? undefined : table[match[2] ?? ''];
    if (match === null || unit === undefined) throw bad(text);
    addUnit(parts, unit, match[1] ?? '0');
  }
}

/** Drops the fields the modifier does not have and rounds seconds. */
export function applyIntervalTypmod(value: Interval, typmod: number): Interval {
  const modifier = intervalModifier(typmod);
  if (modifier === undefined) return value;
  let { months, days, micros } = value;
  const { range, precision } = modifier;
  if (range !== intervalFullRange) {
    const has = (field: 'year' | 'month' | 'day' | 'hour' | 'minute' | 'second'): boolean =>
      intervalHasField(range, field);
    if (!has('second')) {
      if (has('minute')) micros -= micros % BigInt(microsPerMinute);
      else if (has('hour')) micros -= micros % BigInt(microsPerHour);
      else micros = 0n;
      if (!has('minute') && !has('hour') && !has('day')) {
        days = 0;
        if (!has('month')) months = Math.trunc(months / 12) * 12;
      }
    }
  }
  if (precision !== undefined && precision < 6) micros = roundMicros(micros, precision);
  return new Interval(months === 0 ? 0 : months, days, micros);
}

/** Rounds microseconds to `precision` digits of a second, halves away from zero. */
export function roundMicros(micros: bigint, precision: number): bigint {
  const unit = 10n ** BigInt(6 - precision);
  const half = unit / 2n;
  return micros >= 0n ? ((micros + half) / unit) * unit : -((-micros + half) / unit) * unit;
}

// --------------------------------------------------------------------------------------- output

interface Shown {
  readonly years: number;
  readonly months: number;
  readonly days: number;
  readonly hours: bigint;
  readonly minutes: number;
  readonly seconds: number;
  readonly fraction: number;
  readonly timeNegative: boolean;
}

function split(value: Interval): Shown {
  const negative = value.micros < 0n;
  const magnitude = negative ? -value.micros : value.micros;
  const hours = magnitude / BigInt(microsPerHour);
  const rest = Number(magnitude % BigInt(microsPerHour));
  return {
    years: Math.trunc(value.months / 12),
    months: value.months % 12,
    days: value.days,
    hours,
    minutes: Math.floor(rest / microsPerMinute),
    seconds: Math.floor((rest % microsPerMinute) / microsPerSecond),
    fraction: rest % microsPerSecond,
    timeNegative: negative,
  };
}

export function formatInterval(value: Interval, settings: FormatSettings): string {
  const shown = split(value);
  switch (settings.intervalStyle) {
    case 'postgres':
      return formatPostgres(value, shown);
    case 'postgres_verbose':
      return formatVerbose(shown);
    case 'sql_standard':
      return formatStandard(value, shown);
    case 'iso_8601':
      return formatIso(shown);
  }
}

function clock(shown: Shown): string {
  const hours = shown.hours.toString().padStart(2, '0');
  return `${hours}:${pad2(shown.minutes)}:${pad2(shown.seconds)}${formatFraction(shown.fraction)}`;
}

function formatPostgres(value: Interval, shown: Shown): string {
  const out: string[] = [];
  let before = false;
  const push = (count: number, unit: string): void => {
    if (count === 0) return;
    out.push(`${before && count > 0 ? '+' : ''}${count} ${unit}${count === 1 ? '' : 's'}`);
    before = count < 0;
  };
  push(shown.years, 'year');
  push(shown.months, 'mon');
  push(shown.days, 'day');
  if (out.length === 0 || value.micros !== 0n) {
    out.push(`${shown.timeNegative ? '-' : before ? '+' : ''}${clock(shown)}`);
  }
  return out.join(' ');
}

function formatVerbose(shown: Shown): string {
  const time = shown.timeNegative ? -1 : 1;
  const fields: readonly [number | bigint, string][] = [
    [shown.years, 'year'],
    [shown.months, 'mon'],
    [shown.days, 'day'],
    [shown.timeNegative ? -shown.hours : shown.hours, 'hour'],
    [shown.minutes * time, 'min'],
  ];
  const seconds = shown.seconds !== 0 || shown.fraction !== 0;
  const firstField = fields.find(([count]) => Number(count) !== 0);
  const ago = firstField === undefined ? shown.timeNegative && seconds : Number(firstField[0]) < 0;
  const flip = ago ? -1 : 1;
  const out: string[] = [];
  for (const [count, unit] of fields) {
    if (Number(count) === 0) continue;
    const flipped = Number(count) * flip;
    out.push(`${flipped} ${unit}${flipped === 1 ? '' : 's'}`);
  }
  if (seconds) {
    const sign = time * flip < 0 ? '-' : '';
    const text = `${shown.seconds}${formatFraction(shown.fraction)}`;
    out.push(`${sign}${text} sec${shown.seconds === 1 && shown.fraction === 0 ? '' : 's'}`);
  }
  if (out.length === 0) return '@ 0';
  return `@ ${out.join(' ')}${ago ? ' ago' : ''}`;
}

function formatStandard(value: Interval, shown: Shown): string {
  const hasYearMonth = value.months !== 0;
  const hasDayTime = value.days !== 0 || value.micros !== 0n;
  const hasDay = value.days !== 0;
  const negatives = value.months < 0 || value.days < 0 || value.micros < 0n;
  const positives = value.months > 0 || value.days > 0 || value.micros > 0n;
  if (!hasYearMonth && !hasDayTime) return '0';
  const time = `${shown.hours}:${pad2(shown.minutes)}:${pad2(shown.seconds)}${formatFraction(shown.fraction)}`;
  const yearMonth = `${Math.abs(shown.years)}-${Math.abs(shown.months)}`;
  if ((hasYearMonth && hasDayTime) || (negatives && positives)) {
    const sign = (isNegative: boolean): string => (isNegative ? '-' : '+');
    return `${sign(value.months < 0)}${yearMonth} ${sign(value.days < 0)}${Math.abs(value.days)} ${sign(shown.timeNegative)}${time}`;
  }
  const minus = negatives ? '-' : '';
  if (hasYearMonth) return minus + yearMonth;
  return hasDay ? `${minus}${Math.abs(value.days)} ${time}` : minus + time;
}

function formatIso(shown: Shown): string {
  const sign = shown.timeNegative ? '-' : '';
  let date = '';
  if (shown.years !== 0) date += `${shown.years}Y`;
  if (shown.months !== 0) date += `${shown.months}M`;
  if (shown.days !== 0) date += `${shown.days}D`;
  let time = '';
  if (shown.hours !== 0n) time += `${sign}${shown.hours}H`;
  if (shown.minutes !== 0) time += `${sign}${shown.minutes}M`;
  if (shown.seconds !== 0 || shown.fraction !== 0) {
    time += `${sign}${shown.seconds}${formatFraction(shown.fraction)}S`;
  }
  if (date === '' && time === '') return 'PT0S';
  return `P${date}${time === '' ? '' : `T${time}`}`;
}
