/** Folders that are not what a node takes them for: of another cluster, or an older copy of its own store. */
import { spawn } from 'node:child_process';
import { cpSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Cluster } from '../../src/index.ts';
import { startTestCluster, type TestCluster } from '../drivers/cluster.ts';
import { freePorts } from '../drivers/ports.ts';
import { connect, until } from './writer.ts';

const program = join(import.meta.dirname, '..', '..', 'bin', 'skein.cjs');
const aside = mkdtempSync(join(tmpdir(), 'skein-aside-'));
let target: TestCluster;

beforeAll(async () => {
  target = await startTestCluster();
}, 120_000);

afterAll(async () => {
  await target.stop();
  rmSync(aside, { recursive: true, force: true });
}, 60_000);

function run(words: readonly string[]): Promise<{ status: number | null; stderr: string }> {
  const child = spawn(process.execPath, [program, ...words], {
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  let stderr = '';
  child.stderr.on('data', (chunk: Buffer) => {
    stderr += chunk.toString('utf8');
  });
  return new Promise((resolve) => {
    child.once('close', (status) => resolve({ status, stderr }));
  });
}

describe('a folder that is something else', () => {
  it('the store of another cluster is refused with a sentence', async () => {
    const other = await Cluster.start({ nodes: 1, path: aside });
    await other.stop();
    const port = await freePorts(3);
    const rpcPorts = target.ports.map((each) => each + target.ports.length);
    const { status, stderr } = await run([
      'start',
      '--insecure',
      '--log-level=error',
      `--log-file=${join(aside, 'log')}`,
      `--store=path=${join(aside, 'node1')}`,
      `--listen-addr=127.0.0.1:${port}`,
      `--sql-addr=127.0.0.1:${port + 1}`,
      `--http-addr=127.0.0.1:${port + 2}`,
      `--join=${rpcPorts.map((each) => `127.0.0.1:${each}`).join(',')}`,
    ]);
    expect(stderr).toMatch(
      /^skein: the store in \S+ is of cluster \S+, and the nodes named by --join \(\S+, \S+, \S+\) are of another one; correct --join or --store\.\n$/,
    );
    expect(status).toBe(11);
  }, 60_000);

  it('an older copy of a store is refused with a sentence (trap L14)', async () => {
    const folder = join(target.data, 'node3');
    const copy = join(aside, 'copy');
    const client = await connect(target.cluster.url(0));
    await client.query('CREATE TABLE t (id int PRIMARY KEY)');
    await target.cluster.kill(2);
    cpSync(folder, copy, { recursive: true });
    await target.cluster.startNode(2);
    await client.query('INSERT INTO t SELECT generate_series(1, 100)');
    await target.cluster.kill(2);
    target.said.length = 0;
    rmSync(folder, { recursive: true });
    cpSync(copy, folder, { recursive: true });
    // It may be ready for a moment.
    const words: string[] = [];
    await target.cluster.startNode(2).catch((error: unknown) => words.push(String(error)));
    const said = () => [...words, ...target.said].filter((line) => line.includes('node 3 ended'));
    await until(() => said().length > 0);
    // Whoever comes first says it: a store that heard of it later, or a leader that was told of more entries.
    expect(said()[0]).toMatch(
      /node 3 ended \(status 11\).*: the store in \S+ is not used: (it is an older copy of store 3: it ends at \S+, and store \d has heard of store 3 at \S+|the raft log of range \d+ ends at \d+, and entries up to \d+ were acknowledged)\. To set it aside .* run "skein store quarantine/,
    );
    expect((await client.query('SELECT count(*)::int AS n FROM t')).rows).toEqual([{ n: 100 }]);
    await client.end();
  }, 60_000);
});
