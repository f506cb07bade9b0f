/**
 * The planner's door: what the session asks of `plan` and `exec`. The trees inside (logical and
 * physical plans, expressions) are private to those folders.
 */
import { type Node } from '@pgsql/types';
import { type Catalog } from '../catalog/types.ts';
import { type EvalContext } from '../functions/registry-types.ts';
import {
  type ResultColumn,
  type StatementContext,
  type StatementResult,
} from '../session/types.ts';

export interface PlanRequest {
  /** A SelectStmt, InsertStmt, UpdateStmt, DeleteStmt, MergeStmt or ExplainStmt node of libpg-query. */
  readonly statement: Node;
  /** Oids given by the client; 0 or missing = infer. */
  readonly parameterTypes: readonly number[];
  /** UPSERT INTO: an InsertStmt that replaces the row with the same primary key. */
  readonly upsert?: boolean;
  /** The statement's text: with it positions of errors count characters, else bytes. */
  readonly text?: string;
  readonly catalog: Catalog;
  /** For folding stable functions never; only immutable ones are folded at planning. */
  readonly eval: EvalContext;
}

/** Reusable for any number of executions while `catalogVersion` is the catalog's. */
export interface PreparedPlan {
  readonly catalogVersion: number;
  readonly parameterTypes: readonly number[];
  /** Empty when the statement returns no rows. */
  readonly columns: readonly ResultColumn[];
  readonly isReadOnly: boolean;
  /** Run again over the same keys, given the same drawn values, it has the same rows and writes the same. */
  readonly isRepeatable: boolean;
  /** It does something that a rollback does not take back. */
  readonly outlivesRollback: boolean;
  /** Starts one execution; all effects happen while the result is drained. */
  execute(context: StatementContext): Promise<StatementResult>;
}

export type PlanStatement = (request: PlanRequest) => Promise<PreparedPlan>;
