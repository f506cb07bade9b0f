/** BEGIN, COMMIT, ROLLBACK and savepoints, with PostgreSQL's warnings in the wrong places. */
import { type Node, type TransactionStmt } from '@pgsql/types';
import { sqlError } from '../errors.ts';
import { type ClientOutput } from './client.ts';
import { type PreparedStatement } from './prepared.ts';
import { type Session } from './session.ts';

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
      await session.transaction.savepoint(node.savepoint_name ?? '');
      out.complete('SAVEPOINT');
      return;
    case 'TRANS_STMT_RELEASE':
      requireBlock(session, 'RELEASE SAVEPOINT');
      session.transaction.release(node.savepoint_name ?? '');
      out.complete('RELEASE');
      return;
    case 'TRANS_STMT_ROLLBACK_TO':
      requireBlock(session, 'ROLLBACK TO SAVEPOINT');
      session.transaction.rollbackTo(node.savepoint_name ?? '');
      out.complete('ROLLBACK');
      return;
    default:
      throw sqlError('featureNotSupported', 'two-phase commit is not supported');
  }
}

function begin(session: Session, node: TransactionStmt, asOf: Node | undefined): void {
  const { transaction } = session;
  const at = asOf && session.past.ofBlock(asOf);
  if (transaction.state === 'explicit') {
    session.notice('WARNING', '25001', 'there is already a transaction in progress');
  } else {
    transaction.open('explicit');
    beginSettings(session);
  }
  applyModes(session, node.options ?? []);
  if (at !== undefined) transaction.readAsOf(at);
}

/** A new block starts with the session's defaults. */
function beginSettings(session: Session): void {
  const { settings, transaction } = session;
  transaction.readOnly =
    transaction.readOnly || settings.get('default_transaction_read_only') === 'on';
  transaction.isolation = settings.get('default_transaction_isolation') ?? 'serializable';
}

async function commit(session: Session, node: TransactionStmt): Promise<string> {
  const { transaction } = session;
  if (transaction.state !== 'explicit') {
    refuseChainOutside(node, 'COMMIT');
    session.notice('WARNING', '25P01', 'there is no transaction in progress');
    if (transaction.state === 'implicit') await session.commit();
    return 'COMMIT';
  }
  const { failed, readOnly, isolation } = transaction;
  if (failed) await session.rollback();
  else await commitExplicit(session);
  if (node.chain === true) chain(session, readOnly, isolation);
  return failed ? 'ROLLBACK' : 'COMMIT';
}

/** A commit that fails leaves no block behind. */
async function commitExplicit(session: Session): Promise<void> {
  await session.commit();
}

async function rollback(session: Session, node: TransactionStmt): Promise<void> {
  const { transaction } = session;
  if (transaction.state !== 'explicit') {
    refuseChainOutside(node, 'ROLLBACK');
    session.notice('WARNING', '25P01', 'there is no transaction in progress');
    if (transaction.state === 'implicit') await session.rollback();
    return;
  }
  const { readOnly, isolation } = transaction;
  await session.rollback();
  if (node.chain === true) chain(session, readOnly, isolation);
}

function chain(session: Session, readOnly: boolean, isolation: string): void {
  const { transaction } = session;
  transaction.open('explicit');
  transaction.readOnly = readOnly;
  transaction.isolation = isolation;
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
  for (const { name, value } of transactionModes(options)) {
    applyMode(session, name, value);
  }
}

/** All levels run as serializable, which each of them allows; SHOW tells what was asked for. */
export function applyMode(session: Session, name: string, value: string): void {
  const { transaction } = session;
  switch (name) {
    case 'transaction_isolation':
      transaction.isolation = value;
      break;
    case 'transaction_read_only':
      if (value === 'off' && transaction.readOnly && transaction.txn !== undefined) {
        throw sqlError(
          'activeSqlTransaction',
          'transaction read-write mode must be set before any query',
        );
      }
      if (value === 'off' && transaction.isHistorical) {
        throw sqlError(
          'invalidParameterValue',
          'a transaction that reads AS OF SYSTEM TIME cannot be READ WRITE',
        );
      }
      transaction.readOnly = value === 'on';
      break;
    default:
      break;
  }
}

export function transactionModes(options: readonly Node[]): { name: string; value: string }[] {
  return options.flatMap((option) => {
    if (!('DefElem' in option)) return [];
    const { defname = '', arg } = option.DefElem;
    if (arg === undefined || !('A_Const' in arg)) return [];
    const constant = arg.A_Const;
    const value = constant.sval?.sval ?? ((constant.ival?.ival ?? 0) === 0 ? 'off' : 'on');
    return [{ name: defname, value }];
  });
}
