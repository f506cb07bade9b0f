/** How long a client may take before its session is up, and how often its failures count. */
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import {
  type Authenticator,
  Connection,
  defaultConnectionLimits,
  insecureAuthenticator,
} from '../../src/pgwire/index.ts';
import { sqlError } from '../../src/sql/index.ts';
import { startService, type TestService } from './server.ts';
import { encodeLine, WireClient } from './wire-client.ts';

const noKey = (): { pid: number; secret: number } => ({ pid: 0, secret: 0 });
const startup = encodeLine('Startup user=root database=defaultdb', noKey);

let running: TestService;
beforeEach(async () => {
  running = await startService();
});
afterEach(() => running.stop());

describe('a client that does not go on is sent away', () => {
  const asksForPassword: Authenticator = {
    async authenticate(_request, exchange) {
      exchange.send(3, Buffer.alloc(0));
      await exchange.receive();
    },
  };

  /** `timeUp`: what happens after `startupMs`, unless it was called off. */
  function connect(authenticator: Authenticator): {
    connection: Connection;
    timeUp: () => void;
  } {
    let onTimeout: (() => void) | undefined;
    const { env } = running;
    const connection = new Connection({
      env: {
        ...env,
        timers: {
          after: (_ms, fire) => {
            onTimeout = fire;
            return {
              cancel: () => {
                onTimeout = undefined;
              },
            };
          },
          immediate: (fire) => env.timers.immediate(fire),
        },
      },
      service: running.service,
      authenticator,
      limits: defaultConnectionLimits,
      forwardCancel: undefined,
      port: { write: () => true, pause: () => {}, resume: () => {}, end: () => {} },
    });
    return { connection, timeUp: () => onTimeout?.() };
  }

  it.each([
    ['nothing came', Buffer.alloc(0)],
    ['a part of the startup packet came', startup.subarray(0, 6)],
    ['it asked for encryption only', encodeLine('SSLRequest', noKey)],
    ['it does not send its password', startup],
  ])('when %s', async (_what, bytes) => {
    const { connection, timeUp } = connect(asksForPassword);
    if (bytes.length > 0) connection.receive(Buffer.from(bytes));
    await new Promise(setImmediate);
    expect(connection.isClosed).toBe(false);
    timeUp();
    expect(connection.isClosed).toBe(true);
  });

  it('but not when its session is up', async () => {
    const { connection, timeUp } = connect(insecureAuthenticator);
    connection.receive(Buffer.from(startup));
    while (connection.session === undefined) await new Promise(setImmediate);
    timeUp();
    expect(connection.isClosed).toBe(false);
    connection.close();
  });

  it('when it goes before it is asked for its password', async () => {
    const asked: unknown[] = [];
    const { connection } = connect({
      async authenticate(_request, exchange) {
        connection.close();
        asked.push(await exchange.receive().catch((error: unknown) => error));
      },
    });
    connection.receive(Buffer.from(startup));
    while (asked.length === 0) await new Promise(setImmediate);
    expect(asked).toMatchObject([{ code: '08006' }]);
  });
});

it.each([
  ['Query nonsense'],
  ['Query select 1 / 0'],
  ['Parse | select 1 / 0 |', 'Bind | | |', 'Execute', 'Sync'],
  ['Parse | nonsense |', 'Sync'],
  ['Bind | missing | |', 'Sync'],
  ['Describe S missing', 'Sync'],
])('a failure counts once: %s', async (...lines) => {
  const client = new WireClient(running);
  await client.send(startup);
  await client.until(['ReadyForQuery']);
  await client.send(Buffer.concat(lines.map((line) => encodeLine(line, noKey))));
  const errors = (await client.until(['ReadyForQuery'])).filter((line) => line.startsWith('Error'));
  expect(errors).toHaveLength(1);
  expect(running.service.services.counters.failedStatements).toBe(1);
  client.connection.close();
});

it('a serialization failure counts once', async () => {
  const client = new WireClient(running);
  await client.send(startup);
  await client.until(['ReadyForQuery']);
  await client.send(encodeLine('Query begin; select pg_advisory_xact_lock(1)', noKey));
  await client.until(['ReadyForQuery']);
  await client.connection.session?.transaction.txn?.rollback();
  await client.send(encodeLine('Query commit', noKey));
  expect((await client.until(['ReadyForQuery']))[0]).toMatch(/^Error ERROR 40001/);
  const { failedStatements, retryErrors } = running.service.services.counters;
  expect({ failedStatements, retryErrors }).toEqual({ failedStatements: 1, retryErrors: 1 });
  client.connection.close();
});

it('a COPY ends whose client goes before the data are asked for', async () => {
  const client = new WireClient(running);
  await client.send(startup);
  await client.until(['ReadyForQuery']);
  await client.send(encodeLine('Query create table t (id int primary key)', noKey));
  await client.until(['ReadyForQuery']);
  const { catalog } = client.connection.session ?? expect.fail('no session');
  const find = catalog.findRelation.bind(catalog);
  catalog.findRelation = async (name) => {
    client.connection.close();
    return find(name);
  };
  await client.send(encodeLine('Query copy t from stdin', noKey));
  while (running.service.sessionCount > 0) await new Promise(setImmediate);
  expect(client.take()).toEqual([]);
});

describe('a client of a node that goes away', () => {
  const goodbye = [
    'Error FATAL 57P01 terminating connection due to administrator command',
    'closed',
  ];
  const leave = sqlError('adminShutdown', 'terminating connection due to administrator command');
  const bytes = (lines: readonly string[]): Buffer =>
    Buffer.concat(lines.map((line) => encodeLine(line, noKey)));
  const open = async (): Promise<WireClient> => {
    const client = new WireClient(running);
    await client.send(startup);
    await client.until(['ReadyForQuery']);
    return client;
  };

  it('is told at once when it is idle, or has a failed block', async () => {
    const idle = await open();
    idle.connection.retire(leave);
    expect(await idle.until(['closed'])).toEqual(goodbye);
    const failed = await open();
    await failed.send(encodeLine('Query begin; select 1 / 0', noKey));
    await failed.until(['ReadyForQuery']);
    failed.connection.retire(leave);
    expect(await failed.until(['closed'])).toEqual(goodbye);
  });

  it('is told at once when it listens to a changefeed, which has no end to wait for', async () => {
    const client = await open();
    await client.send(
      encodeLine('Query create table t (id int primary key); insert into t values (1)', noKey),
    );
    await client.until(['ReadyForQuery']);
    await client.send(encodeLine('Query experimental changefeed for t', noKey));
    expect((await client.until(['DataRow'])).at(-1)).toMatch(/^DataRow t\|/);
    client.connection.retire(leave);
    expect(await client.until(['closed'])).toEqual(goodbye);
    while (running.service.sessionCount > 0) await new Promise(setImmediate);
  });

  it('is told amid its statement when nobody can wait any longer', async () => {
    const other = await open();
    await other.send(encodeLine('Query select pg_advisory_lock(1) is null', noKey));
    await other.until(['ReadyForQuery']);
    const client = await open();
    await client.send(encodeLine('Query select pg_advisory_lock(1) is null', noKey));
    client.connection.terminate(leave);
    expect(await client.until(['closed'])).toEqual(goodbye);
    other.connection.close();
    while (running.service.sessionCount > 0) await new Promise(setImmediate);
  });

  it.each([
    [
      'its statement',
      ['Query select pg_advisory_lock(1) is null'],
      [],
      ['RowDescription ?column?:16', 'DataRow f', 'CommandComplete SELECT 1', 'ReadyForQuery I'],
    ],
    [
      'its COPY',
      ['Query copy t from stdin'],
      ['CopyData 1\\n', 'CopyDone'],
      ['CopyIn columns=1 format=0', 'CommandComplete COPY 1', 'ReadyForQuery I'],
    ],
    [
      'its pipeline',
      ['Parse | insert into t values (1) |', 'Bind | | |', 'Execute', 'Flush'],
      ['Sync'],
      ['ParseComplete', 'BindComplete', 'CommandComplete INSERT 0 1', 'ReadyForQuery I'],
    ],
    [
      'its block',
      ['Query begin'],
      ['Query commit'],
      ['CommandComplete BEGIN', 'ReadyForQuery T', 'CommandComplete COMMIT', 'ReadyForQuery I'],
    ],
  ])('may finish %s', async (_what, first, rest, said) => {
    const other = await open();
    await other.send(
      encodeLine('Query create table t (id int primary key); select pg_advisory_lock(1)', noKey),
    );
    await other.until(['ReadyForQuery']);
    const client = await open();
    await client.send(bytes(first));
    client.connection.retire(leave);
    for (let i = 0; i < 100; i++) await new Promise(setImmediate);
    expect(client.isEnded).toBe(false);
    other.connection.close();
    await client.send(bytes(rest));
    expect(await client.until(['closed'])).toEqual([...said, ...goodbye]);
    while (running.service.sessionCount > 0) await new Promise(setImmediate);
  });
});
