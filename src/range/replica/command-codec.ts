/**
 * The bytes of a Command in the raft log. Compact and without names: it is written once per proposal
 * and read once per follower. The leader keeps the decoded form beside its proposal and never reads
 * its own bytes back.
 *
 *   flags, timestamp, [closed], [stats delta], write count, writes, [clears], [trigger], [committed transaction]
 *
 * A write's value is preceded by its length + 1; 0 stands for a deletion.
 */
import {
  decodeDescriptor,
  encodeDescriptor,
  type ChecksumTrigger,
  type CommitTrigger,
  type FrozenRange,
  type RangeDescriptor,
} from '../../kv/index.ts';
import { areSameStats, zeroStats, type EngineWrite, type MvccStats } from '../../storage/index.ts';
import { assert, unreachable } from '../../util/index.ts';
import { type Command } from '../ports.ts';
import { ByteReader, ByteWriter } from './byte-codec.ts';
import {
  readHandover,
  readTimestamp,
  readTxnId,
  writeHandover,
  writeTimestamp,
  writeTxnId,
} from './handover-codec.ts';

/** What a split command carries beyond its trigger: computed once, at the leaseholder. */
export interface SplitEffects {
  readonly rightStats: MvccStats;
}

export interface ReplicatedCommand extends Command {
  readonly split: SplitEffects | undefined;
  /** What the leaseholder had closed when it proposed this; 0 for nothing. See `closed/closed-timestamp.ts`. */
  readonly closed: number;
}

const formatVersion = 3;
/** As before, and a transaction behind everything: the one that commits by this command alone. */
const onePhaseVersion = 4;
const versionMask = 0x07;
const hasClosed = 0x08;
const hasStats = 0x10;
const hasClears = 0x20;
const hasTrigger = 0x40;
const hasSplit = 0x80;

const writer = new ByteWriter();

export function encodeCommand(
  command: Command,
  split: SplitEffects | undefined,
  closed: number,
): Buffer {
  const { statsDelta, writes, clears, trigger, timestamp, committed } = command;
  let flags = committed === undefined ? formatVersion : onePhaseVersion;
  if (!areSameStats(statsDelta, zeroStats)) flags |= hasStats;
  if (clears.length > 0) flags |= hasClears;
  if (trigger !== undefined) flags |= hasTrigger;
  if (split !== undefined) flags |= hasSplit;
  if (closed > 0) flags |= hasClosed;
  writer.reset().byte(flags).uint(timestamp.wall).uint(timestamp.logical);
  if (closed > 0) writer.int(timestamp.wall - closed);
  if ((flags & hasStats) !== 0) writeStats(writer, statsDelta);
  writer.uint(writes.length);
  for (const write of writes) {
    writer.bytes(write.key);
    if (write.value === undefined) writer.uint(0);
    else {
      writer.uint(write.value.length + 1);
      writer.raw(write.value);
    }
  }
  if (clears.length > 0) {
    writer.uint(clears.length);
    for (const span of clears) writer.bytes(span.start).bytes(span.end);
  }
  if (trigger !== undefined) writeTrigger(trigger);
  if (split !== undefined) writeStats(writer, split.rightStats);
  if (committed !== undefined) {
    writeTxnId(writer, committed.id);
    writeTimestamp(writer, committed.timestamp);
  }
  return writer.finish();
}

/** Keys and values share `encoded`'s memory. */
export function decodeCommand(encoded: Buffer): ReplicatedCommand {
  const reader = new ByteReader(encoded);
  const flags = reader.byte();
  const version = flags & versionMask;
  if (version !== formatVersion && version !== onePhaseVersion) {
    throw new RangeError(`a raft command has unknown format ${version}`);
  }
  const timestamp = { wall: reader.uint(), logical: reader.uint() };
  const closed = (flags & hasClosed) !== 0 ? timestamp.wall - reader.int() : 0;
  const statsDelta = (flags & hasStats) !== 0 ? readStats(reader) : zeroStats;
  const count = reader.uint();
  const writes: EngineWrite[] = [];
  for (let i = 0; i < count; i++) {
    const key = reader.bytes();
    const size = reader.uint();
    writes.push({ key, value: size === 0 ? undefined : reader.raw(size - 1) });
  }
  const clears: { start: Buffer; end: Buffer }[] = [];
  if ((flags & hasClears) !== 0) {
    const spans = reader.uint();
    for (let i = 0; i < spans; i++) clears.push({ start: reader.bytes(), end: reader.bytes() });
  }
  const trigger = (flags & hasTrigger) !== 0 ? readTrigger(reader) : undefined;
  const split = (flags & hasSplit) !== 0 ? { rightStats: readStats(reader) } : undefined;
  const command = { timestamp, closed, statsDelta, writes, clears, trigger, split };
  if (version !== onePhaseVersion) return command;
  return { ...command, committed: { id: readTxnId(reader), timestamp: readTimestamp(reader) } };
}

export function writeStats(out: ByteWriter, stats: MvccStats): void {
  out
    .int(stats.liveBytes)
    .int(stats.liveCount)
    .int(stats.sizeBytes)
    .int(stats.keyBytes)
    .int(stats.keyCount)
    .int(stats.versionCount)
    .int(stats.intentBytes)
    .int(stats.intentCount)
    .int(stats.systemBytes)
    .int(stats.systemCount);
}

export function encodeStats(stats: MvccStats): Buffer {
  writeStats(writer.reset(), stats);
  return writer.finish();
}

export function readStats(reader: ByteReader): MvccStats {
  return {
    liveBytes: reader.int(),
    liveCount: reader.int(),
    sizeBytes: reader.int(),
    keyBytes: reader.int(),
    keyCount: reader.int(),
    versionCount: reader.int(),
    intentBytes: reader.int(),
    intentCount: reader.int(),
    systemBytes: reader.int(),
    systemCount: reader.int(),
  };
}

const splitTag = 1;
const changeReplicasTag = 2;
const mergeTag = 3;
const checksumTag = 4;
const handOverTag = 5;

const modes = ['data', 'stats'] as const;

function writeTrigger(trigger: CommitTrigger): void {
  switch (trigger.kind) {
    case 'split':
      writer.byte(splitTag);
      writePair(trigger.left, trigger.right);
      return;
    case 'change-replicas':
      writer.byte(changeReplicasTag).bytes(encodeDescriptor(trigger.range));
      return;
    case 'merge':
      writer.byte(mergeTag);
      writePair(trigger.left, trigger.right);
      writeFrozen(trigger.frozen);
      return;
    case 'compute-checksum':
      writer.byte(checksumTag).byte(codeOf(trigger.mode)).uint(trigger.checkId);
      return;
    case 'hand-over':
      writer.byte(handOverTag);
      writeHandover(writer, trigger.handover);
      return;
    default:
      unreachable(trigger);
  }
}

function codeOf(mode: ChecksumTrigger['mode']): number {
  const code = modes.indexOf(mode);
  assert(code >= 0, 'the mode of a consistency check is one that replicas know');
  return code;
}

function writePair(left: RangeDescriptor, right: RangeDescriptor): void {
  writer.bytes(encodeDescriptor(left)).bytes(encodeDescriptor(right));
}

function writeFrozen({ appliedIndex, at, handover }: FrozenRange): void {
  writer.uint(appliedIndex).uint(at.wall).uint(at.logical);
  writeHandover(writer, handover);
}

function readFrozen(reader: ByteReader): FrozenRange {
  const appliedIndex = reader.uint();
  const at = { wall: reader.uint(), logical: reader.uint() };
  return { appliedIndex, at, handover: readHandover(reader) };
}

function readTrigger(reader: ByteReader): CommitTrigger {
  const tag = reader.byte();
  if (tag === checksumTag) return readChecksumTrigger(reader);
  if (tag === handOverTag) return { kind: 'hand-over', handover: readHandover(reader) };
  const first = decodeDescriptor(reader.bytes());
  if (tag === changeReplicasTag) return { kind: 'change-replicas', range: first };
  const right = decodeDescriptor(reader.bytes());
  if (tag === splitTag) return { kind: 'split', left: first, right };
  if (tag === mergeTag) return { kind: 'merge', left: first, right, frozen: readFrozen(reader) };
  throw new RangeError(`a raft command has unknown trigger ${tag}`);
}

function readChecksumTrigger(reader: ByteReader): CommitTrigger {
  const mode = modes[reader.byte()];
  if (mode === undefined) throw new RangeError('a raft command asks for an unknown checksum');
  return { kind: 'compute-checksum', checkId: reader.uint(), mode };
}
