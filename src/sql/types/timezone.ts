/**
 * Offsets of time zones. The zone data is the runtime's (Intl); what is asked of it is cached per zone in
 * buckets of 12 days, each with at most one change of offset found by bisection.
 */
import { sqlError } from '../errors.ts';
import { daysFromDate, splitMicros, unixEpochSeconds } from './calendar.ts';

/** Seconds east of UTC at an instant (seconds since 2000-01-01 UTC). */
type OffsetAt = (seconds: number) => number;

export interface Zone {
  readonly name: string;
  readonly offsetAt: OffsetAt;
  /** Undefined for fixed offsets without a name. */
  readonly abbreviationAt: (seconds: number) => string | undefined;
}

const bucketSeconds = 12 * 86_400;
const maxCachedZones = 64;
const maxBuckets = 20_000;
/** Intl stops at +-8.64e15 ms; beyond, the offset of the end applies. */
const maxUnixSeconds = 8_640_000_000_000 - 86_400 * 20;

/** Abbreviations accepted in input, seconds east of UTC (the usual ones of PostgreSQL's Default set). */
const abbreviations: Readonly<Record<string, number>> = {
  utc: 0,
  gmt: 0,
  z: 0,
  zulu: 0,
  ut: 0,
  uct: 0,
  wet: 0,
  est: -18000,
  edt: -14400,
  cst: -21600,
  cdt: -18000,
  mst: -25200,
  mdt: -21600,
  pst: -28800,
  pdt: -25200,
  akst: -32400,
  akdt: -28800,
  hst: -36000,
  ast: -14400,
  adt: -10800,
  nst: -12600,
  ndt: -9000,
  bst: 3600,
  west: 3600,
  cet: 3600,
  cest: 7200,
  met: 3600,
  mest: 7200,
  eet: 7200,
  eest: 10800,
  msk: 10800,
  msd: 14400,
  ist: 7200,
  sast: 7200,
  jst: 32400,
  kst: 32400,
  hkt: 28800,
  sgt: 28800,
  awst: 28800,
  acst: 34200,
  acdt: 37800,
  aest: 36000,
  aedt: 39600,
  nzst: 43200,
  nzdt: 46800,
  brt: -10800,
  art: -10800,
  pkt: 18000,
  npt: 20700,
  wib: 25200,
};

export function zoneAbbreviationOffset(word: string): number | undefined {
  return Object.hasOwn(abbreviations, word.toLowerCase())
    ? abbreviations[word.toLowerCase()]
    : undefined;
}

const zones = new Map<string, Zone | undefined>();

/** A zone by IANA name, abbreviation or fixed offset (`+05:30` is east); undefined when unknown. */
export function findZone(name: string): Zone | undefined {
  const cached = zones.get(name);
  if (cached !== undefined || zones.has(name)) return cached;
  const zone = makeZone(name.trim());
  if (zones.size >= maxCachedZones) zones.clear();
  zones.set(name, zone);
  return zone;
}

/** Throws 22023. */
export function zoneOf(name: string): Zone {
  const zone = findZone(name);
  if (zone === undefined) {
    throw sqlError('invalidParameterValue', `time zone "${name}" not recognized`);
  }
  return zone;
}

/** `+HH`, `+HHMM`, `+HH:MM[:SS]` as seconds; undefined for other text. */
export function parseOffset(text: string): number | undefined {
  const match = /^([+-])(\d{1,2})(?::?(\d{2})(?::?(\d{2}))?)?$/.exec(text);
  if (match === null) return undefined;
  const [, sign, hours, minutes = '0', seconds = '0'] = match;
  if (Number(hours) > 15 || Number(minutes) > 59 || Number(seconds) > 59) return undefined;
  const total = Number(hours) * 3600 + Number(minutes) * 60 + Number(seconds);
  return sign === '-' ? -total : total;
}

function fixedZone(name: string, offset: number): Zone {
  return { name, offsetAt: () => offset, abbreviationAt: () => undefined };
}

function makeZone(name: string): Zone | undefined {
  const lower = name.toLowerCase();
  if (lower === 'utc' || lower === 'gmt' || lower === 'z' || lower === 'etc/utc') {
    return { name, offsetAt: () => 0, abbreviationAt: () => (lower === 'gmt' ? 'GMT' : 'UTC') };
  }
  const direct = parseOffset(name);
  if (direct !== undefined) return fixedZone(name, direct);
  // POSIX: <abbreviation>offset or ABCoffset, counted west.
  const posix = /^(?:<[^>]*>|[A-Za-z]{3,})([+-]?\d{1,2}(?::\d{2}){0,2})$/.exec(name);
  if (posix !== null) {
    const text = posix[1] ?? '';
    const west = parseOffset(/^[+-]/.test(text) ? text : `+${text}`);
    return west === undefined ? undefined : fixedZone(name, -west);
  }
  if (name.includes('/') || zoneAbbreviationOffset(name) === undefined) return namedZone(name);
  const abbreviated = zoneAbbreviationOffset(name);
  return abbreviated === undefined
    ? undefined
    : { ...fixedZone(name, abbreviated), abbreviationAt: () => name.toUpperCase() };
}

interface Bucket {
  readonly before: number;
  readonly after: number;
  /** First second with the offset `after`. */
  readonly change: number;
}

function namedZone(name: string): Zone | undefined {
  if (!/^[A-Za-z]/.test(name)) return undefined;
  let format: Intl.DateTimeFormat;
  let short: Intl.DateTimeFormat;
  try {
    format = new Intl.DateTimeFormat('en-US', {
      timeZone: name,
      calendar: 'gregory',
      hourCycle: 'h23',
      era: 'short',
      year: 'numeric',
      month: 'numeric',
      day: 'numeric',
      hour: 'numeric',
      minute: 'numeric',
      second: 'numeric',
    });
    short = new Intl.DateTimeFormat('en-US', { timeZone: name, timeZoneName: 'short' });
  } catch {
    return undefined;
  }
  const measure = (seconds: number): number => measureOffset(format, seconds);
  const buckets = new Map<number, Bucket>();
  return {
    name,
    offsetAt(seconds) {
      const key = Math.floor(seconds / bucketSeconds);
      let bucket = buckets.get(key);
      if (bucket === undefined) {
        bucket = findChange(measure, key * bucketSeconds, (key + 1) * bucketSeconds);
        if (buckets.size >= maxBuckets) buckets.clear();
        buckets.set(key, bucket);
      }
      return seconds < bucket.change ? bucket.before : bucket.after;
    },
    abbreviationAt(seconds) {
      const unix = Math.min(Math.max(seconds + unixEpochSeconds, -maxUnixSeconds), maxUnixSeconds);
      const part = short
        .formatToParts(new Date(unix * 1000))
        .find(({ type }) => type === 'timeZoneName');
      return part !== undefined && /^[A-Z]+$/.test(part.value) ? part.value : undefined;
    },
  };
}

function findChange(measure: OffsetAt, start: number, end: number): Bucket {
  const before = measure(start);
  const after = measure(end - 1);
  if (before === after) return { before, after, change: end };
  let low = start;
  let high = end - 1;
  while (high - low > 1) {
    const middle = Math.floor((low + high) / 2);
    if (measure(middle) === before) low = middle;
    else high = middle;
  }
  return { before, after, change: high };
}

function measureOffset(format: Intl.DateTimeFormat, seconds: number): number {
  const unix = Math.min(Math.max(seconds + unixEpochSeconds, -maxUnixSeconds), maxUnixSeconds);
  const fields = { year: 0, month: 0, day: 0, hour: 0, minute: 0, second: 0 };
  let bc = false;
  for (const { type, value } of format.formatToParts(new Date(unix * 1000))) {
    if (type === 'era') bc = value.startsWith('B');
    else if (type in fields) fields[type as keyof typeof fields] = Number(value);
  }
  const year = bc ? 1 - fields.year : fields.year;
  const local =
    daysFromDate(year, fields.month, fields.day) * 86_400 +
    fields.hour * 3600 +
    fields.minute * 60 +
    fields.second;
  return local - (Math.floor(unix) - unixEpochSeconds);
}

/** UTC instant as the wall clock of a zone shows it; both in microseconds since 2000-01-01. */
export function utcToLocal(zone: Zone, micros: bigint): bigint {
  return micros + BigInt(offsetOfInstant(zone, micros)) * 1_000_000n;
}

export function offsetOfInstant(zone: Zone, micros: bigint): number {
  const { days, micros: rest } = splitMicros(micros);
  return zone.offsetAt(days * 86_400 + Math.floor(rest / 1_000_000));
}

/**
 * The offset that holds for a wall-clock time. In the hour that does not exist the offset before the
 * change holds, in the hour that exists twice the one after it (both times standard time).
 */
export function offsetOfLocal(zone: Zone, micros: bigint): number {
  const { days, micros: rest } = splitMicros(micros);
  const seconds = days * 86_400 + Math.floor(rest / 1_000_000);
  const before = zone.offsetAt(seconds - 86_400);
  const after = zone.offsetAt(seconds + 86_400);
  if (before === after) return before;
  const afterHolds = zone.offsetAt(seconds - after) === after;
  return afterHolds ? after : before;
}

export function localToUtc(zone: Zone, micros: bigint): bigint {
  return micros - BigInt(offsetOfLocal(zone, micros)) * 1_000_000n;
}
