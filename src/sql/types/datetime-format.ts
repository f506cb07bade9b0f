/** Text output of dates and times in the four DateStyles. */
import {
  dateFromDays,
  dayOfWeek,
  microsPerHour,
  microsPerMinute,
  microsPerSecond,
  splitMicros,
} from './calendar.ts';
import { type TimeTz, timestampInfinity, timestampMinusInfinity } from './datum.ts';
import { dayNames, monthNames } from './datetime-words.ts';
import { offsetOfInstant, utcToLocal, zoneOf } from './timezone.ts';
import { type FormatSettings } from './types.ts';

export function pad2(value: number): string {
  return value < 10 ? `0${value}` : String(value);
}

function pad4(value: number): string {
  return String(value).padStart(4, '0');
}

/** `.123` without trailing zeros, '' for whole seconds. */
export function formatFraction(micros: number): string {
  if (micros === 0) return '';
  return `.${String(micros).padStart(6, '0').replace(/0+$/, '')}`;
}

export function formatTime(micros: number): string {
  const hours = Math.floor(micros / microsPerHour);
  const minutes = Math.floor((micros % microsPerHour) / microsPerMinute);
  const seconds = Math.floor((micros % microsPerMinute) / microsPerSecond);
  return `${pad2(hours)}:${pad2(minutes)}:${pad2(seconds)}${formatFraction(micros % microsPerSecond)}`;
}

/** `+05:30`, `-08`, seconds only where there are some. */
export function formatOffset(seconds: number): string {
  const magnitude = Math.abs(seconds);
  const minutes = Math.floor(magnitude / 60) % 60;
  const rest = magnitude % 60;
  let out = `${seconds < 0 ? '-' : '+'}${pad2(Math.floor(magnitude / 3600))}`;
  if (minutes !== 0 || rest !== 0) out += `:${pad2(minutes)}`;
  if (rest !== 0) out += `:${pad2(rest)}`;
  return out;
}

export function formatTimeTz(value: TimeTz): string {
  return formatTime(value.micros) + formatOffset(-value.zoneSeconds);
}

function era(year: number): string {
  return year <= 0 ? ' BC' : '';
}

function displayYear(year: number): string {
  return pad4(year <= 0 ? 1 - year : year);
}

export function formatDate(days: number, settings: FormatSettings): string {
  if (days === Infinity) return 'infinity';
  if (days === -Infinity) return '-infinity';
  return dateText(days, settings) + era(dateFromDays(days).year);
}

function dateText(days: number, settings: FormatSettings): string {
  const { year, month, day } = dateFromDays(days);
  const y = displayYear(year);
  const m = pad2(month);
  const d = pad2(day);
  const dayFirst = settings.dateOrder === 'DMY';
  switch (settings.dateStyle) {
    case 'ISO':
      return `${y}-${m}-${d}`;
    case 'SQL':
      return dayFirst ? `${d}/${m}/${y}` : `${m}/${d}/${y}`;
    case 'German':
      return `${d}.${m}.${y}`;
    case 'Postgres':
      return dayFirst ? `${d}-${m}-${y}` : `${m}-${d}-${y}`;
  }
}

function momentText(local: bigint, zoneText: string, settings: FormatSettings): string {
  const { days, micros } = splitMicros(local);
  const { year, month, day } = dateFromDays(days);
  const time = formatTime(micros);
  if (settings.dateStyle !== 'Postgres') {
    return `${dateText(days, settings)} ${time}${zoneText}${era(year)}`;
  }
  const weekday = (dayNames[dayOfWeek(days)] ?? '').slice(0, 3);
  const monthName = (monthNames[month - 1] ?? '').slice(0, 3);
  const date =
    settings.dateOrder === 'DMY' ? `${pad2(day)} ${monthName}` : `${monthName} ${pad2(day)}`;
  return `${weekday} ${date} ${time} ${displayYear(year)}${zoneText}${era(year)}`;
}

export function formatTimestamp(micros: bigint, settings: FormatSettings): string {
  if (micros === timestampInfinity) return 'infinity';
  if (micros === timestampMinusInfinity) return '-infinity';
  return momentText(micros, '', settings);
}

export function formatTimestamptz(micros: bigint, settings: FormatSettings): string {
  if (micros === timestampInfinity) return 'infinity';
  if (micros === timestampMinusInfinity) return '-infinity';
  const zone = zoneOf(settings.timeZone);
  const offset = offsetOfInstant(zone, micros);
  let zoneText = formatOffset(offset);
  if (settings.dateStyle !== 'ISO') {
    const name = zone.abbreviationAt(Number(micros / 1_000_000n));
    zoneText = ` ${name ?? zoneText}`;
  }
  return momentText(utcToLocal(zone, micros), zoneText, settings);
}

/** As JSON shows timestamps: ISO 8601 with `T`. */
export function isoTimestamp(micros: bigint): string {
  if (micros === timestampInfinity) return 'infinity';
  if (micros === timestampMinusInfinity) return '-infinity';
  const { days, micros: rest } = splitMicros(micros);
  const { year, month, day } = dateFromDays(days);
  return `${displayYear(year)}-${pad2(month)}-${pad2(day)}T${formatTime(rest)}${era(year)}`;
}
