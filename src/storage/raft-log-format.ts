/**
 * The bytes of the raft log.
 *
 *   segment  := header (16 bytes), blocks
 *   header   := magic u32, version u32, segment number u32, crc u32 of the first 12 bytes
 *   block    := magic u32, payload bytes u32, block number u32, crc u32 of the first 12 bytes seeded with
 *               the segment number; payload; zeros up to a multiple of 16
 *   record   := crc u32 of what follows, body bytes u32, body
 *   body     := kind u8, range id u64, then
 *     entry      term u64, index u64, previous u32, entry kind u8, data
 *     hard state term u64, vote u64, commit u64
 *     truncate   index u64, term u64, previous u32, last u64, hard state   forget up to index; the log ends at last
 *     reset      the same, last = index                                    forget everything
 *     remove     -
 *
 * Numbers are little-endian. A block is what one write made durable: only the last block of the log can
 * be torn. Blocks stand at multiples of 16 bytes, so a header never crosses a sector. `previous` is the
 * record checksum of the range's entry before this one, which makes the entries a chain: a lost or
 * exchanged entry shows even when every record is intact in itself.
 *
 * The checksum is CRC-32 (IEEE, zlib's): Node computes it natively, CRC-32C it does not.
 */
import { crc32 } from 'node:zlib';
import { type Entry, type HardState } from '../raft/index.ts';

export const segmentMagic = 0x474c4b53;
export const blockMagic = 0x424c4b53;
export const formatVersion = 1;
export const headerBytes = 16;
export const blockAlign = 16;
export const recordHeaderBytes = 8;
/** Record header and fixed fields of an entry. */
export const entryOverheadBytes = recordHeaderBytes + 9 + 8 + 8 + 4 + 1;

export const kindEntry = 1;
export const kindHardState = 2;
export const kindTruncate = 3;
export const kindReset = 4;
export const kindRemove = 5;

const baseBytes = 9 + 28 + 24;
const two32 = 0x1_0000_0000;

export function segmentName(number: number): string {
  return `${String(number).padStart(10, '0')}.log`;
}

/** Undefined for other files. */
export function segmentNumber(name: string): number | undefined {
  const match = /^(\d{10})\.log$/.exec(name);
  return match === null ? undefined : Number(match[1]);
}

export function encodeSegmentHeader(segment: number): Buffer {
  const out = Buffer.alloc(headerBytes);
  out.writeUInt32LE(segmentMagic, 0);
  out.writeUInt32LE(formatVersion, 4);
  out.writeUInt32LE(segment, 8);
  out.writeUInt32LE(crc32(out.subarray(0, 12)), 12);
  return out;
}

export function isSegmentHeader(bytes: Buffer, segment: number): boolean {
  return (
    bytes.length >= headerBytes &&
    bytes.subarray(0, headerBytes).equals(encodeSegmentHeader(segment))
  );
}

export interface Manifest {
  readonly first: number;
  readonly last: number;
  /** The last segment is durable up to here at least; 0 when nothing is known of it. */
  readonly endBytes: number;
}

export function encodeManifest({ first, last, endBytes }: Manifest): Buffer {
  const end = endBytes === 0 ? '' : `end ${endBytes}\n`;
  const text = `skein raft log ${formatVersion}\nsegments ${first} to ${last}\n${end}`;
  return Buffer.from(`${text}crc ${crc32(text)}\n`);
}

/** Undefined when the bytes are not a manifest of this version. */
export function decodeManifest(bytes: Buffer): Manifest | undefined {
  const text = bytes.toString('latin1');
  const match = /^skein raft log 1\nsegments (\d+) to (\d+)\n(?:end (\d+)\n)?/.exec(text);
  if (match === null) return undefined;
  const [first = 0, last = 0, endBytes = 0] = match.slice(1).map((digits) => Number(digits ?? 0));
  const manifest = { first, last, endBytes };
  return encodeManifest(manifest).equals(bytes) ? manifest : undefined;
}

export function writeU64(bytes: Buffer, value: number, at: number): number {
  const high = Math.floor(value / two32);
  bytes.writeUInt32LE(value - high * two32, at);
  return bytes.writeUInt32LE(high, at + 4);
}

export function readU64(bytes: Buffer, at: number): number {
  return bytes.readUInt32LE(at) + bytes.readUInt32LE(at + 4) * two32;
}

/** Collects the records of one block, behind room for its header. Used again for block after block. */
export class BlockWriter {
  #bytes: Buffer;
  #at = headerBytes;

  constructor(capacity: number) {
    this.#bytes = Buffer.allocUnsafeSlow(capacity);
  }

  get empty(): boolean {
    return this.#at === headerBytes;
  }

  /** Bytes that the block will take on disk. */
  get sizeBytes(): number {
    return Math.ceil(this.#at / blockAlign) * blockAlign;
  }

  get capacityBytes(): number {
    return this.#bytes.length;
  }

  reset(): void {
    this.#at = headerBytes;
  }

  /** Returns the record's checksum: `previous` of the next entry. */
  entry(rangeId: number, entry: Entry, previous: number): number {
    const bodyBytes = entryOverheadBytes - recordHeaderBytes + entry.data.length;
    const start = this.#begin(kindEntry, rangeId, bodyBytes);
    const bytes = this.#bytes;
    let at = start + recordHeaderBytes + 9;
    at = writeU64(bytes, entry.term, at);
    at = writeU64(bytes, entry.index, at);
    at = bytes.writeUInt32LE(previous, at);
    bytes[at++] = entry.kind === 'normal' ? 0 : 1;
    entry.data.copy(bytes, at);
    return this.#end(start, bodyBytes);
  }

  hardState(rangeId: number, hardState: HardState): void {
    const start = this.#begin(kindHardState, rangeId, 9 + 24);
    this.#putHardState(hardState, start + recordHeaderBytes + 9);
    this.#end(start, 9 + 24);
  }

  /** A 'truncate' or 'reset' record: the state of the range's log but for the entries behind `index`. */
  base(
    kind: typeof kindTruncate | typeof kindReset,
    rangeId: number,
    base: {
      readonly index: number;
      readonly term: number;
      readonly previous: number;
      readonly last: number;
    },
    hardState: HardState,
  ): void {
    const start = this.#begin(kind, rangeId, baseBytes);
    const bytes = this.#bytes;
    let at = start + recordHeaderBytes + 9;
    at = writeU64(bytes, base.index, at);
    at = writeU64(bytes, base.term, at);
    at = bytes.writeUInt32LE(base.previous, at);
    at = writeU64(bytes, base.last, at);
    this.#putHardState(hardState, at);
    this.#end(start, baseBytes);
  }

  remove(rangeId: number): void {
    const start = this.#begin(kindRemove, rangeId, 9);
    this.#end(start, 9);
  }

  /** The finished block; valid until `reset`. */
  finish(segment: number, blockNumber: number): Buffer {
    const size = this.sizeBytes;
    this.#reserve(size - this.#at);
    const bytes = this.#bytes;
    bytes.fill(0, this.#at, size);
    bytes.writeUInt32LE(blockMagic, 0);
    bytes.writeUInt32LE(this.#at - headerBytes, 4);
    bytes.writeUInt32LE(blockNumber, 8);
    bytes.writeUInt32LE(crc32(bytes.subarray(0, 12), segment), 12);
    return bytes.subarray(0, size);
  }

  #begin(kind: number, rangeId: number, bodyBytes: number): number {
    this.#reserve(recordHeaderBytes + bodyBytes);
    const start = this.#at;
    this.#bytes.writeUInt32LE(bodyBytes, start + 4);
    this.#bytes[start + recordHeaderBytes] = kind;
    writeU64(this.#bytes, rangeId, start + recordHeaderBytes + 1);
    return start;
  }

  #end(start: number, bodyBytes: number): number {
    const end = start + recordHeaderBytes + bodyBytes;
    const checksum = crc32(this.#bytes.subarray(start + 4, end));
    this.#bytes.writeUInt32LE(checksum, start);
    this.#at = end;
    return checksum;
  }

  #putHardState(hardState: HardState, at: number): void {
    let next = writeU64(this.#bytes, hardState.term, at);
    next = writeU64(this.#bytes, hardState.vote, next);
    writeU64(this.#bytes, hardState.commit, next);
  }

  #reserve(size: number): void {
    if (this.#at + size <= this.#bytes.length) return;
    const grown = Buffer.allocUnsafeSlow(Math.max(this.#bytes.length * 2, this.#at + size + 64));
    this.#bytes.copy(grown, 0, 0, this.#at);
    this.#bytes = grown;
  }
}

export type LogRecord =
  | {
      readonly kind: 'entry';
      readonly rangeId: number;
      readonly entry: Entry;
      readonly previous: number;
      readonly checksum: number;
    }
  | { readonly kind: 'hard-state'; readonly rangeId: number; readonly hardState: HardState }
  | {
      readonly kind: 'truncate' | 'reset';
      readonly rangeId: number;
      readonly index: number;
      readonly term: number;
      readonly previous: number;
      readonly last: number;
      readonly hardState: HardState;
    }
  | { readonly kind: 'remove'; readonly rangeId: number };

/** The records of a block's payload, or undefined when they are not all intact. Data shares memory. */
export function decodeBlock(payload: Buffer): LogRecord[] | undefined {
  const records: LogRecord[] = [];
  for (let at = 0; at < payload.length;) {
    if (at + recordHeaderBytes > payload.length) return undefined;
    const checksum = payload.readUInt32LE(at);
    const bodyBytes = payload.readUInt32LE(at + 4);
    const end = at + recordHeaderBytes + bodyBytes;
    if (end > payload.length) return undefined;
    if (crc32(payload.subarray(at + 4, end)) !== checksum) return undefined;
    const record = decodeRecord(payload.subarray(at + recordHeaderBytes, end), checksum);
    if (record === undefined) return undefined;
    records.push(record);
    at = end;
  }
  return records;
}

function decodeRecord(body: Buffer, checksum: number): LogRecord | undefined {
  if (body.length < 9) return undefined;
  const rangeId = readU64(body, 1);
  switch (body[0]) {
    case kindEntry: {
      const fixed = entryOverheadBytes - recordHeaderBytes;
      if (body.length < fixed) return undefined;
      const entry: Entry = {
        term: readU64(body, 9),
        index: readU64(body, 17),
        kind: body[29] === 0 ? 'normal' : 'config',
        data: body.subarray(fixed),
      };
      return { kind: 'entry', rangeId, entry, previous: body.readUInt32LE(25), checksum };
    }
    case kindHardState:
      if (body.length !== 33) return undefined;
      return { kind: 'hard-state', rangeId, hardState: readHardState(body, 9) };
    case kindTruncate:
    case kindReset:
      if (body.length !== baseBytes) return undefined;
      return {
        kind: body[0] === kindTruncate ? 'truncate' : 'reset',
        rangeId,
        index: readU64(body, 9),
        term: readU64(body, 17),
        previous: body.readUInt32LE(25),
        last: readU64(body, 29),
        hardState: readHardState(body, 37),
      };
    case kindRemove:
      return body.length === 9 ? { kind: 'remove', rangeId } : undefined;
    default:
      return undefined;
  }
}

function readHardState(body: Buffer, at: number): HardState {
  return {
    term: readU64(body, at),
    vote: readU64(body, at + 8),
    commit: readU64(body, at + 16),
  };
}
