/**
 * Days and dates of the proleptic Gregorian calendar. Day 0 is 2000-01-01; year 0 is 1 BC.
 * Algorithm: days are counted in eras of 400 years (146,097 days) from a March 1st.
 */

export const microsPerDay = 86_400_000_000;
export const microsPerDayBig = 86_400_000_000n;
export const microsPerHour = 3_600_000_000;
export const microsPerMinute = 60_000_000;
export const microsPerSecond = 1_000_000;
/** Seconds between 1970-01-01 and 2000-01-01. */
export const unixEpochSeconds = 946_684_800;
/** Microseconds between 1970-01-01 and 2000-01-01, where timestamps begin. */
export const unixEpochMicros = 946_684_800_000_000n;

/** A timestamptz (microseconds since 2000) of wall microseconds (since 1970). */
export function timestampOfWall(wallMicros: number): bigint {
  return BigInt(Math.round(wallMicros)) - unixEpochMicros;
}

export function wallOfTimestamp(micros: bigint): number {
  return Number(micros + unixEpochMicros);
}

const daysFromMarchYearZero = 730_425;

export interface YearMonthDay {
  readonly year: number;
  readonly month: number;
  readonly day: number;
}

export function isLeapYear(year: number): boolean {
  return year % 4 === 0 && (year % 100 !== 0 || year % 400 === 0);
}

const monthLengths = [31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];

export function daysInMonth(year: number, month: number): number {
  return month === 2 && isLeapYear(year) ? 29 : (monthLengths[month - 1] ?? 0);
}

export function daysFromDate(year: number, month: number, day: number): number {
  const y = month <= 2 ? year - 1 : year;
  const era = Math.floor(y / 400);
  const yearOfEra = y - era * 400;
  const dayOfYear = Math.floor((153 * (month + (month > 2 ? -3 : 9)) + 2) / 5) + day - 1;
  const dayOfEra =
    yearOfEra * 365 + Math.floor(yearOfEra / 4) - Math.floor(yearOfEra / 100) + dayOfYear;
  return era * 146_097 + dayOfEra - daysFromMarchYearZero;
}

export function dateFromDays(days: number): YearMonthDay {
  const z = days + daysFromMarchYearZero;
  const era = Math.floor(z / 146_097);
  const dayOfEra = z - era * 146_097;
  const yearOfEra = Math.floor(
    (dayOfEra -
      Math.floor(dayOfEra / 1460) +
      Math.floor(dayOfEra / 36_524) -
      Math.floor(dayOfEra / 146_096)) /
      365,
  );
  const dayOfYear =
    dayOfEra - (365 * yearOfEra + Math.floor(yearOfEra / 4) - Math.floor(yearOfEra / 100));
  const shifted = Math.floor((5 * dayOfYear + 2) / 153);
  const day = dayOfYear - Math.floor((153 * shifted + 2) / 5) + 1;
  const month = shifted < 10 ? shifted + 3 : shifted - 9;
  return { year: yearOfEra + era * 400 + (month <= 2 ? 1 : 0), month, day };
}

/** 0 = Sunday. */
export function dayOfWeek(days: number): number {
  return (((days + 6) % 7) + 7) % 7;
}

export function dayOfYear(days: number): number {
  return days - daysFromDate(dateFromDays(days).year, 1, 1) + 1;
}

/** ISO 8601 week: weeks begin on Monday, week 1 holds January 4th. */
export function isoWeek(days: number): { year: number; week: number; weekday: number } {
  const weekday = ((((days + 5) % 7) + 7) % 7) + 1;
  const thursday = days - weekday + 4;
  const { year } = dateFromDays(thursday);
  return { year, week: Math.floor((thursday - daysFromDate(year, 1, 1)) / 7) + 1, weekday };
}

export function daysFromIsoWeek(year: number, week: number, weekday: number): number {
  const fourth = daysFromDate(year, 1, 4);
  return fourth - (isoWeek(fourth).weekday - 1) + (week - 1) * 7 + weekday - 1;
}

export function julianDay(days: number): number {
  return days + 2_451_545;
}

/** Splits a timestamp (microseconds since 2000-01-01) into days and microseconds of the day. */
export function splitMicros(micros: bigint): { days: number; micros: number } {
  let days = micros / microsPerDayBig;
  let rest = micros - days * microsPerDayBig;
  if (rest < 0n) {
    rest += microsPerDayBig;
    days -= 1n;
  }
  return { days: Number(days), micros: Number(rest) };
}

export function joinMicros(days: number, micros: number): bigint {
  return BigInt(days) * microsPerDayBig + BigInt(micros);
}
