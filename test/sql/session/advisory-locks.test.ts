/** What a session does when transactions behind its advisory locks are lost, or fail. */
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { KvFailure, type Txn } from '../../../src/kv/index.ts';
import { type Session } from '../../../src/sql/index.ts';
import { startService, type TestService } from '../../pgwire/server.ts';
import { runText, type TextAnswer } from '../logic/text-client.ts';

let running: TestService;
let session: Session;
let other: Session;
/** Transactions of the session's own locks. */
let lockTxns: Txn[] = [];

const newSession = (): Promise<Session> =>
  running.service.newSession({ user: 'root', database: 'defaultdb', settings: new Map() });

beforeEach(async () => {
  lockTxns = [];
  running = await startService();
  session = await newSession();
  other = await newSession();
  await run('create table log (v int)');
  const { db } = running;
  const begin = db.begin.bind(db);
  db.begin = (options) => {
    const txn = begin(options);
    if (options?.name === 'advisory lock') lockTxns.push(txn);
    return txn;
  };
});

afterEach(() => running.stop());

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

describe('locks of the session', () => {
  beforeEach(() =>
    run('select pg_advisory_lock_shared(5), pg_advisory_lock(5), pg_advisory_lock(6)'),
  );

  it('are lost one by one', async () => {
    const [, exclusive] = lockTxns;
    await exclusive?.rollback();
    const unlock = 'select pg_advisory_unlock(5), pg_advisory_unlock_shared(5)';
    expect(await run('select pg_try_advisory_lock_shared(5)', other)).toEqual(['t']);
    expect(await run(unlock)).toEqual(['f t']);
  });

  it('go with it, also when its transaction could not be rolled back', async () => {
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
