/**
 * How strongly a statement locks the rows that it updates: whoever refers to a row waits only when what they may refer to
 * changes, the columns of a unique index. As in PostgreSQL (13.3.2), but told by the columns that are set: their new
 * values are not known when the row is locked.
 */
import { type HeldStrength } from '../../kv/index.ts';
import { type TableDescriptor } from '../catalog/descriptors.ts';
import { type Assignment } from './logical.ts';

export function updateStrength(
  { columns, indexes, primaryIndex }: TableDescriptor,
  assignments: readonly Assignment[],
): HeldStrength {
  const set = new Set(
    assignments.flatMap(({ positions }) => positions.map((position) => columns[position]?.id)),
  );
  // What they are made of may be among what is set.
  for (const { id, generatedSql } of columns) if (generatedSql !== undefined) set.add(id);
  const changesKey = [primaryIndex, ...indexes].some(
    (index) =>
      (index === primaryIndex || (index.unique && index.predicateSql === undefined)) &&
      index.columns.some(({ columnId }) => set.has(columnId)),
  );
  return changesKey ? 'update' : 'no-key-update';
}
