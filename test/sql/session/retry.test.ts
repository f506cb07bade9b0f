/** When a session runs a statement again, and when it must not. */
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { asNodeId, HlcClock, KvFailure, LocalDb, type KvError } from '../../../src/kv/index.ts';
import { createRealEnv } from '../../../src/cli/real-env.ts';
import {
  createSqlService,
  sqlError,
  type ClientOutput,
  type Row,
  type Session,
  type SqlService,
  type StatementContext,
} from '../../../src/sql/index.ts';
import { silentLogger } from '../../../src/util/index.ts';
import { fakeParts } from '../../pgwire/fake-parts.ts';

/** What runs each time the statement is executed: rows, then this. */
let behaviour: (run: number, context: StatementContext) => Promise<void>;
let runs = 0;
let isReadOnly = true;
let isRepeatable = true;
/** Throws when a statement is not even planned. */
let beforePlan: () => void = () => {};
let service: SqlService;
let session: Session;
let said: string[] = [];
let hasLeft = false;

const output: ClientOutput = {
  beginResult: () => said.push('columns'),
  rows: (rows: readonly Row[]) => {
    for (const row of rows) said.push(`row ${JSON.stringify(row[0])}`);
    return undefined;
  },
  flush: () => undefined,
  complete: (tag) => said.push(tag),
  emptyQuery: () => said.push('empty'),
  suspended: () => said.push('suspended'),
  notice: (severity, code) => said.push(`${severity} ${code}`),
  mark: () => said.length,
  rewind: (mark) => {
    if (hasLeft) return false;
    said.length = mark;
    return true;
  },
  copyIn: () => {},
  copyData: () => undefined,
  copyOut: () => {},
  copyChunk: () => undefined,
  copyDone: () => {},
};

const columns = [{ name: 'n', typeOid: 23, typmod: -1, tableOid: 0, columnNumber: 0 }];

beforeEach(async () => {
  runs = 0;
  said = [];
  hasLeft = false;
  isReadOnly = true;
  isRepeatable = true;
  beforePlan = () => {};
  const env = createRealEnv({ log: silentLogger });
  const db = new LocalDb({
    clock: new HlcClock(env.clock, { maxOffsetMicros: 500_000 }),
    nodeId: asNodeId(1),
    timers: env.timers,
  });
  service = await createSqlService({
    env,
    db,
    nodeId: asNodeId(1),
    limits: { retries: 5 },
    parts: {
      ...fakeParts,
      planStatement: async ({ catalog }) => {
        beforePlan();
        return {
          catalogVersion: catalog.version,
          parameterTypes: [],
          columns,
          isReadOnly,
          isRepeatable,
          outlivesRollback: false,
          execute: async (context) => {
            runs++;
            let step = 0;
            return {
              columns,
              next: async () => {
                if (step++ === 0) return [[runs]];
                await behaviour(runs, context);
                return undefined;
              },
              tag: () => 'SELECT 1',
              close: async () => {},
            };
          },
        };
      },
    },
  });
  session = await service.newSession({ user: 'root', database: 'defaultdb', settings: new Map() });
});

afterEach(() => service.stop());

const fail = (kvError: KvError): never => {
  throw new KvFailure(kvError);
};
const failTwice: typeof behaviour = async (run) => {
  if (run <= 2) fail({ kind: 'txn-retry', reason: 'test' });
};

describe('a statement on its own', () => {
  it('is run again until it succeeds, and its first results are forgotten', async () => {
    behaviour = failTwice;
    await session.query('select 1', output);
    expect(said).toEqual(['columns', 'row 3', 'SELECT 1']);
  });

  it('is run again also when its rows are handed out in pieces', async () => {
    behaviour = failTwice;
    await session.query('prepare p as select 1', output);
    await session.prepare('', 'execute p', [], output);
    const portal = session.bind('', session.statement(''), [], []);
    said = [];
    await session.execute(portal, 1, true, output);
    await session.execute(portal, 1, true, output);
    expect(said).toEqual(['columns', 'row 3', 'suspended', 'columns', 'SELECT 0']);
  });

  it('is not run again when some of its result has left', async () => {
    behaviour = async (run) => {
      hasLeft = true;
      await failTwice(run, undefined as never);
    };
    await expect(session.query('select 1', output)).rejects.toMatchObject({ code: '40001' });
    expect(runs).toBe(1);
  });

  it('gives up after the limit', async () => {
    behaviour = async () => fail({ kind: 'txn-aborted', reason: 'test' });
    await expect(session.query('select 1', output)).rejects.toMatchObject({ code: '40001' });
    expect(runs).toBe(6);
    expect(session.status).toBe('I');
  });

  it.each([
    [{ kind: 'ambiguous-result', reason: 'test' }, '40003'],
    [{ kind: 'deadlock', cycle: [] }, '40P01'],
    [{ kind: 'lock-not-available', key: Buffer.alloc(1), timedOut: true }, '55P03'],
    [{ kind: 'unavailable', reason: 'test' }, '57P03'],
    [{ kind: 'corruption', reason: 'test' }, 'XX001'],
    [{ kind: 'too-large', reason: 'test' }, '54000'],
  ] satisfies [KvError, string][])('is not run again after %j', async (kvError, code) => {
    behaviour = async () => fail(kvError);
    await expect(session.query('select 1', output)).rejects.toMatchObject({ code });
    expect(runs).toBe(1);
  });

  it('an executor that committed by itself is not committed twice', async () => {
    isReadOnly = false;
    behaviour = async (_run, context) => {
      expect(context.autocommit).toBe(true);
      await context.txn.commit();
    };
    await session.query('select 1', output);
    expect(said).toEqual(['columns', 'row 1', 'SELECT 1']);
  });
});

describe('a statement that was overtaken (READ COMMITTED)', () => {
  const overtakenTwice: typeof behaviour = async (run, context) => {
    context.txn.put(Buffer.from(`run ${run}`), Buffer.from('x'));
    if (run <= 2) fail({ kind: 'statement-retry', reason: 'test' });
  };
  const written = async (): Promise<string[]> => {
    const found: string[] = [];
    for (const run of [1, 2, 3]) {
      const key = `run ${run}`;
      const value = await service.services.db.run({}, (txn) => txn.get(Buffer.from(key)));
      if (value !== undefined) found.push(key);
    }
    return found;
  };

  beforeEach(() => {
    isReadOnly = false;
  });

  it('is run again inside its block, and what it wrote before is gone', async () => {
    behaviour = overtakenTwice;
    await session.query('begin', output);
    await session.query('select 1', output);
    await session.query('commit', output);
    expect(said).toEqual(['BEGIN', 'columns', 'row 3', 'SELECT 1', 'COMMIT']);
    expect(await written()).toEqual(['run 3']);
  });

  it('keeps what the statements before it did', async () => {
    behaviour = async (run, context) => {
      context.txn.put(Buffer.from(`run ${run}`), Buffer.from('x'));
      if (run === 2) fail({ kind: 'statement-retry', reason: 'test' });
    };
    await session.query('begin; select 1; select 2; commit', output);
    expect(await written()).toEqual(['run 1', 'run 3']);
  });

  it('keeps what the statement before it did when it has not begun yet', async () => {
    behaviour = async (run, context) => {
      context.txn.put(Buffer.from(`run ${run}`), Buffer.from('x'));
    };
    await session.query('begin; select 1', output);
    let plans = 0;
    beforePlan = () => {
      if (++plans === 1) fail({ kind: 'statement-retry', reason: 'test' });
    };
    await session.query('select 2', output);
    await session.query('commit', output);
    expect([plans, await written()]).toEqual([2, ['run 1', 'run 2']]);
  });

  it('is not run again when some of its result has left, and a savepoint saves the block', async () => {
    behaviour = async (run) => {
      hasLeft = true;
      if (run === 1) fail({ kind: 'statement-retry', reason: 'test' });
    };
    await session.query('begin; savepoint s', output);
    await expect(session.query('select 1', output)).rejects.toMatchObject({ code: '40001' });
    await session.query('rollback to s; select 1; commit', output);
    expect(said.slice(-4)).toEqual(['columns', 'row 2', 'SELECT 1', 'COMMIT']);
  });

  it('gives up after the limit', async () => {
    behaviour = async () => fail({ kind: 'statement-retry', reason: 'test' });
    await session.query('begin', output);
    await expect(session.query('select 1', output)).rejects.toMatchObject({ code: '40001' });
    expect(runs).toBe(6);
    expect(session.status).toBe('E');
  });

  it('is run again on its own', async () => {
    behaviour = overtakenTwice;
    await session.query('select 1', output);
    expect(await written()).toEqual(['run 3']);
  });
});

it('what a failed statement wrote is gone at once, what came before the savepoint is not', async () => {
  isReadOnly = false;
  behaviour = async (run, context) => {
    context.txn.put(Buffer.from(`run ${run}`), Buffer.from('x'));
    if (run === 2) throw sqlError('divisionByZero', 'division by zero');
  };
  await session.query('begin; select 1; savepoint s', output);
  await expect(session.query('select 2', output)).rejects.toMatchObject({ code: '22012' });
  const { txn } = session.transaction;
  expect(await txn?.get(Buffer.from('run 1'))).toBeDefined();
  expect(await txn?.get(Buffer.from('run 2'))).toBeUndefined();
  await session.query('rollback to s; commit', output);
  expect(session.status).toBe('I');
});

describe('a cursor that fails while another statement begins', () => {
  const failsWith = async (failure: Error): Promise<void> => {
    behaviour = async (run) => {
      if (run === 1) throw failure;
    };
    await session.query(
      'begin; declare c cursor for select 1; fetch 1 from c; savepoint s',
      output,
    );
    said = [];
    await session.query('select 2', output);
  };

  it.each([
    ['40001', new KvFailure({ kind: 'statement-retry', reason: 'test' })],
    ['22012', sqlError('divisionByZero', 'division by zero')],
  ])('says %s at the next FETCH, not there, and 55000 from then on', async (code, failure) => {
    await failsWith(failure);
    expect(said).toEqual(['columns', 'row 2', 'SELECT 1']);
    await expect(session.query('fetch all from c', output)).rejects.toMatchObject({ code });
    await session.query('rollback to s', output);
    const next = session.query('fetch all from c', output);
    await expect(next).rejects.toMatchObject({
      code: '55000',
      message: 'portal "c" cannot be run',
    });
    expect(runs).toBe(2);
  });

  it('is read anew when its first FETCH was overtaken, and what came behind DECLARE stays', async () => {
    behaviour = async (run) => {
      if (run === 1) fail({ kind: 'statement-retry', reason: 'test' });
    };
    await session.query("begin; declare c cursor for select 1; set lock_timeout = '7s'", output);
    await session.query('fetch all from c; show lock_timeout', output);
    expect(said.slice(3)).toEqual(['columns', 'row 2', 'FETCH 1', 'columns', 'row "7s"', 'SHOW']);
  });

  it('does not hide that the statement is cancelled', async () => {
    behaviour = async () => {
      session.cancel();
      throw new KvFailure({ kind: 'canceled' });
    };
    await session.query('begin; declare c cursor for select 1; fetch 1 from c', output);
    await expect(session.query('select 2', output)).rejects.toMatchObject({ code: '57014' });
    expect(runs).toBe(1);
  });
});

describe('in a block', () => {
  it('a first statement is run again in a new transaction', async () => {
    behaviour = failTwice;
    await session.query('begin; select 1; commit', output);
    expect(said).toEqual(['BEGIN', 'columns', 'row 3', 'SELECT 1', 'COMMIT']);
  });

  it('a statement that calls volatile functions is not run again', async () => {
    isRepeatable = false;
    behaviour = failTwice;
    await session.query('begin', output);
    await expect(session.query('select 1', output)).rejects.toMatchObject({ code: '40001' });
    expect(session.status).toBe('E');
    expect(runs).toBe(1);
    await session.query('rollback', output);
    expect(session.status).toBe('I');
  });

  it('of several statements in one message, all are run again, also when their answers differ', async () => {
    behaviour = async (run) => {
      if (run === 2) fail({ kind: 'txn-retry', reason: 'test' });
    };
    await session.query('select 1; select 2', output);
    expect(said).toEqual(['columns', 'row 4', 'SELECT 1', 'columns', 'row 5', 'SELECT 1']);
  });

  it('after a COMMIT that failed all is run again, and other answers are a conflict', async () => {
    behaviour = async (run, context) => {
      if (run === 2) context.txn.commit = () => fail({ kind: 'txn-retry', reason: 'test' });
    };
    await session.query('begin; select 1', output);
    await expect(session.query('select 2; commit', output)).rejects.toMatchObject({
      code: '40001',
    });
    expect(runs).toBe(3);
    expect(session.status).toBe('I');
  });

  it('a COMMIT whose outcome is unknown ends the transaction', async () => {
    behaviour = async (_run, context) => {
      context.txn.commit = () => fail({ kind: 'ambiguous-result', reason: 'test' });
    };
    await session.query('begin; select 1', output);
    await expect(session.query('commit', output)).rejects.toMatchObject({ code: '40003' });
    expect(runs).toBe(1);
    expect(session.status).toBe('I');
  });

  it('a transaction that was aborted cannot go back to a savepoint', async () => {
    isRepeatable = false;
    behaviour = async (run, context) => {
      if (run === 1) await context.txn.rollback();
      fail({ kind: 'txn-aborted', reason: 'test' });
    };
    await session.query('begin; savepoint a', output);
    await expect(session.query('select 1', output)).rejects.toMatchObject({ code: '40001' });
    await expect(session.query('rollback to a', output)).rejects.toMatchObject({ code: '40001' });
    expect(session.status).toBe('E');
  });
});

it('an unexpected error is XX000, an overflowed stack 54001', async () => {
  behaviour = async () => {
    throw new TypeError('x is not a function');
  };
  await expect(session.query('select 1', output)).rejects.toMatchObject({ code: 'XX000' });
  behaviour = async () => {
    const deeper = (): number => deeper() + 1;
    deeper();
  };
  await expect(session.query('select 1', output)).rejects.toMatchObject({ code: '54001' });
});

it('after the session is closed nothing runs and no transaction is open', async () => {
  behaviour = async () => {};
  await session.query('begin; select 1', output);
  await service.close(session);
  expect(session.transaction.txn).toBeUndefined();
  expect(service.sessionCount).toBe(0);
  await expect(session.query('select 1', output)).rejects.toMatchObject({ code: '57P01' });
});
