/** A WITH query that is read once, has no side effects and is not MATERIALIZED takes the place of its reference. */
import { type CteDefinition, outputOf, type Rel } from '../logical.ts';
import { columnExpr, type Expr } from '../expr.ts';
import { mapAll, visitAllRels } from '../walk.ts';
import { isVolatileRel } from './predicates.ts';
import { type Rule } from './rule.ts';

export const inlineCte: Rule = {
  name: 'InlineCte',
  apply(rel, { binder }) {
    const counts = new Map<number, number>();
    visitAllRels(rel, (node) => {
      if (node.kind === 'cte') counts.set(node.cteId, (counts.get(node.cteId) ?? 0) + 1);
    });
    const inlined = new Map<number, CteDefinition>();
    visitAllRels(rel, (node) => {
      if (node.kind !== 'with') return;
      for (const definition of node.definitions) {
        const uses = counts.get(definition.id) ?? 0;
        const free = !definition.mustRun && !isVolatileRel(definition.rel);
        const wanted =
          definition.materialize === 'never' ||
          (definition.materialize === 'default' && uses === 1);
        // A second copy would need fresh column ids, so several references stay shared.
        if (free && wanted && uses === 1) inlined.set(definition.id, definition);
      }
    });
    const unused = (definition: CteDefinition): boolean =>
      !definition.mustRun && (counts.get(definition.id) ?? 0) === 0;
    const replace = (node: Rel): Rel => {
      if (node.kind === 'cte') {
        const definition = inlined.get(node.cteId);
        if (definition === undefined) return node;
        const items = node.columns.map((id, i) => {
          const source = definition.columns[node.positions[i] ?? 0] ?? 0;
          const { type, typmod } = binder.info(source);
          const expr: Expr = columnExpr(source, type, typmod);
          return { id, expr };
        });
        return { kind: 'project', input: mapAll(definition.rel, replace), items };
      }
      if (node.kind === 'with') {
        const definitions = node.definitions.filter(
          (definition) => !inlined.has(definition.id) && !unused(definition),
        );
        if (definitions.length === node.definitions.length) return node;
        return definitions.length === 0 ? node.body : { ...node, definitions };
      }
      return node;
    };
    const done = mapAll(rel, replace);
    return outputOf(done).length === outputOf(rel).length ? done : rel;
  },
};
