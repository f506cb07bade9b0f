/** SQL text kept in descriptors (defaults, checks, generated columns, predicates, views) as trees. */
import { type Node } from '@pgsql/types';
import { sqlError } from '../errors.ts';
import { loadParser, parseExpression as parseLoaded, parseStatements } from '../parse/index.ts';

/** The tree of one scalar expression. */
export async function parseExpression(sql: string): Promise<Node> {
  await loadParser();
  return parseLoaded(sql);
}

/** The tree of one statement. */
export async function parseQuery(sql: string): Promise<Node> {
  await loadParser();
  const [first] = parseStatements(sql);
  if (first?.statement.kind !== 'postgres') {
    throw sqlError('internalError', `stored query cannot be read: ${sql}`);
  }
  return first.statement.node;
}
