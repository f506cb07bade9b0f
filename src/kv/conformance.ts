/** The conformance of all ranges of a cluster, one entry per range, put together from what its nodes report. */
import { keyMax, keyMin } from '../encoding/index.ts';
import { type Db } from './db.ts';
import { KvFailure } from './errors.ts';
import { type NodeId, type RangeId } from './ids.ts';
import { type ClusterReports, type ReportedConformance } from './reports.ts';

export interface ClusterConformance {
  /** In key order. */
  readonly ranges: readonly ReportedConformance[];
  /** Nodes that did not answer in time. */
  readonly missing: readonly NodeId[];
}

/** Ranges that nobody reports are unavailable. Never throws for an expected failure. */
export async function collectConformance(
  reports: ClusterReports,
  db: Pick<Db, 'rangeDescriptors'>,
): Promise<ClusterConformance> {
  const { rows, missing } = await reports.collect('conformance');
  const best = new Map<RangeId, ReportedConformance>();
  for (const { row } of rows) {
    const known = best.get(row.rangeId);
    if (known === undefined || isBetter(row, known)) best.set(row.rangeId, row);
  }
  for (const range of await descriptors(db)) {
    const { rangeId } = range;
    if (best.has(rangeId)) continue;
    best.set(rangeId, {
      rangeId,
      range,
      isLed: false,
      isUnavailable: true,
      isUnderReplicated: true,
      isOverReplicated: false,
      violations: [],
      criticalLocalities: [],
      criticalNodes: [],
    });
  }
  const ranges = [...best.values()].sort((a, b) => a.range.startKey.compare(b.range.startKey));
  return { ranges, missing };
}

/** The leaseholder knows best, and of two others the one that has heard of more. */
function isBetter(a: ReportedConformance, b: ReportedConformance): boolean {
  if (a.isLed !== b.isLed) return a.isLed;
  return a.range.generation > b.range.generation;
}

async function descriptors(db: Pick<Db, 'rangeDescriptors'>): ReturnType<Db['rangeDescriptors']> {
  try {
    return await db.rangeDescriptors(keyMin, keyMax);
  } catch (error) {
    // Without the index of ranges what was reported has to do.
    if (!(error instanceof KvFailure)) throw error;
    return [];
  }
}
