/** Many clients at few rows, on all nodes, at each isolation level: nothing is lost, and few hear of conflicts. */
import { afterAll, beforeAll, expect, it } from 'vitest';
import pg from 'pg';
import { Cluster } from '../../src/index.ts';

const clientsPerNode = 2;
const rounds = 10;

async function connect(cluster: Cluster, node: number): Promise<pg.Client> {
  const client = new pg.Client({ connectionString: cluster.url(node) });
  await client.connect();
  return client;
}

/** Moves one from an account to a later one, so that nobody waits in a circle. Returns the SQLSTATE of a failure. */
async function transfer(
  client: pg.Client,
  level: string,
  from: number,
): Promise<string | undefined> {
  try {
    await client.query(`begin isolation level ${level}`);
    await client.query('update accounts set v = v - 1 where id = $1', [from]);
    // What is read here without a lock changes while the statement waits for the row.
    await client.query(
      'update accounts set v = v + 1 from (select min(n) as least from totals) t where id = $1 and least >= 0',
      [from + 1],
    );
    await client.query('update totals set n = n + 1 where n >= 0');
    await client.query('commit');
    return undefined;
  } catch (error) {
    await client.query('rollback');
    return String(Reflect.get(Object(error), 'code'));
  }
}

let cluster: Cluster;
let clients: pg.Client[];

beforeAll(async () => {
  cluster = await Cluster.start({ nodes: 3 });
  clients = await Promise.all(
    Array.from({ length: 3 * clientsPerNode }, (_, i) => connect(cluster, i % 3)),
  );
  for (const statement of [
    'create table accounts (id int primary key, v int)',
    'insert into accounts values (1, 100), (2, 100), (3, 100)',
    'alter table accounts split at values (2)',
    'create table totals (id int primary key, n int)',
    'insert into totals values (1, 0), (2, 0)',
    'alter table totals split at values (2)',
  ]) {
    await clients[0]?.query(statement);
  }
}, 60_000);

afterAll(async () => {
  for (const client of clients) await client.end();
  await cluster.stop();
}, 60_000);

// The answers are the same in every replay: what is left to tell are replays that are overtaken again and again.
it.each([
  ['read committed', []],
  ['repeatable read', ['40001']],
  ['serializable', ['40001']],
] satisfies [string, string[]][])(
  '%s: no change is lost',
  async (level, mayFail) => {
    const [first] = clients;
    await first?.query('update totals set n = 0');
    const failures: string[] = [];
    await Promise.all(
      clients.map(async (client, n) => {
        for (let i = 0; i < rounds; i++) {
          const failure = await transfer(client, level, 1 + ((n + i) % 2));
          if (failure !== undefined) failures.push(failure);
        }
      }),
    );
    const done = clients.length * rounds - failures.length;
    const sums = await first?.query(
      'select (select sum(v)::int from accounts) as v, (select sum(n)::int from totals) as n',
    );
    expect(sums?.rows).toEqual([{ v: 300, n: 2 * done }]);
    expect(failures.filter((code) => !mayFail.includes(code))).toEqual([]);
  },
  60_000,
);
