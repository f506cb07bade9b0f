/**
 * Ranges as statements look at them: descriptors from one scan of the meta records, sizes and leaseholders from what
 * all nodes report of the ranges they lead (one call per node). What nobody reports and nobody answers for is not known.
 */
import {
  compareTimestamps,
  gossipKeys,
  maxTimestamp,
  type NodeId,
  type NodeInfo,
  type RangeDescriptor,
  type RangeId,
  type RangeInfo,
  type ReplicaKind,
  type Timestamp,
  zeroTimestamp,
} from '../../kv/index.ts';
import { sleep } from '../../util/index.ts';
import { type StatementContext } from '../session/types.ts';
import { type KeySpan } from './range-keys.ts';
import { timestampOfWall, unixEpochMicros } from '../types/index.ts';

export interface RangePicture {
  readonly range: RangeDescriptor;
  /** Undefined: no leaseholder answered, or it was not asked for. */
  readonly info: RangeInfo | undefined;
}

/** More ranges without a leaseholder are no passing thing. */
const askedMax = 16;
const askedMs = 2_000;

/** Ranges that overlap `span`, in key order; with sizes and leaseholders if that is asked for. */
export async function rangePictures(
  context: StatementContext,
  { start, end }: KeySpan,
  isDetailed: boolean,
): Promise<RangePicture[]> {
  const { db, reports } = context;
  if (!isDetailed) {
    const ranges = await db.rangeDescriptors(start, end);
    return ranges.map((range) => ({ range, info: undefined }));
  }
  if (reports === undefined) {
    const infos = await db.ranges(start, end);
    return infos.map((info) => ({ range: info.range, info }));
  }
  // One after the other: a range that is split in between is still reported, with its former end.
  const ranges = await db.rangeDescriptors(start, end);
  const { rows } = await reports.collect('ranges');
  const infos = new Map<RangeId, RangeInfo>();
  for (const { row } of rows) {
    // Of two nodes that believe to lead it the one with the newer descriptor does.
    const other = infos.get(row.range.rangeId);
    if (other !== undefined && other.range.generation > row.range.generation) continue;
    infos.set(row.range.rangeId, row);
  }
  const unreported = ranges.filter(({ rangeId }) => !infos.has(rangeId));
  await Promise.all(
    unreported.slice(0, askedMax).map(async (range) => {
      const info = await askRange(context, range);
      if (info !== undefined) infos.set(range.rangeId, info);
    }),
  );
  return ranges.map((range) => ({ range, info: infos.get(range.rangeId) }));
}

/** A range between two leaseholders is asked itself, for as long as an election takes. */
async function askRange(
  { env, db }: StatementContext,
  range: RangeDescriptor,
): Promise<RangeInfo | undefined> {
  const answer = db.ranges(range.startKey, range.endKey).then(
    (infos) => infos.find((info) => info.range.rangeId === range.rangeId),
    () => undefined,
  );
  return Promise.race([answer, sleep(env, askedMs).then(() => undefined)]);
}

const kindsOf = {
  voting: ['voter', 'voter-incoming', 'voter-outgoing', 'voter-demoting'],
  'non-voting': ['non-voter'],
  learner: ['learner'],
} as const satisfies Record<string, readonly ReplicaKind[]>;

/** The nodes of a range's replicas of a kind, in the order of the descriptor; of all of them, sorted. */
export function replicaNodes(
  { replicas }: RangeDescriptor,
  which: keyof typeof kindsOf | 'all',
): NodeId[] {
  if (which === 'all') return replicas.map(({ nodeId }) => nodeId).sort((a, b) => a - b);
  const kinds: readonly ReplicaKind[] = kindsOf[which];
  return replicas.filter(({ kind }) => kinds.includes(kind)).map(({ nodeId }) => nodeId);
}

/** `region=eu,zone=a` by node; '' for a node that is not known. */
export function localities(context: StatementContext): (nodeId: NodeId) => string {
  const texts = new Map<NodeId, string>();
  for (const [, value] of context.gossip?.list(gossipKeys.nodePrefix) ?? []) {
    const info = value as NodeInfo | undefined;
    if (info === undefined) continue;
    texts.set(info.nodeId, info.locality.map((tier) => tier.join('=')).join(','));
  }
  return (nodeId) => texts.get(nodeId) ?? '';
}

/** 2262-04-11 23:47:16.854776, where 64 bits of nanoseconds end: never. */
const never = 9_223_372_036_854_776n - unixEpochMicros;

/** Null when nobody asked for the split. */
export function enforcedUntil(until: Timestamp): bigint | null {
  if (compareTimestamps(until, zeroTimestamp) === 0) return null;
  if (compareTimestamps(until, maxTimestamp) === 0) return never;
  return timestampOfWall(until.wall);
}
