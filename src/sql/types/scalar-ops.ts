/** TypeOps of booleans, numbers, strings, bytea, uuid, json, jsonb. */
import { type KeyReader, type KeyWriter } from '../../encoding/index.ts';
import { sqlError } from '../errors.ts';
import { Jsonb, type JsonNode, Numeric } from './datum.ts';
import {
  checkJson,
  compareJsonb,
  compareText,
  formatJsonNode,
  isJsonArray,
  isJsonObject,
  jsonHashKey,
  jsonRank,
  makeObject,
  parseJsonb,
} from './json.ts';
import { asBigint, asBool, asBuffer, asJsonNode, asNumber, asNumeric, asText } from './narrow.ts';
import {
  applyNumericTypmod,
  compareNumeric,
  decodeNumericBinary,
  encodeNumericBinary,
  formatNumeric,
  parseNumeric,
  stripZeros,
} from './numeric.ts';
import { decodeNumericKey, encodeNumericKey } from './numeric-key.ts';
import { oids } from './oids.ts';
import { compareBigints, compareNumbers, expectLength, makeOps } from './ops-builder.ts';
import {
  charCount,
  formatByteaEscape,
  formatFloat,
  intLimits,
  parseBool,
  parseBytea,
  parseFloatText,
  parseInt2or4,
  parseInt8,
  parseOid,
  parseUuid,
  sliceChars,
  truncateUtf8,
  uuidFromHex,
} from './scalar-text.ts';
import { type FormatSettings, type TypeOps } from './types.ts';
import { typeByName } from './type-table.ts';
import { charLength, formatType } from './typmod.ts';

const boolOps = makeOps<boolean>(oids.bool, {
  narrow: asBool,
  parse: parseBool,
  format: (value) => (value ? 't' : 'f'),
  decodeBinary(bytes) {
    expectLength(bytes, 1);
    return bytes[0] !== 0;
  },
  encodeBinary: (value) => Buffer.from([value ? 1 : 0]),
  compare: (a, b) => Number(a) - Number(b),
  hashKey: (value) => value,
  encodeKey: (writer, value) => writer.int(value ? 1 : 0),
  decodeKey: (reader, descending) => readInt(reader, descending) === 1,
});

export function readInt(reader: KeyReader, descending: boolean): number {
  return descending ? reader.intDescending() : reader.int();
}

function readBytes(reader: KeyReader, descending: boolean): Buffer {
  return descending ? reader.bytesDescending() : reader.bytes();
}

function intOps(oid: number, type: 'smallint' | 'integer'): TypeOps {
  const size = type === 'smallint' ? 2 : 4;
  const limit = intLimits[type];
  return makeOps<number>(oid, {
    narrow: asNumber,
    parse: (text) => parseInt2or4(text, type),
    format: String,
    decodeBinary(bytes) {
      expectLength(bytes, size);
      return bytes.readIntBE(0, size);
    },
    encodeBinary(value) {
      const out = Buffer.allocUnsafe(size);
      out.writeIntBE(Math.max(-limit - 1, Math.min(limit, value)), 0, size);
      return out;
    },
    compare: compareNumbers,
    hashKey: (value) => value,
    encodeKey: (writer, value) => writer.int(value),
    decodeKey: readInt,
  });
}

const int8Ops = makeOps<bigint>(oids.int8, {
  narrow: asBigint,
  parse: parseInt8,
  format: String,
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
});

/** oid, xid, cid and the reg types: unsigned 32-bit numbers. */
function oidOps(
  oid: number,
  parse: (text: string) => number = parseOid,
  format: (value: number, settings: FormatSettings) => string = String,
): TypeOps {
  return makeOps<number>(oid, {
    narrow: asNumber,
    parse,
    format,
    decodeBinary(bytes) {
      expectLength(bytes, 4);
      return bytes.readUInt32BE(0);
    },
    encodeBinary(value) {
      const out = Buffer.allocUnsafe(4);
      out.writeUInt32BE(value >>> 0, 0);
      return out;
    },
    compare: compareNumbers,
    hashKey: (value) => value,
    encodeKey: (writer, value) => writer.int(value),
    decodeKey: readInt,
  });
}

/** Names need the catalog (casts ask EvalHost); numbers and `-` do not. */
function parseRegNumber(text: string): number {
  if (text.trim() === '-') return 0;
  if (/^\d+$/.test(text.trim())) return parseOid(text);
  throw sqlError('undefinedObject', `"${text}" does not exist`);
}

/** `-` for zero, else the name, else the number. */
function formatReg(oid: number): (value: number, settings: FormatSettings) => string {
  return (value, settings) =>
    value === 0 ? '-' : (settings.regName?.(oid, value) ?? String(value));
}

/** regtype knows its names without the catalog. */
export function parseRegtype(text: string): number {
  if (text.trim() === '-') return 0;
  if (/^\d+$/.test(text.trim())) return parseOid(text);
  const type = typeByName(text.replace(/\(\s*\d+\s*(?:,\s*-?\d+\s*)?\)/, ''));
  if (type === undefined) throw sqlError('undefinedObject', `type "${text}" does not exist`);
  return type.oid;
}

function formatRegtype(value: number): string {
  try {
    return formatType(value);
  } catch {
    return String(value);
  }
}

function compareFloats(a: number, b: number): number {
  if (a < b) return -1;
  if (a > b) return 1;
  if (a === b) return 0;
  return Number(Number.isNaN(a)) - Number(Number.isNaN(b));
}

function floatOps(oid: number, single: boolean): TypeOps {
  const size = single ? 4 : 8;
  return makeOps<number>(oid, {
    narrow: asNumber,
    parse: (text) => parseFloatText(text, single),
    format: (value, settings) => formatFloat(value, single, settings.extraFloatDigits),
    decodeBinary(bytes) {
      expectLength(bytes, size);
      return single ? bytes.readFloatBE(0) : bytes.readDoubleBE(0);
    },
    encodeBinary(value) {
      const out = Buffer.allocUnsafe(size);
      if (single) out.writeFloatBE(value, 0);
      else out.writeDoubleBE(value, 0);
      return out;
    },
    compare: compareFloats,
    hashKey: (value) => (value === 0 ? 0 : value),
    encodeKey: (writer, value) => writer.float(value),
    decodeKey: (reader, descending) => (descending ? reader.floatDescending() : reader.float()),
  });
}

const numericOps = makeOps<Numeric>(oids.numeric, {
  narrow: asNumeric,
  parse: parseNumeric,
  format: formatNumeric,
  decodeBinary: decodeNumericBinary,
  encodeBinary: encodeNumericBinary,
  compare: compareNumeric,
  hashKey: (value) => formatNumeric(stripZeros(value)),
  encodeKey: encodeNumericKey,
  decodeKey: decodeNumericKey,
  keyIsLossless: false,
  applyTypmod: applyNumericTypmod,
});

function encodeUtf8(value: string): Buffer {
  return Buffer.from(value, 'utf8');
}

/** Throws 22021 for bytes that are not UTF-8 or hold NUL. */
export function decodeUtf8(bytes: Buffer): string {
  const text = bytes.toString('utf8');
  if (text.includes('�') && !Buffer.from(text, 'utf8').equals(bytes)) {
    throw sqlError('characterNotInRepertoire', 'invalid byte sequence for encoding "UTF8"');
  }
  if (text.includes('\0')) {
    throw sqlError('characterNotInRepertoire', 'invalid byte sequence for encoding "UTF8": 0x00');
  }
  return text;
}

interface StringOptions {
  readonly parse?: (text: string) => string;
  readonly applyTypmod?: (value: string, typmod: number, explicit: boolean) => string;
}

function stringOps(oid: number, options: StringOptions = {}): TypeOps {
  return makeOps<string>(oid, {
    narrow: asText,
    parse: options.parse ?? ((text) => text),
    format: (value) => value,
    decodeBinary: decodeUtf8,
    encodeBinary: encodeUtf8,
    compare: compareText,
    hashKey: (value) => value,
    encodeKey: (writer, value) => writer.bytes(encodeUtf8(value)),
    decodeKey: (reader, descending) => readBytes(reader, descending).toString('utf8'),
    ...(options.applyTypmod === undefined ? {} : { applyTypmod: options.applyTypmod }),
  });
}

function tooLong(type: string, limit: number): Error {
  return sqlError('stringDataRightTruncation', `value too long for type ${type}(${limit})`);
}

function applyVarchar(value: string, typmod: number, explicit: boolean): string {
  const limit = charLength(typmod);
  if (limit === undefined || value.length <= limit || charCount(value) <= limit) return value;
  // Spaces at the end may go; anything else only in an explicit cast.
  if (!explicit && /[^ ]/.test(sliceChars(value, limit))) throw tooLong('character varying', limit);
  return sliceChars(value, 0, limit);
}

function applyBpchar(value: string, typmod: number, explicit: boolean): string {
  const limit = charLength(typmod);
  if (limit === undefined) return value;
  const count = charCount(value);
  if (count <= limit) return value + ' '.repeat(limit - count);
  if (!explicit && /[^ ]/.test(sliceChars(value, limit))) throw tooLong('character', limit);
  return sliceChars(value, 0, limit);
}

/** Trailing spaces do not count in comparisons of char(n). */
export function trimSpaces(value: string): string {
  let end = value.length;
  while (end > 0 && value.charCodeAt(end - 1) === 32) end--;
  return end === value.length ? value : value.slice(0, end);
}

const bpcharOps = makeOps<string>(oids.bpchar, {
  narrow: asText,
  parse: (text) => text,
  format: (value) => value,
  decodeBinary: decodeUtf8,
  encodeBinary: encodeUtf8,
  compare: (a, b) => compareText(trimSpaces(a), trimSpaces(b)),
  hashKey: trimSpaces,
  encodeKey: (writer, value) => writer.bytes(encodeUtf8(trimSpaces(value))),
  decodeKey: (reader, descending) => readBytes(reader, descending).toString('utf8'),
  keyIsLossless: false,
  applyTypmod: applyBpchar,
});

const byteaOps = makeOps<Buffer>(oids.bytea, {
  narrow: asBuffer,
  parse: parseBytea,
  format: (value, settings) =>
    settings.byteaOutput === 'hex' ? `\\x${value.toString('hex')}` : formatByteaEscape(value),
  decodeBinary: (bytes) => Buffer.from(bytes),
  encodeBinary: (value) => Buffer.from(value),
  compare: (a, b) => Buffer.compare(a, b),
  hashKey: (value) => value.toString('latin1'),
  encodeKey: (writer, value) => writer.bytes(value),
  decodeKey: readBytes,
});

const uuidOps = makeOps<string>(oids.uuid, {
  narrow: asText,
  parse: parseUuid,
  format: (value) => value,
  decodeBinary(bytes) {
    expectLength(bytes, 16);
    return uuidFromHex(bytes.toString('hex'));
  },
  encodeBinary: (value) => Buffer.from(value.replaceAll('-', ''), 'hex'),
  compare: (a, b) => (a < b ? -1 : a > b ? 1 : 0),
  hashKey: (value) => value,
  encodeKey: (writer, value) => writer.raw(Buffer.from(value.replaceAll('-', ''), 'hex')),
  decodeKey(reader, descending) {
    const bytes = reader.raw(16);
    if (descending) for (let i = 0; i < 16; i++) bytes[i] = 255 - (bytes[i] ?? 0);
    return uuidFromHex(bytes.toString('hex'));
  },
});

const jsonOps = stringOps(oids.json, {
  parse(text) {
    checkJson(text);
    return text;
  },
});

/** Follows compareJsonb: rank, then counts, then contents. */
function encodeJsonKey(writer: KeyWriter, node: JsonNode, top: boolean): void {
  if (isJsonArray(node)) {
    // The empty array on top sorts below every scalar.
    writer.byte(top && node.length === 0 ? 1 : jsonRank(node) + 2);
    writer.int(node.length);
    for (const item of node) encodeJsonKey(writer, item, false);
    return;
  }
  writer.byte(jsonRank(node) + 2);
  if (typeof node === 'string') writer.bytes(encodeUtf8(node));
  else if (typeof node === 'boolean') writer.byte(node ? 1 : 0);
  else if (node instanceof Numeric) encodeNumericKey(writer, node);
  else if (isJsonObject(node)) {
    writer.int(node.size);
    for (const [key, value] of node) {
      writer.bytes(encodeUtf8(key));
      encodeJsonKey(writer, value, false);
    }
  }
}

function decodeJsonKey(reader: KeyReader, descending: boolean): JsonNode {
  const rank = (reader.byte() ^ (descending ? 0xff : 0)) - 2;
  switch (rank) {
    case 0:
      return null;
    case 1:
      return readBytes(reader, descending).toString('utf8');
    case 2:
      return decodeNumericKey(reader, descending);
    case 3:
      return (reader.byte() ^ (descending ? 0xff : 0)) === 1;
    case -1:
    case 4: {
      const items: JsonNode[] = [];
      const count = readInt(reader, descending);
      for (let i = 0; i < count; i++) items.push(decodeJsonKey(reader, descending));
      return items;
    }
    case 5: {
      const entries: [string, JsonNode][] = [];
      const count = readInt(reader, descending);
      for (let i = 0; i < count; i++) {
        const key = readBytes(reader, descending).toString('utf8');
        entries.push([key, decodeJsonKey(reader, descending)]);
      }
      return makeObject(entries);
    }
    default:
      throw new RangeError('bad jsonb in key');
  }
}

const jsonbOps = makeOps<Jsonb>(oids.jsonb, {
  narrow: (value) => (value instanceof Jsonb ? value : new Jsonb(asJsonNode(value))),
  parse: parseJsonb,
  format: (value) => formatJsonNode(value.node),
  decodeBinary(bytes) {
    if (bytes[0] !== 1) {
      throw sqlError(
        'invalidBinaryRepresentation',
        `unsupported jsonb version number ${bytes[0] ?? 0}`,
      );
    }
    return parseJsonb(decodeUtf8(bytes.subarray(1)));
  },
  encodeBinary: (value) =>
    Buffer.concat([Buffer.from([1]), encodeUtf8(formatJsonNode(value.node))]),
  compare: (a, b) => compareJsonb(a.node, b.node),
  hashKey: (value) => jsonHashKey(value.node),
  encodeKey: (writer, value) => encodeJsonKey(writer, value.node, true),
  decodeKey: (reader, descending) => new Jsonb(decodeJsonKey(reader, descending)),
  keyIsLossless: false,
});

const regOids = [
  oids.regproc,
  oids.regprocedure,
  oids.regoper,
  oids.regoperator,
  oids.regclass,
  oids.regconfig,
  oids.regdictionary,
  oids.regnamespace,
  oids.regrole,
  oids.regcollation,
] as const;

export const scalarOps: readonly TypeOps[] = [
  boolOps,
  intOps(oids.int2, 'smallint'),
  intOps(oids.int4, 'integer'),
  int8Ops,
  oidOps(oids.oid),
  oidOps(oids.xid),
  oidOps(oids.cid),
  ...regOids.map((oid) => oidOps(oid, parseRegNumber, formatReg(oid))),
  oidOps(oids.regtype, parseRegtype, formatRegtype),
  floatOps(oids.float4, true),
  floatOps(oids.float8, false),
  numericOps,
  stringOps(oids.text),
  stringOps(oids.varchar, { applyTypmod: applyVarchar }),
  bpcharOps,
  stringOps(oids.name, { parse: (text) => truncateUtf8(text, 63) }),
  stringOps(oids.char, { parse: (text) => text.slice(0, 1) }),
  stringOps(oids.unknown),
  stringOps(oids.cstring),
  stringOps(oids.void),
  stringOps(oids.pgNodeTree),
  stringOps(oids.aclitem),
  stringOps(oids.tid),
  byteaOps,
  uuidOps,
  jsonOps,
  jsonbOps,
];
