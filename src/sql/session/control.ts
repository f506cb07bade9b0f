/** Statements the session runs by itself. */
import { type Node, type VariableSetStmt } from '@pgsql/types';
import { sqlError } from '../errors.ts';
import { type Statement } from '../parse/index.ts';
import { oids, type Row } from '../types/index.ts';
import { closeCursors, declareCursor, fetchColumns, fetchFromCursor } from './cursors.ts';
import {
  deallocate,
  executeColumns,
  executePrepared,
  prepareStatement,
} from './prepare-statements.ts';
import { modesOf } from './isolation.ts';
import { type PreparedStatement } from './prepared.ts';
import { setSessionAuthorization } from './roles.ts';
import { type Run, type Session } from './session.ts';
import { settingText } from './set-values.ts';
import { nodeName } from './statement-kind.ts';
import { applyMode, applyModes } from './transaction-statements.ts';
import { type ResultColumn } from './types.ts';

/** Columns of a control statement's result, for Describe. */
export function controlColumns(
  session: Session,
  statement: PreparedStatement,
): readonly ResultColumn[] {
  const node = nodeOf(statement);
  if ('VariableShowStmt' in node) {
    return shownSetting(session, node.VariableShowStmt.name ?? '').columns;
  }
  if ('FetchStmt' in node) return fetchColumns(session, node.FetchStmt);
  if ('ExecuteStmt' in node) return executeColumns(session, node.ExecuteStmt);
  return [];
}

/** Returns the command tag. */
export async function runControl(
  session: Session,
  statement: PreparedStatement,
  run: Run,
): Promise<string> {
  const node = nodeOf(statement);
  if ('VariableSetStmt' in node) {
    const { asOf } = statementOf(statement);
    return setVariable(session, node.VariableSetStmt, asOf);
  }
  if ('VariableShowStmt' in node) return show(session, node.VariableShowStmt.name ?? '', run);
  if ('DiscardStmt' in node) return discard(session, node.DiscardStmt.target ?? 'DISCARD_ALL');
  if ('PrepareStmt' in node) return prepareStatement(session, node.PrepareStmt, statement.text);
  if ('ExecuteStmt' in node) return executePrepared(session, node.ExecuteStmt, run);
  if ('DeallocateStmt' in node) return deallocate(session, node.DeallocateStmt);
  if ('DeclareCursorStmt' in node)
    return declareCursor(session, node.DeclareCursorStmt, statement.text);
  if ('FetchStmt' in node) return fetchFromCursor(session, node.FetchStmt, run);
  if ('ClosePortalStmt' in node) return closeCursors(session, node.ClosePortalStmt.portalname);
  if ('LockStmt' in node) return lockTable(session);
  if ('ConstraintsSetStmt' in node) return 'SET CONSTRAINTS';
  if ('CheckPointStmt' in node) return 'CHECKPOINT';
  if ('UnlistenStmt' in node) return 'UNLISTEN';
  if ('ListenStmt' in node || 'NotifyStmt' in node) {
    throw sqlError('featureNotSupported', 'LISTEN and NOTIFY are not supported');
  }
  if ('DoStmt' in node) {
    throw sqlError(
      'featureNotSupported',
      'DO blocks are not supported: there is no procedural language',
    );
  }
  throw sqlError('featureNotSupported', `${nodeName(node)} is not supported`);
}

function nodeOf(statement: PreparedStatement): Node {
  return statementOf(statement).node;
}

function statementOf(statement: PreparedStatement): Extract<Statement, { kind: 'postgres' }> {
  const parsed = statement.parsed?.statement;
  if (parsed?.kind !== 'postgres') throw sqlError('internalError', 'not a control statement');
  return parsed;
}

// SET and SHOW.

const transactionModes = new Set([
  'transaction_isolation',
  'transaction_read_only',
  'transaction_deferrable',
]);

function setVariable(session: Session, node: VariableSetStmt, asOf: Node | undefined): string {
  const { name = '', args = [], is_local: isLocal = false } = node;
  switch (node.kind) {
    case 'VAR_SET_VALUE':
      assign(session, name, settingText(name, args), isLocal);
      return 'SET';
    case 'VAR_SET_DEFAULT':
    case 'VAR_RESET':
      assign(session, name, undefined, isLocal);
      return node.kind === 'VAR_RESET' ? 'RESET' : 'SET';
    case 'VAR_RESET_ALL':
      session.settings.resetAll();
      return 'RESET';
    case 'VAR_SET_MULTI':
      setMulti(session, name, args, asOf);
      return 'SET';
    default:
      throw sqlError('featureNotSupported', 'SET ... FROM CURRENT is only meant for functions');
  }
}

function assign(session: Session, name: string, value: string | undefined, isLocal: boolean): void {
  if (isLocal && !session.isInBlock) {
    session.notice('WARNING', '25P01', 'SET LOCAL can only be used in transaction blocks');
  }
  switch (name.toLowerCase()) {
    case 'session_authorization':
      setSessionAuthorization(session, value, isLocal);
      return;
    default:
      setSetting(session, name, value, isLocal);
  }
}

/** `value` undefined: back to the default. What belongs to the transaction is the transaction's to refuse. */
export function setSetting(
  session: Session,
  name: string,
  value: string | undefined,
  isLocal: boolean,
): void {
  const { settings, transaction } = session;
  const lower = name.toLowerCase();
  if (transactionModes.has(lower)) {
    const wanted = value ?? settings.get(`default_${lower}`) ?? '';
    transaction.log.setsModes = true;
    applyMode(session, lower, settings.canonical(lower, wanted));
  } else {
    settings.set(name, value, isLocal);
  }
}

function setMulti(
  session: Session,
  name: string,
  args: readonly Node[],
  asOf: Node | undefined,
): void {
  switch (name) {
    case 'TRANSACTION':
      if (!session.isInBlock) {
        session.notice(
          'WARNING',
          '25P01',
          'SET TRANSACTION can only be used in transaction blocks',
        );
      }
      session.transaction.log.setsModes = true;
      applyModes(session, args);
      if (asOf !== undefined) session.transaction.readAsOf(session.past.ofBlock(asOf));
      return;
    case 'SESSION CHARACTERISTICS':
      if (asOf !== undefined) {
        throw sqlError(
          'featureNotSupported',
          'AS OF SYSTEM TIME holds for one transaction, not for a session',
        );
      }
      for (const mode of modesOf(args)) {
        session.settings.set(`default_${mode.name}`, mode.value, false);
      }
      return;
    default:
      throw sqlError('featureNotSupported', `SET ${name} is not supported`);
  }
}

interface ShownSetting {
  readonly columns: readonly ResultColumn[];
  rows(): readonly Row[];
}

/** SHOW of a setting, or of all. Throws 42704 for one that does not exist. */
export function shownSetting(session: Session, name: string): ShownSetting {
  if (name === 'all') {
    return {
      columns: [textColumn('name'), textColumn('setting'), textColumn('description')],
      rows: () => session.settings.all().map((line) => [line.name, line.value, line.description]),
    };
  }
  return {
    columns: [textColumn(session.settings.displayName(name))],
    rows: () => [[session.settings.show(name)]],
  };
}

async function show(session: Session, name: string, run: Run): Promise<string> {
  const shown = shownSetting(session, name);
  const rows = shown.rows();
  run.out.beginResult(shown.columns, run.formats, run.describe);
  const wait = run.out.rows(rows);
  if (wait !== undefined) await wait;
  return 'SHOW';
}

export function textColumn(name: string): ResultColumn {
  return { name, typeOid: oids.text, typmod: -1, tableOid: 0, columnNumber: 0 };
}

// The rest.

async function discard(session: Session, target: string): Promise<string> {
  switch (target) {
    case 'DISCARD_ALL':
      if (session.isInBlock) {
        throw sqlError('activeSqlTransaction', 'DISCARD ALL cannot run inside a transaction block');
      }
      await session.closePortals();
      session.statements.clear();
      session.settings.resetAll();
      setSessionAuthorization(session, undefined, false);
      session.forgetPlans();
      session.host.forgetSequences();
      await session.host.close();
      return 'DISCARD ALL';
    case 'DISCARD_PLANS':
      session.forgetPlans();
      return 'DISCARD PLANS';
    case 'DISCARD_SEQUENCES':
      session.host.forgetSequences();
      return 'DISCARD SEQUENCES';
    default:
      return 'DISCARD TEMP';
  }
}

/** Serializable transactions need no table locks: accepted, so that tools that take them go on. */
function lockTable(session: Session): string {
  if (!session.isInBlock) {
    throw sqlError('noActiveSqlTransaction', 'LOCK TABLE can only be used in transaction blocks');
  }
  return 'LOCK TABLE';
}
