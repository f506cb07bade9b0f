/** extract, date_part, date_trunc and date_bin: the fields of dates, times and intervals. */
import { sqlError } from '../errors.ts';
import {
  dateFromDays,
  dayOfWeek,
  dayOfYear,
  daysFromDate,
  isoWeek,
  joinMicros,
  julianDay,
  microsPerDayBig,
  microsPerHour,
  microsPerMinute,
  microsPerSecond,
  splitMicros,
  unixEpochSeconds,
  unixEpochMicros,
} from '../types/calendar.ts';
import {
  asBigint,
  asInterval,
  asNumber,
  asText,
  asTimeTz,
  Interval,
  Numeric,
  numericToNumber,
  timestampInfinity,
} from '../types/index.ts';
import { intervalSpan } from '../types/interval.ts';
import { localToUtc, offsetOfInstant, utcToLocal, type Zone, zoneOf } from '../types/timezone.ts';
import { isInfinite } from './date-arithmetic.ts';
import { type Args, scalar, stable } from './define.ts';
import { type ScalarFunction } from './registry-types.ts';
import { type FormatSettings } from '../types/types.ts';

function n(args: Args, i = 0): number {
  return asNumber(args[i]);
}

function b(args: Args, i = 0): bigint {
  return asBigint(args[i]);
}

function v(args: Args, i = 0): Interval {
  return asInterval(args[i]);
}

// ----------------------------------------------------------------------- extract and date_part

const fieldAliases: Readonly<Record<string, string>> = {
  years: 'year',
  y: 'year',
  yr: 'year',
  yrs: 'year',
  months: 'month',
  mon: 'month',
  mons: 'month',
  days: 'day',
  d: 'day',
  hours: 'hour',
  h: 'hour',
  hr: 'hour',
  hrs: 'hour',
  minutes: 'minute',
  m: 'minute',
  min: 'minute',
  mins: 'minute',
  seconds: 'second',
  s: 'second',
  sec: 'second',
  secs: 'second',
  milliseconds: 'milliseconds',
  millisecond: 'milliseconds',
  ms: 'milliseconds',
  msec: 'milliseconds',
  msecs: 'milliseconds',
  microseconds: 'microseconds',
  us: 'microseconds',
  microsecond: 'microseconds',
  usec: 'microseconds',
  usecs: 'microseconds',
  decades: 'decade',
  dec: 'decade',
  centuries: 'century',
  c: 'century',
  cent: 'century',
  millennia: 'millennium',
  mil: 'millennium',
  weeks: 'week',
  w: 'week',
  quarters: 'quarter',
  qtr: 'quarter',
};

function fieldName(text: string): string {
  const lower = text.toLowerCase();
  return (Object.hasOwn(fieldAliases, lower) ? fieldAliases[lower] : undefined) ?? lower;
}

/** Microseconds as a decimal with `scale` digits: exact. */
function decimal(micros: number | bigint, scale: number): Numeric {
  return new Numeric('finite', BigInt(micros), scale);
}

function whole(value: number): Numeric {
  return new Numeric('finite', BigInt(value), 0);
}

function notSupported(field: string, type: string): Error {
  return sqlError('featureNotSupported', `unit "${field}" not supported for type ${type}`);
}

function notRecognized(field: string, type: string): Error {
  return sqlError('invalidParameterValue', `unit "${field}" not recognized for type ${type}`);
}

const knownFields = new Set([
  'year',
  'month',
  'day',
  'hour',
  'minute',
  'second',
  'milliseconds',
  'microseconds',
  'decade',
  'century',
  'millennium',
  'week',
  'quarter',
  'dow',
  'isodow',
  'doy',
  'isoyear',
  'julian',
  'epoch',
  'timezone',
  'timezone_hour',
  'timezone_minute',
]);

function extractTimeOfDay(field: string, micros: number): Numeric | undefined {
  switch (field) {
    case 'hour':
      return whole(Math.floor(micros / microsPerHour));
    case 'minute':
      return whole(Math.floor(micros / microsPerMinute) % 60);
    case 'second':
      return decimal(micros % microsPerMinute, 6);
    case 'milliseconds':
      return decimal(micros % microsPerMinute, 3);
    case 'microseconds':
      return whole(micros % microsPerMinute);
    default:
      return undefined;
  }
}

function extractDay(field: string, days: number): Numeric | undefined {
  const { year, month, day } = dateFromDays(days);
  switch (field) {
    case 'year':
      return whole(year > 0 ? year : year - 1);
    case 'month':
      return whole(month);
    case 'day':
      return whole(day);
    case 'quarter':
      return whole(Math.floor((month - 1) / 3) + 1);
    case 'decade':
      return whole(Math.floor(year / 10));
    case 'century':
      return whole(year > 0 ? Math.floor((year + 99) / 100) : -Math.floor((99 - (year - 1)) / 100));
    case 'millennium':
      return whole(
        year > 0 ? Math.floor((year + 999) / 1000) : -Math.floor((999 - (year - 1)) / 1000),
      );
    case 'week':
      return whole(isoWeek(days).week);
    case 'isoyear': {
      const iso = isoWeek(days).year;
      return whole(iso > 0 ? iso : iso - 1);
    }
    case 'dow':
      return whole(dayOfWeek(days));
    case 'isodow':
      return whole(isoWeek(days).weekday);
    case 'doy':
      return whole(dayOfYear(days));
    default:
      return undefined;
  }
}

function extractInfinite(field: string, positive: boolean, type: string): Numeric | null {
  switch (field) {
    case 'year':
    case 'decade':
    case 'century':
    case 'millennium':
    case 'julian':
    case 'isoyear':
    case 'epoch':
      return new Numeric(positive ? 'infinity' : '-infinity', 0n, 0);
    default:
      if (!knownFields.has(field)) throw notRecognized(field, type);
      return null;
  }
}

function extractTimestamp(
  text: string,
  micros: bigint,
  offset: number | undefined,
): Numeric | null {
  const type = offset === undefined ? 'timestamp without time zone' : 'timestamp with time zone';
  const field = fieldName(text);
  if (isInfinite(micros)) return extractInfinite(field, micros === timestampInfinity, type);
  const { days, micros: rest } = splitMicros(micros + BigInt(offset ?? 0) * 1_000_000n);
  const found = extractTimeOfDay(field, rest) ?? extractDay(field, days);
  if (found !== undefined) return found;
  if (field === 'epoch') return decimal(micros + unixEpochMicros, 6);
  if (field === 'julian') {
    if (rest === 0) return whole(julianDay(days));
    const fraction = (BigInt(rest) * 10n ** 20n) / microsPerDayBig;
    return new Numeric('finite', BigInt(julianDay(days)) * 10n ** 20n + fraction, 20);
  }
  const zone = extractOffset(field, offset);
  if (zone !== undefined) return zone;
  throw knownFields.has(field)
    ? notSupported(text.toLowerCase(), type)
    : notRecognized(text.toLowerCase(), type);
}

function extractOffset(field: string, offset: number | undefined): Numeric | undefined {
  if (offset === undefined) return undefined;
  if (field === 'timezone') return whole(offset);
  if (field === 'timezone_hour') return whole(Math.trunc(offset / 3600));
  if (field === 'timezone_minute') return whole(Math.trunc((offset % 3600) / 60));
  return undefined;
}

function extractDate(text: string, days: number): Numeric | null {
  const field = fieldName(text);
  if (!Number.isFinite(days)) return extractInfinite(field, days > 0, 'date');
  const found = extractDay(field, days);
  if (found !== undefined) return found;
  if (field === 'epoch')
    return new Numeric('finite', BigInt(days) * 86_400n + BigInt(unixEpochSeconds), 0);
  if (field === 'julian') return whole(julianDay(days));
  throw knownFields.has(field)
    ? notSupported(text.toLowerCase(), 'date')
    : notRecognized(text.toLowerCase(), 'date');
}

function extractTime(text: string, micros: number, offset: number | undefined): Numeric {
  const type = offset === undefined ? 'time without time zone' : 'time with time zone';
  const field = fieldName(text);
  const found = extractTimeOfDay(field, micros) ?? extractOffset(field, offset);
  if (found !== undefined) return found;
  if (field === 'epoch') return decimal(BigInt(micros) - BigInt(offset ?? 0) * 1_000_000n, 6);
  throw knownFields.has(field)
    ? notSupported(text.toLowerCase(), type)
    : notRecognized(text.toLowerCase(), type);
}

function extractInterval(text: string, value: Interval): Numeric {
  const field = fieldName(text);
  const { months, days, micros } = value;
  const years = Math.trunc(months / 12);
  const hour = BigInt(microsPerHour);
  switch (field) {
    case 'year':
      return whole(years);
    case 'month':
      return whole(months % 12);
    case 'day':
      return whole(days);
    case 'quarter':
      return whole(Math.trunc((months % 12) / 3) + 1);
    case 'decade':
      return whole(Math.trunc(years / 10));
    case 'century':
      return whole(Math.trunc(years / 100));
    case 'millennium':
      return whole(Math.trunc(years / 1000));
    case 'hour':
      return new Numeric('finite', micros / hour, 0);
    case 'minute':
      return whole(Math.trunc(Number(micros % hour) / microsPerMinute));
    case 'second':
      return decimal(micros % BigInt(microsPerMinute), 6);
    case 'milliseconds':
      return decimal(micros % BigInt(microsPerMinute), 3);
    case 'microseconds':
      return new Numeric('finite', micros % BigInt(microsPerMinute), 0);
    case 'epoch': {
      // A year is 365.25 days here.
      const seconds =
        BigInt(years) * 31_557_600n + BigInt(months % 12) * 2_592_000n + BigInt(days) * 86_400n;
      return decimal(seconds * 1_000_000n + micros, 6);
    }
    default:
      throw knownFields.has(field)
        ? notSupported(text.toLowerCase(), 'interval')
        : notRecognized(text.toLowerCase(), 'interval');
  }
}

type Extract = (field: string, args: Args, context: FormatSettings) => Numeric | null;

const extractors: readonly (readonly [type: string, extract: Extract, isStable: boolean])[] = [
  ['timestamp', (field, a) => extractTimestamp(field, b(a, 1), undefined), false],
  [
    'timestamptz',
    (field, a, c) =>
      extractTimestamp(
        field,
        b(a, 1),
        isInfinite(b(a, 1)) ? 0 : offsetOfInstant(zoneOf(c.timeZone), b(a, 1)),
      ),
    true,
  ],
  ['date', (field, a) => extractDate(field, n(a, 1)), false],
  ['time', (field, a) => extractTime(field, n(a, 1), undefined), false],
  [
    'timetz',
    (field, a) => extractTime(field, asTimeTz(a[1]).micros, -asTimeTz(a[1]).zoneSeconds),
    false,
  ],
  ['interval', (field, a) => extractInterval(field, v(a, 1)), false],
];

const extraction: ScalarFunction[] = extractors.flatMap(([type, extract, isStable]) => {
  const volatility = isStable ? 'stable' : 'immutable';
  return [
    scalar(`extract(text,${type}) numeric`, (a, c) => extract(asText(a[0]), a, c), { volatility }),
    scalar(
      `date_part(text,${type}) float8`,
      (a, c) => {
        const value = extract(asText(a[0]), a, c);
        return value === null ? null : numericToNumber(value);
      },
      { volatility },
    ),
  ];
});

// ---------------------------------------------------------------------------------- date_trunc

function truncYears(year: number, unit: number): number {
  // Centuries and millennia begin with year 1: 2001, 1901.
  const shifted =
    year > 0
      ? Math.floor((year - 1) / unit) * unit + 1
      : -Math.floor((unit - 1 - (year - 1)) / unit) * unit + 1;
  return shifted;
}

function truncDays(field: string, days: number): number | undefined {
  const { year, month } = dateFromDays(days);
  switch (field) {
    case 'day':
      return days;
    case 'week':
      return days - isoWeek(days).weekday + 1;
    case 'month':
      return daysFromDate(year, month, 1);
    case 'quarter':
      return daysFromDate(year, Math.floor((month - 1) / 3) * 3 + 1, 1);
    case 'year':
      return daysFromDate(year, 1, 1);
    case 'decade':
      return daysFromDate(Math.floor(year / 10) * 10, 1, 1);
    case 'century':
      return daysFromDate(truncYears(year, 100), 1, 1);
    case 'millennium':
      return daysFromDate(truncYears(year, 1000), 1, 1);
    default:
      return undefined;
  }
}

const timeUnits: Readonly<Record<string, number>> = {
  hour: microsPerHour,
  minute: microsPerMinute,
  second: microsPerSecond,
  milliseconds: 1000,
  microseconds: 1,
};

function truncTimestamp(text: string, micros: bigint, type: string): bigint {
  const field = fieldName(text);
  if (isInfinite(micros)) return micros;
  const { days, micros: rest } = splitMicros(micros);
  const unit = Object.hasOwn(timeUnits, field) ? timeUnits[field] : undefined;
  if (unit !== undefined) return joinMicros(days, rest - (rest % unit));
  const truncated = truncDays(field, days);
  if (truncated === undefined) {
    throw knownFields.has(field)
      ? notSupported(text.toLowerCase(), type)
      : notRecognized(text.toLowerCase(), type);
  }
  return joinMicros(truncated, 0);
}

function truncTimestamptz(text: string, micros: bigint, zone: Zone): bigint {
  if (isInfinite(micros)) return micros;
  const local = utcToLocal(zone, micros);
  const field = fieldName(text);
  const truncated = truncTimestamp(text, local, 'timestamp with time zone');
  // Below a day the offset stays, so that repeated hours do not merge.
  if (Object.hasOwn(timeUnits, field)) return micros - (local - truncated);
  return localToUtc(zone, truncated);
}

function truncInterval(text: string, value: Interval): Interval {
  const field = fieldName(text);
  const unit = Object.hasOwn(timeUnits, field) ? timeUnits[field] : undefined;
  const { months, days, micros } = value;
  if (unit !== undefined) return new Interval(months, days, micros - (micros % BigInt(unit)));
  const toMonths = (size: number): Interval =>
    new Interval(Math.trunc(months / size) * size + 0, 0, 0n);
  switch (field) {
    case 'day':
      return new Interval(months, days, 0n);
    case 'month':
      return toMonths(1);
    case 'quarter':
      return toMonths(3);
    case 'year':
      return toMonths(12);
    case 'decade':
      return toMonths(120);
    case 'century':
      return toMonths(1200);
    case 'millennium':
      return toMonths(12_000);
    case 'week':
      throw sqlError('featureNotSupported', 'unit "week" not supported for type interval', {
        detail: 'Months usually have fractional weeks.',
      });
    default:
      throw knownFields.has(field)
        ? notSupported(text.toLowerCase(), 'interval')
        : notRecognized(text.toLowerCase(), 'interval');
  }
}

function binStart(stride: Interval, source: bigint, origin: bigint): bigint {
  if (stride.months !== 0) {
    throw sqlError(
      'featureNotSupported',
      'timestamps cannot be binned into intervals containing months or years',
    );
  }
  const width = intervalSpan(stride);
  if (width <= 0n) throw sqlError('datetimeFieldOverflow', 'stride must be greater than zero');
  if (isInfinite(source)) return source;
  if (isInfinite(origin)) throw sqlError('datetimeFieldOverflow', 'origin out of range');
  const diff = source - origin;
  const rest = diff % width;
  return source - (rest < 0n ? rest + width : rest);
}

const truncation: readonly ScalarFunction[] = [
  scalar('date_trunc(text,timestamp) timestamp', (a) =>
    truncTimestamp(asText(a[0]), b(a, 1), 'timestamp without time zone'),
  ),
  stable('date_trunc(text,timestamptz) timestamptz', (a, c) =>
    truncTimestamptz(asText(a[0]), b(a, 1), zoneOf(c.timeZone)),
  ),
  stable('date_trunc(text,timestamptz,text) timestamptz', (a) =>
    truncTimestamptz(asText(a[0]), b(a, 1), zoneOf(asText(a[2]))),
  ),
  scalar('date_trunc(text,interval) interval', (a) => truncInterval(asText(a[0]), v(a, 1))),
  scalar('date_bin(interval,timestamp,timestamp) timestamp', (a) =>
    binStart(v(a), b(a, 1), b(a, 2)),
  ),
  scalar('date_bin(interval,timestamptz,timestamptz) timestamptz', (a) =>
    binStart(v(a), b(a, 1), b(a, 2)),
  ),
];

export const datetimeFieldFunctions: readonly ScalarFunction[] = [...extraction, ...truncation];
