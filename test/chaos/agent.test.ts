/** What the agent does to a process, seen from inside it. */
import { fork, type ChildProcess } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, expect, it } from 'vitest';
import { type Order } from './cluster.ts';

const home = mkdtempSync(join(tmpdir(), 'skein-agent-'));
const agent = join(import.meta.dirname, 'agent.cjs');

/** Answers each question with what it finds. */
const script = `
import * as fs from 'node:fs/promises';
import { constants } from 'node:fs';
import { connect } from 'node:net';
const file = await fs.open(process.argv[2] + '/file', constants.O_RDWR | constants.O_CREAT | constants.O_DSYNC);
const questions = {
  clock: () => Date.now(),
  dial: ({ port }) => new Promise((resolve) =>
    connect(port, '127.0.0.1').on('data', (bytes) => resolve(String(bytes))).on('error', (e) => resolve(e.code))),
  sync: () => file.datasync().then(() => 'synced', (e) => e.code),
  write: () => file.writev([Buffer.from('x')], 0).then(() => 'written', (e) => e.code),
};
process.on('message', async (question) => {
  if (question.ask !== undefined) process.send(await questions[question.ask](question));
});
process.send('ready');
`;

let child: ChildProcess | undefined;

afterEach(() => {
  child?.kill('SIGKILL');
});

afterAll(() => rmSync(home, { recursive: true, force: true }));

function heard(): Promise<unknown> {
  return new Promise((resolve) => child?.once('message', resolve));
}

async function start(dial: Record<number, number> = {}): Promise<void> {
  const program = join(home, 'program.mjs');
  writeFileSync(program, script);
  child = fork(program, [home], {
    execArgv: ['--require', agent],
    env: { ...process.env, SKEIN_CHAOS_DIAL: JSON.stringify(dial) },
  });
  await heard();
}

async function ask(question: string, more: object = {}): Promise<unknown> {
  const answer = heard();
  child?.send({ ask: question, ...more });
  return answer;
}

function order(chaos: Order): void {
  child?.send({ chaos });
}

it('dials another port where it is told to', async () => {
  const server = createServer((socket) => socket.end('the proxy'));
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const address = server.address();
  const proxy = typeof address === 'object' && address !== null ? address.port : 0;
  await start({ 1: proxy });
  expect(await ask('dial', { port: 1 })).toBe('the proxy');
  expect(await ask('dial', { port: 2 })).toBe('ECONNREFUSED');
  server.close();
});

it('moves the wall clock, and puts it right again', async () => {
  await start();
  const aheadMs = 100_000_000;
  order({ kind: 'clock', offsetMs: aheadMs, strobePeriodMs: 0 });
  expect(await ask('clock')).toBeGreaterThan(Date.now() + aheadMs / 2);
  order({ kind: 'clock', offsetMs: 0, strobePeriodMs: 0 });
  expect(await ask('clock')).toBeLessThan(Date.now() + aheadMs / 2);
});

it('lets syncs and synchronous writes fail', async () => {
  await start();
  expect([await ask('sync'), await ask('write')]).toEqual(['synced', 'written']);
  order({ kind: 'fsync', fails: true });
  expect([await ask('sync'), await ask('write')]).toEqual(['EIO', 'EIO']);
  order({ kind: 'fsync', fails: false });
  expect([await ask('sync'), await ask('write')]).toEqual(['synced', 'written']);
});

it('stalls', async () => {
  await start();
  const beganMs = performance.now();
  order({ kind: 'stall', forMs: 200 });
  await ask('clock');
  expect(performance.now() - beganMs).toBeGreaterThan(190);
});
