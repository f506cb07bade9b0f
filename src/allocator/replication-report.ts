/** Counts, zone by zone, what `conformance` says of ranges. A range that holds keys of several zones counts in each of them. */
import {
  type ConstraintStats,
  type CriticalLocality,
  type RangeConformance,
  type RangeZones,
  type ReplicationReport,
  type ReplicationStats,
  type ReportZone,
} from '../kv/index.ts';

type Counting<T> = { -readonly [K in keyof T]: T[K] };

/** The rows are in the order in which the ranges lead to them. */
export function replicationReport<R extends RangeConformance>(
  ranges: Iterable<R>,
  zonesOf: (range: R) => RangeZones,
): ReplicationReport {
  const stats = new Map<string, Counting<ReplicationStats>>();
  const constraints = new Map<string, Counting<ConstraintStats>>();
  const localities = new Map<string, Counting<CriticalLocality>>();
  for (const range of ranges) {
    const zones = zonesOf(range);
    for (const zone of zones.replication) {
      const row = rowOf(stats, zone, '', {
        totalRanges: 0,
        unavailableRanges: 0,
        underReplicatedRanges: 0,
        overReplicatedRanges: 0,
      });
      row.totalRanges++;
      if (range.isUnavailable) row.unavailableRanges++;
      if (range.isUnderReplicated) row.underReplicatedRanges++;
      if (range.isOverReplicated) row.overReplicatedRanges++;
      for (const locality of range.criticalLocalities) {
        rowOf(localities, zone, locality, { locality, atRiskRanges: 0 }).atRiskRanges++;
      }
    }
    for (const { type, constraint, ...zone } of zones.constraints) {
      const isOne = range.violations.some(
        (each) => each.type === type && each.constraint === constraint,
      );
      const row = rowOf(constraints, zone, `${type} ${constraint}`, {
        type,
        constraint,
        violatingRanges: 0,
      });
      if (isOne) row.violatingRanges++;
    }
  }
  return {
    stats: [...stats.values()],
    constraints: [...constraints.values()],
    localities: [...localities.values()],
  };
}

/** The row of `subject` in the zone: `fresh` when there is none yet. */
function rowOf<T extends object>(
  rows: Map<string, ReportZone & T>,
  { zoneId, subzoneId }: ReportZone,
  subject: string,
  fresh: T,
): ReportZone & T {
  const key = `${zoneId}/${subzoneId} ${subject}`;
  const known = rows.get(key);
  if (known !== undefined) return known;
  const row = { zoneId, subzoneId, ...fresh };
  rows.set(key, row);
  return row;
}
