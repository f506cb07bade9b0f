/** What a session asks of its transactions. */
import { afterAll, beforeAll, beforeEach, expect, it } from 'vitest';
import { type Db, type TxnOptions } from '../../../src/kv/index.ts';
import { type Session } from '../../../src/sql/index.ts';
import { startService, type TestService } from '../../pgwire/server.ts';
import { runText } from '../logic/text-client.ts';

let running: TestService;
let session: Session;
let begun: TxnOptions[] = [];

beforeAll(async () => {
  running = await startService();
  const { db } = running;
  const begin = db.begin.bind(db);
  db.begin = (options) => {
    if (options?.name === 'sql') begun.push(options);
    return begin(options);
  };
});

beforeEach(async () => {
  begun = [];
  session = await running.service.newSession({
    user: 'root',
    database: 'defaultdb',
    settings: new Map(),
  });
});

afterAll(() => running.stop());

const run = async (sql: string): Promise<void> => {
  expect((await runText(session, sql)).error).toBeUndefined();
};

it.each([
  ['read uncommitted', 'read-committed'],
  ['read committed', 'read-committed'],
  ['repeatable read', 'snapshot'],
  ['serializable', 'serializable'],
])('%s is %s for blocks and for statements on their own', async (level, isolation) => {
  await run(`begin isolation level ${level}; select 1; commit`);
  await run(`set default_transaction_isolation = '${level}'`);
  await run('select 1');
  await run('begin; select 1; commit and chain; select 1; commit');
  expect(begun).toHaveLength(4);
  for (const options of begun) expect(options).toMatchObject({ isolation, strict: false });
});

it('strict_serializability is asked for where it is on', async () => {
  await run('set strict_serializability = on');
  await run('select 1');
  await run('begin; set local strict_serializability = off; select 1; commit');
  await run('begin; select 1; commit');
  expect(begun.map(({ strict }) => strict)).toEqual([true, false, true]);
});

it('COMMIT PREPARED keeps the promise of the session that says it', async () => {
  await run('create table p (id int primary key)');
  const db: Db = running.db;
  const asked: unknown[] = [];
  const endPrepared = db.endPrepared.bind(db);
  db.endPrepared = (prepared, end, options) => {
    asked.push(options?.strict);
    return endPrepared(prepared, end, options);
  };
  for (const mode of ['off', 'on']) {
    await run(`begin; insert into p values (${asked.length}); prepare transaction 'p'`);
    await run(`set strict_serializability = ${mode}`);
    await run(`commit prepared 'p'`);
  }
  expect(asked).toEqual([false, true]);
});

it.each([
  ['alter database d1 rename to d2', 'd1', '3D000'],
  ['alter role r1 rename to r2', 'defaultdb', '42704'],
])('PREPARE TRANSACTION fails beside %s', async (change, database, code) => {
  await run('create database d1');
  await run('create role r1 login');
  const preparing = await running.service.newSession({
    user: 'r1',
    database,
    settings: new Map(),
  });
  const { db } = running;
  const runOnce = db.run.bind(db);
  let hasChanged = false;
  db.run = (options, fn) =>
    runOnce(options, async (txn) => {
      const result = await fn(txn);
      if (options.name === 'prepare transaction' && !hasChanged) {
        hasChanged = true;
        await run(change);
      }
      return result;
    });
  const { error } = await runText(preparing, `begin; select 1; prepare transaction 'beside'`);
  db.run = runOnce;
  expect(hasChanged).toBe(true);
  expect(error?.code).toBe(code);
  for (const name of ['1', '2']) {
    await run(`drop database if exists d${name}`);
    await run(`drop role if exists r${name}`);
  }
  const { results } = await runText(session, 'select count(*) from pg_prepared_xacts');
  expect(results[0]?.rows).toEqual([['0']]);
});

it('a block asks for nothing before its first query, and once for all of them', async () => {
  await run('begin; set transaction isolation level serializable; show transaction_isolation');
  expect(begun).toEqual([]);
  await run('select 1; savepoint s; select 2; rollback to s; select 3; commit');
  expect(begun).toHaveLength(1);
});

it('a transaction that changes the schema becomes serializable', async () => {
  await run('begin; select 1');
  const { txn } = session.transaction;
  let became = 0;
  if (txn !== undefined) {
    const become = txn.becomeSerializable.bind(txn);
    txn.becomeSerializable = () => {
      became++;
      become();
    };
  }
  await run('create table a (id int primary key); create table b (id int primary key); commit');
  expect(became).toBe(1);
});
