/**
 * The bytes of a head record: the newest committed version of a key, and the intent on it.
 *
 *   flags        1 byte: what follows
 *   wall         7 bytes    \ when there is a committed version
 *   logical      4 bytes    / (left out when 0)
 *   -- without an intent: the committed value is the rest --
 *   -- with an intent: --
 *   value        varint length and bytes, when the version is not a deletion
 *   txn id       16 bytes
 *   anchor       varint length and bytes
 *   epoch, priority, sequence   varints
 *   isolation    1 byte
 *   minTimestamp, timestamp     11 bytes each
 *   value        varint (0 = deletion, n + 1 = n bytes follow)
 *   history      varint count, then (varint sequence, value as above) each, oldest first
 *
 * Almost every head is plain (no intent), so `HeadReader` decodes that form without allocating
 * anything but the slice of the value.
 */
import { asTxnId, type IsolationLevel, type Timestamp } from '../kv/index.ts';
import { CorruptionError } from './engine.ts';
import { type HeadRecord, type Intent } from './mvcc-types.ts';
import { StoredReader } from './stored-reader.ts';

const hasCommitted = 1;
const hasValue = 2;
const hasIntent = 4;
const hasLogical = 8;

const two32 = 0x1_0000_0000;
const timestampBytes = 11;

const isolationLevels: readonly IsolationLevel[] = ['serializable', 'snapshot', 'read-committed'];

/** Reused for one record after the other; its fields are valid until the next `read`. */
export class HeadReader {
  /** False: no committed version; `wall` and `logical` are 0. */
  committed = false;
  wall = 0;
  logical = 0;
  /** The committed value; undefined for a deletion or when nothing is committed. Shares the record's memory. */
  value: Buffer | undefined;
  #intent: Intent | undefined;
  #intentAt = 0;
  #record: Buffer | undefined;

  read(record: Buffer): void {
    const flags = record[0];
    if (flags === undefined || flags > 15) throw new CorruptionError('bad flags in a head record');
    let at = 1;
    this.#intent = undefined;
    if ((flags & hasCommitted) !== 0) {
      this.committed = true;
      this.wall = readWall(record, 1);
      at = 8;
      if ((flags & hasLogical) !== 0) {
        this.logical = readLogical(record, 8);
        at = 12;
      } else this.logical = 0;
      if (record.length < at) throw new CorruptionError('a head record ends too early');
    } else {
      this.committed = false;
      this.wall = 0;
      this.logical = 0;
    }
    if ((flags & hasIntent) === 0) {
      this.#intentAt = 0;
      this.#record = undefined;
      this.value = (flags & hasValue) === 0 ? undefined : record.subarray(at);
      return;
    }
    this.#record = record;
    if ((flags & hasValue) === 0) {
      this.value = undefined;
      this.#intentAt = at;
      return;
    }
    const bytes = new RecordReader(record, at);
    this.value = bytes.raw(bytes.varint());
    this.#intentAt = bytes.at;
  }

  /** Decoded at the first use. */
  get intent(): Intent | undefined {
    if (this.#record === undefined) return undefined;
    this.#intent ??= readIntent(this.#record, this.#intentAt);
    return this.#intent;
  }

  get timestamp(): Timestamp | undefined {
    return this.committed ? { wall: this.wall, logical: this.logical } : undefined;
  }
}

export function decodeHead(record: Buffer): HeadRecord {
  const reader = new HeadReader();
  reader.read(record);
  return { timestamp: reader.timestamp, value: reader.value, intent: reader.intent };
}

export function encodeHead(head: HeadRecord): Buffer {
  const { timestamp, value, intent } = head;
  if (intent === undefined) {
    if (timestamp === undefined) throw new RangeError('a head record holds a version or an intent');
    return encodeCommitted(timestamp, value);
  }
  const size = 1 + timestampBytes + 5 + (value?.length ?? 0) + intentBytesMax(intent);
  const writer = new RecordWriter(Buffer.allocUnsafe(size));
  let flags = hasIntent;
  if (timestamp !== undefined) flags |= hasCommitted;
  if (timestamp !== undefined && timestamp.logical !== 0) flags |= hasLogical;
  if (value !== undefined) flags |= hasValue;
  writer.byte(flags);
  if (timestamp !== undefined) {
    writer.wall(timestamp.wall);
    if (timestamp.logical !== 0) writer.logical(timestamp.logical);
  }
  if (value !== undefined) writer.sized(value);
  writeIntent(writer, intent);
  return writer.finish();
}

/** A plain head: a committed version and no intent. */
export function encodeCommitted(timestamp: Timestamp, value: Buffer | undefined): Buffer {
  const at = timestamp.logical === 0 ? 8 : 12;
  const out = Buffer.allocUnsafe(at + (value?.length ?? 0));
  out[0] =
    hasCommitted |
    (value === undefined ? 0 : hasValue) |
    (timestamp.logical === 0 ? 0 : hasLogical);
  writeWall(out, 1, timestamp.wall);
  if (timestamp.logical !== 0) out.writeUInt32BE(timestamp.logical, 8);
  if (value !== undefined) value.copy(out, at);
  return out;
}

/** The value of an older version: one byte, then the bytes; `undefined` is a deletion. */
export function encodeVersion(value: Buffer | undefined): Buffer {
  const out = Buffer.allocUnsafe(1 + (value?.length ?? 0));
  out[0] = value === undefined ? 0 : 1;
  if (value !== undefined) value.copy(out, 1);
  return out;
}

export function decodeVersion(stored: Buffer): Buffer | undefined {
  if (stored[0] === 1) return stored.subarray(1);
  if (stored[0] === 0 && stored.length === 1) return undefined;
  throw new CorruptionError('bad flags in an older version');
}

function intentBytesMax(intent: Intent): number {
  let size = 16 + 5 + intent.anchor.length + 3 * 8 + 1 + 2 * timestampBytes + 5 + 5;
  size += intent.value?.length ?? 0;
  for (const write of intent.history) size += 8 + 5 + (write.value?.length ?? 0);
  return size;
}

function writeIntent(writer: RecordWriter, intent: Intent): void {
  writer.hex(intent.txnId);
  writer.sized(intent.anchor);
  writer.varint(intent.epoch);
  writer.varint(intent.priority);
  writer.varint(intent.sequence);
  writer.byte(isolationLevels.indexOf(intent.isolation));
  writer.timestamp(intent.minTimestamp);
  writer.timestamp(intent.timestamp);
  writer.optional(intent.value);
  writer.varint(intent.history.length);
  for (const write of intent.history) {
    writer.varint(write.sequence);
    writer.optional(write.value);
  }
}

function readIntent(record: Buffer, at: number): Intent {
  const reader = new RecordReader(record, at);
  const txnId = asTxnId(reader.raw(16).toString('hex'));
  const anchor = reader.raw(reader.varint());
  const epoch = reader.varint();
  const priority = reader.varint();
  const sequence = reader.varint();
  const isolation = isolationLevels[reader.byte()];
  if (isolation === undefined) throw new CorruptionError('bad isolation level in an intent');
  const minTimestamp = reader.timestamp();
  const timestamp = reader.timestamp();
  const value = reader.optional();
  const history: { sequence: number; value: Buffer | undefined }[] = [];
  const count = reader.varint();
  for (let i = 0; i < count; i++) {
    const earlier = reader.varint();
    history.push({ sequence: earlier, value: reader.optional() });
  }
  if (reader.at !== record.length) throw new CorruptionError('bytes behind an intent');
  return {
    txnId,
    anchor,
    epoch,
    priority,
    isolation,
    minTimestamp,
    timestamp,
    sequence,
    value,
    history,
  };
}

function readWall(bytes: Buffer, at: number): number {
  const high =
    ((bytes[at] as number) << 16) | ((bytes[at + 1] as number) << 8) | (bytes[at + 2] as number);
  return high * two32 + readLogical(bytes, at + 3);
}

function readLogical(bytes: Buffer, at: number): number {
  return (
    (((bytes[at] as number) << 24) |
      ((bytes[at + 1] as number) << 16) |
      ((bytes[at + 2] as number) << 8) |
      (bytes[at + 3] as number)) >>>
    0
  );
}

function writeWall(bytes: Buffer, at: number, wall: number): void {
  const high = Math.floor(wall / two32);
  bytes[at] = high >>> 16;
  bytes[at + 1] = (high >>> 8) & 0xff;
  bytes[at + 2] = high & 0xff;
  bytes.writeUInt32BE(wall - high * two32, at + 3);
}

/** Writes into a buffer that is known to be large enough. Varints: 7 bits a byte, low first. */
class RecordWriter {
  readonly #bytes: Buffer;
  #at = 0;

  constructor(bytes: Buffer) {
    this.#bytes = bytes;
  }

  byte(value: number): void {
    this.#bytes[this.#at++] = value;
  }

  wall(value: number): void {
    writeWall(this.#bytes, this.#at, value);
    this.#at += 7;
  }

  logical(value: number): void {
    this.#at = this.#bytes.writeUInt32BE(value, this.#at);
  }

  timestamp(value: Timestamp): void {
    this.wall(value.wall);
    this.logical(value.logical);
  }

  varint(value: number): void {
    let rest = value;
    while (rest >= 0x80) {
      this.byte((rest % 0x80) | 0x80);
      rest = Math.floor(rest / 0x80);
    }
    this.byte(rest);
  }

  sized(value: Buffer): void {
    this.varint(value.length);
    this.#at += value.copy(this.#bytes, this.#at);
  }

  optional(value: Buffer | undefined): void {
    if (value === undefined) {
      this.byte(0);
      return;
    }
    this.varint(value.length + 1);
    this.#at += value.copy(this.#bytes, this.#at);
  }

  hex(value: string): void {
    if (value.length !== 32) throw new RangeError('a transaction id has 32 hex digits');
    this.#at += this.#bytes.write(value, this.#at, 'hex');
  }

  finish(): Buffer {
    return this.#bytes.subarray(0, this.#at);
  }
}

class RecordReader extends StoredReader {
  constructor(bytes: Buffer, at: number) {
    super(bytes, at, 'a head record');
  }

  timestamp(): Timestamp {
    const bytes = this.raw(timestampBytes);
    return { wall: readWall(bytes, 0), logical: readLogical(bytes, 7) };
  }

  optional(): Buffer | undefined {
    const length = this.varint();
    return length === 0 ? undefined : this.raw(length - 1);
  }
}
