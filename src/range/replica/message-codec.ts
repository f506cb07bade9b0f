/**
 * The bytes of all raft messages that one turn sends to one node: a frame. Besides the raft fields a
 * message carries the address (range, the two replicas' ids and the sender's store) and, on responses
 * of followers, the support epoch under which the follower acknowledged its leader (`store/liveness.ts`).
 * The frame carries the sender's HLC reading: votes and transfers depend on it (rule T1).
 *
 * Ranges speak in bursts, so small integers dominate: everything is a varint.
 */
import {
  asRangeId,
  asStoreId,
  type RangeId,
  type StoreId,
  type Timestamp,
} from '../../kv/index.ts';
import { type Configuration, type Entry, type Message } from '../../raft/index.ts';
import { unreachable } from '../../util/index.ts';
import { ByteReader, ByteWriter } from './byte-codec.ts';

export interface RaftEnvelope {
  readonly rangeId: RangeId;
  readonly message: Message;
  /** Only responses of a follower to its leader: 0 when it made no promise. */
  readonly supportEpoch: number;
}

export interface RaftFrame {
  readonly fromStore: StoreId;
  readonly toStore: StoreId;
  readonly now: Timestamp;
  readonly envelopes: readonly RaftEnvelope[];
}

const formatVersion = 3;
const kinds = [
  'vote-request',
  'vote-response',
  'append',
  'append-response',
  'heartbeat',
  'heartbeat-response',
  'snapshot',
  'timeout-now',
] as const satisfies readonly Message['kind'][];
const kindCode = new Map<Message['kind'], number>(kinds.map((kind, index) => [kind, index]));

const writer = new ByteWriter();

export function encodeFrame(frame: RaftFrame): Buffer {
  writer
    .reset()
    .byte(formatVersion)
    .uint(frame.fromStore)
    .uint(frame.toStore)
    .uint(frame.now.wall)
    .uint(frame.now.logical)
    .uint(frame.envelopes.length);
  for (const envelope of frame.envelopes) {
    writer.uint(envelope.rangeId);
    writeMessage(envelope.message, envelope.supportEpoch);
  }
  return writer.finish();
}

/**
 * Entries share `encoded`'s memory. Throws a RangeError on anything else than a whole frame: ids are
 * positive, flags are known, nothing follows the last message.
 */
export function decodeFrame(encoded: Buffer): RaftFrame {
  const reader = new ByteReader(encoded);
  if (reader.byte() !== formatVersion) throw new RangeError('a raft frame has an unknown format');
  const fromStore = asStoreId(readId(reader));
  const toStore = asStoreId(readId(reader));
  const now = { wall: reader.uint(), logical: reader.uint() };
  if (now.logical > 0xffff_ffff) throw new RangeError('a raft frame has an impossible time');
  const count = reader.uint();
  const envelopes: RaftEnvelope[] = [];
  for (let i = 0; i < count; i++) envelopes.push(readEnvelope(reader));
  if (!reader.done) throw new RangeError('bytes follow the last raft message');
  return { fromStore, toStore, now, envelopes };
}

function readId(reader: ByteReader): number {
  const id = reader.uint();
  if (id === 0) throw new RangeError('an id in a raft frame is zero');
  return id;
}

/** A byte of which only the bits of `known` may be set. */
function readFlags(reader: ByteReader, known: number): number {
  const flags = reader.byte();
  if ((flags & ~known) !== 0) throw new RangeError('a raft message has unknown flags');
  return flags;
}

function writeMessage(message: Message, supportEpoch: number): void {
  writer
    .byte(kindCode.get(message.kind) ?? 0)
    .uint(message.from)
    .uint(message.to)
    .uint(message.term);
  switch (message.kind) {
    case 'vote-request':
      writer
        .byte((message.pre ? 1 : 0) | (message.transfer ? 2 : 0))
        .uint(message.lastIndex)
        .uint(message.lastTerm);
      return;
    case 'vote-response':
      writer.byte((message.pre ? 1 : 0) | (message.granted ? 2 : 0) | (message.committed ? 4 : 0));
      if (message.committed) writer.uint(message.committed.index).uint(message.committed.term);
      return;
    case 'append':
      writer.uint(message.previousIndex).uint(message.previousTerm).uint(message.commit);
      writeEntries(message.entries);
      return;
    case 'append-response':
      writer
        .uint(supportEpoch)
        .uint(message.index)
        .byte(message.rejected ? 1 : 0)
        .uint(message.hintIndex)
        .uint(message.hintTerm);
      return;
    case 'heartbeat':
      writer.uint(message.commit).uint(message.round);
      return;
    case 'heartbeat-response':
      writer.uint(supportEpoch).uint(message.round);
      return;
    case 'snapshot':
      writer.uint(message.snapshot.index).uint(message.snapshot.term);
      writeConfiguration(writer, message.snapshot.configuration);
      return;
    case 'timeout-now':
      return;
    default:
      unreachable(message);
  }
}

function readEnvelope(reader: ByteReader): RaftEnvelope {
  const rangeId = asRangeId(readId(reader));
  const kind = kinds[reader.byte()];
  const base = { from: readId(reader), to: readId(reader), term: reader.uint() };
  const plain = (message: Message): RaftEnvelope => ({ rangeId, message, supportEpoch: 0 });
  switch (kind) {
    case 'vote-request': {
      const flags = readFlags(reader, 3);
      const lastIndex = reader.uint();
      const lastTerm = reader.uint();
      const pre = (flags & 1) !== 0;
      return plain({ kind, ...base, pre, lastIndex, lastTerm, transfer: (flags & 2) !== 0 });
    }
    case 'vote-response': {
      const flags = readFlags(reader, 7);
      const vote = { kind, ...base, pre: (flags & 1) !== 0, granted: (flags & 2) !== 0 };
      if ((flags & 4) === 0) return plain(vote);
      return plain({ ...vote, committed: { index: reader.uint(), term: reader.uint() } });
    }
    case 'append': {
      const previousIndex = reader.uint();
      const previousTerm = reader.uint();
      const commit = reader.uint();
      const entries = readEntries(reader, previousIndex + 1);
      return plain({ kind, ...base, previousIndex, previousTerm, entries, commit });
    }
    case 'append-response': {
      const supportEpoch = reader.uint();
      const index = reader.uint();
      const rejected = readFlags(reader, 1) === 1;
      const hintIndex = reader.uint();
      const hintTerm = reader.uint();
      const message: Message = { kind, ...base, index, rejected, hintIndex, hintTerm };
      return { rangeId, message, supportEpoch };
    }
    case 'heartbeat':
      return plain({ kind, ...base, commit: reader.uint(), round: reader.uint() });
    case 'heartbeat-response': {
      const supportEpoch = reader.uint();
      return { rangeId, message: { kind, ...base, round: reader.uint() }, supportEpoch };
    }
    case 'snapshot': {
      const index = reader.uint();
      const term = reader.uint();
      const configuration = readConfiguration(reader);
      return plain({ kind, ...base, snapshot: { index, term, configuration } });
    }
    case 'timeout-now':
      return plain({ kind, ...base });
    case undefined:
      throw new RangeError('a raft message has an unknown kind');
    default:
      return unreachable(kind);
  }
}

/** Indices are consecutive and not written. */
function writeEntries(entries: readonly Entry[]): void {
  writer.uint(entries.length);
  for (const entry of entries) {
    writer
      .uint(entry.term)
      .byte(entry.kind === 'config' ? 1 : 0)
      .bytes(entry.data);
  }
}

function readEntries(reader: ByteReader, firstIndex: number): Entry[] {
  const count = reader.uint();
  const entries: Entry[] = [];
  for (let i = 0; i < count; i++) {
    const term = reader.uint();
    const kind = readFlags(reader, 1) === 1 ? 'config' : 'normal';
    entries.push({ term, index: firstIndex + i, kind, data: reader.bytes() });
  }
  return entries;
}

export function writeConfiguration(out: ByteWriter, configuration: Configuration): void {
  for (const ids of [configuration.voters, configuration.votersOutgoing, configuration.learners]) {
    out.uint(ids.length);
    for (const id of ids) out.uint(id);
  }
}

export function readConfiguration(reader: ByteReader): Configuration {
  const list = (): number[] => {
    const count = reader.uint();
    const ids: number[] = [];
    for (let i = 0; i < count; i++) ids.push(reader.uint());
    return ids;
  };
  return { voters: list(), votersOutgoing: list(), learners: list() };
}
