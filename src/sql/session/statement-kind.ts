/** Who runs a statement: decided by its tree, once. */
import { type Node } from '@pgsql/types';
import { type ParsedStatement } from '../parse/index.ts';

export type StatementKind =
  | 'empty'
  /** BEGIN, COMMIT, SAVEPOINT, ... */
  | 'transaction'
  /** Run by the session itself: SET, SHOW, PREPARE, FETCH, ... */
  | 'control'
  | 'copy'
  /** Goes on until it is cancelled. */
  | 'changefeed'
  /** Planned and executed. */
  | 'query'
  /** Schema changes, cluster statements. */
  | 'utility';

const control = new Set([
  'VariableSetStmt',
  'VariableShowStmt',
  'DiscardStmt',
  'PrepareStmt',
  'ExecuteStmt',
  'DeallocateStmt',
  'DeclareCursorStmt',
  'FetchStmt',
  'ClosePortalStmt',
  'ListenStmt',
  'UnlistenStmt',
  'NotifyStmt',
  'LockStmt',
  'DoStmt',
  'ConstraintsSetStmt',
  'CheckPointStmt',
  'LoadStmt',
]);

const query = new Set([
  'SelectStmt',
  'InsertStmt',
  'UpdateStmt',
  'DeleteStmt',
  'MergeStmt',
  'ExplainStmt',
]);

export function kindOfStatement(parsed: ParsedStatement | undefined): StatementKind {
  if (parsed === undefined) return 'empty';
  if (parsed.statement.kind === 'cluster') {
    return parsed.statement.statement.kind === 'changefeed' ? 'changefeed' : 'utility';
  }
  const { node } = parsed.statement;
  const name = nodeName(node);
  if (name === 'TransactionStmt') return 'transaction';
  if (name === 'CopyStmt') return 'copy';
  if (control.has(name)) return 'control';
  if ('SelectStmt' in node && intoClause(node) !== undefined) return 'utility';
  return query.has(name) ? 'query' : 'utility';
}

function intoClause(node: Node & { SelectStmt: object }): unknown {
  return 'intoClause' in node.SelectStmt ? node.SelectStmt.intoClause : undefined;
}

/** The name of a statement's tree; empty for the cluster dialect and for nothing. */
export function statementName({
  parsed,
}: {
  readonly parsed: ParsedStatement | undefined;
}): string {
  return parsed?.statement.kind === 'postgres' ? nodeName(parsed.statement.node) : '';
}

/** The name of the tree's type: SelectStmt. */
export function nodeName(node: Node): string {
  for (const key in node) return key;
  return '';
}
