/**
 * `SELECT ... FROM t WHERE <whole primary key is given>` outside a transaction: one read at the
 * leaseholder's own now, no operators.
 */
import { type StatementContext, type StatementResult } from '../session/types.ts';
import { type CompiledStatement, type PointRead, pointRead, PointResult } from '../exec/index.ts';
import { type Phys } from './physical/types.ts';

export function fastPath(
  phys: Phys,
  compiled: CompiledStatement,
): ((context: StatementContext) => StatementResult | undefined) | undefined {
  const read: PointRead | undefined = pointRead(phys, compiled);
  if (read === undefined) return undefined;
  return (context) => {
    if (!context.autocommit) return undefined;
    return new PointResult(read, compiled, context);
  };
}
