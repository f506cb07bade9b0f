/** LIMIT, OFFSET, FETCH; positions in ORDER BY and GROUP BY. */
import { type Node, type SelectStmt } from '@pgsql/types';
import { type Expr, int8Oid } from '../expr.ts';
import { type Rel, type SortKey } from '../logical.ts';
import { columnsOf } from '../walk.ts';
import { type Binder, childScope, failAt, plainContext, type Scope, typeName } from './binder.ts';
import { tryCoerce } from './coerce.ts';
import { bindExpr, locationOf } from './context.ts';

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
  const c = plainContext(binder, scope, clause);
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
