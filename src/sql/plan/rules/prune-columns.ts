/** Top-down: nobody delivers a column that nobody above wants. */
import { unreachable } from '../../../util/index.ts';
import { type ColumnId } from '../expr.ts';
import { outputOf, type Rel, type SortKey } from '../logical.ts';
import { columnsOf, freeColumns, mapInputs, mapOwnExprs } from '../walk.ts';
import { isVolatile } from './predicates.ts';
import { type Rule } from './rule.ts';

export const pruneColumns: Rule = {
  name: 'PruneColumns',
  apply(rel) {
    return prune(rel, new Set(outputOf(rel)));
  },
};

type Needed = ReadonlySet<ColumnId>;

function withOwn(rel: Rel, needed: Iterable<ColumnId>): Set<ColumnId> {
  const all = new Set(needed);
  mapOwnExprs(rel, (expr) => {
    columnsOf(expr, all);
    return expr;
  });
  return all;
}

function withKeys(keys: readonly SortKey[], needed: Needed): Set<ColumnId> {
  const all = new Set(needed);
  for (const key of keys) columnsOf(key.expr, all);
  return all;
}

function prune(rel: Rel, needed: Needed): Rel {
  switch (rel.kind) {
    case 'scan': {
      const columns = rel.columns.filter((column) => needed.has(column.id));
      return columns.length === rel.columns.length ? rel : { ...rel, columns };
    }
    case 'virtual': {
      const columns = rel.columns.filter((column) => needed.has(column.id));
      return columns.length === rel.columns.length ? rel : { ...rel, columns };
    }
    case 'values':
    case 'function':
      return rel;
    case 'cte': {
      const kept = rel.columns.flatMap((id, i) => (needed.has(id) ? [i] : []));
      if (kept.length === rel.columns.length) return rel;
      return {
        ...rel,
        columns: kept.map((i) => rel.columns[i] ?? 0),
        positions: kept.map((i) => rel.positions[i] ?? 0),
      };
    }
    case 'project': {
      const items = rel.items.filter((item) => needed.has(item.id) || isVolatile(item.expr));
      const slim = items.length === rel.items.length ? rel : { ...rel, items };
      return prunedInput(slim, withOwn(slim, []));
    }
    case 'filter':
    case 'limit':
      return prunedInput(rel, withOwn(rel, needed));
    case 'sort':
      return prunedInput(rel, withKeys(rel.keys, needed));
    case 'distinct':
      return prunedInput(rel, new Set([...needed, ...rel.on]));
    case 'lock':
      return prunedInput(
        rel,
        new Set([...needed, ...rel.targets.flatMap((target) => target.keyColumns)]),
      );
    case 'join': {
      const all = withOwn(rel, needed);
      for (const id of freeColumns(rel.right)) all.add(id);
      const left = prune(rel.left, all);
      const right = prune(rel.right, all);
      return left === rel.left && right === rel.right ? rel : { ...rel, left, right };
    }
    case 'aggregate': {
      const aggregates = rel.aggregates.filter((call) => needed.has(call.id));
      const slim = aggregates.length === rel.aggregates.length ? rel : { ...rel, aggregates };
      return prunedInput(slim, withOwn(slim, []));
    }
    case 'window': {
      const calls = rel.calls.filter((call) => needed.has(call.id));
      if (calls.length === 0) return prune(rel.input, needed);
      const slim = calls.length === rel.calls.length ? rel : { ...rel, calls };
      return prunedInput(slim, withOwn(slim, needed));
    }
    case 'project-set':
      return prunedInput(rel, withOwn(rel, needed));
    case 'set-op': {
      const left = prune(rel.left, new Set(rel.leftColumns));
      const right = prune(rel.right, new Set(rel.rightColumns));
      return left === rel.left && right === rel.right ? rel : { ...rel, left, right };
    }
    case 'recursive': {
      const initial = prune(rel.initial, new Set(rel.initialColumns));
      const step = prune(rel.step, new Set(rel.stepColumns));
      return initial === rel.initial && step === rel.step ? rel : { ...rel, initial, step };
    }
    case 'with': {
      let changed = false;
      const definitions = rel.definitions.map((definition) => {
        const after = prune(definition.rel, new Set(definition.columns));
        if (after === definition.rel) return definition;
        changed = true;
        return { ...definition, rel: after };
      });
      const body = prune(rel.body, needed);
      return changed || body !== rel.body ? { ...rel, definitions, body } : rel;
    }
    case 'insert':
      return prunedInput(rel, new Set(rel.source.flatMap((id) => (id === undefined ? [] : [id]))));
    case 'update':
    case 'delete':
      return prunedInput(rel, withOwn(rel, rel.row));
    default:
      return unreachable(rel);
  }
}

function prunedInput(rel: Rel, needed: Needed): Rel {
  return mapInputs(rel, (input) => prune(input, needed));
}
