/** `npm run demo` as a user meets it: what it prints, how it stops, how it refuses. */
import { type ChildProcess, spawn } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import pg from 'pg';
import { freePorts } from '../drivers/ports.ts';
import { run } from '../drivers/programs.ts';

const program = resolve(import.meta.dirname, '../../bin/skein.cjs');
let root: string;
let port: number;

beforeAll(async () => {
  root = mkdtempSync(join(tmpdir(), 'skein-demo-'));
  port = await freePorts(20);
});

afterAll(() => rmSync(root, { recursive: true, force: true }));

const skein = (...args: string[]): ReturnType<typeof run> =>
  run(process.execPath, [program, ...args]);

function demoArguments(data: string, ...more: string[]): string[] {
  return [
    'demo',
    '--data',
    join(root, data),
    '--sql-port',
    String(port),
    '--rpc-port',
    String(port + 5),
    '--http-port',
    String(port + 10),
    ...more,
  ];
}

/** Whatever a failed test left running. */
const running = new Set<Demo>();

afterEach(async () => {
  for (const demo of running) {
    demo.process.kill('SIGTERM');
    await demo.ended;
  }
});

class Demo {
  output = '';
  readonly process: ChildProcess;
  readonly ended: Promise<number | null>;

  constructor(args: readonly string[]) {
    this.process = spawn(process.execPath, [program, ...args], {
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    for (const stream of [this.process.stdout, this.process.stderr]) {
      stream?.on('data', (chunk: Buffer) => {
        this.output += chunk.toString('utf8');
      });
    }
    running.add(this);
    this.ended = new Promise((settle) => {
      this.process.once('exit', (code) => {
        running.delete(this);
        settle(code);
      });
    });
  }

  /** Resolves when the output holds `text`; rejects when the demo ends first. */
  async shows(text: string): Promise<void> {
    let over = false;
    void this.ended.then(() => {
      over = true;
    });
    while (!this.output.includes(text)) {
      if (over) throw new Error(`the demo ended without "${text}":\n${this.output}`);
      await new Promise((settle) => setTimeout(settle, 20));
    }
  }
}

async function query(url: string, sql: string): Promise<unknown[]> {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  try {
    return (await client.query(sql)).rows as unknown[];
  } finally {
    await client.end();
  }
}

describe('demo', () => {
  it('starts, serves, stops on SIGINT, finds its data again, grows', async () => {
    const first = new Demo(demoArguments('a'));
    await first.shows('ready: ');
    const url = `postgresql://root@127.0.0.1:${port}/defaultdb?sslmode=disable`;
    expect(first.output).toContain(`ready: ${url}`);
    for (const n of [1, 2, 3])
      expect(first.output).toContain(`node ${n}  sql 127.0.0.1:${port + n - 1}`);
    await query(url, 'CREATE TABLE kept (id int PRIMARY KEY)');
    await query(url, 'INSERT INTO kept VALUES (1), (2), (3)');
    for (const path of ['/health', '/health?ready=1', '/status']) {
      expect((await fetch(`http://127.0.0.1:${port + 10}${path}`)).status, path).toBe(200);
    }
    const metrics = await (await fetch(`http://127.0.0.1:${port + 10}/metrics`)).text();
    expect(metrics).toMatch(/skein_ranges\{node="\d"\} [1-9]/);
    first.process.kill('SIGINT');
    expect(await first.ended, first.output).toBe(0);

    const second = new Demo(demoArguments('a', '--nodes', '4'));
    await second.shows('ready: ');
    expect(await query(url, 'SELECT count(*)::int AS n FROM kept')).toEqual([{ n: 3 }]);
    // The data folder and the ports are taken now.
    const again = await skein(...demoArguments('a', '--nodes', '4'));
    expect(again.status).not.toBe(0);
    expect(again.stderr).toMatch(/port \d+ is in use/);
    const sql = await skein('sql', '--url', url, '-e', 'SELECT id FROM kept ORDER BY id');
    expect(sql.stdout).toContain('(3 rows)');
    const status = await skein('node', 'status', '--url', url);
    expect(status.stdout, status.stderr).toContain(`127.0.0.1:${port + 3}`);
    second.process.kill('SIGTERM');
    expect(await second.ended, second.output).toBe(0);
    const shrunk = await skein(...demoArguments('a'));
    expect(shrunk.stderr).toContain('start it with --nodes 4');
  }, 120_000);

  it('refuses a folder that is not its own, and a locked store', async () => {
    mkdirSync(join(root, 'foreign'));
    writeFileSync(join(root, 'foreign', 'letter.txt'), 'dear');
    const foreign = await skein(...demoArguments('foreign'));
    expect(foreign.status).toBe(1);
    expect(foreign.stderr).toContain('not of a Skein cluster');
    const store = await skein(
      'start-single-node',
      '--insecure',
      `--store=path=${join(root, 'foreign')}`,
      `--listen-addr=:${port}`,
      `--sql-addr=:${port + 1}`,
      `--http-addr=:${port + 2}`,
    );
    expect(store.status).toBe(11);
    expect(store.stderr).toContain('not of a Skein store');
  });

  it('refuses ports in use and senseless flags, in one sentence', async () => {
    const blocker = createServer();
    await new Promise<void>((settle) => blocker.listen(port, '127.0.0.1', settle));
    const busy = await skein(...demoArguments('b'));
    blocker.close();
    expect(busy.status).toBe(1);
    expect(busy.stderr.trim().split('\n')).toHaveLength(1);
    expect(busy.stderr).toContain(`port ${port} is in use`);
    for (const [args, words] of [
      [['start', '--store=path=x', '--join=a'], '--insecure'],
      [['start', '--insecure', '--store=path=x'], '--join'],
      [['start-single-node', '--insecure', '--store=size=5'], 'path=DIR'],
      [['start-single-node', '--insecure', '--locality=a'], '--locality'],
      [['demo', '--nodes', '0'], '--nodes takes'],
      [['sql', '--host', `127.0.0.1:${port}`, '-e', 'SELECT 1'], 'no connection'],
    ] as const) {
      const refused = await skein(...args);
      expect(refused.status, args.join(' ')).toBe(1);
      expect(refused.stderr, args.join(' ')).toContain(words);
    }
  }, 60_000);

  it('a single node serves, and is found locked by a second one', async () => {
    const flags = (first: number): string[] => [
      'start-single-node',
      '--insecure',
      `--store=path=${join(root, 'one')}`,
      `--listen-addr=:${first}`,
      `--sql-addr=:${first + 1}`,
      `--http-addr=:${first + 2}`,
    ];
    const node = new Demo(flags(port));
    await node.shows('nodeID:');
    expect(
      await query(`postgresql://root@127.0.0.1:${port + 1}/defaultdb`, 'SELECT 1 AS one'),
    ).toEqual([{ one: 1 }]);
    const second = await skein(...flags(port + 5));
    expect(second.status).toBe(1);
    expect(second.stderr).toContain('another process uses this data folder');
    node.process.kill('SIGTERM');
    expect(await node.ended, node.output).toBe(0);
  }, 60_000);

  it('has help for everything', async () => {
    for (const args of [
      [],
      ['start'],
      ['start-single-node'],
      ['init'],
      ['demo'],
      ['sql'],
      ['node', 'status'],
      ['sim'],
      ['version'],
    ]) {
      const help = await skein(...args, '--help');
      expect(help.status, args.join(' ')).toBe(0);
      expect(help.stdout).toContain('Usage: skein');
    }
    expect((await skein('version')).stdout).toMatch(/^skein \d+\.\d+\.\d+/);
  }, 60_000);
});
