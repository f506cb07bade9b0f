/** Transactions that cannot commit and are replayed behind the client's back, or are not. */
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { KvFailure, type KvError, type Txn } from '../../../src/kv/index.ts';
import { type Session } from '../../../src/sql/index.ts';
import { silentOutput } from '../../../src/sql/session/answer-digest.ts';
import { startService, type TestService } from '../../pgwire/server.ts';
import { runText, type TextAnswer } from '../logic/text-client.ts';

let running: TestService;
let session: Session;
let other: Session;
/** The coming commits of transactions of clients fail with these; undefined lets one succeed. */
let failures: (KvError | undefined)[] = [];
const retry: KvError = { kind: 'txn-retry', reason: 'test' };

const newSession = (): Promise<Session> =>
  running.service.newSession({ user: 'root', database: 'defaultdb', settings: new Map() });

beforeEach(async () => {
  failures = [];
  running = await startService({ retries: 5, replayBytes: 10_000 });
  session = await newSession();
  other = await newSession();
  await run('create table t (id int primary key, v int); insert into t values (1, 10), (2, 20)');
  const { db } = running;
  const begin = db.begin.bind(db);
  db.begin = (options) => {
    const txn = begin(options);
    return options?.name === 'sql' ? failing(txn) : txn;
  };
});

afterEach(() => running.stop());

function failing(txn: Txn): Txn {
  const commit = txn.commit.bind(txn);
  txn.commit = async (options) => {
    const failure = failures.shift();
    if (failure === undefined) return commit(options);
    await txn.rollback();
    throw new KvFailure(failure);
  };
  return txn;
}

async function run(sql: string, by = session, copyData = ''): Promise<string[]> {
  const { results, error }: TextAnswer = await runText(by, sql, copyData);
  const lines = results.map(({ rows, tag, columns }) =>
    columns.length === 0 ? tag : rows.map((row) => row.join(' ')).join(', '),
  );
  return error === undefined ? lines : [...lines, error.code];
}

const counters = (): object => {
  const { replays, replaysRefused, retryErrors } = running.service.services.counters;
  return { replays, replaysRefused, retryErrors };
};

describe('a commit that definitely failed', () => {
  it.each(['read committed', 'repeatable read', 'serializable'])(
    'is replayed under %s',
    async (level) => {
      await run(
        `begin isolation level ${level}; select * from t; update t set v = v + 1 where id = 1`,
      );
      failures = [retry, { kind: 'txn-aborted', reason: 'test' }];
      expect(await run('commit')).toEqual(['COMMIT']);
      expect(await run('select * from t')).toEqual(['1 11, 2 20']);
      expect(counters()).toEqual({ replays: 2, replaysRefused: 0, retryErrors: 0 });
    },
  );

  it('is told to the client when a failed statement would have said something else', async () => {
    await run('alter table t add constraint low check (v < 50)');
    await run('begin isolation level serializable; savepoint s');
    expect(await run('update t set v = v + 100 where id = 1')).toEqual(['23514']);
    await run('rollback to s');
    await run('update t set v = 33 where id = 1', other);
    expect(await run('update t set v = 7 where id = 2; commit')).toEqual(['UPDATE 1', '40001']);
    expect(await run('select * from t')).toEqual(['1 33, 2 20']);
  });

  it('is told to the client when rows that came before a failure would be others', async () => {
    await run('insert into t select i, i from generate_series(3, 5000) i');
    await run('begin isolation level serializable; savepoint s');
    // Some thousand rows have left by then.
    const failed = await run('select id, v, 1 / (id - 4990) from t order by id');
    expect(failed).toContain('22012');
    await run('rollback to s');
    await run('update t set v = 33 where id = 1', other);
    expect(await run('update t set v = 7 where id = 2; commit')).toEqual(['UPDATE 1', '40001']);
  });

  it('is replayed with the plans of its statements, whatever settings have made of them since', async () => {
    for (let i = 0; i < 2; i++) await run('update t set v = v + 1 where id = 1');
    await run('begin; update t set v = v + 1 where id = 1');
    await run("set local search_path = 'public', 'pg_catalog'");
    await run('update t set v = v + 1 where id = 1');
    failures = [retry];
    expect(await run('commit')).toEqual(['COMMIT']);
    expect(await run('select * from t')).toEqual(['1 14, 2 20']);
  });

  it('is told to the client when an answer would be another one', async () => {
    await run('begin; select * from t where id = 2; update t set v = v + 1 where id = 1');
    await run('update t set v = 0 where id = 2', other);
    failures = [retry];
    expect(await run('commit')).toEqual(['40001']);
    expect(session.status).toBe('I');
    expect(await run('select * from t')).toEqual(['1 10, 2 0']);
    expect(counters()).toEqual({ replays: 0, replaysRefused: 1, retryErrors: 1 });
    const shown = 'select fingerprint, replays_refused, errors, last_reason from [show retries]';
    expect(await run(shown)).toEqual([
      'commit 1 1 test; not replayed: an answer would be another one',
    ]);
  });

  it('is replayed with what others did meanwhile where no answer tells of it', async () => {
    await run('begin; update t set v = v + 1 where id = 1');
    failures = [retry];
    expect(await run('commit')).toEqual(['COMMIT']);
    await run('begin; delete from t where v = 0; update t set v = v + 1 where id = 1');
    await run('update t set v = 100 where id = 2', other);
    failures = [retry];
    expect(await run('commit')).toEqual(['COMMIT']);
    expect(await run('select * from t')).toEqual(['1 12, 2 100']);
  });

  it('is replayed with savepoints, failed statements, settings and modes', async () => {
    await run('begin isolation level serializable; set local extra_float_digits = 0');
    await run('savepoint a; insert into t values (3, 30)');
    expect(await run('insert into t values (3, 31)')).toEqual(['23505']);
    expect(await run('rollback to a; insert into t values (4, 40); savepoint b')).toHaveLength(3);
    expect(await run('set transaction read only; insert into t values (5, 50)')).toEqual([
      'SET',
      '25006',
    ]);
    expect(await run('rollback to b; insert into t values (6, 60); release b')).toHaveLength(3);
    failures = [retry];
    expect(await run('commit')).toEqual(['COMMIT']);
    expect(await run('select * from t where id > 2')).toEqual(['4 40, 6 60']);
    expect(await run('show extra_float_digits; show transaction_read_only')).toEqual(['1', 'off']);
  });

  it('is replayed with the modes of a block in one message, unless BEGIN changes them', async () => {
    failures = [retry];
    expect(
      await run(
        'set transaction isolation level serializable; update t set v = 11 where id = 1; show transaction_isolation; commit',
      ),
    ).toEqual(['SET', 'UPDATE 1', 'serializable', 'COMMIT']);
    expect(counters()).toEqual({ replays: 1, replaysRefused: 0, retryErrors: 0 });
    await run(
      'set transaction isolation level read committed; begin isolation level serializable; update t set v = 12 where id = 1',
    );
    failures = [retry];
    expect(await run('commit')).toEqual(['40001']);
    expect(counters()).toEqual({ replays: 1, replaysRefused: 1, retryErrors: 1 });
  });

  it('keeps the time of the transaction', async () => {
    await run('create table times (at timestamptz primary key)');
    const [, before] = await run('begin; select now(); insert into times values (now())');
    failures = [retry];
    expect(await run('commit')).toEqual(['COMMIT']);
    expect(await run('select at from times')).toEqual([before]);
  });

  it('keeps the time of each statement', async () => {
    await run('create table times (id int primary key, at timestamptz)');
    await run('begin');
    const told: string[] = [];
    for (const id of [1, 2]) {
      await run('select pg_sleep(0.01)', other);
      told.push(
        ...(await run(`insert into times values (${id}, statement_timestamp()) returning at`)),
      );
    }
    await run('select pg_sleep(0.01)', other);
    failures = [retry];
    expect(await run('commit')).toEqual(['COMMIT']);
    expect(await run('select at from times order by id')).toEqual([told.join(', ')]);
    expect(told[0]).not.toBe(told[1]);
  });

  it.each([
    ['random numbers', 'random()'],
    ['random identifiers', 'gen_random_uuid()'],
    ['the time', 'clock_timestamp()'],
    ['sequences', "nextval('ids')"],
  ])('is replayed with the same %s', async (_what, call) => {
    await run('create sequence ids; create table drawn (id int primary key, v text)');
    const [, told, ...more] = await run(
      `begin; insert into drawn values (1, ${call}), (2, ${call}) returning v; insert into drawn values (3, ${call})`,
    );
    expect(more).toEqual(['INSERT 0 1']);
    failures = [retry, retry];
    expect(await run('commit')).toEqual(['COMMIT']);
    expect(await run('select v from drawn where id < 3 order by id')).toEqual([told]);
    expect(counters()).toMatchObject({ replays: 2, replaysRefused: 0 });
    expect(await run("select nextval('ids')")).toEqual([call.startsWith('nextval') ? '4' : '1']);
  });

  it('is replayed with the same row ids', async () => {
    await run('create table loose (v int)');
    const [, told] = await run('begin; insert into loose values (1), (2) returning rowid');
    failures = [retry];
    expect(await run('commit')).toEqual(['COMMIT']);
    expect(await run('select rowid from loose order by v')).toEqual([told]);
  });

  it('draws anew what nobody has drawn before', async () => {
    await run('create table copies (id int primary key, v float)');
    await run(
      'begin; select count(*) from copies; insert into copies select id, random() from t where id > 1',
    );
    await run('insert into t values (3, 30)', other);
    failures = [retry];
    // One row became two: that was told.
    expect(await run('commit')).toEqual(['40001']);
    await run('begin; update t set v = random() * 1000000 where id = 1; select random() > 2');
    failures = [retry];
    expect(await run('commit')).toEqual(['COMMIT']);
  });

  it('is replayed with prepared statements of both kinds', async () => {
    await run('prepare add (int) as update t set v = v + $1 where id = 1');
    await run('begin; execute add (5); prepare twice as select 1; execute twice; execute add (6)');
    failures = [retry];
    expect(await run('commit')).toEqual(['COMMIT']);
    expect(await run('select v from t where id = 1')).toEqual(['21']);
  });

  it.each([
    ['currval()', "select nextval('ids'); select currval('ids')"],
    ['setval()', "select setval('ids', 1000)"],
    ['an advisory lock', 'select pg_advisory_xact_lock(1)'],
    ['a computed table', 'insert into t select count(*) + 1000, 0 from pg_stat_activity'],
    ['a cursor', 'declare c cursor for select * from t; fetch 1 from c'],
    ['a schema change', 'create table other (id int primary key)'],
    ['SHOW', 'show tables'],
    ['a long answer', "select repeat('x', 100) from generate_series(1, 20000)"],
    ['a long statement', `insert into t select 3, length('${'x'.repeat(10_000)}')`],
  ])('is told to the client when the transaction used %s', async (_what, sql) => {
    await run('create sequence ids start 100');
    const [, ...answers] = await run(`begin; ${sql}`);
    expect(answers.filter((answer) => /^[0-9A-Z]{5}$/.test(answer))).toEqual([]);
    failures = [retry];
    expect(await run('commit')).toEqual(['40001']);
    expect(session.status).toBe('I');
  });

  it('undoes SET ROLE before the statements run again', async () => {
    await run('create table w (who text); create role bob');
    await run('begin; insert into w values (current_user); set role bob');
    failures = [retry];
    expect(await run('commit')).toEqual(['COMMIT']);
    expect(await run('show role; reset role; select who from w')).toEqual(['bob', 'RESET', 'root']);
  });

  it('of a transaction without statements, or of a statement on its own, needs no replay', async () => {
    failures = [retry];
    expect(await run('begin; commit; update t set v = 1 where id = 1')).toEqual([
      'BEGIN',
      'COMMIT',
      'UPDATE 1',
    ]);
    expect(counters()).toMatchObject({ replays: 0, replaysRefused: 0 });
  });

  it('gives up after the limit', async () => {
    await run('begin; update t set v = 1 where id = 1');
    failures = Array.from({ length: 20 }, () => retry);
    expect(await run('commit')).toEqual(['40001']);
    failures = [];
    expect(await run('select v from t where id = 1')).toEqual(['10']);
  });
});

it('of statements that had to be run again the last thousand are remembered', async () => {
  for (let i = 0; i < 1100; i++) {
    failures = [retry];
    await run(`update t set v = 1 where id = 1 and v > 0${' and v > 0'.repeat(i % 7)} /* ${i} */`);
  }
  failures = [retry, retry];
  await run('update t set v = 7 where id = 1');
  const [first, ...others] = running.service.services.retries.list().toReversed();
  expect(first).toMatchObject({
    fingerprint: 'update t set v = _ where id = _',
    restarts: 2,
    lastReason: 'test',
  });
  expect(others).toHaveLength(999);
});

describe('a statement of a transaction that was aborted', () => {
  const abortNext = (): void => {
    const { txn } = session.transaction;
    if (txn === undefined) return;
    const abort = async (): Promise<never> => {
      await txn.rollback();
      throw new KvFailure({ kind: 'txn-aborted', reason: 'test' });
    };
    txn.scan = abort;
    txn.getMany = abort;
    txn.get = abort;
  };

  it('is run again after the others', async () => {
    await run('begin; update t set v = v + 1 where id = 1; savepoint s');
    abortNext();
    expect(await run('select * from t')).toEqual(['1 11, 2 20']);
    expect(await run('update t set v = 0; rollback to s; commit')).toEqual([
      'UPDATE 2',
      'ROLLBACK',
      'COMMIT',
    ]);
    expect(await run('select * from t')).toEqual(['1 11, 2 20']);
    expect(counters()).toEqual({ replays: 1, replaysRefused: 0, retryErrors: 0 });
  });

  it('keeps its own time', async () => {
    await run('begin; update t set v = v + 1 where id = 1');
    await run('select pg_sleep(0.01)', other);
    abortNext();
    expect(await run('select statement_timestamp() > now() from t')).toEqual(['t, t']);
    expect(counters()).toMatchObject({ replays: 1 });
  });

  it('fails when they would say something else, and no savepoint saves the block', async () => {
    await run('begin; savepoint s; select v from t where id = 2');
    await run('update t set v = 0 where id = 2', other);
    abortNext();
    expect(await run('select * from t')).toEqual(['40001']);
    expect(await run('rollback to s')).toEqual(['40001']);
    expect(session.status).toBe('E');
    expect(await run('rollback')).toEqual(['ROLLBACK']);
  });
});

it('what an open cursor has left when another statement begins is read, within the memory of a statement', async () => {
  const small = await startService({ statementMemoryBytes: 100_000 });
  const one = await small.service.newSession({
    user: 'root',
    database: 'defaultdb',
    settings: new Map(),
  });
  const many =
    "declare c cursor for select repeat('x', 100) from generate_series(1, 10000); fetch 1 from c";
  expect(await run(`begin; ${many}`, one)).toHaveLength(3);
  expect(await run('select 1', one)).toEqual(['1']);
  expect(await run('fetch 1 from c', one)).toEqual(['53200']);
  expect(
    await run(`rollback; begin isolation level repeatable read; ${many}; select 1; commit`, one),
  ).toHaveLength(6);
  await small.stop();
});

it('rows that wait until they are asked for fit into the memory of a statement', async () => {
  const small = await startService({ statementMemoryBytes: 100_000 });
  const one = await small.service.newSession({
    user: 'root',
    database: 'defaultdb',
    settings: new Map(),
  });
  await run("prepare p as select repeat('x', 100) from generate_series(1, 10000)", one);
  await one.prepare('', 'execute p', [], silentOutput);
  const portal = one.bind('', one.statement(''), [], []);
  await expect(one.execute(portal, 1, true, silentOutput)).rejects.toMatchObject({ code: '53200' });
  await small.stop();
});

describe('a replay does what it replays', () => {
  const prepare = (name: string, sql: string): Promise<string[]> =>
    run(`prepare ${name} as ${sql}`);

  it('at the level of a BEGIN that came behind another statement', async () => {
    await run('set extra_float_digits = 0; begin isolation level serializable; select v from t');
    const levels: unknown[] = [];
    const { db } = running;
    const begin = db.begin.bind(db);
    db.begin = (options) => {
      levels.push(options?.isolation);
      return begin(options);
    };
    await run('update t set v = 0 where id = 2');
    failures = [retry];
    expect(await run('commit')).toEqual(['COMMIT']);
    expect(levels).toEqual(['serializable']);
  });

  it('and not when a prepared statement of that name is another one by now', async () => {
    await run('create table w (v int)');
    await run('begin');
    await prepare('p', 'insert into w values (1)');
    await run('execute p');
    await run('deallocate p');
    await prepare('p', 'insert into w values (2)');
    await run('execute p');
    failures = [retry];
    expect(await run('commit')).toEqual(['40001']);
    expect(await run('select count(*) from w')).toEqual(['0']);
  });

  it('also with the prepared statement that is still there', async () => {
    await prepare('p', 'update t set v = v + 1 where id = 1');
    await run('begin');
    await run('execute p');
    failures = [retry];
    expect(await run('commit')).toEqual(['COMMIT']);
    expect(await run('select v from t where id = 1')).toEqual(['11']);
  });
});

describe('several statements in one message', () => {
  it('begin again when nothing outlives the rollback', async () => {
    failures = [retry];
    const text = "select nextval('s') > 0; update t set v = v + 1 where id = 1";
    await run('create sequence s');
    expect(await run(text)).toEqual(['t', 'UPDATE 1']);
    expect(await run('select v from t where id = 1')).toEqual(['11']);
  });

  it.each([
    ['select pg_advisory_lock(7)', 'select pg_advisory_unlock(7)', 't'],
    ['prepare q as select 1; select setseed(0.5)', 'execute q', '1'],
    ["select setval('s', 5)", "select nextval('s')", '6'],
  ])('do not when one has done what stays: %s', async (first, look, found) => {
    await run('create sequence s');
    failures = [retry];
    const answer = await run(`${first}; update t set v = v + 1 where id = 1`);
    expect(answer.at(-1)).toBe('40001');
    expect(await run(look)).toEqual([found]);
    expect(await run('select v from t where id = 1')).toEqual(['10']);
  });

  it.each<[string, (KvError | undefined)[], string[]]>([
    ['copy t from stdin; select 1', [retry], ['COPY 1', '1', '40001']],
    [
      'begin; update t set v = 0; commit; copy t from stdin',
      [undefined, retry],
      ['BEGIN', 'UPDATE 2', 'COMMIT', '40001'],
    ],
  ])('do not when one has taken data from the client: %s', async (sql, fail, said) => {
    failures = fail;
    expect(await run(sql, session, '3\t30\n')).toEqual(said);
    expect(await run('select id from t')).toEqual(['1, 2']);
  });
});

describe('behind the commit', () => {
  it('a cancel comes too late, also for rows of RETURNING', async () => {
    const { db } = running;
    const begin = db.begin.bind(db);
    db.begin = (options) => {
      const txn = begin(options);
      const commit = txn.commit.bind(txn);
      txn.commit = async (how) => {
        const at = await commit(how);
        session.cancel('timeout');
        return at;
      };
      return txn;
    };
    expect(await run('insert into t values (9, 90) returning id')).toEqual(['9']);
    expect(await run('select count(*) from t where id = 9', other)).toEqual(['1']);
  });

  it('nothing is built on a version that nodes may not know, and it is taken back', async () => {
    const { db, service } = running;
    const runTxn = db.run.bind(db);
    let fails = true;
    db.run = (options, body) => {
      if (options.name !== 'catalog nodes' || !fails) return runTxn(options, body);
      fails = false;
      return Promise.reject(new KvFailure({ kind: 'unavailable', reason: 'test' }));
    };
    expect((await run('create index on t (v)')).at(-1)).toBe('XXA00');
    service.services.jobs.wake();
    while (!(await run('select status from [show jobs]', other)).includes('failed')) {
      await new Promise((resolve) => setImmediate(resolve));
    }
    expect(await run('alter table t add column more int', other)).toEqual(['ALTER TABLE']);
  });

  it.each([
    ['unavailable', 'create table fresh (id int)'],
    ['txn-aborted', 'insert into t values (9, 90); create table fresh (id int)'],
  ] as const)(
    'a step that fails (%s) is neither run again nor called undone',
    async (kind, sql) => {
      const { db } = running;
      const runTxn = db.run.bind(db);
      let fails = true;
      db.run = (options, body) => {
        if (options.name !== 'catalog nodes' || !fails) return runTxn(options, body);
        fails = false;
        return Promise.reject(new KvFailure({ kind, reason: 'test' }));
      };
      expect((await run(sql)).at(-1)).toBe('XXA00');
      expect(await run("select count(*) from pg_class where relname = 'fresh'", other)).toEqual([
        '1',
      ]);
    },
  );
});
