/**
 * The harness is tested itself: it watches a short run in which somebody changes data behind the clients' backs, and has
 * to say so. (That it finds a bug of the nodes: `npm run chaos -- --mutant M1`, see README.md.)
 */
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { afterAll, expect, it } from 'vitest';
import { fromJsonLines } from '../../src/sim/checkers/history-files.ts';
import { type ChaosCluster } from './cluster.ts';
import { Connection } from './connection.ts';
import { Folder } from './report/folder.ts';
import { passed, runChaos } from './run.ts';

const home = mkdtempSync(join(tmpdir(), 'skein-chaos-test-'));

afterAll(() => rmSync(home, { recursive: true, force: true }));

/** As soon as there are accounts one of them is worth more. */
async function enrich(cluster: ChaosCluster): Promise<void> {
  for (;;) {
    await pause(100);
    const sql = await Connection.open(cluster.url(1)).catch(() => undefined);
    const done = await sql
      ?.query('UPDATE bank_even SET balance = balance + 1 WHERE id = 0')
      .catch(() => undefined);
    await sql?.close();
    if (done?.rowCount === 1) return;
  }
}

it('finds what no transaction did, and reports it', async () => {
  const folder = new Folder(home);
  let enriched: Promise<void> | undefined;
  const options = {
    workload: 'bank',
    isolation: 'serializable',
    nemesis: 'kill-one',
    seconds: 10,
    nodes: 3,
    seed: 1,
  } as const;
  const result = await runChaos(options, {
    started: (cluster) => {
      enriched = enrich(cluster);
    },
    ended: (cluster, ended) => folder.keep(cluster, ended),
  });
  await enriched;
  expect(passed(result)).toBe(false);
  expect(result.findings).toEqual([]);
  expect(result.verdict.valid).toBe(false);
  expect(result.journal[0]?.struck[0]?.text).toMatch(/^node \d killed$/);
  folder.report([result]);
  const run = join(home, 'bank-kill-one-1');
  expect(readdirSync(run)).toEqual(
    expect.arrayContaining(['history.edn', 'history.jsonl', 'nemesis.jsonl', 'result.json']),
  );
  expect(readdirSync(run)).toContain('node1.log');
  const history = fromJsonLines(readFileSync(join(run, 'history.jsonl'), 'utf8'));
  expect(history.length).toBeGreaterThan(100);
  expect(readFileSync(join(home, 'report.txt'), 'utf8')).toMatch(/^bank +kill-one +1 .*total/m);
  const page = readFileSync(join(home, 'report.html'), 'utf8');
  expect(page).toContain('0 passed, 1 failed');
  expect(page).toContain('--workload bank --nemesis kill-one --isolation serializable');
}, 180_000);
