/** Two projections in a row become one; one that only repeats its input disappears. */
import { type ColumnId, type Expr } from '../expr.ts';
import { outputOf, type Rel } from '../logical.ts';
import { columnsOf, mapAll, substitute } from '../walk.ts';
import { hasSubquery, isVolatile, sizeOf } from './predicates.ts';
import { type Rule } from './rule.ts';

export const mergeProjects: Rule = {
  name: 'MergeProjects',
  apply(rel) {
    return mapAll(rel, (node) => {
      if (node.kind !== 'project') return node;
      const merged = merge(node.items, node.input);
      const done = merged ?? node;
      return isIdentity(done) ? done.input : done;
    });
  },
};

type Items = readonly { readonly id: ColumnId; readonly expr: Expr }[];

function isIdentity(rel: Extract<Rel, { kind: 'project' }>): boolean {
  const below = outputOf(rel.input);
  return (
    below.length === rel.items.length &&
    rel.items.every(
      (item, i) => item.expr.kind === 'column' && item.expr.id === item.id && below[i] === item.id,
    )
  );
}

function merge(items: Items, input: Rel): Extract<Rel, { kind: 'project' }> | undefined {
  if (input.kind !== 'project') return undefined;
  const uses = new Map<ColumnId, number>();
  for (const item of items)
    for (const id of columnsOf(item.expr)) uses.set(id, (uses.get(id) ?? 0) + 1);
  for (const item of input.items) {
    const count = uses.get(item.id) ?? 0;
    if (isVolatile(item.expr)) return undefined;
    if (
      count > 1 &&
      (sizeOf(item.expr) > 1 || hasSubquery(item.expr)) &&
      item.expr.kind !== 'column'
    )
      return undefined;
  }
  const made = new Map(input.items.map((item) => [item.id, item.expr]));
  return {
    kind: 'project',
    input: input.input,
    items: items.map((item) => ({ id: item.id, expr: substitute(item.expr, made) })),
  };
}
