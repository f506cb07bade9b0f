/** Memory stays bounded in both directions. */
import { expect, it } from 'vitest';
import {
  Connection,
  type ConnectionLimits,
  type ConnectionPort,
  defaultConnectionLimits,
  insecureAuthenticator,
} from '../../src/pgwire/index.ts';
import { type ClientOutput } from '../../src/sql/index.ts';
import { silentOutput } from '../../src/sql/session/answer-digest.ts';
import { startService, type TestService } from './server.ts';
import { encodeLine } from './wire-client.ts';

const noKey = (): { pid: number; secret: number } => ({ pid: 0, secret: 0 });
const turns = async (count: number): Promise<void> => {
  for (let i = 0; i < count; i++) await new Promise(setImmediate);
};

function connect(
  { env, service }: TestService,
  port: Partial<ConnectionPort>,
  limits: Partial<ConnectionLimits> = {},
): Connection {
  const connection = new Connection({
    env,
    service,
    authenticator: insecureAuthenticator,
    limits: { ...defaultConnectionLimits, ...limits },
    forwardCancel: undefined,
    port: { write: () => true, pause: () => {}, resume: () => {}, end: () => {}, ...port },
  });
  connection.receive(encodeLine('Startup user=root database=defaultdb', noKey));
  return connection;
}

it('a statement waits while the client does not take its rows', async () => {
  const service = await startService();
  let sent = 0;
  let isFull = false;
  const connection = connect(service, {
    write: (bytes) => {
      sent += bytes.length;
      isFull = sent > 100_000;
      return !isFull;
    },
  });
  connection.receive(encodeLine('Query select i from generate_series(1, 1000000) i', noKey));
  while (!isFull) await new Promise(setImmediate);
  const before = sent;
  await turns(50);
  expect(sent).toBe(before);
  connection.drained();
  while (sent === before) await new Promise(setImmediate);
  connection.close();
  while (service.service.sessionCount > 0) await new Promise(setImmediate);
  await service.stop();
});

it.each([
  ['rows', "select repeat('x', 2000) from generate_series(1, 300)"],
  ['COPY data', "copy (select repeat('x', 2000) from generate_series(1, 300)) to stdout"],
])('a statement ends whose client goes while it is behind with its %s', async (_what, sql) => {
  const service = await startService();
  let writes = 0;
  let isFull = false;
  const connection = connect(service, {
    write: (bytes) => {
      writes++;
      isFull = bytes.length > 50_000;
      return !isFull;
    },
  });
  connection.receive(encodeLine(`Query begin; ${sql}`, noKey));
  while (!isFull) await new Promise(setImmediate);
  const before = writes;
  connection.close();
  // Its transaction, and with that its locks, go with the session.
  while (service.service.sessionCount > 0) await new Promise(setImmediate);
  expect(writes).toBe(before);
  await service.stop();
});

it('the socket is not read while much input waits behind a statement', async () => {
  const service = await startService();
  let paused = 0;
  let resumed = 0;
  const connection = connect(
    service,
    { pause: () => paused++, resume: () => resumed++ },
    { pendingBytes: 1000 },
  );
  connection.receive(encodeLine('Query select i from generate_series(1, 5000) i', noKey));
  for (let i = 0; i < 100; i++) connection.receive(encodeLine('Query select 1', noKey));
  expect(paused).toBe(1);
  while (resumed === 0) await new Promise(setImmediate);
  connection.close();
  await service.stop();
});

it.each([
  ['behind a part', 10, 0],
  ['with a limit that is beyond the end', 10, 1_000_000],
  ['with such a limit from the start', 1_000_000, 1_000_000],
])('a portal is read in pieces: %s', async (_when, first, then) => {
  const running = await startService();
  const session = await running.service.newSession({
    user: 'root',
    database: 'defaultdb',
    settings: new Map(),
  });
  let rows = 0;
  let longest = 0;
  const tags: string[] = [];
  const out: ClientOutput = {
    ...silentOutput,
    rows: (batch) => {
      rows += batch.length;
      longest = Math.max(longest, batch.length);
      return undefined;
    },
    complete: (tag) => tags.push(tag),
  };
  await session.prepare('', 'select i from generate_series(1, 20000) i', [], out);
  const portal = session.bind('', session.statement(''), [], []);
  await session.execute(portal, first, false, out);
  await session.execute(portal, then, true, out);
  expect({ rows, tags }).toEqual({
    rows: 20_000,
    tags: first === 10 ? ['SELECT 19990'] : ['SELECT 20000', 'SELECT 0'],
  });
  expect(longest).toBeLessThan(2000);
  await running.stop();
});
