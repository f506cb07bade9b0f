/** Bytes through a proxy: slowed, held back, lost; one connection in each direction. */
import { connect, createServer, type Server, type Socket } from 'node:net';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { type Impairment } from '../../src/sim/links.ts';
import { Proxy } from './network/proxy.ts';

const sound: Required<Impairment> = { cut: false, delayMs: 0, loss: 0 };

let server: Server;
let proxy: Proxy;
let there: Required<Impairment>;
let back: Required<Impairment>;
let client: Socket;
let served: Socket;

beforeEach(async () => {
  there = sound;
  back = sound;
  const accepted = new Promise<Socket>((resolve) => {
    server = createServer({ allowHalfOpen: true }, resolve);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const address = server.address();
  proxy = await Proxy.open({
    targetPort: typeof address === 'object' && address !== null ? address.port : 0,
    there: () => there,
    back: () => back,
    draw: () => 0.5,
  });
  client = connect({ host: '127.0.0.1', port: proxy.port, allowHalfOpen: true });
  served = await accepted;
  for (const socket of [client, served]) socket.on('error', () => {});
});

afterEach(async () => {
  await proxy.close();
  client.destroy();
  served.destroy();
  server.close();
});

/** The next `length` bytes as text. */
async function received(socket: Socket, length: number): Promise<string> {
  let text = '';
  for (;;) {
    const chunk: Buffer | null = socket.read();
    if (chunk !== null) text += chunk.toString('utf8');
    if (text.length >= length) return text;
    await new Promise((resolve) => socket.once('readable', resolve));
  }
}

function closed(socket: Socket): Promise<void> {
  return new Promise((resolve) => socket.once('close', () => resolve()));
}

it('passes both ways', async () => {
  client.write('question');
  expect(await received(served, 8)).toBe('question');
  served.write('answer');
  expect(await received(client, 6)).toBe('answer');
});

it('holds one direction back until the cut ends; the other goes on, and nothing is lost', async () => {
  there = { ...sound, cut: true };
  client.write('one');
  client.write('two');
  served.write('still here');
  expect(await received(client, 10)).toBe('still here');
  expect(served.read()).toBeNull();
  there = sound;
  proxy.pump();
  expect(await received(served, 6)).toBe('onetwo');
});

it('holds the end of a connection back as well', async () => {
  there = { ...sound, cut: true };
  const ended = new Promise((resolve) => served.once('end', resolve));
  client.end('last');
  back = sound;
  served.write('x');
  await received(client, 1);
  there = sound;
  proxy.pump();
  expect(await received(served, 4)).toBe('last');
  served.resume();
  await ended;
});

it('delays, in order', async () => {
  there = { ...sound, delayMs: 60 };
  const beganMs = performance.now();
  client.write('a');
  expect(await received(served, 1)).toBe('a');
  expect(performance.now() - beganMs).toBeGreaterThan(50);
  client.write('slow ');
  there = sound;
  client.write('fast');
  expect(await received(served, 9)).toBe('slow fast');
});

it('resets the connection when something is lost', async () => {
  there = { ...sound, loss: 0.6 };
  const ends = [closed(client), closed(served)];
  client.write('lost');
  client.resume();
  served.resume();
  await Promise.all(ends);
});

it('takes no more than it can keep from a sender that nobody listens to', async () => {
  there = { ...sound, cut: true };
  const big = Buffer.alloc(64 << 20);
  client.write(big);
  for (let i = 0; i < 100; i++) {
    served.write('x');
    await received(client, 1);
  }
  // The system keeps some megabytes for each of the sockets, the proxy one.
  expect(client.writableLength).toBeGreaterThan(big.length / 2);
  there = sound;
  proxy.pump();
  let got = 0;
  for await (const chunk of served) {
    got += (chunk as Buffer).length;
    if (got === big.length) break;
  }
  expect(got).toBe(big.length);
});
