/**
 * `SELECT ... FROM t WHERE <whole primary key is given>`: one read, no operators; outside a
 * transaction at the leaseholder's own now.
 */
import { type StatementContext, type StatementResult } from '../session/types.ts';
import { type CompiledStatement, type PointRead, pointRead, PointResult } from '../exec/index.ts';
import { type Phys } from './physical/types.ts';

export function fastPath(
  phys: Phys,
  compiled: CompiledStatement,
): ((context: StatementContext) => StatementResult) | undefined {
  const read: PointRead | undefined = pointRead(phys, compiled);
  if (read === undefined) return undefined;
  return (context) => new PointResult(read, compiled, context);
}
