/**
 * Ranges as statements look at them: descriptors from one scan of the meta records, sizes and leaseholders from what
 * all nodes report of the ranges they lead (one call per node). What nobody reports is not known.
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
  type Timestamp,
  zeroTimestamp,
} from '../../kv/index.ts';
import { type StatementContext } from '../session/types.ts';
import { type KeySpan } from './range-keys.ts';

export interface RangePicture {
  readonly range: RangeDescriptor;
  /** Undefined: no leaseholder answered, or it was not asked for. */
  readonly info: RangeInfo | undefined;
}

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
  const [ranges, { rows }] = await Promise.all([
    db.rangeDescriptors(start, end),
    reports.collect('ranges'),
  ]);
  const infos = new Map<RangeId, RangeInfo>();
  for (const { row } of rows) {
    // Of two nodes that believe to lead it the one with the newer descriptor does.
    const other = infos.get(row.range.rangeId);
    if (other !== undefined && other.range.generation > row.range.generation) continue;
    infos.set(row.range.rangeId, row);
  }
  return ranges.map((range) => ({ range, info: infos.get(range.rangeId) }));
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

/** From 1970 to 2000, where SQL timestamps begin. */
export const epochMicros = 946_684_800_000_000n;
/** 2262-04-11 23:47:16.854776, where 64 bits of nanoseconds end: never. */
const never = 9_223_372_036_854_776n - epochMicros;

/** Null when nobody asked for the split. */
export function enforcedUntil(until: Timestamp): bigint | null {
  if (compareTimestamps(until, zeroTimestamp) === 0) return null;
  if (compareTimestamps(until, maxTimestamp) === 0) return never;
  return BigInt(until.wall) - epochMicros;
}
