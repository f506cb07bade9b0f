/** Replication reports: how many ranges of each zone are not as they should be, or could easily be lost (`system.replication_*`). */
import { type ConstraintViolation } from './reports.ts';

export interface ReportZone {
  readonly zoneId: number;
  /** 0, or the id of an index or partition. */
  readonly subzoneId: number;
}

/** Where a range is counted: it may hold keys of several zones. */
export interface RangeZones {
  /** The nearest zones that say how many replicas there are, or where. */
  readonly replication: readonly ReportZone[];
  /** What the nearest zones that speak of places demand. */
  readonly constraints: readonly (ReportZone & ConstraintViolation)[];
}

export interface ReplicationStats extends ReportZone {
  readonly totalRanges: number;
  readonly unavailableRanges: number;
  readonly underReplicatedRanges: number;
  readonly overReplicatedRanges: number;
}

/** Also of constraints that no range violates. */
export interface ConstraintStats extends ReportZone, ConstraintViolation {
  readonly violatingRanges: number;
}

export interface CriticalLocality extends ReportZone {
  /** As `region=eu,zone=a`. */
  readonly locality: string;
  readonly atRiskRanges: number;
}

export interface ReplicationReport {
  readonly stats: readonly ReplicationStats[];
  readonly constraints: readonly ConstraintStats[];
  readonly localities: readonly CriticalLocality[];
}
