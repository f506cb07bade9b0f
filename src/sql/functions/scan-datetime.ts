/** to_date and to_timestamp: text read by a template. */
import { sqlError } from '../errors.ts';
import {
  daysFromDate,
  daysFromIsoWeek,
  daysInMonth,
  joinMicros,
  microsPerHour,
  microsPerMinute,
  microsPerSecond,
} from '../types/calendar.ts';
import { checkDate, checkTimestamp } from '../types/datetime-parse.ts';
import { dayNames, monthNames } from '../types/datetime-words.ts';
import { localToUtc, type Zone } from '../types/timezone.ts';
import { parsePicture, type PictureNode, romanMonths } from './format-picture.ts';

type Field = Extract<PictureNode, { kind: 'field' }>;

interface Scanned {
  year?: number;
  isoYear?: number;
  century?: number;
  month?: number;
  day?: number;
  dayOfYear?: number;
  isoWeek?: number;
  isoDay?: number;
  week?: number;
  julian?: number;
  hour?: number;
  minute?: number;
  second?: number;
  micros?: number;
  pm?: boolean;
  bc?: boolean;
  twelve?: boolean;
  secondsOfDay?: number;
  zoneHour?: number;
  zoneMinute?: number;
  zoneNegative?: boolean;
}

const widths: Readonly<Record<string, number>> = {
  HH24: 2,
  HH12: 2,
  HH: 2,
  MI: 2,
  SS: 2,
  MS: 3,
  US: 6,
  SSSSS: 5,
  SSSS: 5,
  YYYY: 4,
  YYY: 3,
  YY: 2,
  Y: 1,
  IYYY: 4,
  IYY: 3,
  IY: 2,
  I: 1,
  MM: 2,
  DD: 2,
  DDD: 3,
  IDDD: 3,
  D: 1,
  ID: 1,
  WW: 2,
  W: 1,
  IW: 2,
  CC: 2,
  J: 9,
  Q: 1,
  TZH: 2,
  TZM: 2,
  FF1: 1,
  FF2: 2,
  FF3: 3,
  FF4: 4,
  FF5: 5,
  FF6: 6,
};

function scan(text: string, picture: string): Scanned {
  const found: Scanned = {};
  const nodes = parsePicture(picture);
  let at = 0;
  nodes.forEach((node, index) => {
    if (node.kind === 'text') {
      at = skipText(text, at, node.text);
      return;
    }
    while (at < text.length && /\s/.test(text[at] ?? '')) at++;
    if (at >= text.length) return;
    const word = scanWord(node, text.slice(at), found);
    if (word !== undefined) {
      at += word;
      return;
    }
    at += scanNumber(node, text.slice(at), found, digitFollows(nodes[index + 1]), picture);
  });
  return found;
}

/** Separators match any run of separators; other characters step over one each. */
function skipText(text: string, start: number, pattern: string): number {
  let at = start;
  for (const c of pattern) {
    if (at >= text.length) return at;
    if (/[\s\p{P}\p{S}]/u.test(c)) {
      if (/\s/.test(c)) while (/\s/.test(text[at] ?? '')) at++;
      else {
        while (/\s/.test(text[at] ?? '')) at++;
        if (/[\p{P}\p{S}]/u.test(text[at] ?? '')) at++;
      }
    } else at++;
  }
  return at;
}

function digitFollows(next: PictureNode | undefined): boolean {
  if (next === undefined) return false;
  return next.kind === 'field' ? Object.hasOwn(widths, next.name) : /^\d/.test(next.text);
}

function badValue(node: Field, text: string, detail: string): Error {
  const value = text.slice(0, widths[node.name] ?? 4);
  return sqlError('invalidDatetimeFormat', `invalid value "${value}" for "${node.word}"`, {
    detail,
  });
}

/** Length of a word field at the start of `rest`; undefined when the field is numeric. */
function scanWord(node: Field, rest: string, found: Scanned): number | undefined {
  switch (node.name) {
    case 'MONTH':
    case 'MON': {
      const index = monthNames.findIndex((name) => {
        const wanted = node.name === 'MONTH' ? name : name.slice(0, 3);
        return rest.toLowerCase().startsWith(wanted.toLowerCase());
      });
      const month = monthNames[index];
      if (month === undefined) {
        throw badValue(
          node,
          rest,
          'The given value did not match any of the allowed values for this field.',
        );
      }
      found.month = index + 1;
      return node.name === 'MONTH' ? month.length : 3;
    }
    case 'DAY':
    case 'DY': {
      const day = dayNames.find((name) =>
        rest.toLowerCase().startsWith(name.slice(0, 3).toLowerCase()),
      );
      if (day === undefined) {
        throw badValue(
          node,
          rest,
          'The given value did not match any of the allowed values for this field.',
        );
      }
      return node.name === 'DAY' && rest.toLowerCase().startsWith(day.toLowerCase())
        ? day.length
        : 3;
    }
    case 'AM':
    case 'PM':
    case 'A.M.':
    case 'P.M.': {
      const match = /^([ap])\.?m\.?/i.exec(rest);
      if (match === null)
        throw badValue(
          node,
          rest,
          'The given value did not match any of the allowed values for this field.',
        );
      found.pm = match[1]?.toLowerCase() === 'p';
      return match[0].length;
    }
    case 'BC':
    case 'AD':
    case 'B.C.':
    case 'A.D.': {
      const match = /^(?:b\.?c\.?|a\.?d\.?)/i.exec(rest);
      if (match === null)
        throw badValue(
          node,
          rest,
          'The given value did not match any of the allowed values for this field.',
        );
      found.bc = /^b/i.test(match[0]);
      return match[0].length;
    }
    case 'RM': {
      const match = /^[ivx]+/i.exec(rest);
      const index = romanMonths.indexOf((match?.[0] ?? '').toUpperCase());
      if (match === null || index < 0)
        throw badValue(
          node,
          rest,
          'The given value did not match any of the allowed values for this field.',
        );
      found.month = index + 1;
      return match[0].length;
    }
    case 'Y,YYY': {
      const match = /^(\d+),(\d{3})/.exec(rest);
      if (match === null)
        throw sqlError('invalidDatetimeFormat', 'invalid input string for "Y,YYY"');
      found.year = Number(match[1]) * 1000 + Number(match[2]);
      return match[0].length;
    }
    case 'TZ':
    case 'OF':
      throw sqlError(
        'featureNotSupported',
        `formatting field "${node.word}" is only supported in to_char`,
      );
    default:
      return undefined;
  }
}

function scanNumber(
  node: Field,
  rest: string,
  found: Scanned,
  fixed: boolean,
  picture: string,
): number {
  const width = widths[node.name] ?? 4;
  const limit = fixed && !node.fillMode ? width : 12;
  const match = new RegExp(`^[+-]?\\d{1,${limit}}`).exec(rest);
  if (match === null) {
    throw badValue(node, rest, 'Value must be an integer.');
  }
  const digits = match[0];
  const value = Number(digits);
  setNumber(node, value, digits, found, picture);
  let length = digits.length;
  if (node.ordinal !== undefined) length += 2;
  return length;
}

function setNumber(
  node: Field,
  value: number,
  digits: string,
  found: Scanned,
  picture: string,
): void {
  const fraction = (): number => Number(digits.padEnd(6, '0').slice(0, 6));
  switch (node.name) {
    case 'HH24':
      found.hour = value;
      return;
    case 'HH12':
    case 'HH':
      found.hour = value;
      found.twelve = true;
      return;
    case 'MI':
      found.minute = value;
      return;
    case 'SS':
      found.second = value;
      return;
    case 'MS':
      found.micros = Math.round(Number(`0.${digits}`) * 1e6);
      return;
    case 'US':
    case 'FF1':
    case 'FF2':
    case 'FF3':
    case 'FF4':
    case 'FF5':
    case 'FF6':
      found.micros = fraction();
      return;
    case 'SSSS':
    case 'SSSSS':
      found.secondsOfDay = value;
      return;
    case 'YYYY':
      found.year = value;
      return;
    case 'YYY':
    case 'YY':
    case 'Y':
      found.year = digits.length < 4 ? fullYear(value, digits.length) : value;
      return;
    case 'IYYY':
      found.isoYear = value;
      return;
    case 'IYY':
    case 'IY':
    case 'I':
      found.isoYear = fullYear(value, digits.length);
      return;
    case 'MM':
      found.month = value;
      return;
    case 'DD':
      found.day = value;
      return;
    case 'DDD':
    case 'IDDD':
      found.dayOfYear = value;
      return;
    case 'ID':
      found.isoDay = value;
      return;
    case 'WW':
      found.week = value;
      return;
    case 'W':
      found.day ??= (value - 1) * 7 + 1;
      return;
    case 'IW':
      found.isoWeek = value;
      return;
    case 'CC':
      found.century = value;
      return;
    case 'J':
      found.julian = value;
      return;
    case 'TZH':
      found.zoneHour = Math.abs(value);
      found.zoneNegative = digits.startsWith('-');
      return;
    case 'TZM':
      found.zoneMinute = value;
      return;
    case 'D':
    case 'Q':
      return;
    default:
      throw sqlError('invalidDatetimeFormat', `cannot read field "${node.word}" of "${picture}"`);
  }
}

/** The year nearest to 2020 with these last digits. */
function fullYear(value: number, digits: number): number {
  if (digits <= 2) return value < 70 ? value + 2000 : value + 1900;
  if (digits === 3) return value < 520 ? value + 2000 : value + 1000;
  return value;
}

function outOfRange(text: string): Error {
  return sqlError('datetimeFieldOverflow', `date/time field value out of range: "${text}"`);
}

function scannedDays(found: Scanned, text: string): number {
  if (found.julian !== undefined) return found.julian - 2_451_545;
  if (found.isoYear !== undefined) {
    if (found.dayOfYear !== undefined)
      return daysFromIsoWeek(found.isoYear, 1, 1) + found.dayOfYear - 1;
    return daysFromIsoWeek(found.isoYear, found.isoWeek ?? 1, found.isoDay ?? 1);
  }
  let year = found.year ?? (found.century === undefined ? 0 : (found.century - 1) * 100 + 1);
  if (found.bc === true) year = 1 - year;
  else if (found.year !== undefined && year < 0) year += 1;
  if (found.dayOfYear !== undefined) {
    if (found.dayOfYear < 1 || found.dayOfYear > 366) throw outOfRange(text);
    return daysFromDate(year, 1, 1) + found.dayOfYear - 1;
  }
  if (found.week !== undefined) return daysFromDate(year, 1, 1) + (found.week - 1) * 7;
  const month = found.month ?? 1;
  const day = found.day ?? 1;
  if (month < 1 || month > 12 || day < 1 || day > daysInMonth(year, month)) throw outOfRange(text);
  return daysFromDate(year, month, day);
}

function scannedMicros(found: Scanned, text: string): number {
  if (found.secondsOfDay !== undefined) {
    if (found.secondsOfDay > 86_399) throw outOfRange(text);
    return found.secondsOfDay * microsPerSecond;
  }
  let hour = found.hour ?? 0;
  if (found.twelve === true || found.pm !== undefined) {
    if (found.twelve === true && (hour < 1 || hour > 12)) {
      throw sqlError('invalidDatetimeFormat', `hour "${hour}" is invalid for the 12-hour clock`, {
        hint: 'Use the 24-hour clock, or give an hour between 1 and 12.',
      });
    }
    if (found.pm === true && hour < 12) hour += 12;
    else if (found.pm !== true && hour === 12 && found.twelve === true) hour = 0;
  }
  const minute = found.minute ?? 0;
  const second = found.second ?? 0;
  if (hour > 23 || minute > 59 || second > 59) throw outOfRange(text);
  return (
    hour * microsPerHour + minute * microsPerMinute + second * microsPerSecond + (found.micros ?? 0)
  );
}

export function toDate(text: string, picture: string): number {
  return checkDate(scannedDays(scan(text, picture), text), text);
}

export function toTimestamp(text: string, picture: string, zone: Zone): bigint {
  const found = scan(text, picture);
  const local = checkTimestamp(
    joinMicros(scannedDays(found, text), scannedMicros(found, text)),
    text,
  );
  if (found.zoneHour === undefined) return localToUtc(zone, local);
  const seconds = found.zoneHour * 3600 + (found.zoneMinute ?? 0) * 60;
  return local - BigInt(found.zoneNegative === true ? -seconds : seconds) * 1_000_000n;
}
