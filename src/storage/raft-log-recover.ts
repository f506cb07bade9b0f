/**
 * Recovery of the raft log: reads all segments and rebuilds the live state of every range.
 *
 * One block is written at a time, so after a crash the last block of the last segment may be torn: it
 * was never acknowledged and is cut off. Everything else that is wrong means that the store has lost
 * something it promised, perhaps a vote, and it is refused (trap L3). To tell the two apart at the very end:
 * a torn write leaves a file that is too short or sectors of zeros; a block that is all there and
 * still wrong has rotted.
 *
 * So damage is told from a torn write but for two cases, both in what the last segment got since the log was opened
 * (the list of segments says where it ended then, or at a clean stop): it lost its end after that was acknowledged,
 * wherever it is cut, or the last block is damaged and has a sector of zeros, even if it was written so.
 * Then the log comes back as it stood some writes ago. Part of that is still refused: a hard state, or a state
 * engine, that has applied more than the log holds, or a leader that was told of more.
 */
import { crc32 } from 'node:zlib';
import { CorruptionError } from './engine.ts';
import { RangeLogState } from './raft-log-range.ts';
import {
  blockAlign,
  blockMagic,
  decodeBlock,
  headerBytes,
  isSegmentHeader,
  type LogRecord,
} from './raft-log-format.ts';

const sectorBytes = 512;

export class LogRecovery {
  readonly ranges = new Map<number, RangeLogState>();

  /** Returns the length of the intact part, and the number of its blocks. `last`: a torn tail is allowed. */
  segment(
    segment: number,
    bytes: Buffer,
    last: boolean,
  ): { readonly sizeBytes: number; readonly blocks: number } {
    if (!isSegmentHeader(bytes, segment)) {
      throw new CorruptionError(`raft log segment ${segment} has a bad header`);
    }
    let at = headerBytes;
    let blocks = 0;
    while (at < bytes.length) {
      const records = readBlock(bytes, at, segment, blocks);
      if (records === undefined) {
        if (!last || !isTornTail(bytes, at, segment, blocks)) {
          throw new CorruptionError(
            `raft log segment ${segment} is damaged at byte ${at} of ${bytes.length}`,
          );
        }
        return { sizeBytes: at, blocks };
      }
      for (const record of records.records) this.#replay(record, segment);
      at = records.end;
      blocks++;
    }
    return { sizeBytes: at, blocks };
  }

  /** Checks what can only be known at the end. */
  finish(): void {
    for (const range of this.ranges.values()) {
      if (range.baseSegment === undefined) {
        throw new CorruptionError(`the raft log of range ${range.rangeId} has no beginning`);
      }
      if (range.hardState.commit > range.lastIndex) {
        throw new CorruptionError(
          `the raft log of range ${range.rangeId} ends at ${range.lastIndex} before its commit index ${range.hardState.commit}`,
        );
      }
      range.copyEntries();
    }
  }

  /**
   * A range whose base record is not read yet floats: its oldest records went with deleted segments, so what
   * is left of them is superseded further on, or else `finish` refuses.
   */
  #replay(record: LogRecord, segment: number): void {
    if (record.kind === 'remove') {
      this.ranges.delete(record.rangeId);
      return;
    }
    let range = this.ranges.get(record.rangeId);
    if (range === undefined) {
      range = new RangeLogState(record.rangeId);
      this.ranges.set(record.rangeId, range);
    }
    switch (record.kind) {
      case 'hard-state':
        range.hardState = record.hardState;
        return;
      case 'reset':
        range.reset(record);
        range.hardState = record.hardState;
        range.baseSegment = segment;
        return;
      case 'truncate':
        replayTruncate(range, record, segment);
        range.hardState = record.hardState;
        return;
      case 'entry':
        replayEntry(range, record, segment);
    }
  }
}

function replayEntry(
  range: RangeLogState,
  record: LogRecord & { readonly kind: 'entry' },
  segment: number,
): void {
  const { entry, previous } = record;
  const floating = range.baseSegment === undefined;
  if (floating && (range.lastIndex === range.baseIndex || entry.index <= range.baseIndex)) {
    range.reset({ index: entry.index - 1, term: 0, previous });
  }
  if (entry.index <= range.baseIndex || entry.index > range.lastIndex + 1) {
    throw new CorruptionError(
      `the raft log of range ${range.rangeId} has a hole before index ${entry.index}`,
    );
  }
  if (range.checksum(entry.index - 1) !== previous) {
    throw new CorruptionError(
      `the raft log of range ${range.rangeId} breaks its chain at index ${entry.index}`,
    );
  }
  range.push(entry, record.checksum, segment);
}

function replayTruncate(
  range: RangeLogState,
  record: LogRecord & { readonly kind: 'truncate' | 'reset' },
  segment: number,
): void {
  const { index, last } = record;
  if (range.baseSegment === undefined) {
    const empty = range.lastIndex === range.baseIndex;
    if (index === last) {
      range.reset(record);
      range.baseSegment = segment;
      return;
    }
    // Live entries of that time are gone: a later record forgets them.
    if (empty || range.baseIndex > index) return;
    if (range.baseIndex === index) range.baseTerm = record.term;
  }
  if (index < range.baseIndex || index > range.lastIndex || last !== range.lastIndex) {
    throw new CorruptionError(
      `the raft log of range ${range.rangeId} has a hole between ${range.lastIndex} and ${last}`,
    );
  }
  if (range.term(index) !== record.term || range.checksum(index) !== record.previous) {
    throw new CorruptionError(
      `the raft log of range ${range.rangeId} breaks its chain at index ${index}`,
    );
  }
  range.truncate(index);
  range.baseSegment = segment;
}

/** The payload size of the block whose intact header stands at `at`; undefined otherwise. */
function readHeader(
  bytes: Buffer,
  at: number,
  segment: number,
): { readonly payloadBytes: number; readonly block: number } | undefined {
  if (at + headerBytes > bytes.length) return undefined;
  if (bytes.readUInt32LE(at) !== blockMagic) return undefined;
  const checksum = crc32(bytes.subarray(at, at + 12), segment);
  if (checksum !== bytes.readUInt32LE(at + 12)) return undefined;
  return { payloadBytes: bytes.readUInt32LE(at + 4), block: bytes.readUInt32LE(at + 8) };
}

function readBlock(
  bytes: Buffer,
  at: number,
  segment: number,
  expected: number,
): { readonly records: LogRecord[]; readonly end: number } | undefined {
  const header = readHeader(bytes, at, segment);
  if (header === undefined || header.block !== expected) return undefined;
  const payloadEnd = at + headerBytes + header.payloadBytes;
  const end = Math.ceil(payloadEnd / blockAlign) * blockAlign;
  if (end > bytes.length || !isZero(bytes, payloadEnd, end)) return undefined;
  const records = decodeBlock(bytes.subarray(at + headerBytes, payloadEnd));
  return records === undefined ? undefined : { records, end };
}

/** Whether the damaged block at `at` looks like a write that was cut short by a crash. */
function isTornTail(bytes: Buffer, at: number, segment: number, expected: number): boolean {
  for (let next = at + blockAlign; next + headerBytes <= bytes.length; next += blockAlign) {
    const later = readHeader(bytes, next, segment);
    // A later block was only written once this one was durable.
    if (later !== undefined && later.block > expected) return false;
  }
  const header = readHeader(bytes, at, segment);
  if (header === undefined) {
    return at + headerBytes > bytes.length || isZero(bytes, at, at + headerBytes);
  }
  if (header.block !== expected) return false;
  const end = at + headerBytes + header.payloadBytes;
  if (Math.ceil(end / blockAlign) * blockAlign > bytes.length) return true;
  for (let sector = nextSector(at); sector + sectorBytes <= end; sector += sectorBytes) {
    if (isZero(bytes, sector, sector + sectorBytes)) return true;
  }
  const tail = Math.floor(end / sectorBytes) * sectorBytes;
  return tail > at && tail < end && isZero(bytes, tail, end);
}

function nextSector(at: number): number {
  return Math.ceil(at / sectorBytes) * sectorBytes;
}

function isZero(bytes: Buffer, from: number, to: number): boolean {
  for (let i = from; i < to; i++) if (bytes[i] !== 0) return false;
  return true;
}
