/** An outer join whose padded rows cannot survive the conditions above it is an inner (or one-sided) join. */
import { conjuncts, type Expr } from '../expr.ts';
import { type JoinRel, outputOf, type Rel } from '../logical.ts';
import { mapAll } from '../walk.ts';
import { rejectsNulls } from './predicates.ts';
import { type Rule } from './rule.ts';

export const simplifyOuterJoin: Rule = {
  name: 'SimplifyOuterJoin',
  apply(rel) {
    return mapAll(rel, (node) => {
      if (node.kind === 'filter' && node.input.kind === 'join') {
        const input = simplify(node.input, node.conditions.flatMap(conjuncts));
        return input === node.input ? node : { ...node, input: simplifyBelow(input) };
      }
      if (node.kind === 'join' && node.type !== 'full') return simplifyBelow(node);
      return node;
    });
  },
};

function simplify(join: JoinRel, conditions: readonly Expr[]): JoinRel {
  const left = new Set(outputOf(join.left));
  const right = new Set(outputOf(join.right));
  const noLeft = conditions.some((condition) => rejectsNulls(condition, left));
  const noRight = conditions.some((condition) => rejectsNulls(condition, right));
  switch (join.type) {
    case 'left':
      return noRight ? { ...join, type: 'inner' } : join;
    case 'right':
      return noLeft ? { ...join, type: 'inner' } : join;
    case 'full':
      if (noLeft && noRight) return { ...join, type: 'inner' };
      // Rows without a left side are gone: what is padded on the right stays.
      if (noLeft) return { ...join, type: 'left' };
      return noRight ? { ...join, type: 'right' } : join;
    default:
      return join;
  }
}

/** Conditions of an inner join are filters on its sides too. */
function simplifyBelow(join: JoinRel): JoinRel {
  const on = join.on.flatMap(conjuncts);
  const side = (input: Rel): Rel => {
    const simpler = input.kind === 'join' ? simplify(input, on) : input;
    // What became an inner join rejects padded rows itself.
    return simpler === input || simpler.kind !== 'join' ? simpler : simplifyBelow(simpler);
  };
  const left =
    join.type === 'inner' || join.type === 'semi' || join.type === 'right'
      ? side(join.left)
      : join.left;
  const right =
    join.type === 'inner' || join.type === 'semi' || join.type === 'left' || join.type === 'anti'
      ? side(join.right)
      : join.right;
  return left === join.left && right === join.right ? join : { ...join, left, right };
}
