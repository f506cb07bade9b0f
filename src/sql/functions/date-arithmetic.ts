/** Sums and differences of dates, times and intervals; conversions between the date types. */
import { sqlError } from '../errors.ts';
import {
  dateFromDays,
  daysFromDate,
  daysInMonth,
  joinMicros,
  microsPerDay,
  microsPerDayBig,
  splitMicros,
} from '../types/calendar.ts';
import { Interval, TimeTz, timestampInfinity, timestampMinusInfinity } from '../types/datum.ts';
import { checkDate, checkTimestamp } from '../types/datetime-parse.ts';
import { maxDateDays } from '../types/datetime-words.ts';
import { makeInterval, negateInterval } from '../types/interval.ts';
import { localToUtc, offsetOfInstant, utcToLocal, zoneOf } from '../types/timezone.ts';
import { type FormatSettings } from '../types/types.ts';

export function isInfinite(micros: bigint): boolean {
  return micros === timestampInfinity || micros === timestampMinusInfinity;
}

export function dateToTimestamp(days: number): bigint {
  if (days === Infinity) return timestampInfinity;
  if (days === -Infinity) return timestampMinusInfinity;
  // date reaches further than timestamp.
  if (days > 107_000_000) {
    throw sqlError('datetimeFieldOverflow', 'date out of range for timestamp');
  }
  return checkTimestamp(joinMicros(days, 0));
}

export function timestampToDate(micros: bigint): number {
  if (micros === timestampInfinity) return Infinity;
  if (micros === timestampMinusInfinity) return -Infinity;
  return splitMicros(micros).days;
}

export function timestampToTimestamptz(micros: bigint, settings: FormatSettings): bigint {
  return isInfinite(micros)
    ? micros
    : checkTimestamp(localToUtc(zoneOf(settings.timeZone), micros));
}

export function timestamptzToTimestamp(micros: bigint, settings: FormatSettings): bigint {
  return isInfinite(micros) ? micros : utcToLocal(zoneOf(settings.timeZone), micros);
}

export function timestamptzToTimeTz(micros: bigint, settings: FormatSettings): TimeTz {
  const zone = zoneOf(settings.timeZone);
  const offset = offsetOfInstant(zone, micros);
  return new TimeTz(splitMicros(utcToLocal(zone, micros)).micros, 0 - offset);
}

export function addMonths(days: number, months: number): number {
  const { year, month, day } = dateFromDays(days);
  const total = year * 12 + (month - 1) + months;
  const newYear = Math.floor(total / 12);
  const newMonth = total - newYear * 12 + 1;
  return daysFromDate(newYear, newMonth, Math.min(day, daysInMonth(newYear, newMonth)));
}

export function addToTimestamp(micros: bigint, interval: Interval): bigint {
  if (isInfinite(micros)) return micros;
  let result = micros;
  if (interval.months !== 0 || interval.days !== 0) {
    const split = splitMicros(micros);
    const days = addMonths(split.days, interval.months) + interval.days;
    if (Math.abs(days) > maxDateDays)
      throw sqlError('datetimeFieldOverflow', 'timestamp out of range');
    result = checkTimestamp(joinMicros(days, split.micros));
  }
  return checkTimestamp(result + interval.micros);
}

/** Months and days move the wall clock of the session's zone; the time part moves the instant. */
export function addToTimestamptz(
  micros: bigint,
  interval: Interval,
  settings: FormatSettings,
  zoneName: string = settings.timeZone,
): bigint {
  if (isInfinite(micros)) return micros;
  let result = micros;
  if (interval.months !== 0 || interval.days !== 0) {
    const zone = zoneOf(zoneName);
    const local = utcToLocal(zone, micros);
    const moved = addToTimestamp(local, new Interval(interval.months, interval.days, 0n));
    result = localToUtc(zone, moved);
  }
  return checkTimestamp(result + interval.micros);
}

export function subtractTimestamps(a: bigint, b: bigint): Interval {
  if (isInfinite(a) || isInfinite(b)) {
    throw sqlError('datetimeFieldOverflow', 'cannot subtract infinite timestamps');
  }
  const micros = a - b;
  const days = micros / microsPerDayBig;
  return makeInterval(0, Number(days), micros - days * microsPerDayBig);
}

export function addToDate(days: number, count: number): number {
  if (!Number.isFinite(days)) return days;
  return checkDate(days + count);
}

export function subtractDates(a: number, b: number): number {
  if (!Number.isFinite(a) || !Number.isFinite(b)) {
    throw sqlError('datetimeFieldOverflow', 'cannot subtract infinite dates');
  }
  return a - b;
}

/** Times wrap around at midnight. */
export function addToTime(micros: number, interval: Interval): number {
  const day = BigInt(microsPerDay);
  const sum = (BigInt(micros) + interval.micros) % day;
  return Number(sum < 0n ? sum + day : sum);
}

export function subtractFromTime(micros: number, interval: Interval): number {
  return addToTime(micros, negateInterval(new Interval(0, 0, interval.micros)));
}
