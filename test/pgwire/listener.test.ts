/** What a listener asks of the sockets it is given. */
import { Socket } from 'node:net';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { PgListener } from '../../src/pgwire/index.ts';
import { startService, type TestService } from './server.ts';

let running: TestService;
beforeEach(async () => {
  running = await startService();
});
afterEach(() => running.stop());

it('a client whose machine is gone is found out', () => {
  const asked: unknown[] = [];
  const socket = new Socket();
  socket.setKeepAlive = (...how) => {
    asked.push(how);
    return socket;
  };
  const listener = new PgListener({ env: running.env, service: running.service });
  listener.serve(socket);
  expect(asked).toEqual([[true, 60_000]]);
  listener.close();
  socket.destroy();
});
