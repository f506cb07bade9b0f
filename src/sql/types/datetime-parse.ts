/**
 * Text input of date, time, timetz, timestamp and timestamptz: the text is cut into fields, each field is
 * recognised by its shape, and what is left over is assigned by DateStyle order (PostgreSQL appendix B.1).
 */
import { sqlError } from '../errors.ts';
import {
  daysFromDate,
  daysInMonth,
  joinMicros,
  microsPerDay,
  microsPerHour,
  microsPerMinute,
  microsPerSecond,
  splitMicros,
} from './calendar.ts';
import { TimeTz, timestampInfinity, timestampMinusInfinity } from './datum.ts';
import {
  endTimestamp,
  isWeekdayWord,
  maxDateDays,
  minDateDays,
  minTimestamp,
  monthFromWord,
} from './datetime-words.ts';
import {
  findZone,
  localToUtc,
  offsetOfLocal,
  utcToLocal,
  type Zone,
  zoneAbbreviationOffset,
  zoneOf,
} from './timezone.ts';
import { type FormatSettings } from './types.ts';

type Special = 'infinity' | '-infinity' | 'epoch' | 'now' | 'today' | 'tomorrow' | 'yesterday';

interface Fields {
  special: Special | undefined;
  year: number | undefined;
  month: number | undefined;
  day: number | undefined;
  dayOfYear: number | undefined;
  /** Days since 2000-01-01 when given as a Julian day. */
  julian: number | undefined;
  bc: boolean;
  yearDigits: number;
  /** Microseconds of the day; may be a full day (24:00:00). */
  time: number | undefined;
  offset: number | undefined;
  zone: Zone | undefined;
}

function bad(type: string, text: string): Error {
  return sqlError('invalidDatetimeFormat', `invalid input syntax for type ${type}: "${text}"`);
}

function overflow(text: string, hint?: string): Error {
  return sqlError(
    'datetimeFieldOverflow',
    `date/time field value out of range: "${text}"`,
    hint === undefined ? {} : { hint },
  );
}

const styleHint = 'Perhaps you need a different "datestyle" setting.';
const maxInputLength = 256;

/** Seconds with up to any number of digits behind the point, rounded to microseconds. */
function secondsToMicros(text: string): number {
  const [whole = '0', fraction = ''] = text.split('.');
  return Number(whole) * microsPerSecond + Math.round(Number(`0.${fraction || '0'}`) * 1e6);
}

interface State {
  readonly type: string;
  readonly text: string;
  readonly settings: FormatSettings;
  readonly fields: Fields;
  /** Numbers of the date in the order they came. */
  readonly numbers: string[];
  /** A month name came behind this many numbers. */
  meridiem: 'am' | 'pm' | undefined;
}

function parseFields(type: string, text: string, settings: FormatSettings): Fields {
  if (text.length > maxInputLength) throw bad(type, text);
  const fields: Fields = {
    special: undefined,
    year: undefined,
    month: undefined,
    day: undefined,
    dayOfYear: undefined,
    julian: undefined,
    bc: false,
    yearDigits: 0,
    time: undefined,
    offset: undefined,
    zone: undefined,
  };
  const state: State = { type, text, settings, fields, numbers: [], meridiem: undefined };
  let rest = text.trim();
  if (rest === '') throw bad(type, text);
  while (rest !== '') rest = takeField(state, rest).replace(/^[\s,]+/, '');
  assignNumbers(state);
  applyMeridiem(state);
  return fields;
}

const timePattern = /^(\d{1,7}):(\d{1,2})(?::(\d{1,2}(?:\.\d*)?)|:?(\.\d+))?/;
const offsetPattern = /^([+-])(\d{1,2})(?::?(\d{2})(?::?(\d{2})(?:\.\d*)?)?)?(?![\d:])/;
const isoDatePattern = /^(\d{3,7})-(\d{1,2})-(\d{1,2})(?=$|[\sTt,]|[+-]\d|[A-Za-z])/;
const numericDatePattern = /^(\d{1,7})([-/.])(\d{1,2})\2(\d{1,7})(?![\d.])/;
const namedDatePattern = /^(\d{1,7})[-/. ]?([A-Za-z]{3,9})[-/. ](\d{1,7})(?![\d:])/;
const monthFirstPattern = /^([A-Za-z]{3,9})[-/.](\d{1,2})[-/.](\d{1,7})/;
const yearDayPattern = /^(\d{4,7})[-.](\d{3})(?!\d)/;
const wordPattern = /^[A-Za-z][A-Za-z_/+-]*(?:\/[A-Za-z_+-]+\d*)*/;

/** Recognises the field at the start of `rest` and returns what follows it. */
function takeField(state: State, rest: string): string {
  const { fields } = state;
  if (/^\d/.test(rest)) return takeNumber(state, rest);
  const sign = /^([+-])(infinity)\b/i.exec(rest);
  if (sign !== null) {
    fields.special = sign[1] === '-' ? '-infinity' : 'infinity';
    return rest.slice(sign[0].length);
  }
  const offset = offsetPattern.exec(rest);
  if (offset !== null && (fields.time !== undefined || state.numbers.length > 0)) {
    const [all, direction, hours, minutes = '0', seconds = '0'] = offset;
    if (fields.offset !== undefined && fields.offset !== 0) throw bad(state.type, state.text);
    if (Number(hours) > 15 || Number(minutes) > 59 || Number(seconds) > 59) {
      throw sqlError(
        'invalidTimeZoneDisplacement',
        `time zone displacement out of range: "${state.text}"`,
      );
    }
    const total = Number(hours) * 3600 + Number(minutes) * 60 + Number(seconds);
    fields.offset = direction === '-' ? -total : total;
    return rest.slice(all.length);
  }
  const monthFirst = monthFirstPattern.exec(rest);
  if (monthFirst !== null && monthFromWord(monthFirst[1] ?? '') !== undefined) {
    const [all, month = '', day = '', year = ''] = monthFirst;
    fields.month = monthFromWord(month);
    state.numbers.push(day, year);
    return rest.slice(all.length);
  }
  const word = wordPattern.exec(rest);
  if (word === null) throw bad(state.type, state.text);
  return takeWord(state, rest, word[0]);
}

function takeNumber(state: State, rest: string): string {
  const { fields, numbers } = state;
  const time = timePattern.exec(rest);
  if (time !== null) {
    const [all, hours = '', minutes = '', seconds, fraction] = time;
    if (fields.time !== undefined) throw bad(state.type, state.text);
    setTime(state, hours, minutes, seconds ?? (fraction === undefined ? '0' : `0${fraction}`));
    return rest.slice(all.length);
  }
  const iso = isoDatePattern.exec(rest);
  if (iso !== null) {
    const [all, year = '', month = '', day = ''] = iso;
    setDate(state, year, Number(month), Number(day));
    return rest.slice(all.length).replace(/^[Tt](?=\d)/, '');
  }
  const yearDay = yearDayPattern.exec(rest);
  if (yearDay !== null && numbers.length === 0 && fields.year === undefined) {
    fields.year = Number(yearDay[1]);
    fields.yearDigits = 4;
    fields.dayOfYear = Number(yearDay[2]);
    return rest.slice(yearDay[0].length);
  }
  const named = namedDatePattern.exec(rest);
  if (named !== null && monthFromWord(named[2] ?? '') !== undefined) {
    const [all, first = '', month = '', second = ''] = named;
    fields.month = monthFromWord(month);
    numbers.push(first, second);
    return rest.slice(all.length);
  }
  const date = numericDatePattern.exec(rest);
  if (date !== null) {
    const [all, first = '', , second = '', third = ''] = date;
    numbers.push(first, second, third);
    return rest.slice(all.length);
  }
  return takeBareNumber(state, rest);
}

function takeBareNumber(state: State, rest: string): string {
  const { fields, numbers } = state;
  const run = /^\d+(\.\d+)?/.exec(rest);
  if (run === null) throw bad(state.type, state.text);
  const [digits = ''] = (run[0] ?? '').split('.');
  const after = rest.slice(run[0].length);
  const dateIsOpen =
    fields.year === undefined && numbers.length === 0 && fields.month === undefined;
  const isTimeType = state.type.startsWith('time ') || state.type === 'time';
  if (run[1] === undefined && digits.length === 8 && dateIsOpen && !isTimeType) {
    setDate(state, digits.slice(0, 4), Number(digits.slice(4, 6)), Number(digits.slice(6)));
    return after.replace(/^[Tt](?=\d)/, '');
  }
  if ((digits.length === 6 || (digits.length === 4 && isTimeType)) && fields.time === undefined) {
    if (digits.length === 6 && dateIsOpen && !isTimeType) {
      // YYMMDD, whatever the DateStyle.
      setYear(fields, digits.slice(0, 2));
      fields.month = Number(digits.slice(2, 4));
      fields.day = Number(digits.slice(4));
      return after;
    }
    if (!dateIsOpen || isTimeType) {
      setTime(
        state,
        digits.slice(0, 2),
        digits.slice(2, 4),
        `${digits.slice(4) || '0'}${run[1] ?? ''}`,
      );
      return after;
    }
  }
  // An hour in front of am or pm.
  if (/^\s*[ap]m\b/i.test(after) && fields.time === undefined && digits.length <= 2) {
    setTime(state, digits, '0', '0');
    return after;
  }
  if (digits.length === 3 && fields.year !== undefined && fields.month === undefined) {
    fields.dayOfYear = Number(digits);
    return after;
  }
  if (run[1] !== undefined || digits.length > 7) throw bad(state.type, state.text);
  numbers.push(digits);
  return after;
}

function setTime(state: State, hours: string, minutes: string, seconds: string): void {
  const h = Number(hours);
  const m = Number(minutes);
  const s = secondsToMicros(seconds);
  const total = h * microsPerHour + m * microsPerMinute + s;
  if (h > 24 || m > 59 || s > 60 * microsPerSecond || total > microsPerDay) {
    throw overflow(state.text);
  }
  state.fields.time = total;
}

function setDate(state: State, year: string, month: number, day: number): void {
  const { fields } = state;
  if (fields.year !== undefined || state.numbers.length > 0) throw bad(state.type, state.text);
  fields.year = Number(year);
  fields.yearDigits = Math.max(year.length, 3);
  fields.month = month;
  fields.day = day;
}

function takeWord(state: State, rest: string, found: string): string {
  const { fields } = state;
  const letters = /^[A-Za-z]+/.exec(rest)?.[0] ?? '';
  const lower = letters.toLowerCase();
  const after = rest.slice(letters.length);
  switch (lower) {
    case 'infinity':
    case 'inf':
      fields.special = 'infinity';
      return after;
    case 'epoch':
    case 'now':
    case 'today':
    case 'tomorrow':
    case 'yesterday':
      fields.special = lower;
      return after;
    case 'allballs':
      fields.time = 0;
      fields.offset = 0;
      return after;
    case 'am':
    case 'pm':
      if (state.meridiem !== undefined) throw bad(state.type, state.text);
      state.meridiem = lower;
      return after;
    case 'ad':
      return after;
    case 'bc':
      fields.bc = true;
      return after;
    case 'at':
    case 'on':
      return after;
    case 't':
      if (/^\d/.test(after)) return after;
      break;
    case 'j': {
      const julian = /^\d+/.exec(after);
      if (julian === null) break;
      fields.julian = Number(julian[0]) - 2_451_545;
      return after.slice(julian[0].length);
    }
    default:
  }
  const month = monthFromWord(lower);
  if (month !== undefined) {
    if (fields.month !== undefined) {
      // A name decides: the number in front was the day.
      throw bad(state.type, state.text);
    }
    fields.month = month;
    return after;
  }
  if (isWeekdayWord(lower)) return after;
  return takeZone(state, rest, found);
}

function takeZone(state: State, rest: string, found: string): string {
  const { fields } = state;
  if (fields.zone !== undefined) throw bad(state.type, state.text);
  const word = /^[A-Za-z]+/.exec(rest)?.[0] ?? '';
  // `UTC+3` is POSIX: west. A name with digits may be one too.
  const posix = /^[A-Za-z]{3,}[+-]\d{1,2}(?::?\d{2})?/.exec(rest);
  if (posix !== null && monthFromWord(word) === undefined) {
    const zone = findZone(posix[0]);
    if (zone !== undefined) {
      fields.zone = zone;
      return rest.slice(posix[0].length);
    }
  }
  const abbreviation = found.includes('/') ? undefined : zoneAbbreviationOffset(word);
  if (abbreviation !== undefined) {
    fields.offset = abbreviation;
    return rest.slice(word.length);
  }
  const name = /^[A-Za-z][A-Za-z0-9_/+-]*/.exec(rest)?.[0] ?? found;
  const zone = findZone(name);
  if (zone !== undefined) {
    fields.zone = zone;
    return rest.slice(name.length);
  }
  if (name.includes('/')) {
    throw sqlError('invalidParameterValue', `time zone "${name.toLowerCase()}" not recognized`);
  }
  throw bad(state.type, state.text);
}

function assignNumbers(state: State): void {
  const { fields, numbers, settings, text, type } = state;
  if (numbers.length === 0) return;
  if (fields.month !== undefined && fields.day === undefined) {
    // Month by name: one number is the day, the other the year.
    const [first = '', second] = numbers;
    if (numbers.length > 2) throw bad(type, text);
    if (second === undefined) {
      if (fields.year === undefined) throw bad(type, text);
      fields.day = Number(first);
      return;
    }
    const yearFirst = first.length > 2 || (settings.dateOrder === 'YMD' && second.length <= 2);
    setYear(fields, yearFirst ? first : second);
    fields.day = Number(yearFirst ? second : first);
    return;
  }
  if (fields.day !== undefined || numbers.length !== 3) throw bad(type, text);
  const [a = '', b = '', c = ''] = numbers;
  if (a.length > 2) {
    setYear(fields, a);
    fields.month = Number(b);
    fields.day = Number(c);
    return;
  }
  switch (settings.dateOrder) {
    case 'MDY':
      fields.month = Number(a);
      fields.day = Number(b);
      setYear(fields, c);
      return;
    case 'DMY':
      fields.day = Number(a);
      fields.month = Number(b);
      setYear(fields, c);
      return;
    case 'YMD':
      setYear(fields, a);
      fields.month = Number(b);
      fields.day = Number(c);
  }
}

function setYear(fields: Fields, text: string): void {
  fields.year = Number(text);
  fields.yearDigits = text.length;
}

function applyMeridiem(state: State): void {
  const { fields, meridiem, text } = state;
  if (meridiem === undefined) return;
  if (fields.time === undefined) throw bad(state.type, text);
  if (fields.time >= 13 * microsPerHour) throw overflow(text);
  const isTwelve = fields.time >= 12 * microsPerHour;
  if (meridiem === 'am' && isTwelve) fields.time -= 12 * microsPerHour;
  if (meridiem === 'pm' && !isTwelve) fields.time += 12 * microsPerHour;
}

/** Days since 2000-01-01 of the date fields; undefined when there are none. */
function daysOf(fields: Fields, type: string, text: string): number | undefined {
  if (fields.julian !== undefined) return fields.julian;
  let { year } = fields;
  if (year === undefined) {
    if (fields.month !== undefined || fields.day !== undefined) throw bad(type, text);
    return undefined;
  }
  if (fields.bc) {
    if (year <= 0) throw overflow(text);
    year = 1 - year;
  } else if (fields.yearDigits <= 2) year += year < 70 ? 2000 : 1900;
  else if (year === 0) throw overflow(text);
  if (fields.dayOfYear !== undefined) {
    if (fields.dayOfYear < 1 || fields.dayOfYear > 366) throw overflow(text);
    return daysFromDate(year, 1, 1) + fields.dayOfYear - 1;
  }
  const { month, day } = fields;
  if (month === undefined || day === undefined) throw bad(type, text);
  if (month < 1 || month > 12) throw overflow(text, styleHint);
  if (day < 1 || day > 31) throw overflow(text, styleHint);
  if (day > daysInMonth(year, month)) throw overflow(text);
  return daysFromDate(year, month, day);
}

function localNow(settings: FormatSettings): bigint {
  return utcToLocal(zoneOf(settings.timeZone), settings.nowMicros);
}

function specialDays(special: Special, settings: FormatSettings): number {
  switch (special) {
    case 'infinity':
      return Infinity;
    case '-infinity':
      return -Infinity;
    case 'epoch':
      return daysFromDate(1970, 1, 1);
    case 'now':
    case 'today':
      return splitMicros(localNow(settings)).days;
    case 'tomorrow':
      return splitMicros(localNow(settings)).days + 1;
    case 'yesterday':
      return splitMicros(localNow(settings)).days - 1;
  }
}

export function parseDate(text: string, settings: FormatSettings): number {
  const iso = fastDate(text);
  if (iso !== undefined) return iso;
  const fields = parseFields('date', text, settings);
  if (fields.special !== undefined) return specialDays(fields.special, settings);
  const days = daysOf(fields, 'date', text);
  if (days === undefined) throw bad('date', text);
  return checkDate(days, text);
}

/** Throws 22008 beyond the limits of date. */
export function checkDate(days: number, text?: string): number {
  if (days >= minDateDays && days <= maxDateDays) return days;
  throw sqlError(
    'datetimeFieldOverflow',
    text === undefined ? 'date out of range' : `date out of range: "${text}"`,
  );
}

/** YYYY-MM-DD, the common form. */
function fastDate(text: string): number | undefined {
  if (text.length !== 10 || text[4] !== '-' || text[7] !== '-') return undefined;
  if (!/^\d{4}-\d\d-\d\d$/.test(text)) return undefined;
  const year = Number(text.slice(0, 4));
  const month = Number(text.slice(5, 7));
  const day = Number(text.slice(8));
  if (year === 0 || month < 1 || month > 12 || day < 1 || day > daysInMonth(year, month)) {
    return undefined;
  }
  return daysFromDate(year, month, day);
}

/** Throws 22008 beyond the limits of timestamp. */
export function checkTimestamp(micros: bigint, text?: string): bigint {
  if (micros >= minTimestamp && micros < endTimestamp) return micros;
  throw sqlError(
    'datetimeFieldOverflow',
    text === undefined ? 'timestamp out of range' : `timestamp out of range: "${text}"`,
  );
}

function parseMoment(
  type: string,
  text: string,
  settings: FormatSettings,
  withZone: boolean,
): bigint {
  const fields = parseFields(type, text, settings);
  const zone = zoneOf(settings.timeZone);
  if (fields.special !== undefined) {
    const { special } = fields;
    if (special === 'infinity') return timestampInfinity;
    if (special === '-infinity') return timestampMinusInfinity;
    if (special === 'epoch') return joinMicros(daysFromDate(1970, 1, 1), 0);
    if (special === 'now') return withZone ? settings.nowMicros : localNow(settings);
    const local = joinMicros(specialDays(special, settings), fields.time ?? 0);
    return withZone ? localToUtc(fields.zone ?? zone, local) : local;
  }
  const days = daysOf(fields, type, text);
  if (days === undefined) throw bad(type, text);
  const local = joinMicros(days, fields.time ?? 0);
  if (!withZone) return checkTimestamp(local, text);
  if (fields.offset !== undefined) {
    return checkTimestamp(local - BigInt(fields.offset) * 1_000_000n, text);
  }
  if (days < minDateDays || days > 107_000_000) return checkTimestamp(local, text);
  return checkTimestamp(localToUtc(fields.zone ?? zone, local), text);
}

const fastMoment =
  /^(\d{4})-(\d\d)-(\d\d)[ T](\d\d):(\d\d):(\d\d)(?:\.(\d{1,6}))?(?:(Z)|([+-]\d\d)(?::?(\d\d))?)?$/;

/** The usual ISO form without the general machinery; undefined when it is anything else. */
function fastTimestamp(text: string): { local: bigint; offset: number | undefined } | undefined {
  const match = fastMoment.exec(text);
  if (match === null) return undefined;
  const [, y, mo, d, h, mi, s, fraction = '', z, offsetHours, offsetMinutes = '0'] = match;
  const year = Number(y);
  const month = Number(mo);
  const day = Number(d);
  const hour = Number(h);
  const minute = Number(mi);
  const second = Number(s);
  if (year === 0 || month < 1 || month > 12 || day < 1 || day > daysInMonth(year, month)) {
    return undefined;
  }
  if (hour > 23 || minute > 59 || second > 59) return undefined;
  const micros =
    hour * microsPerHour +
    minute * microsPerMinute +
    second * microsPerSecond +
    (fraction === '' ? 0 : Number(fraction.padEnd(6, '0')));
  let offset: number | undefined;
  if (z !== undefined) offset = 0;
  else if (offsetHours !== undefined) {
    if (Math.abs(Number(offsetHours)) > 15 || Number(offsetMinutes) > 59) return undefined;
    const minutes = Math.abs(Number(offsetHours)) * 60 + Number(offsetMinutes);
    offset = (offsetHours.startsWith('-') ? -minutes : minutes) * 60;
  }
  return { local: joinMicros(daysFromDate(year, month, day), micros), offset };
}

export function parseTimestamp(text: string, settings: FormatSettings): bigint {
  return fastTimestamp(text)?.local ?? parseMoment('timestamp', text, settings, false);
}

export function parseTimestamptz(text: string, settings: FormatSettings): bigint {
  const fast = fastTimestamp(text);
  if (fast === undefined) {
    return parseMoment('timestamp with time zone', text, settings, true);
  }
  return fast.offset === undefined
    ? localToUtc(zoneOf(settings.timeZone), fast.local)
    : fast.local - BigInt(fast.offset) * 1_000_000n;
}

function timeFields(
  type: string,
  text: string,
  settings: FormatSettings,
): { time: number; fields: Fields; days: number | undefined } {
  const fields = parseFields(type, text, settings);
  if (fields.special === 'now') {
    const { days, micros } = splitMicros(localNow(settings));
    return { time: micros, fields, days };
  }
  if (fields.special !== undefined && fields.time === undefined) throw bad(type, text);
  if (fields.time === undefined) throw bad(type, text);
  const days = fields.year === undefined ? undefined : daysOf(fields, type, text);
  return { time: fields.time, fields, days };
}

export function parseTime(text: string, settings: FormatSettings): number {
  return timeFields('time', text, settings).time;
}

export function parseTimeTz(text: string, settings: FormatSettings): TimeTz {
  const { time, fields, days } = timeFields('time with time zone', text, settings);
  if (fields.offset !== undefined) return new TimeTz(time, 0 - fields.offset);
  const zone = fields.zone ?? zoneOf(settings.timeZone);
  const day = days ?? splitMicros(localNow(settings)).days;
  return new TimeTz(time, 0 - offsetOfLocal(zone, joinMicros(day, time)));
}
