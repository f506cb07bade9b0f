/** system.replication_* and system.reports_meta: the last report. Rows that stayed as they were are not written again. */
import { type Db, type ReplicationReport, type ReportZone, type Txn } from '../../kv/index.ts';
import { must } from '../../util/index.ts';
import {
  constraintStatsTable,
  criticalLocalitiesTable,
  deleteRow,
  putRow,
  readRows,
  replicationStatsTable,
  reportsMetaTable,
  rowKey,
} from '../catalog/index.ts';
import { type Datum, timestampOfWall } from '../types/index.ts';
import { endTurn, type ReportClaim } from './turns.ts';

type Table = Parameters<typeof putRow>[1];

/** CockroachDB's, in system.reports_meta. */
const reportIds = { constraints: 1n, localities: 2n, stats: 3n };
const violationStart = 5;

/** Writes the report of this claim; nothing when somebody else has claimed a later one. */
export async function keepReport(
  db: Db,
  claim: ReportClaim,
  report: ReplicationReport,
): Promise<void> {
  const generated = timestampOfWall(claim.at);
  await db.run({ name: 'replication reports', priority: 'low' }, async (txn) => {
    if (!(await endTurn(txn, claim))) return;
    await replaceRows(txn, replicationStatsTable, statsRows(report));
    await replaceRows(txn, constraintStatsTable, constraintRows(report, generated), sinceBefore);
    await replaceRows(txn, criticalLocalitiesTable, localityRows(report));
    for (const id of Object.values(reportIds)) putRow(txn, reportsMetaTable, [id, generated]);
  });
}

/** `merge`: a row as it is to be, where there was one with the same key. */
async function replaceRows(
  txn: Txn,
  table: Table,
  rows: readonly Datum[][],
  merge = (row: Datum[], _before: readonly Datum[]): Datum[] => row,
): Promise<void> {
  const known = new Map((await readRows(txn, table)).map((row) => [rowKey(table, row), row]));
  for (const row of rows) {
    const key = rowKey(table, row);
    const before = known.get(key);
    known.delete(key);
    const after = before === undefined ? row : merge(row, before);
    if (before?.every((value, at) => value === after[at]) !== true) putRow(txn, table, after);
  }
  for (const row of known.values()) deleteRow(txn, table, row);
}

/** A violation that lasts began when it was first seen. */
function sinceBefore(row: Datum[], before: readonly Datum[]): Datum[] {
  const since = before[violationStart];
  if (row[violationStart] !== null && since !== null) row[violationStart] = must(since);
  return row;
}

function statsRows({ stats }: ReplicationReport): Datum[][] {
  return stats.map((each) => [
    ...zone(each),
    reportIds.stats,
    BigInt(each.totalRanges),
    BigInt(each.unavailableRanges),
    BigInt(each.underReplicatedRanges),
    BigInt(each.overReplicatedRanges),
  ]);
}

function constraintRows({ constraints }: ReplicationReport, generated: bigint): Datum[][] {
  return constraints.map((each) => [
    ...zone(each),
    each.type,
    each.constraint,
    reportIds.constraints,
    each.violatingRanges === 0 ? null : generated,
    BigInt(each.violatingRanges),
  ]);
}

function localityRows({ localities }: ReplicationReport): Datum[][] {
  return localities.map((each) => [
    ...zone(each),
    each.locality,
    reportIds.localities,
    BigInt(each.atRiskRanges),
  ]);
}

function zone({ zoneId, subzoneId }: ReportZone): Datum[] {
  return [BigInt(zoneId), BigInt(subzoneId)];
}
