/**
 * What a replica keeps in the state engine beside its data, under `r <rangeId> <name>`:
 *
 *   descriptor  the RangeDescriptor as of the applied index
 *   applied     index and term of the last applied entry and the range's stats: written in the same
 *               atomic batch as the entry's effects (trap R11)
 *   floor       everything up to this index was durable when the record was written; raft's
 *               configuration as of that index. A restarted replica replays its log from here.
 *   tombstone   replica ids below this one were removed from this store for good (trap R6)
 *
 * Why two indices: the engine is not synced, so after a crash any subset of the batches since the last
 * barrier may be missing: `applied` may have survived a batch that is older than itself. Only `floor`,
 * which is written behind a barrier, promises that nothing before it is missing. Commands are blind
 * writes, so replaying those that did survive is harmless; stats are not, so deltas at or below the
 * surviving `applied` are skipped.
 *
 * All floors of a store are written in one batch. That keeps the replay of different ranges in step: a
 * key that moved from one range to another (split, removal and snapshot; for merges see `merge.ts`) is never
 * overwritten by the replay of its former range.
 */
import { rangeDescriptorKey } from '../../encoding/index.ts';
import {
  asReplicaId,
  type RangeDescriptor,
  type ReplicaId,
  type Timestamp,
  zeroTimestamp,
} from '../../kv/index.ts';
import { type Configuration } from '../../raft/index.ts';
import { unversionedKey, type EngineReader, type MvccStats } from '../../storage/index.ts';
import { ByteReader, ByteWriter } from './byte-codec.ts';
import { readStats, writeStats } from './command-codec.ts';
import { readConfiguration, writeConfiguration } from './message-codec.ts';

export interface AppliedState {
  readonly index: number;
  readonly term: number;
  readonly stats: MvccStats;
}

export interface ReplayFloor {
  readonly index: number;
  readonly term: number;
  readonly configuration: Configuration;
}

/** A new range's log starts behind this point, so a replica without its data can never catch up by the log alone. */
export const initialLogIndex = 10;
export const initialLogTerm = 5;

/**
 * Where a range keeps its GC threshold: no read below it is served, because versions that it would need
 * may be gone (trap T13). Part of the replicated data, so snapshots carry it; splits copy it.
 */
export function gcThresholdKey(range: Pick<RangeDescriptor, 'startKey'>): Buffer {
  return unversionedKey(Buffer.concat([rangeDescriptorKey(range.startKey), gcThresholdSuffix]));
}

const gcThresholdSuffix = Buffer.from([0x01]);

export function encodeThreshold(threshold: Timestamp): Buffer {
  return writer.reset().uint(threshold.wall).uint(threshold.logical).finish();
}

function decodeThreshold(encoded: Buffer): Timestamp {
  const reader = new ByteReader(encoded);
  return { wall: reader.uint(), logical: reader.uint() };
}

/** The threshold in force; zero when nothing has been collected yet. */
export function readThreshold(
  engine: EngineReader,
  range: Pick<RangeDescriptor, 'startKey'>,
): Timestamp {
  const stored = engine.get(gcThresholdKey(range));
  return stored === undefined ? zeroTimestamp : decodeThreshold(stored);
}

const writer = new ByteWriter();

export function encodeApplied(index: number, term: number, stats: MvccStats): Buffer {
  writer.reset().uint(index).uint(term);
  writeStats(writer, stats);
  return writer.finish();
}

export function decodeApplied(encoded: Buffer): AppliedState {
  const reader = new ByteReader(encoded);
  return { index: reader.uint(), term: reader.uint(), stats: readStats(reader) };
}

export function encodeFloor(floor: ReplayFloor): Buffer {
  writer.reset().uint(floor.index).uint(floor.term);
  writeConfiguration(writer, floor.configuration);
  return writer.finish();
}

export function decodeFloor(encoded: Buffer): ReplayFloor {
  const reader = new ByteReader(encoded);
  return {
    index: reader.uint(),
    term: reader.uint(),
    configuration: readConfiguration(reader),
  };
}

export function encodeTombstone(nextReplicaId: ReplicaId): Buffer {
  return writer.reset().uint(nextReplicaId).finish();
}

export function decodeTombstone(encoded: Buffer): ReplicaId {
  return asReplicaId(new ByteReader(encoded).uint());
}
