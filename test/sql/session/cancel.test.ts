/** Cancel requests and timeouts that come while a statement has nothing yet, or nothing any more, to be stopped. */
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { type ClientOutput, type Session } from '../../../src/sql/index.ts';
import { silentOutput } from '../../../src/sql/session/answer-digest.ts';
import { startService, type TestService } from '../../pgwire/server.ts';
import { runText } from '../logic/text-client.ts';

let running: TestService;
let session: Session;
let other: Session;

const newSession = (): Promise<Session> =>
  running.service.newSession({ user: 'root', database: 'defaultdb', settings: new Map() });

beforeEach(async () => {
  running = await startService();
  session = await newSession();
  other = await newSession();
  await run('create table t (id int primary key, v int)');
  await run('insert into t select i, i from generate_series(1, 50) i');
});

afterEach(() => running.stop());

async function run(sql: string, by = session): Promise<string[]> {
  const { results, error } = await runText(by, sql);
  const lines = results.map(({ rows, tag }) => (rows.length === 0 ? tag : rows.join(', ')));
  return error === undefined ? lines : [...lines, error.code];
}

describe('while the catalog is waited for', () => {
  /** The next pin is held up until the returned function is called. */
  function holdPin(): () => void {
    const { catalogCache } = running.service.services;
    const pin = catalogCache.pin.bind(catalogCache);
    let release = (): void => {};
    const held = new Promise<void>((resolve) => {
      release = resolve;
    });
    catalogCache.pin = async (...args) => {
      catalogCache.pin = pin;
      await held;
      return pin(...args);
    };
    return release;
  }

  it.each(['user', 'timeout', 'closed'] as const)(
    '%s: no lock is waited for then',
    async (reason) => {
      await run('begin; update t set v = 0 where id = 1', other);
      const release = holdPin();
      const update = run('update t set v = 5 where id = 1');
      session.cancel(reason);
      release();
      expect(await update).toEqual(['57014']);
      await run('rollback', other);
      expect(await run('select v from t where id = 1')).toEqual(['1']);
    },
  );

  it('in a block, which goes on behind ROLLBACK TO', async () => {
    await run('begin; savepoint s');
    const release = holdPin();
    const update = run('update t set v = 5 where id = 1');
    session.cancel('timeout');
    release();
    expect(await update).toEqual(['57014']);
    expect(await run('rollback to s; update t set v = 6 where id = 1; commit')).toEqual([
      'ROLLBACK',
      'UPDATE 1',
      'COMMIT',
    ]);
    // Nobody holds the definition of the table.
    expect(await run('alter table t add column w int', other)).toEqual(['ALTER TABLE']);
  });
});

it('a session that ends stops what a cancel has not', async () => {
  await run('begin; update t set v = 0 where id = 1', other);
  await run('begin');
  const update = run('update t set v = 5 where id = 1');
  session.cancel('timeout');
  session.cancel('closed');
  expect(await update).toEqual(['57014']);
});

describe('while the client takes its rows', () => {
  const canceling: ClientOutput = {
    ...silentOutput,
    rows: async () => {
      session.cancel('timeout');
      await Promise.resolve();
    },
  };

  it('FETCH fails, not the statement behind it', async () => {
    await run('begin; declare c cursor for select * from t; savepoint s');
    await expect(session.query('fetch 10 from c', canceling)).rejects.toMatchObject({
      code: '57014',
    });
    expect(await run('rollback to s; update t set v = 0; commit')).toEqual([
      'ROLLBACK',
      'UPDATE 50',
      'COMMIT',
    ]);
  });

  it('a portal that is read in parts fails, not the COMMIT behind it', async () => {
    await run('begin; savepoint s');
    await session.prepare('', 'select * from t', [], silentOutput);
    const portal = session.bind('', session.statement(''), [], []);
    await expect(session.execute(portal, 10, false, canceling)).rejects.toMatchObject({
      code: '57014',
    });
    expect(await run('rollback to s; commit')).toEqual(['ROLLBACK', 'COMMIT']);
  });

  it('what has committed before its first piece does not fail', async () => {
    await run('prepare u as update t set v = 0 where id < 3 returning id');
    await session.prepare('', 'execute u', [], silentOutput);
    const portal = session.bind('', session.statement(''), [], []);
    await session.execute(portal, 10, true, canceling);
    expect(await run('select count(*) from t where v = 0')).toEqual(['2']);
  });
});
