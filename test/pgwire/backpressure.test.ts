/** Memory stays bounded in both directions. */
import { expect, it } from 'vitest';
import {
  Connection,
  defaultConnectionLimits,
  insecureAuthenticator,
} from '../../src/pgwire/index.ts';
import { startService } from './server.ts';
import { encodeLine } from './wire-client.ts';

const noKey = (): { pid: number; secret: number } => ({ pid: 0, secret: 0 });
const turns = async (count: number): Promise<void> => {
  for (let i = 0; i < count; i++) await new Promise(setImmediate);
};

it('a statement waits while the client does not take its rows', async () => {
  const service = await startService();
  let sent = 0;
  let isFull = false;
  const connection = new Connection({
    env: service.env,
    service: service.service,
    authenticator: insecureAuthenticator,
    limits: defaultConnectionLimits,
    forwardCancel: undefined,
    port: {
      write: (bytes) => {
        sent += bytes.length;
        isFull = sent > 100_000;
        return !isFull;
      },
      pause: () => {},
      resume: () => {},
      end: () => {},
    },
  });
  connection.receive(encodeLine('Startup user=root database=defaultdb', noKey));
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

it('the socket is not read while much input waits behind a statement', async () => {
  const service = await startService();
  let paused = 0;
  let resumed = 0;
  const connection = new Connection({
    env: service.env,
    service: service.service,
    authenticator: insecureAuthenticator,
    limits: { ...defaultConnectionLimits, pendingBytes: 1000 },
    forwardCancel: undefined,
    port: { write: () => true, pause: () => paused++, resume: () => resumed++, end: () => {} },
  });
  connection.receive(encodeLine('Startup user=root database=defaultdb', noKey));
  connection.receive(encodeLine('Query select i from generate_series(1, 5000) i', noKey));
  for (let i = 0; i < 100; i++) connection.receive(encodeLine('Query select 1', noKey));
  expect(paused).toBe(1);
  while (resumed === 0) await new Promise(setImmediate);
  connection.close();
  await service.stop();
});
