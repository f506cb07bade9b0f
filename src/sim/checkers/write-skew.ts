/**
 * Two transactions per key, each of which looks for rows of either and inserts its own only if there is none: predicate
 * write skew (Adya's G2) lets both.
 */
import { findingsAmong } from './describe.ts';
import { type Finding, type Recorded } from './history.ts';
import { bool, int, operations, orNull, tuple, type OperationOf } from './shape.ts';

const shapes = {
  /** Key, side (0 or 1), and whether it inserted. */
  insert: tuple(int, int, orNull(bool)),
};

export type WriteSkewOperation = OperationOf<typeof shapes>;
export const writeSkewCodec = operations(shapes);

/** 'G2': both sides of a key have inserted. */
export function checkWriteSkew(history: readonly Recorded<WriteSkewOperation>[]): Finding[] {
  const { findings, found } = findingsAmong(writeSkewCodec);
  const inserted = new Map<number, Recorded<WriteSkewOperation>>();
  for (const operation of history) {
    const [key, , done] = operation.what.value;
    if (operation.outcome !== 'ok' || done !== true) continue;
    const other = inserted.get(key);
    inserted.set(key, operation);
    if (other !== undefined) found('G2', other, operation);
  }
  return findings;
}
