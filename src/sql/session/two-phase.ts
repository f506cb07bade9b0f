/**
 * PREPARE TRANSACTION, COMMIT PREPARED and ROLLBACK PREPARED (PostgreSQL, chapter "Two-Phase Transactions").
 *
 * The name is taken first, then the transaction becomes prepared; at its end the record decides which of several sessions has ended it,
 * then the name goes. So a name may outlive its transaction, but no prepared transaction is ever without a name.
 *
 * There is no max_prepared_transactions: nothing is set aside for them.
 */
import { type Db } from '../../kv/index.ts';
import {
  claimName,
  findPrepared,
  freeName,
  rerun,
  type PreparedTransaction,
} from '../catalog/index.ts';
import { sqlError } from '../errors.ts';
import { timestampOfWall } from '../types/index.ts';
import { type Session } from './session.ts';

/** Bytes, as PostgreSQL's GIDSIZE with its final zero. */
const maxGidBytes = 199;

/** Returns the command tag: a failed block is rolled back instead. Whatever becomes of it, the block is over. */
export async function prepareTransaction(session: Session, gid: string): Promise<string> {
  const { transaction } = session;
  if (transaction.state !== 'explicit') {
    session.notice('WARNING', '25P01', 'there is no transaction in progress');
  }
  if (transaction.state === 'idle') return 'ROLLBACK';
  if (transaction.failed) {
    await session.runner.rollback();
    return 'ROLLBACK';
  }
  try {
    await prepare(session, gid);
  } catch (error) {
    await session.runner.rollback();
    throw error;
  }
  return 'PREPARE TRANSACTION';
}

async function prepare(session: Session, gid: string): Promise<void> {
  const { transaction, services, identity, catalog } = session;
  const { db, env } = services;
  if (Buffer.byteLength(gid) > maxGidBytes) {
    throw sqlError('invalidParameterValue', `transaction identifier "${gid}" is too long`);
  }
  if (transaction.changesCatalog) {
    throw sqlError(
      'featureNotSupported',
      'cannot PREPARE a transaction that has changed the definition of an object',
    );
  }
  await session.closePortals();
  const own = await transaction.require();
  if (session.host.holdsForBoth(own)) {
    throw sqlError(
      'featureNotSupported',
      'cannot PREPARE while holding both session-level and transaction-level locks on the same object',
    );
  }
  let claimed: PreparedTransaction | undefined;
  try {
    await transaction.prepare(async (txn) => {
      const wanted: PreparedTransaction = {
        gid,
        txn,
        prepared: timestampOfWall(env.clock.wallMicros()),
        owner: identity.currentUser,
        database: identity.database,
        tables: [...(catalog.pinned?.tables ?? [])],
      };
      // Claimed again after a lost answer it is claimed all the same.
      const isFree = await rerun(env, ['ambiguous-result'], () =>
        db.run({ name: 'prepare transaction' }, (naming) => claimName(db, naming, wanted)),
      );
      if (!isFree) {
        throw sqlError('duplicateObject', `transaction identifier "${gid}" is already in use`);
      }
      claimed = wanted;
    });
  } catch (error) {
    if (claimed !== undefined && own.status === 'aborted') await forget(session, claimed);
    throw error;
  }
}

export async function finishPrepared(
  session: Session,
  gid: string,
  end: 'commit' | 'abort',
): Promise<void> {
  const command = end === 'commit' ? 'COMMIT PREPARED' : 'ROLLBACK PREPARED';
  if (session.isInBlock || session.transaction.state !== 'idle') {
    throw sqlError('activeSqlTransaction', `${command} cannot run inside a transaction block`);
  }
  const { db } = session.services;
  const { strict } = session.settings.newTransaction;
  const found = await db.run({ name: command }, (txn) => findPrepared(txn, gid));
  if (found !== undefined) checkMayFinish(session, found);
  const isEnded = found !== undefined && (await db.endPrepared(found.txn, end, { strict }));
  if (isEnded || (found !== undefined && (await isOver(db, found)))) await forget(session, found);
  if (isEnded) return;
  throw sqlError('undefinedObject', `prepared transaction with identifier "${gid}" does not exist`);
}

async function isOver(db: Db, { txn }: PreparedTransaction): Promise<boolean> {
  return (await db.stateOfPrepared(txn)) === 'ended';
}

function checkMayFinish(session: Session, { owner, database }: PreparedTransaction): void {
  const { currentUser, database: here } = session.identity;
  const role = session.catalog.snapshot.data.roles.get(currentUser);
  if (owner !== currentUser && role?.options.superuser !== true) {
    throw sqlError('insufficientPrivilege', 'permission denied to finish prepared transaction', {
      hint: 'Must be superuser or the user that prepared the transaction.',
    });
  }
  if (database !== here) {
    throw sqlError('featureNotSupported', 'prepared transaction belongs to another database', {
      hint: 'Connect to the database where the transaction was prepared to finish it.',
    });
  }
}

/** The name goes behind its transaction. One that stays is no harm: nothing is prepared under it. */
async function forget(session: Session, transaction: PreparedTransaction): Promise<void> {
  const { db, env } = session.services;
  try {
    await db.run({ name: 'prepared transaction' }, (txn) => freeName(txn, transaction));
  } catch (error) {
    env.log.warn({ error }, 'the name of a prepared transaction was not removed');
  }
}
