/**
 * SELECT ... FROM ...: binds its parts and puts them together in the order of evaluation:
 * FROM, WHERE, grouping, HAVING, windows, set-returning functions, select list, DISTINCT, ORDER BY,
 * locks, LIMIT.
 */
import { type Node, type ResTarget, type SelectStmt } from '@pgsql/types';
import { type ColumnId, type Expr, unknownOid } from '../expr.ts';
import { type LockRel, outputOf, type Rel, type SortKey } from '../logical.ts';
import { columnsOf, mapChildren } from '../walk.ts';
import {
  type Binder,
  type BoundQuery,
  childScope,
  type ExpectedColumn,
  type ExprContext,
  failAt,
  newLevel,
  nothingAllowed,
  type OutputColumn,
  type QueryLevel,
  type Scope,
  type ScopeColumn,
} from './binder.ts';
import { coerceToBoolean, settle, tryCoerce } from './coerce.ts';
import { bindExpr, locationOf } from './context.ts';
import { bindFrom } from './from.ts';
import { bindGroups, type Grouping } from './group.ts';
import { figureName } from './label.ts';
import { addLimit, positionNumber } from './limit.ts';
import { bindLocks, withParts } from './locks.ts';
import { fieldParts, findRelation } from './names.ts';
import { sameExpr } from './same.ts';
import { requireOrder, sortByOf, sortKey } from './sort.ts';
import { bareName, type Target } from './targets.ts';

export function bindSelect(
  binder: Binder,
  stmt: SelectStmt,
  parent: Scope | undefined,
  expected: readonly ExpectedColumn[] | undefined,
): BoundQuery {
  const level = newLevel();
  const outer = { ...childScope(parent), locking: stmt.lockingClause };
  const from = bindFrom(binder, stmt.fromClause ?? [], outer);
  const scope: Scope = { ...childScope(parent), ...from.names, level };
  const base: ExprContext = { binder, scope, clause: 'WHERE', level, allow: nothingAllowed };

  for (const node of stmt.windowClause ?? []) {
    if ('WindowDef' in node && node.WindowDef.name !== undefined) {
      if (level.namedWindows.has(node.WindowDef.name)) {
        throw failAt(
          'windowingError',
          `window "${node.WindowDef.name}" is already defined`,
          node.WindowDef.location,
        );
      }
      level.namedWindows.set(node.WindowDef.name, node.WindowDef);
    }
  }
  const listContext: ExprContext = {
    ...base,
    clause: 'SELECT',
    allow: { aggregates: true, windows: true, sets: true },
  };
  // Parameters take the type of their first use: those of the list before those of WHERE, as in PostgreSQL.
  const list = bindTargets(listContext, stmt.targetList ?? []);
  let rel = from.rel;
  if (stmt.whereClause !== undefined) {
    const where = bindExpr(base, stmt.whereClause);
    const condition = coerceToBoolean(binder, where, 'WHERE', locationOf(stmt.whereClause));
    rel = { kind: 'filter', input: rel, conditions: [condition] };
  }
  let targets = list.map((target, i) => settleTarget(binder, target, expected?.[i]));
  const grouping = bindGroups(base, stmt, targets);
  let having: Expr | undefined;
  if (stmt.havingClause !== undefined) {
    const bound = bindExpr(
      {
        ...listContext,
        clause: 'HAVING',
        allow: { aggregates: true, windows: false, sets: false },
      },
      stmt.havingClause,
    );
    having = coerceToBoolean(binder, bound, 'HAVING', locationOf(stmt.havingClause));
  }
  const order = bindOrder({ ...listContext, clause: 'ORDER BY' }, stmt, targets);
  const distinctOn = bindDistinct({ ...listContext, clause: 'DISTINCT ON' }, stmt, targets);

  if (grouping !== undefined && usesSets(level, grouping.exprs)) {
    // GROUP BY over a set-returning call groups the rows that it makes.
    rel = addSets(level, rel);
    level.setCalls.length = 0;
  }
  if (
    level.aggregates.length > 0 &&
    withParts(scope.relations).some(({ isWork }) => isWork === true)
  ) {
    throw failAt(
      'invalidRecursion',
      "aggregate functions are not allowed in a recursive query's recursive term",
    );
  }
  let keys = order;
  let on = distinctOn;
  if (
    grouping !== undefined ||
    having !== undefined ||
    level.aggregates.length > 0 ||
    level.grouping.length > 0
  ) {
    const grouped = applyGrouping(binder, level, scope, rel, grouping, [
      ...targets.map((target) => target.expr),
      ...order.map((key) => key.expr),
      ...(on ?? []),
      ...(having === undefined ? [] : [having]),
    ]);
    rel = grouped.rel;
    let at = 0;
    const next = (): Expr => grouped.exprs[at++] as Expr;
    targets = targets.map((target) => ({ ...target, expr: next() }));
    keys = keys.map((key) => ({ ...key, expr: next() }));
    on = on?.map(next);
    if (having !== undefined) rel = { kind: 'filter', input: rel, conditions: [next()] };
  }
  rel = addWindows(level, rel);
  rel = addSets(level, rel);
  return assemble(binder, stmt, parent, scope, rel, targets, keys, on, level);
}

function settleTarget(binder: Binder, target: Target, want: ExpectedColumn | undefined): Target {
  if (target.expr.type !== unknownOid) return target;
  if (want !== undefined) {
    const expr = tryCoerce(binder, target.expr, want.typeOid, {
      context: 'assignment',
      typmod: want.typmod,
      location: target.location,
    });
    if (expr !== undefined) return { ...target, expr };
  }
  return { ...target, expr: settle(binder, target.expr) };
}

/** The select list with stars expanded. */
export function bindTargets(c: ExprContext, nodes: readonly Node[]): Target[] {
  return nodes.flatMap((node) => {
    if (!('ResTarget' in node)) return [];
    return bindTarget(c, node.ResTarget);
  });
}

function bindTarget(c: ExprContext, node: ResTarget): Target[] {
  const { val, name } = node;
  if (val !== undefined && 'ColumnRef' in val) {
    const parts = fieldParts(val.ColumnRef);
    if (parts.at(-1) === undefined) return expandStar(c, parts, val.ColumnRef.location);
  }
  if (val !== undefined && 'A_Indirection' in val) {
    const last = val.A_Indirection.indirection?.at(-1);
    if (last !== undefined && 'A_Star' in last) return expandRowStar(c, val);
  }
  const expr = bindExpr(c, val);
  const origin = originOf(c.scope, expr);
  return [
    {
      name: name ?? figureName(val),
      expr,
      tableOid: origin?.tableOid ?? 0,
      columnNumber: origin?.columnNumber ?? 0,
      location: locationOf(val),
    },
  ];
}

function originOf(scope: Scope, expr: Expr): ScopeColumn | undefined {
  if (expr.kind !== 'column') return undefined;
  for (const relation of scope.relations) {
    for (const column of relation.columns) if (column.id === expr.id) return column;
  }
  return undefined;
}

function expandStar(
  c: ExprContext,
  parts: readonly (string | undefined)[],
  location?: number,
): Target[] {
  const toTarget = (column: ScopeColumn): Target => ({
    name: column.name,
    expr: c.binder.reference(column.id),
    tableOid: column.tableOid,
    columnNumber: column.columnNumber,
    location,
  });
  if (parts.length === 1) {
    if (c.scope.relations.length === 0 && c.scope.columns.length === 0) {
      throw failAt('syntaxError', 'SELECT * with no tables specified is not valid', location);
    }
    return c.scope.columns.filter((column) => column.inStar).map(toTarget);
  }
  const relation = findRelation(c.scope, parts.at(-3), parts.at(-2) ?? '', location);
  return relation.columns.filter((column) => column.inStar).map(toTarget);
}

/** (row).* */
function expandRowStar(c: ExprContext, val: Extract<Node, { A_Indirection: unknown }>): Target[] {
  const { arg, indirection = [] } = val.A_Indirection;
  const rest = indirection.slice(0, -1);
  const inner: Node | undefined =
    rest.length === 0
      ? arg
      : arg === undefined
        ? undefined
        : { A_Indirection: { arg, indirection: rest } };
  const row = bindExpr(c, inner);
  if (row.kind !== 'row') {
    if (row.kind === 'column' && inner !== undefined && 'FuncCall' in inner) {
      return [
        { name: figureName(inner), expr: row, tableOid: 0, columnNumber: 0, location: undefined },
      ];
    }
    throw failAt('wrongObjectType', 'record type has not been registered', locationOf(arg));
  }
  return row.args.map((expr, i) => ({
    name: row.names[i] ?? '?column?',
    expr,
    tableOid: 0,
    columnNumber: 0,
    location: locationOf(arg),
  }));
}

/** ORDER BY: output names and positions first, then expressions over FROM. */
function bindOrder(c: ExprContext, stmt: SelectStmt, targets: readonly Target[]): SortKey[] {
  return (stmt.sortClause ?? []).map((node) => {
    const item = sortByOf(node);
    return sortKey(outputOrExpr(c, item.node, targets, 'ORDER BY'), item);
  });
}

export function outputOrExpr(
  c: ExprContext,
  node: Node | undefined,
  targets: readonly Target[],
  clause: string,
): Expr {
  const position = positionNumber(node);
  if (position !== undefined) {
    const target = targets[position - 1];
    if (target === undefined) {
      throw failAt(
        'invalidColumnReference',
        `${clause} position ${position} is not in select list`,
        locationOf(node),
      );
    }
    return target.expr;
  }
  if (node !== undefined && 'A_Const' in node && node.A_Const.isnull !== true) {
    throw failAt('syntaxError', `non-integer constant in ${clause}`, locationOf(node));
  }
  const name = bareName(node);
  if (name !== undefined) {
    const matches = targets.filter((target) => target.name === name);
    const [first] = matches;
    if (first !== undefined) {
      if (matches.some((other) => !sameExpr(other.expr, first.expr))) {
        throw failAt('ambiguousColumn', `${clause} "${name}" is ambiguous`, locationOf(node));
      }
      return first.expr;
    }
  }
  return settle(c.binder, bindExpr(c, node));
}

/** Undefined: no DISTINCT. Empty: plain DISTINCT. Else the ON expressions. */
function bindDistinct(
  c: ExprContext,
  stmt: SelectStmt,
  targets: readonly Target[],
): Expr[] | undefined {
  const clause = stmt.distinctClause;
  if (clause === undefined) return undefined;
  const nodes = clause.filter((node) => Object.keys(node).length > 0);
  if (nodes.length === 0) {
    for (const target of targets) requireOrder(target.expr.type, target.location);
    return [];
  }
  return nodes.map((node) => {
    const expr = outputOrExpr(c, node, targets, 'SELECT DISTINCT ON');
    requireOrder(expr.type, locationOf(node));
    return expr;
  });
}

function usesSets(level: QueryLevel, exprs: readonly Expr[]): boolean {
  const made = new Set(level.setCalls.flatMap((call) => call.columns));
  return exprs.some((expr) => [...columnsOf(expr)].some((id) => made.has(id)));
}

// Grouping.

function applyGrouping(
  binder: Binder,
  level: QueryLevel,
  scope: Scope,
  input: Rel,
  grouping: Grouping | undefined,
  exprs: readonly Expr[],
): { readonly rel: Rel; readonly exprs: readonly Expr[] } {
  const groups = (grouping?.exprs ?? []).map((expr) => ({
    id: binder.newColumn({
      name: nameOfColumn(binder, expr),
      type: expr.type,
      typmod: expr.typmod,
    }),
    expr,
  }));
  const outer = outputOf(input);
  const local = new Set<ColumnId>(outer);
  for (const call of level.aggregates) local.delete(call.id);
  const keyed = keyedColumns(scope, grouping?.exprs ?? []);
  const replace = (expr: Expr): Expr => {
    const hit = groups.find((group) => sameExpr(group.expr, expr));
    if (hit !== undefined) return binder.reference(hit.id);
    if (expr.kind === 'column' && local.has(expr.id)) {
      if (keyed.has(expr.id) && grouping?.sets === undefined) {
        const id = binder.newColumn({
          name: binder.info(expr.id).name,
          type: expr.type,
          typmod: expr.typmod,
        });
        groups.push({ id, expr });
        return binder.reference(id);
      }
      throw failAt(
        'groupingError',
        `column "${shownName(binder, scope, expr.id)}" must appear in the GROUP BY clause or be used in an aggregate function`,
        expr.position,
      );
    }
    return mapChildren(expr, replace);
  };
  const replaced = exprs.map(replace);
  for (const window of level.windows) {
    const after = {
      partitionBy: window.partitionBy.map(replace),
      orderBy: window.orderBy.map((key) => ({ ...key, expr: replace(key.expr) })),
      frame: {
        ...window.frame,
        startValue: window.frame.startValue && replace(window.frame.startValue),
        endValue: window.frame.endValue && replace(window.frame.endValue),
      },
      calls: window.calls.map((call) => ({
        ...call,
        args: call.args.map(replace),
        filter: call.filter && replace(call.filter),
      })),
    };
    Object.assign(window, after);
  }
  for (const [i, call] of level.setCalls.entries()) {
    level.setCalls[i] = { ...call, args: call.args.map(replace) };
  }
  const positions = level.grouping.map((call) => ({
    id: call.id,
    positions: call.args.map((arg) => {
      const at = groups.findIndex((group) => sameExpr(group.expr, arg));
      if (at < 0) {
        throw failAt(
          'groupingError',
          'arguments to GROUPING must be grouping expressions of the associated query level',
        );
      }
      return at;
    }),
  }));
  return {
    rel: {
      kind: 'aggregate',
      input,
      groups,
      aggregates: level.aggregates,
      sets: grouping?.sets,
      grouping: positions,
    },
    exprs: replaced,
  };
}

function nameOfColumn(binder: Binder, expr: Expr): string {
  return expr.kind === 'column' ? binder.info(expr.id).name : '?column?';
}

/** With the name of its relation, and its own there. */
function shownName(binder: Binder, scope: Scope, id: ColumnId): string {
  for (const { name, columns } of withParts(scope.relations)) {
    const column = columns.find((candidate) => candidate.id === id);
    if (column !== undefined) return `${name}.${column.name}`;
  }
  return binder.info(id).qualified;
}

/** Columns of relations whose whole primary key is grouped by: they are one value per group. */
function keyedColumns(scope: Scope, groups: readonly Expr[]): Set<ColumnId> {
  const grouped = new Set(groups.flatMap((expr) => (expr.kind === 'column' ? [expr.id] : [])));
  const found = new Set<ColumnId>();
  for (const relation of withParts(scope.relations)) {
    const { table } = relation;
    if (table === undefined) continue;
    const covered = table.primaryIndex.columns.every(({ columnId }) =>
      relation.columns.some(({ columnNumber, id }) => columnNumber === columnId && grouped.has(id)),
    );
    if (covered) for (const column of relation.columns) found.add(column.id);
  }
  return found;
}

function addWindows(level: QueryLevel, input: Rel): Rel {
  return level.windows.reduce<Rel>(
    (rel, window) => ({ kind: 'window', input: rel, ...window }),
    input,
  );
}

/** Calls whose arguments use other set-returning calls come after those. */
function addSets(level: QueryLevel, input: Rel): Rel {
  let rel = input;
  let pending = level.setCalls;
  while (pending.length > 0) {
    const open = new Set(pending.flatMap((call) => call.columns));
    const ready = pending.filter((call) =>
      call.args.every((arg) => [...columnsOf(arg)].every((id) => !open.has(id))),
    );
    if (ready.length === 0)
      throw failAt('featureNotSupported', 'set-returning functions depend on each other');
    rel = { kind: 'project-set', input: rel, calls: ready };
    pending = pending.filter((call) => !ready.includes(call));
  }
  return rel;
}

// Putting it together.

function assemble(
  binder: Binder,
  stmt: SelectStmt,
  parent: Scope | undefined,
  scope: Scope,
  input: Rel,
  targets: readonly Target[],
  keys: readonly SortKey[],
  distinctOn: readonly Expr[] | undefined,
  level: QueryLevel,
): BoundQuery {
  const items: { id: ColumnId; expr: Expr }[] = [];
  // An outer column that passes through gets an id of its own: ids mark who makes a column.
  const local = new Set(outputOf(input));
  const columns: OutputColumn[] = targets.map((target) => {
    const id =
      target.expr.kind === 'column' && local.has(target.expr.id)
        ? target.expr.id
        : binder.newColumn({
            name: target.name,
            type: target.expr.type,
            typmod: target.expr.typmod,
          });
    items.push({ id, expr: target.expr });
    return { id, name: target.name, tableOid: target.tableOid, columnNumber: target.columnNumber };
  });
  const visible = items.length;
  const idFor = (expr: Expr): ColumnId => {
    const same = items.find((item) => sameExpr(item.expr, expr));
    if (same !== undefined) return same.id;
    const id =
      expr.kind === 'column' && local.has(expr.id)
        ? expr.id
        : binder.newColumn({ name: '?column?', type: expr.type, typmod: expr.typmod });
    items.push({ id, expr });
    return id;
  };
  const sortKeys = keys.map((key) => ({ ...key, expr: binder.reference(idFor(key.expr)) }));
  if (distinctOn?.length === 0 && items.length > visible) {
    throw failAt(
      'invalidColumnReference',
      'for SELECT DISTINCT, ORDER BY expressions must appear in select list',
    );
  }
  const onIds = distinctOn?.map(idFor);
  const locks = bindLocks(stmt, scope, level);
  for (const target of locks.targets) {
    for (const id of target.keyColumns) {
      if (!items.some((item) => item.id === id)) items.push({ id, expr: binder.reference(id) });
    }
  }
  let rel: Rel = { kind: 'project', input, items };
  if (onIds !== undefined && onIds.length === 0) {
    rel = { kind: 'distinct', input: rel, on: columns.map((column) => column.id) };
  }
  if (onIds !== undefined && onIds.length > 0) checkDistinctOn(onIds, sortKeys);
  if (sortKeys.length > 0) rel = { kind: 'sort', input: rel, keys: sortKeys };
  if (onIds !== undefined && onIds.length > 0) rel = { kind: 'distinct', input: rel, on: onIds };
  if (locks.items.length > 0) rel = { kind: 'lock', input: rel, ...locks } satisfies LockRel;
  rel = addLimit(binder, stmt, parent, rel, sortKeys);
  if (items.length > visible) {
    rel = {
      kind: 'project',
      input: rel,
      items: items.slice(0, visible).map(({ id }) => ({ id, expr: binder.reference(id) })),
    };
  }
  return { rel, columns };
}

function checkDistinctOn(on: readonly ColumnId[], keys: readonly SortKey[]): void {
  const wanted = new Set(on);
  const leading = new Set<ColumnId>();
  for (const key of keys) {
    if (leading.size === wanted.size) return;
    const id = key.expr.kind === 'column' ? key.expr.id : -1;
    if (!wanted.has(id)) {
      throw failAt(
        'invalidColumnReference',
        'SELECT DISTINCT ON expressions must match initial ORDER BY expressions',
      );
    }
    leading.add(id);
  }
}
