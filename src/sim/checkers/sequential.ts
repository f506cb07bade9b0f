/** Rows that one client writes one after the other: who sees a later one sees all before it (sequential consistency). */
import { findingsAmong } from './describe.ts';
import { type Finding, type Recorded } from './history.ts';
import { bool, int, listOf, operations, orNull, tuple, type OperationOf } from './shape.ts';

const shapes = {
  /** All rows of a key, in order, each in a transaction of its own. */
  write: int,
  /** A key, and of each of its rows, the last one first, whether it was there: each in a transaction of its own. */
  read: tuple(int, orNull(listOf(bool))),
};

export type SequentialOperation = OperationOf<typeof shapes>;
export const sequentialCodec = operations(shapes);

/** 'out-of-order': a row was there, and one that was written before it and read after it was not. */
export function checkSequential(history: readonly Recorded<SequentialOperation>[]): Finding[] {
  const { findings, found } = findingsAmong(sequentialCodec);
  for (const operation of history) {
    const { what, outcome } = operation;
    if (what.kind !== 'read' || outcome !== 'ok') continue;
    const seen = what.value[1] ?? [];
    const first = seen.indexOf(true);
    if (first >= 0 && seen.includes(false, first)) {
      found('out-of-order', operation);
    }
  }
  return findings;
}
