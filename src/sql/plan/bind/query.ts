/** Queries: WITH, set operations, VALUES, and the order in which the parts of a SELECT are evaluated. */
import { type Node, type SelectStmt } from '@pgsql/types';
import { constExpr, type Expr, int8Oid, unknownOid } from '../expr.ts';
import { type Rel, type SortKey } from '../logical.ts';
import {
  type Binder,
  childScope,
  failAt,
  type OutputColumn,
  type Scope,
  typeName,
} from './binder.ts';
import { coerceCommon, coerceToColumn, settle, tryCoerce, unifyTypes } from './coerce.ts';
import { bindExpr, type ExprContext, locationOf, nothingAllowed } from './expr.ts';
import { columnsOf } from '../walk.ts';
import { bindSelect } from './select.ts';
import { sortByOf, sortKey, requireOrder } from './sort.ts';
import { bindWith, closeWith } from './with.ts';

export interface BoundQuery {
  readonly rel: Rel;
  readonly columns: readonly OutputColumn[];
}

/** What the caller will do with the columns: literals of unknown type are coerced to it. */
export interface ExpectedColumn {
  readonly name: string;
  readonly typeOid: number;
  readonly typmod: number;
}

export function selectOf(node: Node | undefined): SelectStmt {
  if (node !== undefined && 'SelectStmt' in node) return node.SelectStmt;
  throw failAt('syntaxError', 'a query was expected');
}

/** A subquery whose outer scope is `scope`. */
export function bindSubquery(binder: Binder, node: Node | undefined, scope: Scope): BoundQuery {
  return bindQuery(binder, selectOf(node), scope);
}

export function bindQuery(
  binder: Binder,
  stmt: SelectStmt,
  parent: Scope | undefined,
  expected?: readonly ExpectedColumn[],
): BoundQuery {
  return binder.deeper(() => {
    if (stmt.withClause === undefined) return bindBody(binder, stmt, parent, expected);
    const opened = bindWith(binder, stmt.withClause, childScope(parent));
    const body = bindBody(binder, stmt, opened.scope, expected);
    return { ...body, rel: closeWith(opened, body.rel) };
  });
}

function bindBody(
  binder: Binder,
  stmt: SelectStmt,
  parent: Scope | undefined,
  expected: readonly ExpectedColumn[] | undefined,
): BoundQuery {
  if (stmt.op !== undefined && stmt.op !== 'SETOP_NONE')
    return bindSetOp(binder, stmt, parent, expected);
  if (stmt.valuesLists !== undefined) return bindValues(binder, stmt, parent, expected);
  return bindSelect(binder, stmt, parent, expected);
}

// VALUES.

function bindValues(
  binder: Binder,
  stmt: SelectStmt,
  parent: Scope | undefined,
  expected: readonly ExpectedColumn[] | undefined,
): BoundQuery {
  const scope = childScope(parent);
  const c: ExprContext = {
    binder,
    scope,
    clause: 'VALUES',
    level: undefined,
    allow: nothingAllowed,
  };
  const rows = (stmt.valuesLists ?? []).map((list) =>
    ('List' in list ? (list.List.items ?? []) : []).map((node) => bindExpr(c, node)),
  );
  const width = rows[0]?.length ?? 0;
  for (const [i, row] of rows.entries()) {
    if (row.length !== width) {
      const list = stmt.valuesLists?.[i];
      const first = list !== undefined && 'List' in list ? list.List.items?.[0] : undefined;
      throw failAt('syntaxError', 'VALUES lists must all be the same length', locationOf(first));
    }
  }
  const columns: OutputColumn[] = [];
  const done: Expr[][] = rows.map(() => []);
  for (let i = 0; i < width; i++) {
    const column = rows.map((row) => row[i] ?? constExpr(null, unknownOid));
    const want = expected?.[i];
    const allUnknown = column.every((expr) => expr.type === unknownOid);
    let exprs: Expr[];
    let type: number;
    if (allUnknown && want !== undefined) {
      exprs = column.map((expr) => coerceToColumn(binder, expr, want));
      type = want.typeOid;
    } else {
      type = unifyTypes(
        column.map((expr) => expr.type),
        'VALUES',
        locationOf(firstOf(stmt, i)),
      );
      exprs = column.map((expr) => coerceCommon(binder, expr, type, 'VALUES'));
    }
    const typmods = new Set(exprs.map((expr) => expr.typmod));
    const typmod = typmods.size === 1 ? (exprs[0]?.typmod ?? -1) : -1;
    const name = `column${i + 1}`;
    columns.push({
      id: binder.newColumn({ name, type, typmod }),
      name,
      tableOid: 0,
      columnNumber: 0,
    });
    for (const [r, expr] of exprs.entries()) done[r]?.push(expr);
  }
  const rel: Rel = { kind: 'values', columns: columns.map((column) => column.id), rows: done };
  return finishPlain(binder, stmt, parent, { rel, columns });
}

function firstOf(stmt: SelectStmt, i: number): Node | undefined {
  const list = stmt.valuesLists?.[0];
  return list !== undefined && 'List' in list ? list.List.items?.[i] : undefined;
}

// UNION, INTERSECT, EXCEPT.

function bindSetOp(
  binder: Binder,
  stmt: SelectStmt,
  parent: Scope | undefined,
  expected: readonly ExpectedColumn[] | undefined,
): BoundQuery {
  if (stmt.larg === undefined || stmt.rarg === undefined)
    throw failAt('syntaxError', 'a set operation needs two queries');
  const left = bindQuery(binder, stmt.larg, parent, expected);
  const right = bindQuery(binder, stmt.rarg, parent, expected);
  const op =
    stmt.op === 'SETOP_UNION' ? 'union' : stmt.op === 'SETOP_INTERSECT' ? 'intersect' : 'except';
  const query = combine(
    binder,
    op,
    stmt.all === true,
    left,
    right,
    locationOf(targetOf(stmt.rarg)),
  );
  return finishPlain(binder, stmt, parent, query);
}

function targetOf(stmt: SelectStmt): Node | undefined {
  const first = stmt.targetList?.[0];
  return first !== undefined && 'ResTarget' in first ? first.ResTarget.val : undefined;
}

/** Unifies the column types of both sides and puts the set operation over them. */
export function combine(
  binder: Binder,
  op: 'union' | 'intersect' | 'except',
  all: boolean,
  left: BoundQuery,
  right: BoundQuery,
  location?: number,
): BoundQuery {
  const what = op.toUpperCase();
  if (left.columns.length !== right.columns.length) {
    throw failAt(
      'syntaxError',
      `each ${what} query must have the same number of columns`,
      location,
    );
  }
  const types = left.columns.map((column, i) => {
    const other = right.columns[i] ?? column;
    const a = binder.info(column.id);
    const b = binder.info(other.id);
    const literal = (rel: Rel, id: number): boolean => isLiteral(rel, id);
    const aType = literal(left.rel, column.id) && b.type !== 25 ? unknownOid : a.type;
    const bType = literal(right.rel, other.id) && a.type !== 25 ? unknownOid : b.type;
    const type = unifyTypes([aType, bType], what);
    if (!(op === 'union' && all)) requireOrder(type);
    return { type, typmod: a.typmod === b.typmod && a.type === b.type ? a.typmod : -1 };
  });
  const adaptedLeft = adapt(
    binder,
    left,
    types.map((t) => t.type),
    what,
  );
  const adaptedRight = adapt(
    binder,
    right,
    types.map((t) => t.type),
    what,
  );
  const columns = left.columns.map((column, i) => ({
    id: binder.newColumn({
      name: column.name,
      type: types[i]?.type ?? unknownOid,
      typmod: types[i]?.typmod ?? -1,
    }),
    name: column.name,
    tableOid: 0,
    columnNumber: 0,
  }));
  return {
    rel: {
      kind: 'set-op',
      op,
      all,
      left: adaptedLeft.rel,
      right: adaptedRight.rel,
      leftColumns: adaptedLeft.columns.map((column) => column.id),
      rightColumns: adaptedRight.columns.map((column) => column.id),
      columns: columns.map((column) => column.id),
    },
    columns,
  };
}

/** A text column that is nothing but a string literal or NULL was of unknown type before it was settled. */
function isLiteral(rel: Rel, id: number): boolean {
  if (rel.kind !== 'project') return false;
  const item = rel.items.find((candidate) => candidate.id === id);
  return item?.expr.kind === 'const' && item.expr.type === 25;
}

/** Casts the columns of a query to `types`; string literals are read as that type. */
export function adapt(
  binder: Binder,
  query: BoundQuery,
  types: readonly number[],
  what: string,
): BoundQuery {
  if (query.columns.every((column, i) => binder.info(column.id).type === types[i])) return query;
  const { rel } = query;
  const items = query.columns.map((column, i) => {
    const want = types[i] ?? unknownOid;
    const { type } = binder.info(column.id);
    if (type === want) return { id: column.id, expr: binder.reference(column.id) };
    let expr: Expr = binder.reference(column.id);
    const inner =
      rel.kind === 'project' ? rel.items.find((item) => item.id === column.id)?.expr : undefined;
    if (inner?.kind === 'const' && inner.type === 25) expr = { ...inner, type: unknownOid };
    const cast = coerceCommon(binder, expr, want, what);
    return { id: binder.newColumn({ name: column.name, type: want }), expr: cast };
  });
  return {
    rel: { kind: 'project', input: rel, items },
    columns: query.columns.map((column, i) => ({ ...column, id: items[i]?.id ?? column.id })),
  };
}

/** ORDER BY, LIMIT of a set operation or VALUES: only output columns may be named. */
function finishPlain(
  binder: Binder,
  stmt: SelectStmt,
  parent: Scope | undefined,
  query: BoundQuery,
): BoundQuery {
  if (stmt.lockingClause !== undefined) {
    throw failAt(
      'featureNotSupported',
      stmt.valuesLists === undefined
        ? 'FOR UPDATE is not allowed with UNION/INTERSECT/EXCEPT'
        : 'FOR UPDATE cannot be applied to VALUES',
    );
  }
  const scopeColumns = query.columns.map((column) => ({
    name: column.name,
    id: column.id,
    tableOid: 0,
    columnNumber: 0,
    inStar: true,
  }));
  const scope: Scope = { ...childScope(parent), columns: scopeColumns };
  const c: ExprContext = {
    binder,
    scope,
    clause: 'ORDER BY',
    level: undefined,
    allow: nothingAllowed,
  };
  const keys: SortKey[] = (stmt.sortClause ?? []).map((node) => {
    const item = sortByOf(node);
    const position = positionNumber(item.node);
    if (position !== undefined) {
      const column = query.columns[position - 1];
      if (column === undefined) {
        throw failAt(
          'invalidColumnReference',
          `ORDER BY position ${position} is not in select list`,
          locationOf(item.node),
        );
      }
      return sortKey(binder.reference(column.id), item);
    }
    const expr = settle(binder, bindExpr(c, item.node));
    if (expr.kind !== 'column') {
      throw failAt(
        'featureNotSupported',
        'invalid UNION/INTERSECT/EXCEPT ORDER BY clause',
        locationOf(item.node),
        {
          detail: 'Only result column names can be used, not expressions or functions.',
          hint: 'Add the expression/function to every SELECT, or move the UNION into a FROM clause.',
        },
      );
    }
    return sortKey(expr, item);
  });
  let { rel } = query;
  if (keys.length > 0) rel = { kind: 'sort', input: rel, keys };
  return { rel: addLimit(binder, stmt, parent, rel, keys), columns: query.columns };
}

/** The number of ORDER BY 2, GROUP BY 1. */
export function positionNumber(node: Node | undefined): number | undefined {
  if (node === undefined || !('A_Const' in node)) return undefined;
  return node.A_Const.ival === undefined ? undefined : (node.A_Const.ival.ival ?? 0);
}

export function addLimit(
  binder: Binder,
  stmt: SelectStmt,
  parent: Scope | undefined,
  input: Rel,
  keys: readonly SortKey[],
): Rel {
  const count = limitValue(binder, stmt.limitCount, parent, 'LIMIT');
  const offset = limitValue(binder, stmt.limitOffset, parent, 'OFFSET');
  if (count === undefined && offset === undefined) return input;
  const withTies = stmt.limitOption === 'LIMIT_OPTION_WITH_TIES';
  if (withTies && keys.length === 0) {
    throw failAt('syntaxError', 'WITH TIES cannot be specified without ORDER BY clause');
  }
  return { kind: 'limit', input, count, offset, ties: withTies ? keys : undefined };
}

function limitValue(
  binder: Binder,
  node: Node | undefined,
  parent: Scope | undefined,
  clause: string,
): Expr | undefined {
  if (node === undefined) return undefined;
  if ('A_Const' in node && node.A_Const.isnull === true) return undefined;
  const scope = childScope(parent);
  const c: ExprContext = { binder, scope, clause, level: undefined, allow: nothingAllowed };
  const expr = bindExpr(c, node);
  const done = tryCoerce(binder, expr, int8Oid, {
    context: 'assignment',
    location: locationOf(node),
  });
  if (done === undefined) {
    throw failAt(
      'datatypeMismatch',
      `argument of ${clause} must be type bigint, not type ${typeName(expr.type)}`,
      locationOf(node),
    );
  }
  if (parent === undefined && columnsOf(done).size > 0) {
    throw failAt(
      'invalidColumnReference',
      `argument of ${clause} must not contain variables`,
      locationOf(node),
    );
  }
  return done;
}
