/** Rows that want the same unique value in several ways: at most one has it, whoever looks and by whichever index. */
import { findingsAmong } from './describe.ts';
import { grouped } from './grouped.ts';
import { mayBeSeen, type Finding, type Recorded } from './history.ts';
import { bool, int, listOf, operations, orNull, tuple, type OperationOf } from './shape.ts';

const shapes = {
  /** Value, row, and whether the row has got it: by INSERT, INSERT ... ON CONFLICT DO NOTHING, or UPDATE. */
  insert: tuple(int, int, orNull(bool)),
  claim: tuple(int, int, orNull(bool)),
  rename: tuple(int, int, orNull(bool)),
  /** The rows that have a value, as the primary key says and as the index of the value says. */
  read: tuple(int, listOf(int), listOf(int)),
};

export type UniqueOperation = OperationOf<typeof shapes>;
export const uniqueCodec = operations(shapes);

type Operation = Recorded<UniqueOperation>;

/**
 *   duplicate         two rows have a value, or two have been told that they got it; nobody gives one up
 *   index-mismatch    the index says something else than the table, in one transaction
 *   stale             a row got it before the read began, which does not show it
 *   unexpected        a row has it that never asked for it, or was told that it did not get it
 */
export function checkUnique(history: readonly Operation[]): Finding[] {
  const values = grouped(history, ({ what }) => what.value[0]);
  return [...values.values()].flatMap(checkValue);
}

function checkValue(history: readonly Operation[]): Finding[] {
  const { findings, found } = findingsAmong(uniqueCodec);
  const asked = new Map<number, Operation>();
  let owner: Operation | undefined;
  for (const operation of history) {
    const { what, outcome } = operation;
    if (what.kind === 'read') continue;
    const [, row, done] = what.value;
    asked.set(row, operation);
    if (outcome !== 'ok' || done !== true) continue;
    if (owner !== undefined) found('duplicate', owner, operation);
    owner = operation;
  }
  for (const operation of history) {
    const { what, outcome } = operation;
    if (what.kind !== 'read' || outcome !== 'ok') continue;
    const [, byKey, byIndex] = what.value;
    if (byKey.join() !== byIndex.join()) found('index-mismatch', operation);
    if (byKey.length > 1) found('duplicate', operation);
    for (const row of byKey) {
      const asking = asked.get(row);
      const isRefused =
        asking?.outcome === 'ok' && asking.what.kind !== 'read' && asking.what.value[2] !== true;
      if (isRefused || !mayBeSeen(asking, operation)) {
        found('unexpected', asking, operation);
      }
    }
    if (owner !== undefined && owner.completed < operation.invoked && byKey.length === 0) {
      found('stale', owner, operation);
    }
  }
  return findings;
}
