/** BEGIN, COMMIT, ROLLBACK and savepoints, with PostgreSQL's warnings in the wrong places. */
import { type Node, type TransactionStmt } from '@pgsql/types';
import { sqlError } from '../errors.ts';
import { type ClientOutput } from './client.ts';
import { isolationNamed, tooLateFor, modesOf } from './isolation.ts';
import { type PreparedStatement } from './prepared.ts';
import { type Session } from './session.ts';
import { finishPrepared, prepareTransaction } from './two-phase.ts';

export async function runTransactionStatement(
  session: Session,
  statement: PreparedStatement,
  out: ClientOutput,
): Promise<void> {
  const parsed = statement.parsed?.statement;
  if (parsed?.kind !== 'postgres' || !('TransactionStmt' in parsed.node)) return;
  const node = parsed.node.TransactionStmt;
  switch (node.kind) {
    case 'TRANS_STMT_BEGIN':
      begin(session, node, parsed.asOf);
      out.complete('BEGIN');
      return;
    case 'TRANS_STMT_START':
      begin(session, node, parsed.asOf);
      out.complete('START TRANSACTION');
      return;
    case 'TRANS_STMT_COMMIT':
      out.complete(await commit(session, node));
      return;
    case 'TRANS_STMT_ROLLBACK':
      await rollback(session, node);
      out.complete('ROLLBACK');
      return;
    case 'TRANS_STMT_SAVEPOINT':
      requireBlock(session, 'SAVEPOINT');
      await session.transaction.savepoint(
        node.savepoint_name ?? '',
        new Set(session.portals.values()),
      );
      out.complete('SAVEPOINT');
      return;
    case 'TRANS_STMT_RELEASE':
      requireBlock(session, 'RELEASE SAVEPOINT');
      session.transaction.release(node.savepoint_name ?? '');
      out.complete('RELEASE');
      return;
    case 'TRANS_STMT_ROLLBACK_TO': {
      requireBlock(session, 'ROLLBACK TO SAVEPOINT');
      const { portals } = await session.transaction.rollbackTo(node.savepoint_name ?? '');
      await session.closePortals(portals);
      out.complete('ROLLBACK');
      return;
    }
    case 'TRANS_STMT_PREPARE':
      out.complete(await prepareTransaction(session, node.gid ?? ''));
      return;
    case 'TRANS_STMT_COMMIT_PREPARED':
      await finishPrepared(session, node.gid ?? '', 'commit');
      out.complete('COMMIT PREPARED');
      return;
    case 'TRANS_STMT_ROLLBACK_PREPARED':
      await finishPrepared(session, node.gid ?? '', 'abort');
      out.complete('ROLLBACK PREPARED');
      return;
    default:
      throw sqlError('internalError', 'a transaction statement of an unknown kind');
  }
}

function begin(session: Session, node: TransactionStmt, asOf: Node | undefined): void {
  const { transaction } = session;
  const at = asOf && session.past.ofBlock(asOf);
  if (transaction.state === 'explicit') {
    session.notice('WARNING', '25001', 'there is already a transaction in progress');
  } else {
    transaction.open('implicit');
  }
  applyModes(session, node.options ?? []);
  if (at !== undefined) transaction.readAsOf(at);
  // One that fails leaves no block behind.
  transaction.open('explicit');
  transaction.log.beginAs(transaction.modes);
}

async function commit(session: Session, node: TransactionStmt): Promise<string> {
  const { transaction } = session;
  if (transaction.state !== 'explicit') {
    refuseChainOutside(node, 'COMMIT');
    session.notice('WARNING', '25P01', 'there is no transaction in progress');
    if (transaction.state === 'implicit') await session.runner.commit();
    return 'COMMIT';
  }
  const { failed, modes } = transaction;
  // A commit that fails leaves no block behind.
  if (failed) await session.runner.rollback();
  else await session.runner.commit();
  if (node.chain === true) transaction.chain(modes);
  return failed ? 'ROLLBACK' : 'COMMIT';
}

async function rollback(session: Session, node: TransactionStmt): Promise<void> {
  const { transaction } = session;
  if (transaction.state !== 'explicit') {
    refuseChainOutside(node, 'ROLLBACK');
    session.notice('WARNING', '25P01', 'there is no transaction in progress');
    if (transaction.state === 'implicit') await session.runner.rollback();
    return;
  }
  const { modes } = transaction;
  await session.runner.rollback();
  if (node.chain === true) transaction.chain(modes);
}

function refuseChainOutside(node: TransactionStmt, what: string): void {
  if (node.chain !== true) return;
  throw sqlError(
    'noActiveSqlTransaction',
    `${what} AND CHAIN can only be used in transaction blocks`,
  );
}

function requireBlock(session: Session, what: string): void {
  if (session.transaction.state === 'explicit') return;
  throw sqlError('noActiveSqlTransaction', `${what} can only be used in transaction blocks`);
}

/** ISOLATION LEVEL, READ ONLY, DEFERRABLE of BEGIN and SET TRANSACTION. */
export function applyModes(session: Session, options: readonly Node[]): void {
  for (const { name, value } of modesOf(options)) applyMode(session, name, value);
}

/** `value` as SHOW prints it. Outside a transaction there is nothing to change. */
export function applyMode(session: Session, name: string, value: string): void {
  const { transaction } = session;
  if (transaction.state === 'idle') return;
  switch (name) {
    case 'transaction_isolation': {
      const level = isolationNamed(value) ?? transaction.isolation;
      if (level !== transaction.isolation) checkMayChange(session, 'ISOLATION LEVEL');
      transaction.setIsolation(level);
      return;
    }
    case 'transaction_read_only':
      if (value === 'off' && transaction.readOnly) checkMayWrite(session);
      transaction.readOnly = value === 'on';
      return;
    case 'transaction_deferrable':
      if ((value === 'on') !== transaction.deferrable) checkMayChange(session, '[NOT] DEFERRABLE');
      transaction.deferrable = value === 'on';
      return;
    default:
      return;
  }
}

function checkMayChange({ transaction }: Session, what: string): void {
  if (transaction.hasQueried) throw tooLateFor(what);
  if (transaction.savepoints.length > 0) {
    throw sqlError(
      'activeSqlTransaction',
      `SET TRANSACTION ${what} must not be called in a subtransaction`,
    );
  }
}

function checkMayWrite({ transaction }: Session): void {
  if (transaction.isHistorical) {
    throw sqlError(
      'invalidParameterValue',
      'a transaction that reads AS OF SYSTEM TIME cannot be READ WRITE',
    );
  }
  if (transaction.savepoints.length > 0) {
    throw sqlError(
      'activeSqlTransaction',
      'cannot set transaction read-write mode inside a read-only transaction',
    );
  }
  if (transaction.hasQueried) {
    throw sqlError(
      'activeSqlTransaction',
      'transaction read-write mode must be set before any query',
    );
  }
}
