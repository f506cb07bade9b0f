/** to_char of dates, times and intervals. */
import { sqlError } from '../errors.ts';
import {
  dateFromDays,
  dayOfWeek,
  dayOfYear,
  isoWeek,
  julianDay,
  microsPerHour,
  microsPerMinute,
  microsPerSecond,
  splitMicros,
} from '../types/calendar.ts';
import { formatOffset } from '../types/datetime-format.ts';
import { dayNames, monthNames } from '../types/datetime-words.ts';
import { type Interval } from '../types/index.ts';
import { offsetOfInstant, utcToLocal, type Zone } from '../types/timezone.ts';
import {
  caseLike,
  ordinalSuffix,
  parsePicture,
  type PictureNode,
  romanMonths,
} from './format-picture.ts';

interface Moment {
  readonly year: number;
  readonly month: number;
  readonly day: number;
  /** Undefined for intervals. */
  readonly days: number | undefined;
  readonly hour: number;
  /** Microseconds within the hour; negative for negative intervals. */
  readonly rest: number;
  readonly micros: number;
  readonly offset: number | undefined;
  readonly zoneName: string | undefined;
}

type Field = Extract<PictureNode, { kind: 'field' }>;

export function timestampToChar(
  local: bigint,
  picture: string,
  offset?: number,
  zoneName?: string,
): string {
  const { days, micros } = splitMicros(local);
  const { year, month, day } = dateFromDays(days);
  return render(picture, {
    year,
    month,
    day,
    days,
    hour: Math.floor(micros / microsPerHour),
    rest: micros % microsPerHour,
    micros,
    offset,
    zoneName,
  });
}

export function timestamptzToChar(micros: bigint, picture: string, zone: Zone): string {
  const name = zone.abbreviationAt(Number(micros / 1_000_000n));
  const offset = offsetOfInstant(zone, micros);
  return timestampToChar(utcToLocal(zone, micros), picture, offset, name ?? formatOffset(offset));
}

export function intervalToChar(value: Interval, picture: string): string {
  const hour = value.micros / BigInt(microsPerHour);
  return render(picture, {
    year: Math.trunc(value.months / 12),
    month: value.months % 12,
    day: value.days,
    days: undefined,
    hour: Number(hour),
    rest: Number(value.micros % BigInt(microsPerHour)),
    micros: Number(value.micros),
    offset: undefined,
    zoneName: undefined,
  });
}

function render(picture: string, moment: Moment): string {
  let out = '';
  for (const node of parsePicture(picture)) {
    out += node.kind === 'text' ? node.text : renderField(node, moment);
  }
  return out;
}

function number(value: number, width: number, field: Field): string {
  const digits = String(Math.abs(value));
  const text = (value < 0 ? '-' : '') + (field.fillMode ? digits : digits.padStart(width, '0'));
  return field.ordinal === undefined ? text : text + ordinalSuffix(value, field.ordinal);
}

function padded(text: string, width: number, field: Field): string {
  return field.fillMode ? text : text.padEnd(width);
}

function renderField(field: Field, m: Moment): string {
  return renderTime(field, m) ?? renderYear(field, m) ?? renderDate(field, m) ?? field.word;
}

function renderTime(field: Field, m: Moment): string | undefined {
  const fraction = Math.abs(m.rest % microsPerSecond);
  switch (field.name) {
    case 'HH24':
      return number(m.hour, 2, field);
    case 'HH12':
    case 'HH':
      return number(m.hour % 12 === 0 ? 12 : m.hour % 12, 2, field);
    case 'MI':
      return number(Math.trunc(m.rest / microsPerMinute), 2, field);
    case 'SS':
      return number(Math.trunc((m.rest % microsPerMinute) / microsPerSecond), 2, field);
    case 'MS':
    case 'FF3':
      return number(Math.floor(fraction / 1000), 3, { ...field, fillMode: false });
    case 'US':
    case 'FF6':
      return number(fraction, 6, { ...field, fillMode: false });
    case 'FF1':
    case 'FF2':
    case 'FF4':
    case 'FF5': {
      const width = Number(field.name[2]);
      return String(Math.floor(fraction / 10 ** (6 - width))).padStart(width, '0');
    }
    case 'SSSS':
    case 'SSSSS':
      return number(Math.trunc((m.hour * microsPerHour + m.rest) / microsPerSecond), 1, field);
    case 'AM':
    case 'PM':
      return caseWord(field, m.hour % 24 >= 12 ? 'PM' : 'AM');
    case 'A.M.':
    case 'P.M.':
      return caseWord(field, m.hour % 24 >= 12 ? 'P.M.' : 'A.M.');
    case 'TZ':
      return caseWord(field, m.zoneName ?? '');
    case 'TZH': {
      const offset = m.offset ?? 0;
      return (
        (offset < 0 ? '-' : '+') + String(Math.floor(Math.abs(offset) / 3600)).padStart(2, '0')
      );
    }
    case 'TZM':
      return String(Math.floor((Math.abs(m.offset ?? 0) % 3600) / 60)).padStart(2, '0');
    case 'OF':
      return formatOffset(m.offset ?? 0);
    default:
      return undefined;
  }
}

function caseWord(field: Field, text: string): string {
  return field.word[0] === field.word[0]?.toLowerCase() ? text.toLowerCase() : text;
}

/** Years BC count from 1. */
function shownYear(year: number, isInterval: boolean): number {
  return isInterval || year > 0 ? year : 1 - year;
}

function renderYear(field: Field, m: Moment): string | undefined {
  const isInterval = m.days === undefined;
  const year = shownYear(m.year, isInterval);
  const iso = shownYear(m.days === undefined ? m.year : isoWeek(m.days).year, isInterval);
  switch (field.name) {
    case 'Y,YYY': {
      const thousands = Math.floor(year / 1000);
      const text = `${thousands},${String(year % 1000).padStart(3, '0')}`;
      return field.ordinal === undefined ? text : text + ordinalSuffix(year, field.ordinal);
    }
    case 'YYYY':
      return number(year, 4, field);
    case 'YYY':
      return number(year % 1000, 3, field);
    case 'YY':
      return number(year % 100, 2, field);
    case 'Y':
      return number(year % 10, 1, field);
    case 'IYYY':
      return number(iso, 4, field);
    case 'IYY':
      return number(iso % 1000, 3, field);
    case 'IY':
      return number(iso % 100, 2, field);
    case 'I':
      return number(iso % 10, 1, field);
    case 'CC': {
      const century = isInterval
        ? Math.trunc(m.year / 100)
        : m.year > 0
          ? Math.floor((m.year - 1) / 100) + 1
          : -(Math.floor((year - 1) / 100) + 1);
      return number(century, 2, field);
    }
    case 'BC':
    case 'AD':
      return caseWord(field, m.year <= 0 ? 'BC' : 'AD');
    case 'B.C.':
    case 'A.D.':
      return caseWord(field, m.year <= 0 ? 'B.C.' : 'A.D.');
    default:
      return undefined;
  }
}

function invalidForInterval(): Error {
  return sqlError('invalidDatetimeFormat', 'invalid format specification for an interval value', {
    hint: 'Intervals are not tied to specific calendar dates.',
  });
}

function renderDate(field: Field, m: Moment): string | undefined {
  switch (field.name) {
    case 'MM':
      return number(m.month, 2, field);
    case 'DD':
      return number(m.day, 2, field);
    case 'RM': {
      const roman = romanMonths[m.month - 1];
      return roman === undefined ? '' : padded(caseWord(field, roman), 4, field);
    }
    case 'Q':
      return number(Math.floor((m.month - 1) / 3) + 1, 1, field);
    case 'DDD':
      return number(
        m.days === undefined ? m.year * 360 + m.month * 30 + m.day : dayOfYear(m.days),
        3,
        field,
      );
    default:
  }
  const { days } = m;
  if (days === undefined) throw invalidForInterval();
  const month = monthNames[m.month - 1] ?? '';
  const weekday = dayNames[dayOfWeek(days)] ?? '';
  switch (field.name) {
    case 'MONTH':
      return padded(caseLike(field.word, month), 9, field);
    case 'MON':
      return caseLike(field.word, month.slice(0, 3));
    case 'DAY':
      return padded(caseLike(field.word, weekday), 9, field);
    case 'DY':
      return caseLike(field.word, weekday.slice(0, 3));
    case 'D':
      return number(dayOfWeek(days) + 1, 1, field);
    case 'ID':
      return number(isoWeek(days).weekday, 1, field);
    case 'IDDD': {
      const { week, weekday: day } = isoWeek(days);
      return number((week - 1) * 7 + day, 3, field);
    }
    case 'WW':
      return number(Math.floor((dayOfYear(days) - 1) / 7) + 1, 2, field);
    case 'W':
      return number(Math.floor((m.day - 1) / 7) + 1, 1, field);
    case 'IW':
      return number(isoWeek(days).week, 2, field);
    case 'J':
      return number(julianDay(days), 1, field);
    default:
      return undefined;
  }
}
