/** The door of schema changes and utility statements, as the session uses it. */
import { type Node } from '@pgsql/types';
import { type ClusterStatement } from '../parse/types.ts';
import {
  type ResultColumn,
  type StatementContext,
  type StatementResult,
} from '../session/types.ts';
import { type Row } from '../types/index.ts';

/**
 * Runs a statement that is neither a query, nor transaction or session control: CREATE, ALTER, DROP,
 * TRUNCATE, COMMENT, GRANT, ANALYZE, and every cluster statement. Descriptor changes go through
 * `context.txn` and become visible to others when it commits; steps that must wait for that
 * (backfills, data removal) are added to `context.ddl`.
 */
export type RunUtility = (
  statement:
    | { readonly kind: 'postgres'; readonly node: Node; readonly text: string }
    | { readonly kind: 'cluster'; readonly statement: ClusterStatement; readonly text: string },
  context: StatementContext,
) => Promise<StatementResult>;

/** A column of a SHOW; a hidden one is there only for those who name it in a query over the SHOW. */
export interface ShownColumn extends ResultColumn {
  readonly hidden?: boolean;
}

/** What a SHOW shows. Its columns are known without running it, so it can be described and stand in FROM. */
export interface Shown {
  readonly columns: readonly ShownColumn[];
  /** With hidden columns. */
  rows(context: StatementContext): readonly Row[] | Promise<readonly Row[]>;
}

/** Undefined when the statement is no SHOW. */
export type ShownBy = (statement: ClusterStatement) => Shown | undefined;

/** What a statement answers with; empty when it returns no rows. */
export type ColumnsOf = (statement: ClusterStatement) => readonly ResultColumn[];
