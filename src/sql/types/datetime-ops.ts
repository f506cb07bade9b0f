/** TypeOps of date, time, timetz, timestamp, timestamptz, interval. */
import { microsPerDay } from './calendar.ts';
import { Interval, TimeTz, timestampInfinity, timestampMinusInfinity } from './datum.ts';
import {
  formatDate,
  formatTime,
  formatTimestamp,
  formatTimestamptz,
  formatTimeTz,
} from './datetime-format.ts';
import {
  parseDate,
  parseTime,
  parseTimestamp,
  parseTimestamptz,
  parseTimeTz,
} from './datetime-parse.ts';
import {
  applyIntervalTypmod,
  compareInterval,
  formatInterval,
  intervalSpan,
  parseInterval,
  roundMicros,
} from './interval.ts';
import { asBigint, asInterval, asNumber, asTimeTz } from './narrow.ts';
import { oids } from './oids.ts';
import { compareBigints, compareNumbers, expectLength, makeOps } from './ops-builder.ts';
import { readInt } from './scalar-ops.ts';
import { type FormatSettings, type TypeOps } from './types.ts';

const infiniteDate = 2147483647;

function dateToInt(days: number): number {
  if (days === Infinity) return infiniteDate;
  return days === -Infinity ? -infiniteDate - 1 : days;
}

function intToDate(value: number): number {
  if (value === infiniteDate) return Infinity;
  return value === -infiniteDate - 1 ? -Infinity : value;
}

const dateOps = makeOps<number>(oids.date, {
  narrow: asNumber,
  parse: parseDate,
  format: formatDate,
  decodeBinary(bytes) {
    expectLength(bytes, 4);
    return intToDate(bytes.readInt32BE(0));
  },
  encodeBinary(value) {
    const out = Buffer.allocUnsafe(4);
    out.writeInt32BE(dateToInt(value), 0);
    return out;
  },
  compare: compareNumbers,
  hashKey: (value) => value,
  encodeKey: (writer, value) => writer.int(dateToInt(value)),
  decodeKey: (reader, descending) => intToDate(readInt(reader, descending)),
});

/** Rounds to the precision of a typmod. */
export function roundTime(micros: number, typmod: number): number {
  if (typmod < 0 || typmod >= 6) return micros;
  const unit = 10 ** (6 - typmod);
  return Math.floor((micros + unit / 2) / unit) * unit;
}

const timeOps = makeOps<number>(oids.time, {
  narrow: asNumber,
  parse: parseTime,
  format: formatTime,
  decodeBinary(bytes) {
    expectLength(bytes, 8);
    return Math.min(Number(bytes.readBigInt64BE(0)), microsPerDay);
  },
  encodeBinary(value) {
    const out = Buffer.allocUnsafe(8);
    out.writeBigInt64BE(BigInt(value), 0);
    return out;
  },
  compare: compareNumbers,
  hashKey: (value) => value,
  encodeKey: (writer, value) => writer.int(value),
  decodeKey: readInt,
  applyTypmod: roundTime,
});

function utcMicros(value: TimeTz): number {
  return value.micros + value.zoneSeconds * 1_000_000;
}

const timetzOps = makeOps<TimeTz>(oids.timetz, {
  narrow: asTimeTz,
  parse: parseTimeTz,
  format: formatTimeTz,
  decodeBinary(bytes) {
    expectLength(bytes, 12);
    return new TimeTz(Number(bytes.readBigInt64BE(0)), bytes.readInt32BE(8));
  },
  encodeBinary(value) {
    const out = Buffer.allocUnsafe(12);
    out.writeBigInt64BE(BigInt(value.micros), 0);
    out.writeInt32BE(value.zoneSeconds, 8);
    return out;
  },
  compare: (a, b) => utcMicros(a) - utcMicros(b) || a.zoneSeconds - b.zoneSeconds,
  hashKey: (value) => `${value.micros}/${value.zoneSeconds}`,
  encodeKey: (writer, value) => writer.int(utcMicros(value)).int(value.zoneSeconds),
  decodeKey(reader, descending) {
    const utc = readInt(reader, descending);
    const zone = readInt(reader, descending);
    return new TimeTz(utc - zone * 1_000_000, zone);
  },
  applyTypmod: (value, typmod) => new TimeTz(roundTime(value.micros, typmod), value.zoneSeconds),
});

export function roundTimestamp(micros: bigint, typmod: number): bigint {
  if (micros === timestampInfinity || micros === timestampMinusInfinity) return micros;
  return typmod < 0 || typmod >= 6 ? micros : roundMicros(micros, typmod);
}

function momentOps(
  oid: number,
  parse: (text: string, settings: FormatSettings) => bigint,
  format: (value: bigint, settings: FormatSettings) => string,
): TypeOps {
  return makeOps<bigint>(oid, {
    narrow: asBigint,
    parse,
    format,
    decodeBinary(bytes) {
      expectLength(bytes, 8);
      return bytes.readBigInt64BE(0);
    },
    encodeBinary(value) {
      const out = Buffer.allocUnsafe(8);
      out.writeBigInt64BE(value, 0);
      return out;
    },
    compare: compareBigints,
    hashKey: (value) => value,
    encodeKey: (writer, value) => writer.bigint(value),
    decodeKey: (reader, descending) => (descending ? reader.bigintDescending() : reader.bigint()),
    applyTypmod: roundTimestamp,
  });
}

const intervalOps = makeOps<Interval>(oids.interval, {
  narrow: asInterval,
  parse: (text, settings, typmod) => parseInterval(text, typmod, settings.intervalStyle),
  format: formatInterval,
  decodeBinary(bytes) {
    expectLength(bytes, 16);
    return new Interval(bytes.readInt32BE(12), bytes.readInt32BE(8), bytes.readBigInt64BE(0));
  },
  encodeBinary(value) {
    const out = Buffer.allocUnsafe(16);
    out.writeBigInt64BE(value.micros, 0);
    out.writeInt32BE(value.days, 8);
    out.writeInt32BE(value.months, 12);
    return out;
  },
  compare: compareInterval,
  hashKey: intervalSpan,
  // The span can exceed 64 bits, so days and the rest of the day go apart.
  encodeKey(writer, value) {
    const span = intervalSpan(value);
    const day = BigInt(microsPerDay);
    const rest = ((span % day) + day) % day;
    writer.int(Number((span - rest) / day)).int(Number(rest));
  },
  decodeKey(reader, descending) {
    const days = readInt(reader, descending);
    const micros = BigInt(readInt(reader, descending));
    // Any interval of that span will do: the value itself is stored beside the key.
    return Math.abs(days) <= infiniteDate
      ? new Interval(0, days, micros)
      : new Interval(Math.trunc(days / 30), days % 30, micros);
  },
  keyIsLossless: false,
  applyTypmod: applyIntervalTypmod,
});

export const datetimeOps: readonly TypeOps[] = [
  dateOps,
  timeOps,
  timetzOps,
  momentOps(oids.timestamp, parseTimestamp, formatTimestamp),
  momentOps(oids.timestamptz, parseTimestamptz, formatTimestamptz),
  intervalOps,
];
