/** The door of schema changes and utility statements, as the session uses it. */
import { type Node } from '@pgsql/types';
import { type ClusterStatement } from '../parse/types.ts';
import { type StatementContext, type StatementResult } from '../session/types.ts';

/**
 * Runs a statement that is neither a query, nor transaction or session control: CREATE, ALTER, DROP,
 * TRUNCATE, COMMENT, GRANT, ANALYZE, and every cluster statement. Descriptor changes go through
 * `context.txn` and become visible to others when it commits; steps that must wait for that
 * (backfills, data removal) are added to `context.ddl`.
 */
export type RunUtility = (
  statement:
    | { readonly kind: 'postgres'; readonly node: Node; readonly text: string }
    | { readonly kind: 'cluster'; readonly statement: ClusterStatement },
  context: StatementContext,
) => Promise<StatementResult>;
