/**
 * Engine keys: where each kind of thing lives in the sorted bytes of one store. One tag byte, then:
 *
 *   h <key>                                 head record of an MVCC key
 *   r <rangeId: 8 bytes> <name>             range state (not part of the range's replicated data spans)
 *   s <name>                                store-local
 *   u <key>                                 unversioned value that is addressed like a key (transaction records)
 *   v <bytes(key)> <inverted timestamp>     older versions, newest first
 *
 * `key` is a key of the one ordered keyspace. An inverted timestamp is 8 bytes of wall microseconds and
 * 4 bytes of logical counter, big-endian, every bit inverted.
 */
import { KeyReader, KeyWriter, localSpanOf } from '../encoding/index.ts';
import { type RangeDescriptor, type RangeId, type Timestamp } from '../kv/index.ts';

const headTag = 0x68;
const rangeTag = 0x72;
const storeTag = 0x73;
const unversionedTag = 0x75;
const versionTag = 0x76;

const two32 = 0x1_0000_0000;
export const versionTimestampBytes = 12;

export interface EngineSpan {
  readonly start: Buffer;
  readonly end: Buffer;
}

export function storeKey(name: string): Buffer {
  return tagged(storeTag, Buffer.from(name, 'utf8'));
}

export function rangeStateKey(rangeId: RangeId, name: string): Buffer {
  const key = Buffer.allocUnsafe(rangePrefixBytes + name.length);
  writeRangePrefix(key, rangeId);
  key.write(name, rangePrefixBytes, 'latin1');
  return key;
}

/** All state of one range. */
export function rangeStateSpan(rangeId: RangeId): EngineSpan {
  return {
    start: rangeStatePrefix(rangeId),
    end: rangeStatePrefix((rangeId + 1) as RangeId),
  };
}

/** The state of all ranges of the store. */
export function allRangeStatesSpan(): EngineSpan {
  return { start: Buffer.from([rangeTag]), end: Buffer.from([rangeTag + 1]) };
}

/** Undefined for other engine keys. */
export function decodeRangeStateKey(
  engineKey: Buffer,
): { readonly rangeId: RangeId; readonly name: string } | undefined {
  if (engineKey[0] !== rangeTag || engineKey.length < 9) return undefined;
  const rangeId = engineKey.readUInt32BE(1) * two32 + engineKey.readUInt32BE(5);
  return { rangeId: rangeId as RangeId, name: engineKey.toString('utf8', 9) };
}

export function headKey(key: Buffer): Buffer {
  return tagged(headTag, key);
}

/** The MVCC key of a head record's engine key; shares its memory. */
export function keyOfHead(engineKey: Buffer): Buffer {
  return engineKey.subarray(1);
}

export function isVersionKey(engineKey: Buffer): boolean {
  return engineKey[0] === versionTag;
}

export function isHeadKey(engineKey: Buffer): boolean {
  return engineKey[0] === headTag;
}

/** Where an unversioned value addressed by `key` lives: transaction records. */
export function unversionedKey(key: Buffer): Buffer {
  return tagged(unversionedTag, key);
}

export function isUnversionedKey(engineKey: Buffer): boolean {
  return engineKey[0] === unversionedTag;
}

export function keyOfUnversioned(engineKey: Buffer): Buffer {
  return engineKey.subarray(1);
}

const writer = new KeyWriter();

export function versionKey(key: Buffer, timestamp: Timestamp): Buffer {
  writer.reset().byte(versionTag).bytes(key);
  const high = Math.floor(timestamp.wall / two32);
  writeInverted32(high);
  writeInverted32(timestamp.wall - high * two32);
  writeInverted32(timestamp.logical);
  return writer.finish();
}

/** All older versions of one key, newest first. */
export function versionsOf(key: Buffer): EngineSpan {
  const start = writer.reset().byte(versionTag).bytes(key).finish();
  const end = Buffer.from(start);
  // The encoding of a key ends in 0x01; nothing that belongs to another key sorts between.
  end[end.length - 1] = 0x02;
  return { start, end };
}

/** The versions of `key` at or below `timestamp`, newest first. */
export function versionsUpTo(key: Buffer, timestamp: Timestamp): EngineSpan {
  return { start: versionKey(key, timestamp), end: versionsOf(key).end };
}

export function decodeVersionKey(engineKey: Buffer): {
  readonly key: Buffer;
  readonly timestamp: Timestamp;
} {
  if (engineKey[0] !== versionTag) throw new RangeError('not the key of a version');
  const reader = new KeyReader(engineKey, 1);
  const key = reader.bytes();
  return { key, timestamp: versionTimestamp(engineKey) };
}

/** The timestamp at the end of a version's engine key. */
export function versionTimestamp(engineKey: Buffer): Timestamp {
  const at = engineKey.length - versionTimestampBytes;
  if (at < 3) throw new RangeError('the key of a version ends too early');
  const high = ~engineKey.readUInt32BE(at) >>> 0;
  const low = ~engineKey.readUInt32BE(at + 4) >>> 0;
  return { wall: high * two32 + low, logical: ~engineKey.readUInt32BE(at + 8) >>> 0 };
}

/** Head records of the keys in [start, end). */
export function headSpan(start: Buffer, end: Buffer): EngineSpan {
  return { start: tagged(headTag, start), end: tagged(headTag, end) };
}

/** Older versions of the keys in [start, end). */
export function versionSpan(start: Buffer, end: Buffer): EngineSpan {
  return {
    start: writer.reset().byte(versionTag).bytes(start).finish(),
    end: writer.reset().byte(versionTag).bytes(end).finish(),
  };
}

export function unversionedSpan(start: Buffer, end: Buffer): EngineSpan {
  return { start: tagged(unversionedTag, start), end: tagged(unversionedTag, end) };
}

/** Every engine span that holds something of the keys in [start, end): heads, unversioned values, versions. */
export function engineSpans(start: Buffer, end: Buffer): EngineSpan[] {
  return [headSpan(start, end), unversionedSpan(start, end), versionSpan(start, end)];
}

/** The key spans of a range: its keys, and the local keys (\x01...) whose anchors lie in it. */
export function keySpans(range: {
  readonly startKey: Buffer;
  readonly endKey: Buffer;
}): EngineSpan[] {
  return [localSpanOf(range.startKey, range.endKey), { start: range.startKey, end: range.endKey }];
}

/**
 * The engine spans that hold a range's replicated data, in engine order: local and ordinary keys, heads,
 * unversioned values and versions. Range state (`rangeStateSpan`) is not among them.
 */
export function rangeSpans(range: Pick<RangeDescriptor, 'startKey' | 'endKey'>): EngineSpan[] {
  const [local, own] = keySpans(range) as [EngineSpan, EngineSpan];
  return [
    headSpan(local.start, local.end),
    headSpan(own.start, own.end),
    unversionedSpan(local.start, local.end),
    unversionedSpan(own.start, own.end),
    versionSpan(local.start, local.end),
    versionSpan(own.start, own.end),
  ];
}

function tagged(tag: number, rest: Buffer): Buffer {
  const out = Buffer.allocUnsafe(rest.length + 1);
  out[0] = tag;
  rest.copy(out, 1);
  return out;
}

const rangePrefixBytes = 9;

function rangeStatePrefix(rangeId: RangeId): Buffer {
  const out = Buffer.allocUnsafe(rangePrefixBytes);
  writeRangePrefix(out, rangeId);
  return out;
}

function writeRangePrefix(out: Buffer, rangeId: RangeId): void {
  out[0] = rangeTag;
  out.writeUInt32BE(Math.floor(rangeId / two32), 1);
  out.writeUInt32BE(rangeId % two32, 5);
}

function writeInverted32(value: number): void {
  const inverted = ~value;
  writer
    .byte((inverted >>> 24) & 0xff)
    .byte((inverted >>> 16) & 0xff)
    .byte((inverted >>> 8) & 0xff)
    .byte(inverted & 0xff);
}
