/**
 * FOR UPDATE must not meet the nullable side of an outer join: padded rows are nobody's. Asked here because the conditions
 * decide whether a join is still an outer one.
 */
import { sqlError } from '../../errors.ts';
import { type ColumnId } from '../expr.ts';
import { outputOf, type Rel } from '../logical.ts';
import { mapInputs } from '../walk.ts';
import { type Rule } from './rule.ts';

export const checkLocks: Rule = {
  name: 'CheckLocks',
  apply(rel) {
    return check(rel);
  },
};

function check(rel: Rel): Rel {
  const node = mapInputs(rel, check);
  if (node.kind !== 'lock') return node;
  for (const { clause, columns } of node.items) {
    if (!isPadded(node.input, columns)) continue;
    throw sqlError(
      'featureNotSupported',
      `${clause} cannot be applied to the nullable side of an outer join`,
    );
  }
  return node.targets.length === 0 ? node.input : node;
}

function isPadded(rel: Rel, columns: readonly ColumnId[]): boolean {
  const makes = (input: Rel): boolean => {
    const made = new Set(outputOf(input));
    return columns.every((id) => made.has(id));
  };
  if (columns.length === 0) return false;
  if (rel.kind === 'join') {
    const isOuter = (side: 'left' | 'right'): boolean => rel.type === 'full' || rel.type === side;
    // The side that a join is called after keeps its rows; the other one is padded.
    if (isOuter('left') && makes(rel.right)) return true;
    if (isOuter('right') && makes(rel.left)) return true;
  }
  let padded = false;
  mapInputs(rel, (input) => {
    if (makes(input) && isPadded(input, columns)) padded = true;
    return input;
  });
  return padded;
}
