/**
 * Where binding an expression starts, and how the parts of the binder reach each other: expressions
 * hold queries and queries hold expressions, so both go through `binder.parts`.
 */
import { type Node, type SelectStmt } from '@pgsql/types';
import { type Expr } from '../expr.ts';
import {
  type Binder,
  type BoundQuery,
  type ExpectedColumn,
  type ExprContext,
  failAt,
  type Scope,
} from './binder.ts';

export function bindExpr(c: ExprContext, node: Node | undefined): Expr {
  if (node === undefined) throw failAt('syntaxError', 'an expression is missing');
  return c.binder.deeper(() => c.binder.parts.node(c, node));
}

export function bindList(c: ExprContext, nodes: readonly Node[] | undefined): Expr[] {
  return (nodes ?? []).map((node) => bindExpr(c, node));
}

/** Best known position of a node, for errors. */
export function locationOf(node: Node | undefined): number | undefined {
  if (node === undefined) return undefined;
  const [body] = Object.values(node) as {
    readonly location?: number;
    readonly arg?: Node;
    readonly lexpr?: Node;
  }[];
  if (body === undefined) return undefined;
  const inner = locationOf(body.lexpr ?? undefined);
  const own = body.location;
  if (own === undefined || own < 0) return inner ?? locationOf(body.arg ?? undefined);
  return inner !== undefined && inner < own ? inner : own;
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
  return binder.parts.query(binder, stmt, parent, expected);
}
