/** Walking and rebuilding expressions and relations: the one place that knows all children. */
import { unreachable } from '../../util/index.ts';
import { type ColumnId, type Expr } from './expr.ts';
import { outputOf, type Rel, type SortKey } from './logical.ts';

export type MapExpr = (expr: Expr) => Expr;

/** Rebuilds `expr` with `fn` applied to its direct children; the same node when nothing changed. */
export function mapChildren(expr: Expr, fn: MapExpr): Expr {
  switch (expr.kind) {
    case 'const':
    case 'param':
    case 'column':
    case 'context':
      return expr;
    case 'cast':
    case 'array-cast':
    case 'not':
    case 'is-null':
    case 'bool-test':
    case 'field': {
      const arg = fn(expr.arg);
      return arg === expr.arg ? expr : { ...expr, arg };
    }
    case 'call':
    case 'and':
    case 'or':
    case 'coalesce':
    case 'minmax':
    case 'row': {
      const args = mapList(expr.args, fn);
      return args === expr.args ? expr : { ...expr, args };
    }
    case 'case': {
      const whens = expr.whens.map(({ when, result }) => ({ when: fn(when), result: fn(result) }));
      const operand = expr.operand && { ...expr.operand, expr: fn(expr.operand.expr) };
      return { ...expr, operand, whens, otherwise: fn(expr.otherwise) };
    }
    case 'nullif':
      return { ...expr, arg: fn(expr.arg), equal: fn(expr.equal) };
    case 'distinct-from': {
      const left = fn(expr.left);
      const right = fn(expr.right);
      if (left === expr.left && right === expr.right) return expr;
      const equal =
        expr.equal === undefined ? undefined : { ...expr.equal, args: [left, right] as const };
      return { ...expr, left, right, equal };
    }
    case 'in-list': {
      const arg = fn(expr.arg);
      const items = mapList(expr.items, fn);
      return arg === expr.arg && items === expr.items ? expr : { ...expr, arg, items };
    }
    case 'array-compare':
      return { ...expr, left: fn(expr.left), right: fn(expr.right) };
    case 'array': {
      const elements = mapList(expr.elements, fn);
      return elements === expr.elements ? expr : { ...expr, elements };
    }
    case 'subscript':
      return {
        ...expr,
        arg: fn(expr.arg),
        indices: expr.indices.map((index) => ({
          ...index,
          lower: index.lower && fn(index.lower),
          upper: index.upper && fn(index.upper),
        })),
      };
    case 'row-compare':
      return { ...expr, equals: mapList(expr.equals, fn), strict: mapList(expr.strict, fn) };
    case 'subquery': {
      const test = expr.test && fn(expr.test);
      const rel = mapRelExprs(expr.rel, fn);
      return test === expr.test && rel === expr.rel ? expr : { ...expr, test, rel };
    }
    default:
      return unreachable(expr);
  }
}

function mapList(list: readonly Expr[], fn: MapExpr): readonly Expr[] {
  let changed = false;
  const mapped = list.map((item) => {
    const after = fn(item);
    if (after !== item) changed = true;
    return after;
  });
  return changed ? mapped : list;
}

/** Bottom-up rewrite. */
export function rewriteExpr(expr: Expr, fn: MapExpr): Expr {
  return fn(mapChildren(expr, (child) => rewriteExpr(child, fn)));
}

/** Replaces column references, also inside subqueries. */
export function substitute(expr: Expr, replacements: ReadonlyMap<ColumnId, Expr>): Expr {
  if (replacements.size === 0) return expr;
  const replace = (node: Expr): Expr =>
    node.kind === 'column' ? (replacements.get(node.id) ?? node) : mapChildren(node, replace);
  return replace(expr);
}

/** Visits `expr` and everything below, subqueries included. */
export function visitExpr(expr: Expr, visit: (node: Expr) => void): void {
  visit(expr);
  mapChildren(expr, (child) => {
    visitExpr(child, visit);
    return child;
  });
}

/** Applies `fn` to all expressions directly in `rel` and to its child relations' expressions. */
export function mapRelExprs(rel: Rel, fn: MapExpr): Rel {
  return mapOwnExprs(
    mapInputs(rel, (input) => mapRelExprs(input, fn)),
    fn,
  );
}

function mapKeys(keys: readonly SortKey[], fn: MapExpr): readonly SortKey[] {
  let changed = false;
  const mapped = keys.map((key) => {
    const expr = fn(key.expr);
    if (expr === key.expr) return key;
    changed = true;
    return { ...key, expr };
  });
  return changed ? mapped : keys;
}

function mapItems<T extends { readonly expr: Expr }>(
  items: readonly T[],
  fn: MapExpr,
): readonly T[] {
  let changed = false;
  const mapped = items.map((item) => {
    const expr = fn(item.expr);
    if (expr === item.expr) return item;
    changed = true;
    return { ...item, expr };
  });
  return changed ? mapped : items;
}

/** Applies `fn` to the expressions of this node alone. */
export function mapOwnExprs(rel: Rel, fn: MapExpr): Rel {
  switch (rel.kind) {
    case 'scan':
    case 'virtual':
    case 'cte':
    case 'with':
    case 'recursive':
    case 'set-op':
    case 'distinct':
    case 'lock':
      return rel;
    case 'values': {
      let changed = false;
      const rows = rel.rows.map((row) => {
        const after = mapList(row, fn);
        if (after !== row) changed = true;
        return after;
      });
      return changed ? { ...rel, rows } : rel;
    }
    case 'project': {
      const items = mapItems(rel.items, fn);
      return items === rel.items ? rel : { ...rel, items };
    }
    case 'filter': {
      const conditions = mapList(rel.conditions, fn);
      return conditions === rel.conditions ? rel : { ...rel, conditions };
    }
    case 'join': {
      const on = mapList(rel.on, fn);
      return on === rel.on ? rel : { ...rel, on };
    }
    case 'aggregate': {
      const groups = mapItems(rel.groups, fn);
      let changed = groups !== rel.groups;
      const aggregates = rel.aggregates.map((call) => {
        const args = mapList(call.args, fn);
        const direct = mapList(call.direct, fn);
        const orderBy = mapKeys(call.orderBy, fn);
        const filter = call.filter && fn(call.filter);
        if (
          args === call.args &&
          direct === call.direct &&
          orderBy === call.orderBy &&
          filter === call.filter
        ) {
          return call;
        }
        changed = true;
        return { ...call, args, direct, orderBy, filter };
      });
      return changed ? { ...rel, groups, aggregates } : rel;
    }
    case 'window': {
      const bound = (b: typeof rel.frame.start): typeof rel.frame.start =>
        'offset' in b ? { ...b, offset: fn(b.offset) } : b;
      return {
        ...rel,
        partitionBy: mapList(rel.partitionBy, fn),
        orderBy: mapKeys(rel.orderBy, fn),
        frame: {
          ...rel.frame,
          start: bound(rel.frame.start),
          end: bound(rel.frame.end),
          startValue: rel.frame.startValue && fn(rel.frame.startValue),
          endValue: rel.frame.endValue && fn(rel.frame.endValue),
        },
        calls: rel.calls.map((call) => ({
          ...call,
          args: mapList(call.args, fn),
          filter: call.filter && fn(call.filter),
        })),
      };
    }
    case 'sort': {
      const keys = mapKeys(rel.keys, fn);
      return keys === rel.keys ? rel : { ...rel, keys };
    }
    case 'limit': {
      const count = rel.count && fn(rel.count);
      const offset = rel.offset && fn(rel.offset);
      const ties = rel.ties && mapKeys(rel.ties, fn);
      return count === rel.count && offset === rel.offset && ties === rel.ties
        ? rel
        : { ...rel, count, offset, ties };
    }
    case 'project-set':
      return {
        ...rel,
        calls: rel.calls.map((call) => ({ ...call, args: mapList(call.args, fn) })),
      };
    case 'function':
      return {
        ...rel,
        calls: rel.calls.map((item) =>
          item.kind === 'set'
            ? { ...item, call: { ...item.call, args: mapList(item.call.args, fn) } }
            : { ...item, expr: fn(item.expr) },
        ),
      };
    case 'insert': {
      const update = rel.conflict?.update;
      return {
        ...rel,
        conflict: rel.conflict && {
          ...rel.conflict,
          update: update && {
            ...update,
            set: update.set.map((a) => ({ ...a, expr: fn(a.expr) })),
            where: update.where && fn(update.where),
          },
        },
        returning: rel.returning && { ...rel.returning, items: mapItems(rel.returning.items, fn) },
      };
    }
    case 'update':
      return {
        ...rel,
        set: rel.set.map((a) => ({ ...a, expr: fn(a.expr) })),
        returning: rel.returning && { ...rel.returning, items: mapItems(rel.returning.items, fn) },
      };
    case 'delete':
      return {
        ...rel,
        returning: rel.returning && { ...rel.returning, items: mapItems(rel.returning.items, fn) },
      };
    default:
      return unreachable(rel);
  }
}

/** Rebuilds `rel` with `fn` applied to its child relations (not to those inside expressions). */
export function mapInputs(rel: Rel, fn: (input: Rel) => Rel): Rel {
  switch (rel.kind) {
    case 'scan':
    case 'virtual':
    case 'values':
    case 'function':
    case 'cte':
      return rel;
    case 'project':
    case 'filter':
    case 'aggregate':
    case 'window':
    case 'sort':
    case 'limit':
    case 'distinct':
    case 'project-set':
    case 'lock':
    case 'insert':
    case 'update':
    case 'delete': {
      const input = fn(rel.input);
      return input === rel.input ? rel : { ...rel, input };
    }
    case 'join':
    case 'set-op': {
      const left = fn(rel.left);
      const right = fn(rel.right);
      return left === rel.left && right === rel.right ? rel : { ...rel, left, right };
    }
    case 'recursive': {
      const initial = fn(rel.initial);
      const step = fn(rel.step);
      return initial === rel.initial && step === rel.step ? rel : { ...rel, initial, step };
    }
    case 'with': {
      let changed = false;
      const definitions = rel.definitions.map((definition) => {
        const after = fn(definition.rel);
        if (after === definition.rel) return definition;
        changed = true;
        return { ...definition, rel: after };
      });
      const body = fn(rel.body);
      return changed || body !== rel.body ? { ...rel, definitions, body } : rel;
    }
    default:
      return unreachable(rel);
  }
}

export function visitRel(rel: Rel, visit: (node: Rel) => void): void {
  visit(rel);
  mapInputs(rel, (input) => {
    visitRel(input, visit);
    return input;
  });
}

/** Every relation, also those inside expressions. */
export function visitAllRels(rel: Rel, visit: (node: Rel) => void): void {
  visitRel(rel, (node) => {
    visit(node);
    mapOwnExprs(node, (expr) => {
      visitExprRels(expr, visit);
      return expr;
    });
  });
}

export function hasLocks(rel: Rel): boolean {
  let found = false;
  visitAllRels(rel, (node) => {
    if (node.kind === 'lock') found = true;
  });
  return found;
}

function visitExprRels(expr: Expr, visit: (node: Rel) => void): void {
  if (expr.kind === 'subquery') {
    visitAllRels(expr.rel, visit);
    if (expr.test !== undefined) visitExprRels(expr.test, visit);
    return;
  }
  mapChildren(expr, (child) => {
    visitExprRels(child, visit);
    return child;
  });
}

/** Columns an expression needs from outside: its own references and the outer ones of its subqueries. */
export function columnsOf(expr: Expr, into: Set<ColumnId> = new Set()): Set<ColumnId> {
  if (expr.kind === 'column') into.add(expr.id);
  else if (expr.kind === 'subquery') {
    for (const id of freeColumns(expr.rel)) into.add(id);
    if (expr.test !== undefined) {
      const inner = new Set(outputOf(expr.rel));
      for (const id of columnsOf(expr.test)) if (!inner.has(id)) into.add(id);
    }
  } else {
    mapChildren(expr, (child) => {
      columnsOf(child, into);
      return child;
    });
    if (expr.kind === 'case' && expr.operand !== undefined) into.delete(expr.operand.id);
  }
  return into;
}

const free = new WeakMap<Rel, ReadonlySet<ColumnId>>();

/** Columns a relation refers to but does not make: outer references. */
export function freeColumns(rel: Rel): ReadonlySet<ColumnId> {
  let found = free.get(rel);
  if (found === undefined) {
    found = computeFree(rel);
    free.set(rel, found);
  }
  return found;
}

function computeFree(rel: Rel): ReadonlySet<ColumnId> {
  const needed = new Set<ColumnId>();
  mapOwnExprs(rel, (expr) => {
    columnsOf(expr, needed);
    return expr;
  });
  const made = new Set<ColumnId>();
  mapInputs(rel, (input) => {
    for (const id of outputOf(input)) made.add(id);
    for (const id of freeColumns(input)) needed.add(id);
    return input;
  });
  for (const id of localColumns(rel)) made.add(id);
  for (const id of made) needed.delete(id);
  return needed;
}

/** Columns that a node makes for its own expressions only. */
function localColumns(rel: Rel): readonly ColumnId[] {
  switch (rel.kind) {
    case 'insert': {
      const update = rel.conflict?.update;
      return [
        ...(update?.existing ?? []),
        ...(update?.excluded ?? []),
        ...(rel.returning?.row ?? []),
      ];
    }
    case 'update':
    case 'delete':
      return [...rel.row, ...(rel.returning?.row ?? [])];
    default:
      return [];
  }
}

/** Bottom-up rewrite of every relation, also those inside expressions. */
export function mapAll(rel: Rel, fn: (node: Rel) => Rel): Rel {
  const inExpr = (expr: Expr): Expr => {
    if (expr.kind !== 'subquery') return mapChildren(expr, inExpr);
    const inner = mapAll(expr.rel, fn);
    const test = expr.test && inExpr(expr.test);
    return inner === expr.rel && test === expr.test ? expr : { ...expr, rel: inner, test };
  };
  const inputs = mapInputs(rel, (input) => mapAll(input, fn));
  return fn(mapOwnExprs(inputs, inExpr));
}
