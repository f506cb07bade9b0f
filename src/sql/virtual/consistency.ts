/** Whether the replicas of ranges hold the same: crdb_internal.check_consistency. */
import { keyMax, keyMin } from '../../encoding/index.ts';
import { type RangeCheck } from '../../kv/index.ts';
import { keyText, sessionCatalogOf } from '../ddl/index.ts';
import { sqlError } from '../errors.ts';
import { type StatementContext } from '../session/types.ts';
import { type Row } from '../types/index.ts';
import { makeInterval } from '../types/interval.ts';

const statuses: Readonly<Record<RangeCheck['status'], string>> = {
  consistent: 'RANGE_CONSISTENT',
  inconsistent: 'RANGE_INCONSISTENT',
  'stats-incorrect': 'RANGE_CONSISTENT_STATS_INCORRECT',
  indeterminate: 'RANGE_INDETERMINATE',
};

/** Range by range; stores that are found to be wrong end themselves. An empty key stands for the first or the last one. */
export async function checkConsistency(
  context: StatementContext,
  asked: { readonly statsOnly: boolean; readonly start: Buffer; readonly end: Buffer },
): Promise<Row[]> {
  const { snapshot, isSuperuser } = sessionCatalogOf(context);
  if (!isSuperuser) {
    throw sqlError('insufficientPrivilege', 'permission denied to check the consistency of ranges');
  }
  const start = asked.start.length === 0 ? keyMin : asked.start;
  const end = asked.end.length === 0 ? keyMax : asked.end;
  const mode = asked.statsOnly ? 'stats' : 'data';
  const checks = await context.db.checkConsistency(start, end, mode);
  return checks.map(({ range, status, detail, durationMicros }) => [
    BigInt(range.rangeId),
    range.startKey,
    keyText(snapshot, range.startKey),
    statuses[status],
    detail,
    makeInterval(0, 0, BigInt(durationMicros)),
  ]);
}
