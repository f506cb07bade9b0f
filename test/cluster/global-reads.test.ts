/** Tables with global_reads: every node reads the present without asking another one, and nothing gets weaker. */
import { afterAll, beforeAll, expect, it } from 'vitest';
import pg from 'pg';
import { Cluster } from '../../src/index.ts';
import { allReplicated, until } from './replicated.ts';

const nodes = [0, 1, 2];
let cluster: Cluster;
const clients: pg.Client[] = [];

beforeAll(async () => {
  cluster = await Cluster.start({ nodes: nodes.length });
  for (const node of nodes) {
    const client = new pg.Client({ connectionString: cluster.url(node) });
    await client.connect();
    clients.push(client);
  }
  await ask(0, 'CREATE TABLE rates (currency text PRIMARY KEY, rate int)');
  await ask(0, 'CREATE TABLE orders (id int PRIMARY KEY, price int)');
  await ask(0, "INSERT INTO rates VALUES ('chf', 1), ('eur', 1)");
  await ask(0, 'INSERT INTO orders VALUES (1, 0)');
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

const rate = "SELECT rate FROM rates WHERE currency = 'chf'";

/** Nodes that serve a read of the table themselves, without the lease. */
async function followersThatServe(): Promise<number> {
  const reads = (): number[] =>
    nodes.map((node) => cluster.node(node).store.metrics().counters.followerReads);
  const before = reads();
  for (const node of nodes) await ask(node, rate);
  return reads().filter((count, node) => count > (before[node] ?? 0)).length;
}

it('is turned on while the cluster runs', async () => {
  expect(await followersThatServe()).toBe(0);
  await ask(0, 'ALTER TABLE rates CONFIGURE ZONE USING global_reads = true');
  await until(async () => (await followersThatServe()) === 2);
}, 30_000);

it('what was committed is seen everywhere at once', async () => {
  for (const node of nodes) {
    await ask(node, `UPDATE rates SET rate = ${node + 10} WHERE currency = 'chf'`);
    const seen = await Promise.all(nodes.map((other) => ask(other, rate)));
    expect(seen).toEqual(nodes.map(() => [{ rate: node + 10 }]));
  }
}, 30_000);

it('transactions read their own writes, and others after them', async () => {
  await ask(1, 'BEGIN');
  await ask(1, "UPDATE rates SET rate = 20 WHERE currency = 'chf'");
  expect(await ask(1, rate)).toEqual([{ rate: 20 }]);
  expect(await ask(1, "SELECT rate FROM rates WHERE currency = 'eur'")).toEqual([{ rate: 1 }]);
  await ask(1, `UPDATE orders SET price = (${rate}) WHERE id = 1`);
  await ask(1, 'COMMIT');
  const joined = 'SELECT price, rate FROM orders, rates WHERE currency = $$chf$$';
  for (const node of nodes) expect(await ask(node, joined)).toEqual([{ price: 20, rate: 20 }]);
}, 30_000);

it('writers that read before are not sent round in circles', async () => {
  await ask(0, "UPDATE rates SET rate = 0 WHERE currency = 'chf'");
  await Promise.all(
    nodes.map(async (node) => {
      for (let i = 0; i < 3; i++) {
        await ask(node, "UPDATE rates SET rate = rate + 1 WHERE currency = 'chf'");
      }
    }),
  );
  expect(await ask(2, rate)).toEqual([{ rate: 9 }]);
  // What was read lies elsewhere: it cannot be refreshed where the write is moved.
  await ask(2, 'BEGIN');
  const [order] = await ask(2, 'SELECT price FROM orders WHERE id = 1');
  await ask(2, `UPDATE rates SET rate = ${Number(order?.['price'])} WHERE currency = 'chf'`);
  await ask(2, 'COMMIT');
  expect(await ask(0, rate)).toEqual([{ rate: 20 }]);
}, 60_000);

it('is turned off while the cluster runs', async () => {
  await ask(2, 'ALTER TABLE rates CONFIGURE ZONE USING global_reads = false');
  await until(async () => (await followersThatServe()) === 0);
  expect(await ask(1, rate)).toEqual([{ rate: 20 }]);
}, 30_000);
