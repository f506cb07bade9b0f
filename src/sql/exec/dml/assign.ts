/** What SET puts into a row. */
import { type Datum, RecordDatum } from '../../types/index.ts';
import { type Compiled } from '../expr/compile.ts';

export interface CompiledAssignment {
  readonly positions: readonly number[];
  readonly value: Compiled;
}

export function assign(row: Datum[], positions: readonly number[], value: Datum): void {
  const [only] = positions;
  if (positions.length === 1 && only !== undefined) row[only] = value;
  else {
    const fields = value instanceof RecordDatum ? value.values : [];
    for (const [i, position] of positions.entries()) row[position] = fields[i] ?? null;
  }
}
