/** The conformance of all ranges of a cluster, one entry per range, put together from what its nodes report. */
import { keyMax, keyMin } from '../encoding/index.ts';
import { type Db } from './db.ts';
import { type RangeDescriptor } from './descriptor.ts';
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
  const best = new Map<RangeId, ReportedConformance>();
  let missing = await collectInto(best, reports);
  const existing = await descriptors(db);
  // A lease that was on its way is somewhere by now.
  if (existing?.some(({ rangeId }) => !best.has(rangeId)) === true) {
    missing = await collectInto(best, reports);
  }
  const ranges = existing?.map((range) => best.get(range.rangeId) ?? unreported(range));
  const known = ranges ?? [...best.values()];
  return {
    ranges: known.sort((a, b) => a.range.startKey.compare(b.range.startKey)),
    missing,
  };
}

/** Returns the nodes that did not answer. */
async function collectInto(
  best: Map<RangeId, ReportedConformance>,
  reports: ClusterReports,
): Promise<readonly NodeId[]> {
  const { rows, missing } = await reports.collect('conformance');
  for (const { row } of rows) {
    const known = best.get(row.rangeId);
    if (known === undefined || isBetter(row, known)) best.set(row.rangeId, row);
  }
  return missing;
}

function unreported(range: RangeDescriptor): ReportedConformance {
  return {
    rangeId: range.rangeId,
    range,
    isLed: false,
    isUnavailable: true,
    isUnderReplicated: true,
    isOverReplicated: false,
    violations: [],
    criticalLocalities: [],
    criticalNodes: [],
  };
}

/** The leaseholder knows best, and of two others the one that has heard of more. */
function isBetter(a: ReportedConformance, b: ReportedConformance): boolean {
  if (a.isLed !== b.isLed) return a.isLed;
  return a.range.generation > b.range.generation;
}

/** Undefined: the index of ranges cannot be read, and what was reported has to do. */
async function descriptors(
  db: Pick<Db, 'rangeDescriptors'>,
): Promise<readonly RangeDescriptor[] | undefined> {
  try {
    return await db.rangeDescriptors(keyMin, keyMax);
  } catch (error) {
    if (!(error instanceof KvFailure)) throw error;
    return undefined;
  }
}
