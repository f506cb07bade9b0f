/** Bytes of a snapshot: its header, its chunks of engine entries, and the record of an installation. */
import { crc32 } from 'node:zlib';
import {
  decodeDescriptor,
  encodeDescriptor,
  asRangeId,
  asReplicaId,
  type RangeDescriptor,
  type RangeId,
  type ReplicaId,
} from '../../kv/index.ts';
import { type HardState, type SnapshotMeta } from '../../raft/index.ts';
import { type EngineWrite, type MvccStats } from '../../storage/index.ts';
import { ByteReader, ByteWriter } from '../replica/byte-codec.ts';
import { readStats, writeStats } from '../replica/command-codec.ts';
import { readConfiguration, writeConfiguration } from '../replica/message-codec.ts';
import { type StagedContent } from './snapshot-staging.ts';

export interface SnapshotHeader {
  readonly rangeId: RangeId;
  /** The replica it is for. */
  readonly to: ReplicaId;
  /** The leader that sends it, and its term. */
  readonly from: ReplicaId;
  readonly term: number;
  readonly meta: SnapshotMeta;
  readonly descriptor: RangeDescriptor;
  readonly stats: MvccStats;
  /** The closed timestamp (HLC wall microseconds) as of this state. */
  readonly closed: number;
}

/** What a receiver must remember to finish an installation after a crash. */
export interface InstallRecord {
  readonly header: SnapshotHeader;
  readonly hardState: HardState;
  /** Name of the file with the staged chunks. */
  readonly file: string;
  readonly content: StagedContent;
  /** Key span the replica held before, if any: cleared too. */
  readonly before: { readonly startKey: Buffer; readonly endKey: Buffer } | undefined;
  /** Ranges that this one has absorbed and whose replicas here go with the old state. */
  readonly subsumed: readonly SubsumedRange[];
}

/** What its replica holds here: it may reach further than the snapshot, when the range that absorbed it was split since. */
export interface SubsumedRange {
  readonly rangeId: RangeId;
  readonly startKey: Buffer;
  readonly endKey: Buffer;
}

const formatVersion = 5;
const checksumBytes = 4;
const writer = new ByteWriter();

export function encodeHeader(header: SnapshotHeader): Buffer {
  writer.reset();
  putHeader(header);
  return sealed(writer.finish());
}

/** Throws RangeError for what is damaged. */
export function decodeHeader(encoded: Buffer): SnapshotHeader {
  return takeHeader(new ByteReader(unsealed(encoded, 'the header of a snapshot')));
}

function sealed(body: Buffer): Buffer {
  const out = Buffer.allocUnsafe(checksumBytes + body.length);
  out.writeUInt32BE(crc32(body));
  body.copy(out, checksumBytes);
  return out;
}

function unsealed(encoded: Buffer, what: string): Buffer {
  const body = encoded.subarray(checksumBytes);
  if (encoded.length < checksumBytes || encoded.readUInt32BE(0) !== crc32(body)) {
    throw new RangeError(`${what} failed its checksum`);
  }
  return body;
}

function putHeader(header: SnapshotHeader): void {
  writer
    .byte(formatVersion)
    .uint(header.rangeId)
    .uint(header.to)
    .uint(header.from)
    .uint(header.term)
    .uint(header.meta.index)
    .uint(header.meta.term);
  writeConfiguration(writer, header.meta.configuration);
  writer.bytes(encodeDescriptor(header.descriptor));
  writeStats(writer, header.stats);
  writer.uint(header.closed);
}

function takeHeader(reader: ByteReader): SnapshotHeader {
  if (reader.byte() !== formatVersion) throw new RangeError('a snapshot has an unknown format');
  const rangeId = asRangeId(reader.uint());
  const to = asReplicaId(reader.uint());
  const from = asReplicaId(reader.uint());
  const term = reader.uint();
  const index = reader.uint();
  const metaTerm = reader.uint();
  const configuration = readConfiguration(reader);
  const descriptor = decodeDescriptor(reader.bytes());
  const stats = readStats(reader);
  const closed = reader.uint();
  return {
    rangeId,
    to,
    from,
    term,
    meta: { index, term: metaTerm, configuration },
    descriptor,
    stats,
    closed,
  };
}

export function encodeInstallRecord(record: InstallRecord): Buffer {
  writer.reset();
  putHeader(record.header);
  const { term, vote, commit } = record.hardState;
  writer.uint(term).uint(vote).uint(commit).bytes(Buffer.from(record.file, 'utf8'));
  writer.uint(record.content.chunks).uint(record.content.checksum);
  if (record.before === undefined) writer.byte(0);
  else writer.byte(1).bytes(record.before.startKey).bytes(record.before.endKey);
  writer.uint(record.subsumed.length);
  for (const { rangeId, startKey, endKey } of record.subsumed) {
    writer.uint(rangeId).bytes(startKey).bytes(endKey);
  }
  return sealed(writer.finish());
}

/** Throws RangeError for what is damaged. */
export function decodeInstallRecord(encoded: Buffer): InstallRecord {
  const reader = new ByteReader(unsealed(encoded, 'an installation record'));
  const header = takeHeader(reader);
  const hardState = { term: reader.uint(), vote: reader.uint(), commit: reader.uint() };
  const file = reader.bytes().toString('utf8');
  const content = { chunks: reader.uint(), checksum: reader.uint() };
  const before =
    reader.byte() === 0 ? undefined : { startKey: reader.bytes(), endKey: reader.bytes() };
  const subsumed = Array.from({ length: reader.uint() }, () => ({
    rangeId: asRangeId(reader.uint()),
    startKey: reader.bytes(),
    endKey: reader.bytes(),
  }));
  return { header, hardState, file, content, before, subsumed };
}

/** Collects engine entries into chunks of about `bytesMax`. */
export class ChunkBuilder {
  readonly #bytesMax: number;
  readonly #out = new ByteWriter();

  constructor(bytesMax: number) {
    this.#bytesMax = bytesMax;
  }

  /** Returns a finished chunk when this entry filled it. */
  add(key: Buffer, value: Buffer): Buffer | undefined {
    this.#out.bytes(key).bytes(value);
    if (this.#out.length < this.#bytesMax) return undefined;
    return this.take();
  }

  take(): Buffer | undefined {
    if (this.#out.length === 0) return undefined;
    const chunk = this.#out.finish();
    this.#out.reset();
    return chunk;
  }
}

/** Entries share the chunk's memory. */
export function decodeChunk(chunk: Buffer): EngineWrite[] {
  const reader = new ByteReader(chunk);
  const writes: EngineWrite[] = [];
  while (!reader.done) writes.push({ key: reader.bytes(), value: reader.bytes() });
  return writes;
}
