/** Ranges and what their zones want of them, as it is now. */
import { collectConformance } from '../../kv/index.ts';
import { keyText } from '../ddl/index.ts';
import { type Record_, type Source } from './build.ts';

export const conformanceShape =
  'range_id:int8 start_pretty:text end_pretty:text is_available:bool is_under_replicated:bool is_over_replicated:bool violations:text critical_localities:text critical_nodes:text';

export async function conformanceRows({ context, snapshot }: Source): Promise<Record_[]> {
  const { db, reports } = context;
  if (reports === undefined) return [];
  const { ranges } = await collectConformance(reports, db);
  return ranges.map((each) => ({
    range_id: BigInt(each.rangeId),
    start_pretty: keyText(snapshot, each.range.startKey),
    end_pretty: keyText(snapshot, each.range.endKey),
    is_available: !each.isUnavailable,
    is_under_replicated: each.isUnderReplicated,
    is_over_replicated: each.isOverReplicated,
    violations: each.violations.map(({ type, constraint }) => `${type} ${constraint}`).join('; '),
    critical_localities: each.criticalLocalities.join('; '),
    critical_nodes: each.criticalNodes.join(', '),
  }));
}
