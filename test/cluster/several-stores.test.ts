/** Nodes with several stores, with none, and with one more than before. */
import { describe, expect, it } from 'vitest';
import pg from 'pg';
import { Cluster } from '../../src/index.ts';
import { allReplicated } from './replicated.ts';

async function connect(cluster: Cluster, node: number): Promise<pg.Client> {
  const client = new pg.Client({ connectionString: cluster.url(node) });
  client.on('error', () => {});
  await client.connect();
  return client;
}

/** Stores by node, as the ranges of the cluster know them. */
async function storesInUse(client: pg.Client): Promise<number[]> {
  const { rows } = await client.query<{ store_id: string }>(
    'SELECT DISTINCT unnest(store_ids) AS store_id FROM skein_internal.ranges ORDER BY 1',
  );
  return rows.map(({ store_id: id }) => Number(id));
}

async function eventually(isTrue: () => Promise<boolean>): Promise<void> {
  const deadlineMs = performance.now() + 40_000;
  while (!(await isTrue())) {
    if (performance.now() > deadlineMs) throw new Error('it did not come about in 40 s');
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
}

describe('stores of a node', () => {
  it('two on each node are filled, survive a crash, and no range has two replicas on a node', async () => {
    const cluster = await Cluster.start({ nodes: 3, stores: () => 2 });
    try {
      const client = await connect(cluster, 0);
      await client.query('CREATE TABLE t (id int PRIMARY KEY, v text)');
      await client.query("INSERT INTO t SELECT i, 'v' || i FROM generate_series(1, 100) i");
      await client.query(
        'ALTER TABLE t SPLIT AT VALUES (10), (20), (30), (40), (50), (60), (70), (80), (90)',
      );
      await allReplicated(cluster);
      await eventually(async () => (await storesInUse(client)).length === 6);
      // A replica that moves between two stores of a node is on both for a moment.
      await eventually(async () => {
        const { rows } = await client.query<{ replicas: string[] }>(
          'SELECT replicas FROM skein_internal.ranges',
        );
        return rows.every(({ replicas }) => replicas.length === 3 && new Set(replicas).size === 3);
      });

      await cluster.crash(2);
      await cluster.restart(2);
      const again = await connect(cluster, 2);
      expect((await again.query('SELECT count(*)::int AS n FROM t')).rows).toEqual([{ n: 100 }]);
      await client.end();
      await again.end();
    } finally {
      await cluster.stop();
    }
  }, 90_000);

  it('a node without a store serves SQL', async () => {
    const cluster = await Cluster.start({ nodes: 4, stores: (node) => (node === 3 ? 0 : 1) });
    try {
      const client = await connect(cluster, 3);
      await client.query('CREATE TABLE t (id int PRIMARY KEY)');
      await client.query('INSERT INTO t VALUES (1), (2)');
      expect((await client.query('SELECT sum(id)::int AS n FROM t')).rows).toEqual([{ n: 3 }]);
      expect((await storesInUse(client)).length).toBeLessThanOrEqual(3);
      await client.end();
      // It comes and goes as it likes.
      await cluster.crash(3);
      await cluster.restart(3);
      const again = await connect(cluster, 3);
      expect((await again.query('SELECT count(*)::int AS n FROM t')).rows).toEqual([{ n: 2 }]);
      // It came back as another node; the former one is forgotten.
      const ids = async (): Promise<number> =>
        (await again.query('SELECT 1 FROM skein_internal.nodes')).rows.length;
      expect(await ids()).toBe(5);
      await cluster.clock.advance(40_000);
      await eventually(async () => (await ids()) === 4);
      await again.end();
    } finally {
      await cluster.stop();
    }
  }, 60_000);

  it('an empty folder more at a restart becomes a store more', async () => {
    let stores = 1;
    const cluster = await Cluster.start({
      nodes: 3,
      stores: (node) => (node === 1 ? stores : 1),
    });
    try {
      const client = await connect(cluster, 0);
      await client.query('CREATE TABLE t (id int PRIMARY KEY)');
      await client.query('ALTER TABLE t SPLIT AT VALUES (1), (2), (3), (4), (5), (6), (7), (8)');
      await allReplicated(cluster);
      await cluster.crash(1);
      stores = 2;
      await cluster.restart(1);
      await eventually(async () => (await storesInUse(client)).length === 4);
      await client.end();
    } finally {
      await cluster.stop();
    }
  }, 90_000);
});
