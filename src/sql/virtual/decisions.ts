/** Why the cluster did what it did, or did nothing: what every store remembers of its decisions. */
import { timestampOfWall } from '../types/index.ts';
import { reported, type Record_, type Source } from './build.ts';

export const splitDecisionsShape =
  'decided_at:timestamptz node_id:int8 store_id:int8 range_id:int8 cause:text is_split:bool split_key:bytea reason:text range_size:int8 queries_per_second:float8';

export async function splitDecisionRows(s: Source): Promise<Record_[]> {
  const rows = await reported(s, 'split-decisions');
  return rows.map(({ nodeId, row }) => ({
    decided_at: timestampOfWall(row.at),
    node_id: BigInt(nodeId),
    store_id: BigInt(row.storeId),
    range_id: BigInt(row.rangeId),
    cause: row.cause,
    is_split: row.key !== undefined,
    split_key: row.key ?? null,
    reason: row.reason,
    range_size: BigInt(row.sizeBytes),
    queries_per_second: row.queriesPerSecond,
  }));
}

export const mergeDecisionsShape =
  'decided_at:timestamptz node_id:int8 store_id:int8 range_id:int8 right_range_id:int8 is_merged:bool reason:text range_size:int8 queries_per_second:float8';

export async function mergeDecisionRows(s: Source): Promise<Record_[]> {
  const rows = await reported(s, 'merge-decisions');
  return rows.map(({ nodeId, row }) => ({
    decided_at: timestampOfWall(row.at),
    node_id: BigInt(nodeId),
    store_id: BigInt(row.storeId),
    range_id: BigInt(row.rangeId),
    right_range_id: row.rightRangeId === undefined ? null : BigInt(row.rightRangeId),
    is_merged: row.isMerged,
    reason: row.reason,
    range_size: BigInt(row.sizeBytes),
    queries_per_second: row.queriesPerSecond,
  }));
}

export const allocatorDecisionsShape =
  'decided_at:timestamptz node_id:int8 store_id:int8 range_id:int8 action:text reason:text considered:text outcome:text';

export async function allocatorDecisionRows(s: Source): Promise<Record_[]> {
  const rows = await reported(s, 'allocator-decisions');
  return rows.map(({ nodeId, row }) => ({
    decided_at: timestampOfWall(row.at),
    node_id: BigInt(nodeId),
    store_id: BigInt(row.storeId),
    range_id: BigInt(row.rangeId),
    action: row.action,
    reason: row.reason,
    considered: row.considered,
    outcome: row.outcome,
  }));
}
