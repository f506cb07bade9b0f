/** Reads of the past are served by the node that is asked, whoever holds the lease. */
import { afterAll, beforeAll, expect, it } from 'vitest';
import pg from 'pg';
import { Cluster } from '../../src/index.ts';
import { allReplicated, until } from './replicated.ts';

let cluster: Cluster;
const clients: pg.Client[] = [];

beforeAll(async () => {
  cluster = await Cluster.start({ nodes: 3 });
  for (const node of [0, 1, 2]) {
    const client = new pg.Client({ connectionString: cluster.url(node) });
    await client.connect();
    clients.push(client);
  }
  await ask(0, "SET CLUSTER SETTING kv.closed_timestamp.target_duration = '100ms'");
  await ask(0, "SET CLUSTER SETTING kv.closed_timestamp.side_transport_interval = '20ms'");
  await ask(0, 'CREATE TABLE t (a int PRIMARY KEY, b int)');
  await ask(0, 'INSERT INTO t SELECT g, 1 FROM generate_series(1, 100) g');
  await allReplicated(cluster);
}, 60_000);

afterAll(async () => {
  for (const client of clients) await client.end();
  await cluster.stop();
});

async function ask(node: number, sql: string): Promise<Record<string, unknown>[]> {
  const client = clients[node];
  if (client === undefined) throw new Error(`no node ${node}`);
  return (await client.query(sql)).rows;
}

function followerReads(): number[] {
  return [0, 1, 2].map((node) => cluster.node(node).store.metrics().counters.followerReads);
}

/** Asks every node until all give the same answer; how many of them had to ask nobody else. */
async function fromEveryNode(sql: string, sum: string): Promise<number> {
  let before = followerReads();
  await until(async () => {
    before = followerReads();
    const answers = await Promise.all(
      [0, 1, 2].map((node) => ask(node, sql).catch(() => [{ sum: 'nothing yet' }])),
    );
    return answers.every(([row]) => row?.['sum'] === sum);
  });
  return followerReads().filter((reads, node) => reads > (before[node] ?? 0)).length;
}

it.each([
  'follower_read_timestamp()',
  "with_max_staleness('1h')",
  "with_min_timestamp('2000-01-01')",
])(
  'AS OF SYSTEM TIME %s',
  async (asOf) => {
    // The node with the lease serves as its holder; tables and catalog may have different ones.
    const sql = `SELECT sum(b) FROM t AS OF SYSTEM TIME ${asOf}`;
    expect(await fromEveryNode(sql, '100')).toBeGreaterThanOrEqual(2);
  },
  30_000,
);

it('EXPLAIN ANALYZE says so', async () => {
  const lines = await Promise.all(
    [0, 1, 2].map(async (node) => {
      const rows = await ask(
        node,
        'EXPLAIN ANALYZE SELECT * FROM t AS OF SYSTEM TIME follower_read_timestamp()',
      );
      return rows.map((row) => String(row['QUERY PLAN'])).join('\n');
    }),
  );
  for (const each of lines) expect(each).toMatch(/historical: AS OF SYSTEM TIME \d+\.\d{10}/);
  const used = lines.filter((each) => each.includes('used follower read'));
  expect(used.length).toBeGreaterThanOrEqual(2);
}, 30_000);

it('a transaction block, and all transactions of a session', async () => {
  await ask(1, 'BEGIN AS OF SYSTEM TIME follower_read_timestamp()');
  expect(await ask(1, 'SELECT sum(b) FROM t')).toEqual([{ sum: '100' }]);
  await ask(1, 'COMMIT');
  await ask(0, 'UPDATE t SET b = 2 WHERE a = 1');
  await ask(2, 'SET default_transaction_use_follower_reads = on');
  await until(async () => (await ask(2, 'SELECT sum(b) FROM t'))[0]?.['sum'] === '101');
  await expect(ask(2, 'UPDATE t SET b = 3')).rejects.toThrow('read-only transaction');
  await ask(2, 'SET default_transaction_use_follower_reads = off');
}, 30_000);

it('what the nearest replica does not know is refused when only that will do', async () => {
  await ask(0, "SET CLUSTER SETTING kv.closed_timestamp.target_duration = '1h'");
  const sql = "SELECT sum(b) FROM t AS OF SYSTEM TIME with_max_staleness('1us', true)";
  const refusals = await Promise.all(
    [0, 1, 2].map((node) =>
      ask(node, sql).then(
        () => '',
        (error: Error) => error.message,
      ),
    ),
  );
  expect(
    refusals.filter((message) => message.includes('bounded staleness')).length,
  ).toBeGreaterThanOrEqual(2);
}, 30_000);
