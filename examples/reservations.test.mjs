// Tests of an application against a cluster that fails: node --test examples/
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import pg from 'pg';
import { Cluster } from 'skeindb';

// The application: an item is reserved for 15 minutes.

async function reserve(client, item, customer) {
  for (;;) {
    try {
      const { rowCount } = await client.query(
        `INSERT INTO reservations VALUES ($1, $2, now() + interval '15 minutes')
         ON CONFLICT (item) DO UPDATE SET customer = $2, until = excluded.until
         WHERE reservations.until <= now() OR reservations.customer = $2`,
        [item, customer],
      );
      return rowCount === 1;
    } catch (error) {
      // 40001: it did not happen. 40003: nobody knows, but asking twice does no harm here.
      if (error.code !== '40001' && error.code !== '40003') throw error;
    }
  }
}

// The tests.

let cluster;
const clients = [];

async function connect(node) {
  const client = new pg.Client({ connectionString: cluster.url(node) });
  // The connection breaks when its node is crashed.
  client.on('error', () => {});
  await client.connect();
  clients.push(client);
  return client;
}

before(async () => {
  cluster = await Cluster.start({ nodes: 3 });
  const client = await connect(0);
  await client.query(
    'CREATE TABLE reservations (item text PRIMARY KEY, customer text, until timestamptz)',
  );
  // By then every row has its three replicas.
  await cluster.clock.advance(30_000);
});

after(async () => {
  for (const client of clients) await client.end();
  await cluster.stop();
});

test('a reservation ends after 15 minutes', async () => {
  const client = await connect(0);
  assert.equal(await reserve(client, 'bicycle', 'Ada'), true);
  await cluster.clock.advance(14 * 60_000);
  assert.equal(await reserve(client, 'bicycle', 'Bob'), false);
  await cluster.clock.advance(61_000);
  assert.equal(await reserve(client, 'bicycle', 'Bob'), true);
});

test('a reservation outlives the node that took it', async () => {
  assert.equal(await reserve(await connect(2), 'tent', 'Ada'), true);
  await cluster.crash(2);
  assert.equal(await reserve(await connect(0), 'tent', 'Bob'), false);
  await cluster.restart(2);
  assert.equal(await reserve(await connect(2), 'tent', 'Bob'), false);
});

test('a power failure of all nodes loses no reservation', async () => {
  assert.equal(await reserve(await connect(1), 'boat', 'Ada'), true);
  for (const node of [0, 1, 2]) await cluster.crash(node, 'power');
  await Promise.all([0, 1, 2].map((node) => cluster.restart(node)));
  assert.equal(await reserve(await connect(0), 'boat', 'Bob'), false);
});

test('two of three nodes go on when the third is cut off', async () => {
  cluster.partition([0], [1, 2]);
  assert.equal(await reserve(await connect(1), 'canoe', 'Ada'), true);
  cluster.heal();
  assert.equal(await reserve(await connect(0), 'canoe', 'Bob'), false);
});

test('a node that stands still for a while does no harm', async () => {
  const client = await connect(0);
  cluster.pause(1, 2_000);
  assert.equal(await reserve(client, 'kayak', 'Ada'), true);
});

test('a node whose disk is full ends itself, and comes back with room', async () => {
  await cluster.failDisk(2, 'ENOSPC');
  assert.equal(await reserve(await connect(0), 'sledge', 'Ada'), true);
  await cluster.restart(2);
  assert.equal(await reserve(await connect(2), 'sledge', 'Bob'), false);
});

test('clocks of machines differ', async () => {
  await cluster.clock.advance(200, 1);
  assert.equal(await reserve(await connect(1), 'skates', 'Ada'), true);
  assert.equal(await reserve(await connect(0), 'skates', 'Bob'), false);
});
