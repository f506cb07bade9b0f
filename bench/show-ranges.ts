/**
 * How long SHOW RANGES takes: a table of many ranges, three nodes with SQL in this one process. Median and longest
 * wall time of 20 runs, and processor time of all three nodes together per run.
 *
 *   --ranges=N (default 1,000)
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import pg from 'pg';
import { Cluster } from '../src/index.ts';
import { machineLine, printTable } from './process.ts';

const runs = 20;
const warmUps = 3;
/** Until leases and counts have come to rest behind the splits. */
const settleMs = 5_000;
const splitsAtOnce = 50;

export async function runShowRangesBench(options: readonly string[]): Promise<void> {
  const given = options.find((option) => option.startsWith('--ranges='));
  const ranges = Number(given?.slice('--ranges='.length) ?? 1_000);
  const path = mkdtempSync(join(tmpdir(), 'skein-show-ranges-'));
  const cluster = await Cluster.start({ nodes: 3, path });
  try {
    const client = new pg.Client({ connectionString: cluster.url(1) });
    await client.connect();
    await client.query('CREATE TABLE t (id int PRIMARY KEY, v text)');
    await client.query(
      `INSERT INTO t SELECT g, repeat('x', 100) FROM generate_series(1, ${ranges * 10}) g`,
    );
    await replicated(client);
    for (let from = 1; from < ranges; from += splitsAtOnce) {
      const to = Math.min(from + splitsAtOnce, ranges);
      const keys = Array.from({ length: to - from }, (_, i) => `(${(from + i) * 10})`);
      await client.query(`ALTER TABLE t SPLIT AT VALUES ${keys.join()}`);
    }
    await replicated(client);
    await new Promise((resolve) => setTimeout(resolve, settleMs));
    const rows: string[][] = [];
    for (const statement of [
      'SHOW RANGES FROM TABLE t',
      'SHOW RANGES FROM TABLE t WITH DETAILS',
      'SHOW RANGES FROM TABLE t WITH KEYS',
      'SHOW CLUSTER RANGES WITH TABLES, DETAILS, KEYS',
      'SELECT lease_holder, count(*) FROM [SHOW RANGES FROM TABLE t] GROUP BY 1',
      'SELECT * FROM skein_internal.ranges',
    ]) {
      rows.push([statement, ...(await timed(client, statement))]);
    }
    console.log(`\n${machineLine()}; ${ranges} ranges\n`);
    printTable(['statement', 'median', 'longest', 'processor', 'wanted'], rows);
    await client.end();
  } finally {
    await cluster.stop();
    rmSync(path, { recursive: true, force: true });
  }
}

async function timed(client: pg.Client, statement: string): Promise<string[]> {
  const times: number[] = [];
  for (let i = 0; i < warmUps; i++) await client.query(statement);
  const cpu = process.cpuUsage();
  for (let i = 0; i < runs; i++) {
    const start = performance.now();
    await client.query(statement);
    times.push(performance.now() - start);
  }
  const { user, system } = process.cpuUsage(cpu);
  times.sort((a, b) => a - b);
  const text = (ms: number | undefined): string => `${(ms ?? 0).toFixed(0)} ms`;
  return [
    text(times[runs >> 1]),
    text(times.at(-1)),
    text((user + system) / 1000 / runs),
    '< 200 ms',
  ];
}

async function replicated(client: pg.Client): Promise<void> {
  for (;;) {
    const { rows } = await client.query(
      'SELECT count(*)::int AS n FROM [SHOW CLUSTER RANGES] WHERE array_length(replicas, 1) < 3',
    );
    if (rows[0].n === 0) return;
    await new Promise((resolve) => setTimeout(resolve, 200));
  }
}
