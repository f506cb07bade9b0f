/** FROM: tables, views, subqueries, functions, joins; what each contributes to the scope. */
import {
  type Alias,
  type JoinExpr,
  type Node,
  type RangeFunction,
  type RangeSubselect,
  type RangeVar,
} from '@pgsql/types';
import { type TableDescriptor } from '../../catalog/descriptors.ts';
import { type Relation } from '../../catalog/types.ts';
import { type ColumnId, type Expr, int8Oid } from '../expr.ts';
import { type FunctionRel, type JoinType, outputOf, type Rel } from '../logical.ts';
import { freeColumns, hasLocks } from '../walk.ts';
import {
  childScope,
  type Binder,
  type CteEntry,
  type ExprContext,
  failAt,
  type Names,
  noNames,
  plainContext,
  type OutputColumn,
  relationKey,
  type Scope,
  type ScopeColumn,
  type ScopeRelation,
} from './binder.ts';
import { callName, coerceArguments, setColumns } from './call.ts';
import { coerceToBoolean, unify } from './coerce.ts';
import { bindExpr, bindList, bindQuery, locationOf, selectOf } from './context.ts';
import { withLocksOf } from './locks.ts';
import { figureName } from './label.ts';
import { operatorName, tryLocated } from './operators.ts';
import { resolveFn } from './resolve.ts';

export interface BoundFrom {
  readonly rel: Rel;
  readonly names: Names;
}

/** No FROM: one row without columns. */
export const oneRow: Rel = { kind: 'values', columns: [], rows: [[]] };

export function bindFrom(binder: Binder, items: readonly Node[], scope: Scope): BoundFrom {
  let rel: Rel | undefined;
  let names = noNames;
  for (const item of items) {
    const bound = bindItem(binder, item, scope, names);
    names = addNames(names, bound.names);
    rel =
      rel === undefined
        ? bound.rel
        : { kind: 'join', type: 'inner', left: rel, right: bound.rel, on: [] };
  }
  return { rel: rel ?? oneRow, names };
}

function addNames(a: Names, b: Names): Names {
  for (const relation of b.relations) {
    const clash = a.relations.some(
      (other) =>
        other.name === relation.name &&
        (other.schema === relation.schema ||
          other.schema === undefined ||
          relation.schema === undefined),
    );
    if (clash)
      throw failAt('duplicateAlias', `table name "${relation.name}" specified more than once`);
  }
  return { relations: [...a.relations, ...b.relations], columns: [...a.columns, ...b.columns] };
}

/** The scope in which a LATERAL item is bound: the items to its left, then the outer query. */
function lateralScope(scope: Scope, names: Names): Scope {
  return { ...childScope(scope), locking: scope.locking, ...names };
}

function bindItem(binder: Binder, node: Node, scope: Scope, left: Names): BoundFrom {
  return binder.deeper(() => {
    if ('RangeVar' in node) return bindTable(binder, node.RangeVar, scope);
    if ('RangeSubselect' in node) return bindDerived(binder, node.RangeSubselect, scope, left);
    if ('RangeFunction' in node) return bindFunction(binder, node.RangeFunction, scope, left);
    if ('JoinExpr' in node) return bindJoin(binder, node.JoinExpr, scope, left);
    if ('RangeTableSample' in node) {
      throw failAt(
        'featureNotSupported',
        'TABLESAMPLE is not supported',
        node.RangeTableSample.location,
      );
    }
    throw failAt(
      'featureNotSupported',
      `${Object.keys(node)[0] ?? 'this'} is not supported in FROM`,
    );
  });
}

export function aliasNames(alias: Alias | undefined): string[] {
  return (alias?.colnames ?? []).map((node) => ('String' in node ? (node.String.sval ?? '') : ''));
}

/** A named FROM item over `columns`; the alias may rename a prefix of them. */
export function namedItem(
  columns: readonly (OutputColumn & { readonly hidden?: boolean })[],
  alias: Alias | undefined,
  name: string,
  more: Partial<ScopeRelation> = {},
): Names {
  const renames = aliasNames(alias);
  const visible = columns.filter((column) => column.hidden !== true);
  if (renames.length > visible.length) {
    throw failAt(
      'invalidColumnReference',
      `table "${alias?.aliasname ?? name}" has ${visible.length} columns available but ${renames.length} columns specified`,
    );
  }
  let at = 0;
  const scoped: ScopeColumn[] = columns.map((column) => ({
    name: column.hidden === true ? column.name : (renames[at++] ?? column.name),
    id: column.id,
    tableOid: column.tableOid,
    columnNumber: column.columnNumber,
    inStar: column.hidden !== true,
  }));
  const relation: ScopeRelation = {
    name: alias?.aliasname ?? name,
    schema: undefined,
    table: undefined,
    scalarFunction: false,
    ...more,
    columns: scoped,
  };
  return { relations: [relation], columns: scoped.filter((column) => column.inStar) };
}

// Tables, views, CTEs.

export function lookupRelation(binder: Binder, name: RangeVar): Relation {
  const found = binder.prefetched.relations.get(relationKey(name.schemaname, name.relname ?? ''));
  if (found !== undefined) return found;
  const shown = name.schemaname === undefined ? name.relname : `${name.schemaname}.${name.relname}`;
  throw failAt('undefinedTable', `relation "${shown ?? ''}" does not exist`, name.location);
}

function bindTable(binder: Binder, name: RangeVar, scope: Scope): BoundFrom {
  if (name.schemaname === undefined) {
    const cte = scope.ctes.get(name.relname ?? '');
    if (cte !== undefined) return bindCteUse(binder, cte, name);
  }
  const relation = lookupRelation(binder, name);
  switch (relation.kind) {
    case 'table':
      return scanTable(binder, relation.table, name.alias, relation.schemaName);
    case 'sequence':
    case 'virtual': {
      const { table } = relation;
      const alias = name.alias?.aliasname ?? table.name;
      const columns = table.columns.map((column, position) => ({
        id: binder.newColumn({
          name: column.name,
          type: column.typeOid,
          typmod: column.typmod,
          qualified: `${alias}.${column.name}`,
        }),
        name: column.name,
        tableOid: table.oid,
        columnNumber: position + 1,
        position,
        hidden: column.hidden === true,
      }));
      return {
        rel: {
          kind: 'virtual',
          table,
          alias,
          columns: columns.map(({ id, position }) => ({ id, position })),
        },
        names: namedItem(columns, name.alias, table.name, {
          schema: name.alias === undefined ? table.schema : undefined,
        }),
      };
    }
    case 'view': {
      const { view } = relation;
      const stmt = selectOf(binder.prefetched.views.get(view.id));
      const shown = name.alias?.aliasname ?? view.name;
      const query = bindQuery(binder, withLocksOf(scope, shown, stmt), undefined);
      const columns = query.columns.map((column, i) => ({
        ...column,
        name: view.columns[i]?.name ?? column.name,
        tableOid: view.id,
        columnNumber: i + 1,
      }));
      return {
        rel: query.rel,
        names: namedItem(columns, name.alias, view.name, {
          schema: name.alias === undefined ? relation.schemaName : undefined,
          locksWithin: locksWithin(scope, query.rel),
        }),
      };
    }
  }
}

/** `all`: also columns that are not public, without names (for UPDATE and DELETE). `ids` are in table order. */
export function scanTable(
  binder: Binder,
  table: TableDescriptor,
  alias: Alias | undefined,
  schemaName: string,
  all = false,
): BoundFrom & { readonly ids: readonly ColumnId[] } {
  const shown = alias?.aliasname ?? table.name;
  const positions: { id: ColumnId; position: number }[] = [];
  const columns: (OutputColumn & { hidden?: boolean })[] = [];
  for (const [position, column] of table.columns.entries()) {
    if (column.state !== 'public' && !all) continue;
    const id = binder.newColumn({
      name: column.name,
      type: column.typeOid,
      typmod: column.typmod,
      qualified: `${shown}.${column.name}`,
    });
    positions.push({ id, position });
    if (column.state !== 'public') continue;
    columns.push({
      id,
      name: column.name,
      tableOid: table.id,
      columnNumber: column.id,
      hidden: column.hidden === true,
    });
  }
  return {
    rel: { kind: 'scan', table, alias: shown, columns: positions, lock: undefined },
    names: namedItem(columns, alias, table.name, {
      schema: alias === undefined ? schemaName : undefined,
      table,
    }),
    ids: positions.map((column) => column.id),
  };
}

function bindCteUse(binder: Binder, cte: CteEntry, name: RangeVar): BoundFrom {
  if (!cte.readable) {
    throw failAt(
      'featureNotSupported',
      `WITH query "${cte.name}" does not have a RETURNING clause`,
      name.location,
    );
  }
  const shown = name.alias?.aliasname ?? cte.name;
  const columns = cte.columns.map((column) => {
    const { type, typmod } = binder.info(column.id);
    return {
      id: binder.newColumn({
        name: column.name,
        type,
        typmod,
        qualified: `${shown}.${column.name}`,
      }),
      name: column.name,
      tableOid: 0,
      columnNumber: 0,
      hidden: column.hidden === true,
    };
  });
  return {
    rel: {
      kind: 'cte',
      cteId: cte.id,
      name: cte.name,
      columns: columns.map((column) => column.id),
      positions: columns.map((_column, i) => i),
    },
    names: namedItem(columns, name.alias, cte.name, {
      unlockable: 'WITH query',
      isWork: cte.isWork,
    }),
  };
}

function bindDerived(binder: Binder, node: RangeSubselect, scope: Scope, left: Names): BoundFrom {
  const outer = node.lateral === true ? lateralScope(scope, left) : scope;
  const stmt = withLocksOf(scope, node.alias?.aliasname ?? '', selectOf(node.subquery));
  const query = bindQuery(binder, stmt, outer);
  const more = { locksWithin: locksWithin(scope, query.rel) };
  return { rel: query.rel, names: namedItem(query.columns, node.alias, '', more) };
}

function locksWithin(scope: Scope, rel: Rel): boolean {
  return scope.locking !== undefined && hasLocks(rel);
}

// Functions.

function bindFunction(binder: Binder, node: RangeFunction, scope: Scope, left: Names): BoundFrom {
  const inner = lateralScope(scope, left);
  const c = plainContext(binder, inner, 'functions in FROM');
  const calls: FunctionRel['calls'][number][] = [];
  const columns: OutputColumn[] = [];
  let firstName = '';
  for (const item of node.functions ?? []) {
    const parts = 'List' in item ? (item.List.items ?? []) : [];
    const [call] = parts;
    if (call === undefined) continue;
    const name = figureName(call);
    if (firstName === '') firstName = name;
    for (const part of unnestParts(call)) {
      const bound = bindRangeCall(c, part, name, node);
      calls.push(bound);
      const ids = bound.kind === 'set' ? bound.call.columns : bound.columns;
      for (const id of ids) {
        columns.push({ id, name: binder.info(id).name, tableOid: 0, columnNumber: 0 });
      }
    }
  }
  const single = columns.length === 1 && calls.length === 1;
  const [only] = columns;
  // The one column of a function is called like the function's alias.
  if (single && only !== undefined && node.alias?.aliasname !== undefined) {
    const [call] = calls;
    const generic =
      call?.kind !== 'set' ||
      call.call.fn.columns.length === 0 ||
      call.call.fn.columns[0]?.name === '' ||
      call.call.fn.columns[0]?.name === call.call.fn.name;
    if (generic) columns[0] = { ...only, name: node.alias.aliasname };
  }
  let ordinality: ColumnId | undefined;
  if (node.ordinality === true) {
    ordinality = binder.newColumn({ name: 'ordinality', type: int8Oid });
    columns.push({ id: ordinality, name: 'ordinality', tableOid: 0, columnNumber: 0 });
  }
  return {
    rel: { kind: 'function', calls, ordinality, alias: node.alias?.aliasname ?? firstName },
    names: namedItem(columns, node.alias, firstName, {
      scalarFunction: single && node.ordinality !== true,
      unlockable: 'function',
    }),
  };
}

/** unnest(a, b) in FROM stands for ROWS FROM (unnest(a), unnest(b)). */
function unnestParts(node: Node): Node[] {
  if (!('FuncCall' in node)) return [node];
  const args = node.FuncCall.args ?? [];
  if (args.length < 2 || callName(node.FuncCall).name !== 'unnest') return [node];
  return args.map((arg) => ({ FuncCall: { ...node.FuncCall, args: [arg] } }));
}

function bindRangeCall(
  c: ExprContext,
  node: Node,
  name: string,
  range: RangeFunction,
): FunctionRel['calls'][number] {
  if (!('FuncCall' in node)) {
    const expr = bindExpr(c, node);
    return { kind: 'scalar', expr, columns: [c.binder.newColumn({ name, type: expr.type })] };
  }
  const call = node.FuncCall;
  const { schema } = callName(call);
  const args = bindList(c, call.args);
  const resolved = tryLocated(call.location, () =>
    resolveFn(
      schema,
      callName(call).name,
      args.map((arg) => arg.type),
      {
        variadic: call.func_variadic === true,
        star: false,
      },
    ),
  );
  const coerced = coerceArguments(c, args, resolved, name, call.location);
  const callTypes = [...coerced.map((arg) => arg.type), resolved.resultType];
  const { fn } = resolved;
  if (range.coldeflist !== undefined) {
    throw failAt(
      'featureNotSupported',
      'a column definition list is not supported here',
      call.location,
    );
  }
  switch (fn.kind) {
    case 'set': {
      const base = { fn, args: coerced, callTypes };
      return {
        kind: 'set',
        call: { ...base, columns: setColumns(c, base, resolved.resultType, name) },
      };
    }
    case 'scalar': {
      const expr: Expr = {
        kind: 'call',
        type: resolved.resultType,
        typmod: -1,
        fn,
        args: coerced,
        callTypes,
      };
      return { kind: 'scalar', expr, columns: [c.binder.newColumn({ name, type: expr.type })] };
    }
    case 'aggregate':
      throw failAt(
        'groupingError',
        'aggregate functions are not allowed in functions in FROM',
        call.location,
      );
    case 'window':
      throw failAt(
        'windowingError',
        'window functions are not allowed in functions in FROM',
        call.location,
      );
  }
}

// Joins.

const joinTypes: Readonly<Record<string, JoinType>> = {
  JOIN_INNER: 'inner',
  JOIN_LEFT: 'left',
  JOIN_RIGHT: 'right',
  JOIN_FULL: 'full',
};

function bindJoin(binder: Binder, node: JoinExpr, scope: Scope, outerLeft: Names): BoundFrom {
  const type = joinTypes[node.jointype ?? 'JOIN_INNER'] ?? 'inner';
  if (node.larg === undefined || node.rarg === undefined)
    throw failAt('syntaxError', 'a join needs two sides');
  const left = bindItem(binder, node.larg, scope, outerLeft);
  const right = bindItem(binder, node.rarg, scope, addNames(outerLeft, left.names));
  checkLateral(type, left.rel, right.rel);
  const both = addNames(left.names, right.names);
  const using =
    node.isNatural === true
      ? commonNames(left.names, right.names)
      : node.usingClause?.map((item) => ('String' in item ? (item.String.sval ?? '') : ''));
  const joined =
    using === undefined
      ? joinOn(binder, node, type, left, right, both, scope)
      : joinUsing(binder, type, left, right, both, using, scope);
  const relations = [
    ...paddedBy(type === 'right' || type === 'full', left.names.relations),
    ...paddedBy(type === 'left' || type === 'full', right.names.relations),
  ];
  if (node.alias === undefined) return { ...joined, names: { ...joined.names, relations } };
  const columns = joined.names.columns.map((column) => ({ ...column, hidden: false }));
  return { rel: joined.rel, names: namedItem(columns, node.alias, '', { parts: relations }) };
}

function paddedBy(pads: boolean, relations: readonly ScopeRelation[]): readonly ScopeRelation[] {
  return pads ? relations.map((relation) => ({ ...relation, padded: true })) : relations;
}

function checkLateral(type: JoinType, left: Rel, right: Rel): void {
  if (type !== 'right' && type !== 'full') return;
  const made = new Set(outputOf(left));
  for (const id of freeColumns(right)) {
    if (made.has(id)) {
      throw failAt(
        'invalidColumnReference',
        'invalid reference to FROM-clause entry: the combining JOIN type must be INNER or LEFT for a LATERAL reference',
      );
    }
  }
}

function commonNames(left: Names, right: Names): string[] {
  return left.columns
    .map((column) => column.name)
    .filter(
      (name, i, all) =>
        all.indexOf(name) === i && right.columns.some((column) => column.name === name),
    );
}

function joinOn(
  binder: Binder,
  node: JoinExpr,
  type: JoinType,
  left: BoundFrom,
  right: BoundFrom,
  names: Names,
  scope: Scope,
): BoundFrom {
  const c = plainContext(binder, { ...childScope(scope), ...names }, 'JOIN conditions');
  const on =
    node.quals === undefined
      ? []
      : [coerceToBoolean(binder, bindExpr(c, node.quals), 'JOIN/ON', locationOf(node.quals))];
  return { rel: { kind: 'join', type, left: left.rel, right: right.rel, on }, names };
}

function joinUsing(
  binder: Binder,
  type: JoinType,
  left: BoundFrom,
  right: BoundFrom,
  both: Names,
  using: readonly string[],
  scope: Scope,
): BoundFrom {
  const c = plainContext(binder, scope, 'JOIN/USING');
  const on: Expr[] = [];
  const merged: ScopeColumn[] = [];
  const extra: { id: ColumnId; expr: Expr }[] = [];
  for (const name of using) {
    const a = usingColumn(left.names, name, 'left');
    const b = usingColumn(right.names, name, 'right');
    const aExpr = binder.reference(a.id);
    const bExpr = binder.reference(b.id);
    on.push(operatorName(c, '=', aExpr, bExpr));
    const same = aExpr.type === bExpr.type;
    if (same && type !== 'full') {
      merged.push(type === 'right' ? b : a);
      continue;
    }
    const unified = unify(binder, [aExpr, bExpr], 'JOIN/USING');
    const [first = aExpr, second = bExpr] = unified.exprs;
    const expr: Expr =
      type === 'full'
        ? { kind: 'coalesce', type: unified.type, typmod: unified.typmod, args: [first, second] }
        : type === 'right'
          ? second
          : first;
    const id = binder.newColumn({ name, type: unified.type, typmod: unified.typmod });
    extra.push({ id, expr });
    merged.push({ name, id, tableOid: 0, columnNumber: 0, inStar: true });
  }
  const join: Rel = { kind: 'join', type, left: left.rel, right: right.rel, on };
  const rel: Rel =
    extra.length === 0
      ? join
      : {
          kind: 'project',
          input: join,
          items: [...outputOf(join).map((id) => ({ id, expr: binder.reference(id) })), ...extra],
        };
  const rest = (names: Names): ScopeColumn[] =>
    names.columns.filter((column) => !using.includes(column.name));
  return {
    rel,
    names: {
      relations: both.relations,
      columns: [...merged, ...rest(left.names), ...rest(right.names)],
    },
  };
}

function usingColumn(names: Names, name: string, side: string): ScopeColumn {
  const found = names.columns.filter((column) => column.name === name);
  const [first] = found;
  if (first === undefined) {
    throw failAt(
      'undefinedColumn',
      `column "${name}" specified in USING clause does not exist in ${side} table`,
    );
  }
  if (found.length > 1) {
    throw failAt(
      'ambiguousColumn',
      `common column name "${name}" appears more than once in ${side} table`,
    );
  }
  return first;
}
