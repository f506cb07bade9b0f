/** Parents that come and go, and children that refer to them: no read sees a child without its parent. */
import { findingsAmong } from './describe.ts';
import { mayBeSeen, type Finding, type Recorded } from './history.ts';
import { bool, int, listOf, operations, orNull, tuple, type OperationOf } from './shape.ts';

const shapes = {
  parent: int,
  /** Child and parent. */
  child: tuple(int, int),
  /** A parent, and whether it was there to be removed; children forbid that. */
  remove: tuple(int, orNull(bool)),
  /** Children with their parents, and the parents. */
  read: tuple(listOf(tuple(int, int)), listOf(int)),
};

export type ForeignKeyOperation = OperationOf<typeof shapes>;
export const foreignKeyCodec = operations(shapes);

type Operation = Recorded<ForeignKeyOperation>;

/**
 *   orphan            a child without its parent
 *   lost              a child is missing that was acknowledged before the read began: none is ever removed
 *   removed-parent    a parent was removed although a child had been acknowledged
 *   unexpected        a child that nobody has begun to insert, or whose insertion certainly failed
 */
export function checkForeignKeys(history: readonly Operation[]): Finding[] {
  const { findings, found } = findingsAmong(foreignKeyCodec);
  const children = new Map<number, Operation>();
  const firstChild = new Map<number, Operation>();
  for (const operation of history) {
    const { what, outcome, completed } = operation;
    if (what.kind !== 'child') continue;
    const [child, parent] = what.value;
    children.set(child, operation);
    const first = firstChild.get(parent);
    if (outcome === 'ok' && (first === undefined || completed < first.completed)) {
      firstChild.set(parent, operation);
    }
  }
  const acknowledged = [...children].filter(([, { outcome }]) => outcome === 'ok');
  for (const operation of history) {
    const { what, outcome, invoked } = operation;
    if (outcome !== 'ok') continue;
    if (what.kind === 'remove' && what.value[1] === true) {
      const first = firstChild.get(what.value[0]);
      if (first !== undefined && first.completed < invoked)
        found('removed-parent', first, operation);
    }
    if (what.kind !== 'read') continue;
    const [rows, parents] = what.value;
    const there = new Set(parents);
    const seen = new Set(rows.map(([child]) => child));
    if (rows.some(([, parent]) => !there.has(parent))) found('orphan', operation);
    for (const child of seen) {
      const insertion = children.get(child);
      if (!mayBeSeen(insertion, operation)) found('unexpected', insertion, operation);
    }
    for (const [child, insertion] of acknowledged) {
      if (insertion.completed < invoked && !seen.has(child)) found('lost', insertion, operation);
    }
  }
  return findings;
}
