/** Single stores that drain, leave and stay, while their nodes go on. */
import { describe, expect, it } from 'vitest';
import pg from 'pg';
import { Cluster } from '../../src/index.ts';
import { allReplicated, until } from './replicated.ts';

async function loaded(cluster: Cluster): Promise<pg.Client> {
  const client = new pg.Client({ connectionString: cluster.url(0) });
  client.on('error', () => {});
  await client.connect();
  await client.query('CREATE TABLE t (id int PRIMARY KEY, v text)');
  await client.query("INSERT INTO t SELECT i, 'v' || i FROM generate_series(1, 100) i");
  await client.query('ALTER TABLE t SPLIT AT VALUES (10), (20), (30), (40), (50), (60), (70)');
  await allReplicated(cluster);
  return client;
}

async function ended(client: pg.Client, statement: string): Promise<string> {
  const { rows } = await client.query<{ job_id: string }>(statement);
  const job = await client.query<{ status: string }>(`SHOW JOB WHEN COMPLETE ${rows[0]?.job_id}`);
  return job.rows[0]?.status ?? 'gone';
}

async function membershipOf(client: pg.Client, store: number): Promise<unknown> {
  const { rows } = await client.query(
    `SELECT node_id, is_live, replicas, membership FROM skein_internal.store_membership WHERE store_id = ${store}`,
  );
  return rows[0];
}

async function leasesOn(client: pg.Client, node: number): Promise<number> {
  const { rows } = await client.query<{ n: number }>(
    `SELECT count(*)::int AS n FROM skein_internal.ranges WHERE lease_holder = ${node}`,
  );
  return rows[0]?.n ?? 0;
}

async function refusal(client: pg.Client, statement: string): Promise<string> {
  return client.query(statement).then(
    () => 'done',
    ({ code, message }: pg.DatabaseError) => `${code} ${message}`,
  );
}

/** Once the node has heard that one of its stores has left. */
async function startAgain(cluster: Cluster, node: number): Promise<void> {
  const told = (): unknown => cluster.node(node).gossip.get('memberships');
  await until(async () => JSON.stringify(told()).includes('"decommissioned"'));
  await cluster.node(node).stop();
  await cluster.crash(node);
  await cluster.restart(node);
}

describe('stores', () => {
  it('leave: their replicas go elsewhere, on the same node too, and the next start leaves them out', async () => {
    const cluster = await Cluster.start({ nodes: 3, stores: () => 2 });
    try {
      const client = await loaded(cluster);
      const [first, second] = cluster.node(1).stores.map(({ storeId }) => Number(storeId));
      const leaving = Number(first);
      expect(await refusal(client, `ALTER STORE 99 DECOMMISSION`)).toBe(
        '42704 store 99 does not exist',
      );
      expect(await refusal(client, `ALTER STORE ${leaving} RECOMMISSION`)).toBe(
        `55000 store ${leaving} is active: nobody has asked it to leave`,
      );
      // Without either of its stores, a node is left to two of three replicas.
      expect(await refusal(client, `ALTER STORE ${leaving}, ${second} DECOMMISSION`)).toContain(
        `55000 store ${leaving}, ${second} cannot be decommissioned`,
      );
      const { rows: moves } = await client.query<{ from_store: string }>(
        `EXPLAIN ALTER STORE ${leaving} DECOMMISSION`,
      );
      expect(new Set(moves.map(({ from_store: from }) => Number(from)))).toEqual(
        new Set([leaving]),
      );

      // What is to be done to its ranges anyway is no reason against it, unless that is asked for.
      await client.query('ALTER NODE 3 DECOMMISSION WITHOUT CHECKS');
      const strictly = `ALTER STORE ${leaving} DECOMMISSION WITH STRICT CHECKS`;
      await until(async () => {
        const { rows } = await client.query<{ reason: string | null }>(`EXPLAIN ${strictly}`);
        return rows.some(({ reason }) => reason?.startsWith('needs repair already') === true);
      });
      expect(await refusal(client, strictly)).toContain('55000');
      await client.query('ALTER NODE 3 RECOMMISSION');
      expect(await ended(client, `ALTER STORE ${leaving} DECOMMISSION`)).toBe('succeeded');
      expect(await membershipOf(client, leaving)).toEqual({
        node_id: '2',
        is_live: false,
        replicas: '0',
        membership: 'decommissioned',
      });
      expect(await refusal(client, `ALTER STORE ${leaving} RECOMMISSION`)).toBe(
        `55000 store ${leaving} is decommissioned for good`,
      );
      // The node has three replicas of three to hold: all are in its other store now.
      await allReplicated(cluster);
      const ranges = await client.query('SELECT 1 FROM skein_internal.ranges_no_leases');
      expect(await membershipOf(client, Number(second))).toMatchObject({
        replicas: String(ranges.rowCount),
      });

      await startAgain(cluster, 1);
      expect(cluster.node(1).stores.map(({ storeId }) => Number(storeId))).toEqual([second]);
      expect((await client.query('SELECT count(*)::int AS n FROM t')).rows).toEqual([{ n: 100 }]);
      await client.end();
    } finally {
      await cluster.stop();
    }
  }, 120_000);

  it('leave: a node whose only store has left serves SQL', async () => {
    const cluster = await Cluster.start({ nodes: 4 });
    try {
      const client = await loaded(cluster);
      const { nodeId, stores } = cluster.node(3);
      expect(await ended(client, `ALTER STORE ${stores[0]?.storeId} DECOMMISSION`)).toBe(
        'succeeded',
      );
      await startAgain(cluster, 3);
      expect(cluster.node(3).nodeId).toBe(nodeId);
      expect(cluster.node(3).stores).toEqual([]);
      const through = new pg.Client({ connectionString: cluster.url(3) });
      await through.connect();
      expect((await through.query('SELECT count(*)::int AS n FROM t')).rows).toEqual([{ n: 100 }]);
      await through.end();
      await client.end();
    } finally {
      await cluster.stop();
    }
  }, 90_000);

  it('drain: they hold no leases until they are recommissioned', async () => {
    const cluster = await Cluster.start({ nodes: 3 });
    try {
      const client = await loaded(cluster);
      expect(await ended(client, 'ALTER STORE 1 DRAIN')).toBe('succeeded');
      expect(await leasesOn(client, 1)).toBe(0);
      const draining = async (): Promise<unknown> =>
        (
          await client.query(
            'SELECT store_id FROM skein_internal.store_membership WHERE is_draining',
          )
        ).rows;
      await until(async () => JSON.stringify(await draining()) === '[{"store_id":"1"}]');
      // One that it is given nevertheless does not stay.
      await client.query(
        'ALTER RANGE RELOCATE LEASE TO 1 FOR SELECT range_id FROM [SHOW RANGES FROM TABLE t]',
      );
      await until(async () => (await leasesOn(client, 1)) === 0);

      // Nor does it leave: nobody could take its replicas. It takes leases again all the same.
      await client.query('ALTER STORE 1 DECOMMISSION WITHOUT CHECKS');
      await client.query('ALTER STORE 1 RECOMMISSION');
      await until(async () => JSON.stringify(await draining()) === '[]');
      await until(async () => (await leasesOn(client, 1)) > 0);
      await client.end();
    } finally {
      await cluster.stop();
    }
  }, 90_000);
});
