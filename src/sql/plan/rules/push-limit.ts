/** A row limit also holds below a projection and for each branch of UNION ALL. */
import { type Expr, int8Oid } from '../expr.ts';
import { type LimitRel, type Rel } from '../logical.ts';
import { mapAll } from '../walk.ts';
import { isVolatile } from './predicates.ts';
import { type Rule } from './rule.ts';

export const pushLimit: Rule = {
  name: 'PushLimit',
  apply(rel) {
    return mapAll(rel, (node) => (node.kind === 'limit' ? pushDown(node) : node));
  },
};

function pushDown(limit: LimitRel): Rel {
  const { input } = limit;
  if (limit.ties !== undefined || limit.count === undefined) return limit;
  if (input.kind === 'project' && input.items.every((item) => !isVolatile(item.expr))) {
    return { ...input, input: pushDown({ ...limit, input: input.input }) };
  }
  if (input.kind === 'set-op' && input.op === 'union' && input.all) {
    const total = atMost(limit);
    if (total === undefined || input.left.kind === 'limit' || input.right.kind === 'limit')
      return limit;
    const capped = (side: Rel): Rel => ({
      kind: 'limit',
      input: side,
      count: total,
      offset: undefined,
      ties: undefined,
    });
    return { ...limit, input: { ...input, left: capped(input.left), right: capped(input.right) } };
  }
  return limit;
}

/** count + offset when both are known. */
function atMost(limit: LimitRel): Expr | undefined {
  const { count, offset } = limit;
  if (count?.kind !== 'const' || typeof count.value !== 'bigint') return undefined;
  if (offset === undefined) return count;
  if (offset.kind !== 'const' || typeof offset.value !== 'bigint') return undefined;
  return { kind: 'const', type: int8Oid, typmod: -1, value: count.value + offset.value };
}
