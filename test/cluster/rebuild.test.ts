/** Damaged stores of real nodes: refused with a sentence; whoever does what it says has a complete cluster again. */
import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { startTestCluster, type TestCluster } from '../drivers/cluster.ts';
import { connect, until } from './writer.ts';

const program = join(import.meta.dirname, '..', '..', 'bin', 'skein.cjs');
let target: TestCluster;

beforeAll(async () => {
  target = await startTestCluster({ nodes: 4 });
}, 120_000);

afterAll(async () => {
  await target.stop();
}, 60_000);

const url = (node: number): string => target.cluster.url(node);
const storeOf = (node: number): string => join(target.data, `node${node + 1}`);

/** Flips one bit in the middle of the largest file of the folder whose name fits. */
function damage(folder: string, name: RegExp): void {
  const [content, path] = readdirSync(folder)
    .filter((each) => name.test(each))
    .map((each) => [readFileSync(join(folder, each)), join(folder, each)] as const)
    .sort(([a], [b]) => b.length - a.length)[0] ?? [Buffer.alloc(0), ''];
  const middle = content.length >> 1;
  content[middle] = (content[middle] ?? 0) ^ 0x10;
  writeFileSync(path, content);
}

/**
 * Waits until `condition` holds for the set of stores that have replicas, system ranges included, and every range bears the loss of
 * another store: one that misses a replica already, or is in the midst of a change, would not.
 */
async function held(condition: (stores: ReadonlySet<number>) => boolean): Promise<void> {
  const client = await connect(url(0));
  let shown: { replicas: string[] }[] = [];
  await until(
    async () => {
      shown = (await client.query('SHOW CLUSTER RANGES')).rows;
      return condition(new Set(shown.flatMap(({ replicas }) => replicas.map(Number))));
    },
    () => ({ shown, said: target.said }),
  );
  await client.end();
  expect(await target.cluster.bearsLossOfOne(), target.said.join('\n')).toBe(true);
}

async function refusal(node: number): Promise<string> {
  return target.cluster.startNode(node).then(
    () => 'it started',
    (error: unknown) => (error instanceof Error ? error.message : String(error)),
  );
}

describe('a damaged store', () => {
  it.each([
    ['the raft log', 2, 'raft', /\.log$/, 5],
    ['LevelDB', 3, 'engine', /^MANIFEST/, 6],
  ] as const)(
    '%s: refused, set aside by the command that the refusal names, rebuilt from the others',
    async (_what, node, folder, file, newStore) => {
      const client = await connect(url(0));
      const table = `t${node}`;
      await client.query(`CREATE TABLE ${table} (id int PRIMARY KEY, v text)`);
      await client.query(
        `INSERT INTO ${table} SELECT g, repeat('x', 200) FROM generate_series(1, 600) g`,
      );
      await client.query(`ALTER TABLE ${table} SPLIT AT VALUES (100), (200), (300), (400), (500)`);
      await held((stores) => stores.has(node + 1));
      await target.cluster.kill(node);
      damage(join(storeOf(node), folder), file);
      // A second try finds the mark.
      for (let i = 0; i < 2; i++) {
        expect(await refusal(node)).toMatch(
          /^node \d ended \(status 11\): the store in \S+ is not used: .+\. To set it aside and get a new one from the other nodes, run "skein store quarantine --store=path=\S+" and start this node again\.$/,
        );
      }
      const [, words = ''] = /"skein (.*?)"/.exec(await refusal(node)) ?? [];
      const ran = spawnSync(process.execPath, [program, ...words.split(' ')], { encoding: 'utf8' });
      expect(ran).toMatchObject({ status: 0, stderr: '' });
      expect(ran.stdout).toMatch(new RegExp(`^store ${node + 1} was set aside in `));
      const aside = readdirSync(storeOf(node)).filter((name) => name.startsWith('quarantined-'));
      expect(aside.length).toBe(1);
      for (const name of ['DAMAGED', 'STORE', 'CLOCK', 'raft', 'engine']) {
        expect(existsSync(join(storeOf(node), aside[0] ?? '', name)), name).toBe(true);
      }
      await target.cluster.startNode(node);
      // Long before the former store would count as dead for its silence.
      await held((stores) => stores.has(newStore) && !stores.has(node + 1));
      await client.end();
      const reader = await connect(url(node));
      const { rows } = await reader.query(
        `SELECT count(*)::int AS n FROM ${table} WHERE v = repeat('x', 200)`,
      );
      expect(rows).toEqual([{ n: 600 }]);
      await reader.end();
    },
    120_000,
  );

  it('a store that no start has refused is not set aside', () => {
    const arguments_ = ['store', 'quarantine', `--store=path=${storeOf(0)}`];
    const ran = spawnSync(process.execPath, [program, ...arguments_], { encoding: 'utf8' });
    expect(ran.status).toBe(1);
    expect(ran.stderr).toMatch(/no start has refused the store/);
  });
});
