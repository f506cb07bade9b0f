/** What a session does when transactions behind its advisory locks are lost, or fail. */
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { KvFailure, type KvError, type Txn } from '../../../src/kv/index.ts';
import { type Session } from '../../../src/sql/index.ts';
import { startService, type TestService } from '../../pgwire/server.ts';
import { runText, type TextAnswer } from '../logic/text-client.ts';

let running: TestService;
let session: Session;
let other: Session;
/** Transactions of the session's own locks. */
let lockTxns: Txn[] = [];
/** So many of those that begin now are aborted before they hold anything. */
let lockFailures = 0;
/** The coming commits of transactions of clients fail with these. */
let commitFailures: KvError[] = [];

const newSession = (): Promise<Session> =>
  running.service.newSession({ user: 'root', database: 'defaultdb', settings: new Map() });

beforeEach(async () => {
  lockTxns = [];
  lockFailures = 0;
  commitFailures = [];
  running = await startService();
  session = await newSession();
  other = await newSession();
  await run('create table log (v int)');
  const { db } = running;
  const begin = db.begin.bind(db);
  db.begin = (options) => {
    const txn = begin(options);
    if (options?.name === 'sql') failCommits(txn);
    if (options?.name !== 'advisory lock') return txn;
    lockTxns.push(txn);
    if (lockFailures > 0) failHolds(txn);
    return txn;
  };
});

afterEach(() => running.stop());

function failHolds(txn: Txn): void {
  lockFailures--;
  txn.hold = async () => {
    await txn.rollback();
    throw new KvFailure({ kind: 'txn-aborted', reason: 'test' });
  };
}

function failCommits(txn: Txn): void {
  const commit = txn.commit.bind(txn);
  txn.commit = async (options) => {
    const failure = commitFailures.shift();
    if (failure === undefined) return commit(options);
    await txn.rollback();
    throw new KvFailure(failure);
  };
}

async function run(sql: string, by = session): Promise<string[]> {
  const { results, error }: TextAnswer = await runText(by, sql);
  const lines = results.map(({ rows, tag, columns }) =>
    columns.length === 0 ? tag : rows.map((row) => row.join(' ')).join(', '),
  );
  return error === undefined ? lines : [...lines, error.code];
}

describe('a lock that the session and its transaction have', () => {
  beforeEach(async () => {
    await run('select pg_advisory_lock(5)');
    await run('begin; select pg_advisory_xact_lock(5); insert into log values (1)');
  });

  it('stays with the transaction when the session loses it', async () => {
    for (const txn of lockTxns) await txn.rollback();
    expect(await run('select pg_try_advisory_lock(5)', other)).toEqual(['f']);
    expect(await run('commit')).toEqual(['COMMIT']);
    expect(await run('select pg_try_advisory_lock(5)', other)).toEqual(['t']);
  });

  it('stays with the session when the transaction loses it', async () => {
    await session.transaction.txn?.rollback();
    expect(await run('select pg_try_advisory_lock(5)', other)).toEqual(['f']);
    expect(await run('commit')).toEqual(['40001']);
    expect(await run('select pg_try_advisory_lock(5)', other)).toEqual(['f']);
  });

  it('is gone when both have lost it, and the transaction cannot commit', async () => {
    for (const txn of lockTxns) await txn.rollback();
    await session.transaction.txn?.rollback();
    expect(await run('select pg_try_advisory_lock(5)', other)).toEqual(['t']);
    expect(await run('commit')).toEqual(['40001']);
  });
});

describe('a lock that cannot be made weaker behind its transaction', () => {
  beforeEach(() => run('select pg_advisory_lock_shared(5), pg_advisory_lock(6)'));

  /** Exclusive until the session gives it up. */
  async function expectKept(): Promise<void> {
    expect(lockFailures).toBe(0);
    expect(await run('select pg_try_advisory_lock_shared(5)', other)).toEqual(['f']);
    expect(await run('select pg_advisory_unlock_shared(5)')).toEqual(['t']);
    expect(await run('select pg_try_advisory_lock(5)', other)).toEqual(['t']);
  }

  it('does not let a statement that has committed run again', async () => {
    lockFailures = 1;
    const insert = 'insert into log select 1 from (select pg_advisory_xact_lock(5)) x';
    expect(await run(insert)).toEqual(['INSERT 0 1']);
    expect(await run('select count(*) from log')).toEqual(['1']);
    await expectKept();
  });

  it('does not hide that the outcome of the commit is unknown', async () => {
    await run('begin; insert into log values (1); select pg_advisory_xact_lock(5)');
    lockFailures = 1;
    commitFailures = [{ kind: 'ambiguous-result', reason: 'test' }];
    expect(await run('commit')).toEqual(['40003']);
    await expectKept();
  });

  it('does not let ROLLBACK TO fail', async () => {
    await run('begin; savepoint s; select pg_advisory_xact_lock(5)');
    lockFailures = 1;
    expect(await run('rollback to s; commit')).toEqual(['ROLLBACK', 'COMMIT']);
    expect(await run('select pg_try_advisory_lock_shared(5)', other)).toEqual(['t']);
  });

  it('goes with the session, like its others', async () => {
    await run('begin; select pg_advisory_xact_lock(5)');
    lockFailures = 1;
    await running.service.close(session);
    expect(lockFailures).toBe(0);
    const tries = 'select pg_try_advisory_lock(5), pg_try_advisory_lock(6)';
    expect(await run(tries, other)).toEqual(['t t']);
  });

  it('goes with a session whose transaction could not be rolled back, like its others', async () => {
    await run('begin; select pg_advisory_xact_lock(5)');
    const { txn } = session.transaction;
    if (txn === undefined) throw new Error('no transaction');
    const rollback = txn.rollback.bind(txn);
    txn.rollback = async () => {
      await rollback();
      throw new KvFailure({ kind: 'unavailable', reason: 'test' });
    };
    await running.service.close(session);
    const tries = 'select pg_try_advisory_lock(5), pg_try_advisory_lock(6)';
    expect(await run(tries, other)).toEqual(['t t']);
  });
});
