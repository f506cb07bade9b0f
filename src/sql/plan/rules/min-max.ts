/** max(c) over a whole table is the last entry of an index that starts with c: read one row instead of all. */
import { boolOid, constExpr, type Expr, int8Oid } from '../expr.ts';
import { type AggregateRel, type Rel } from '../logical.ts';
import { mapAll } from '../walk.ts';
import { type Rule } from './rule.ts';

export const minMaxByIndex: Rule = {
  name: 'MinMaxByIndex',
  apply(rel) {
    return mapAll(rel, (node) => (node.kind === 'aggregate' ? convert(node) : node));
  },
};

/** The aggregate stays on top, so that an empty table still gives NULL. */
function convert(rel: AggregateRel): Rel {
  const [call] = rel.aggregates;
  const { input } = rel;
  if (call === undefined || rel.aggregates.length !== 1 || rel.groups.length > 0) return rel;
  if (rel.sets !== undefined || input.kind !== 'scan' || call.filter !== undefined) return rel;
  const isMax = call.fn.name === 'max';
  const [arg] = call.args;
  if ((!isMax && call.fn.name !== 'min') || arg?.kind !== 'column') return rel;
  const position = input.columns.find((column) => column.id === arg.id)?.position;
  const columnId = position === undefined ? undefined : input.table.columns[position]?.id;
  const indexed = [input.table.primaryIndex, ...input.table.indexes].some(
    (index) =>
      index.state === 'public' &&
      index.predicateSql === undefined &&
      index.columns[0]?.columnId === columnId,
  );
  if (!indexed) return rel;
  const notNull: Expr = { kind: 'is-null', type: boolOid, typmod: -1, arg, negated: true };
  return {
    ...rel,
    input: {
      kind: 'limit',
      input: {
        kind: 'sort',
        input: { kind: 'filter', input, conditions: [notNull] },
        keys: [{ expr: arg, descending: isMax, nullsFirst: isMax }],
      },
      count: constExpr(1n, int8Oid),
      offset: undefined,
      ties: undefined,
    },
  };
}
