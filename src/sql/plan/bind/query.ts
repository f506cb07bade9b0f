/** Queries: WITH, set operations, VALUES, and the order in which the parts of a SELECT are evaluated. */
import { type Node, type SelectStmt } from '@pgsql/types';
import { constExpr, type Expr, unknownOid } from '../expr.ts';
import { type Rel, type SortKey } from '../logical.ts';
import {
  type Binder,
  type BoundQuery,
  childScope,
  type ExpectedColumn,
  failAt,
  plainContext,
  type OutputColumn,
  type Scope,
} from './binder.ts';
import { coerceCommon, coerceToColumn, settle, unifyTypes } from './coerce.ts';
import { bindExpr, bindQuery, locationOf } from './context.ts';
import { addLimit, positionNumber } from './limit.ts';
import { refuseLocks, setOpRefusal } from './locks.ts';
import { bindSelect } from './select.ts';
import { combine } from './set-columns.ts';
import { sortByOf, sortKey } from './sort.ts';
import { bindWith, closeWith } from './with.ts';

export function bindQueryNode(
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
  refuseLocks(stmt, 'cannot be applied to VALUES');
  const scope = childScope(parent);
  const c = plainContext(binder, scope, 'VALUES');
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
  for (const branch of [stmt, stmt.larg, stmt.rarg]) refuseLocks(branch, setOpRefusal);
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

/** ORDER BY, LIMIT of a set operation or VALUES: only output columns may be named. */
function finishPlain(
  binder: Binder,
  stmt: SelectStmt,
  parent: Scope | undefined,
  query: BoundQuery,
): BoundQuery {
  const scopeColumns = query.columns.map((column) => ({
    name: column.name,
    id: column.id,
    tableOid: 0,
    columnNumber: 0,
    inStar: true,
  }));
  const scope: Scope = { ...childScope(parent), columns: scopeColumns };
  const c = plainContext(binder, scope, 'ORDER BY');
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

function targetOf(stmt: SelectStmt): Node | undefined {
  const first = stmt.targetList?.[0];
  return first !== undefined && 'ResTarget' in first ? first.ResTarget.val : undefined;
}
