/** Nodes that drain, leave and stay, asked for by SQL; whoever does the work may fail meanwhile. */
import { describe, expect, it } from 'vitest';
import pg from 'pg';
import { Cluster } from '../../src/index.ts';
import { allReplicated, until } from './replicated.ts';

async function connect(cluster: Cluster, node: number): Promise<pg.Client> {
  const client = new pg.Client({ connectionString: cluster.url(node) });
  client.on('error', () => {});
  await client.connect();
  return client;
}

async function loaded(cluster: Cluster, node: number): Promise<pg.Client> {
  const client = await connect(cluster, node);
  await client.query('CREATE TABLE t (id int PRIMARY KEY, v text)');
  await client.query("INSERT INTO t SELECT i, 'v' || i FROM generate_series(1, 100) i");
  await client.query('ALTER TABLE t SPLIT AT VALUES (20), (40), (60), (80)');
  await allReplicated(cluster);
  return client;
}

async function ended(client: pg.Client, job: string): Promise<string> {
  const { rows } = await client.query<{ status: string }>(`SHOW JOB WHEN COMPLETE ${job}`);
  return rows[0]?.status ?? 'gone';
}

/** What became of a node, the newest last; waits for the last event, which is written behind. */
async function eventsOf(client: pg.Client, node: number, last: string): Promise<string[]> {
  let types: string[] = [];
  await until(async () => {
    const { rows } = await client.query<{ event_type: string }>(
      "SELECT event_type FROM [SHOW EVENTS] WHERE event_type LIKE 'node_%' AND target_id = $1",
      [String(node)],
    );
    types = rows.map((row) => row.event_type).toReversed();
    return types.at(-1) === last;
  });
  return types;
}

describe('nodes', () => {
  it('leave: refused where ranges could not move, explained, done as a job', async () => {
    const cluster = await Cluster.start({ nodes: 4 });
    try {
      const client = await loaded(cluster, 0);
      const both = client.query('ALTER NODE 3, 4 DECOMMISSION');
      await expect(both).rejects.toMatchObject({ code: '55000' });
      await expect(client.query('ALTER NODE 9 DECOMMISSION')).rejects.toMatchObject({
        code: '42704',
      });

      const moves = await client.query('EXPLAIN ALTER NODE 4 DECOMMISSION');
      const { rows: before } = await client.query<{ replicas: string; membership: string }>(
        'SELECT replicas, membership FROM skein_internal.node_membership WHERE node_id = 4',
      );
      expect(before[0]?.membership).toBe('active');
      expect(moves.rowCount).toBe(Number(before[0]?.replicas));

      const { rows } = await client.query<{ job_id: string }>('ALTER NODE 4 DECOMMISSION');
      expect(await ended(client, rows[0]?.job_id ?? '')).toBe('succeeded');
      const { rows: after } = await client.query(
        'SELECT replicas, membership FROM skein_internal.node_membership WHERE node_id = 4',
      );
      expect(after).toEqual([{ replicas: '0', membership: 'decommissioned' }]);
      expect((await client.query('SELECT count(*)::int AS n FROM t')).rows).toEqual([{ n: 100 }]);
      const events = ['node_join', 'node_decommissioning', 'node_decommissioned'];
      expect(await eventsOf(client, 4, 'node_decommissioned')).toEqual(events);
      const again = client.query('ALTER NODE 4 RECOMMISSION');
      await expect(again).rejects.toMatchObject({ code: '55000' });
      await client.end();
    } finally {
      await cluster.stop();
    }
  }, 120_000);

  it('stay when they are asked to', async () => {
    const cluster = await Cluster.start({ nodes: 3 });
    try {
      const client = await loaded(cluster, 0);
      await expect(client.query('ALTER NODE 3 RECOMMISSION')).rejects.toMatchObject({
        code: '55000',
      });
      // Its replicas have nowhere to go.
      const { rows } = await client.query<{ job_id: string }>(
        'ALTER NODE 3 DECOMMISSION WITHOUT CHECKS',
      );
      await eventsOf(client, 3, 'node_decommissioning');
      await client.query('ALTER NODE 3 RECOMMISSION');
      expect(await ended(client, rows[0]?.job_id ?? '')).toBe('canceled');
      const { rows: after } = await client.query(
        'SELECT membership FROM skein_internal.node_membership WHERE node_id = 3',
      );
      expect(after).toEqual([{ membership: 'active' }]);
      const events = await eventsOf(client, 3, 'node_recommissioned');
      expect(events).toEqual(['node_join', 'node_decommissioning', 'node_recommissioned']);
      await client.end();
    } finally {
      await cluster.stop();
    }
  }, 90_000);

  it('drain: leases are elsewhere, clients are refused', async () => {
    const cluster = await Cluster.start({ nodes: 3 });
    try {
      const client = await loaded(cluster, 0);
      const { rows } = await client.query<{ job_id: string }>('ALTER NODE 2 DRAIN');
      expect(await ended(client, rows[0]?.job_id ?? '')).toBe('succeeded');
      const { rows: held } = await client.query<{ n: number }>(
        'SELECT count(*)::int AS n FROM skein_internal.ranges WHERE lease_holder = 2',
      );
      expect(held).toEqual([{ n: 0 }]);
      await expect(connect(cluster, 1)).rejects.toMatchObject({ code: '57P03' });
      expect(await eventsOf(client, 2, 'node_draining')).toEqual(['node_join', 'node_draining']);
      await cluster.crash(1);
      await cluster.restart(1);
      const events = ['node_join', 'node_draining', 'node_restart'];
      expect(await eventsOf(client, 2, 'node_restart')).toEqual(events);
      await client.end();
    } finally {
      await cluster.stop();
    }
  }, 90_000);
});
