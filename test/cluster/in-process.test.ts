/** `import { Cluster } from 'skeindb'`: a cluster inside this process, cut and killed. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
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

describe('Cluster', () => {
  it('serves on every node, survives a kill and a partition', async () => {
    const cluster = await Cluster.start({ nodes: 3 });
    try {
      const clients = await Promise.all([0, 1, 2].map((node) => connect(cluster, node)));
      const [a, b, c] = clients;
      await a?.query('CREATE TABLE t (id int PRIMARY KEY, v text)');
      await b?.query("INSERT INTO t VALUES (1, 'one')");
      expect((await c?.query('SELECT v FROM t WHERE id = 1'))?.rows).toEqual([{ v: 'one' }]);
      await allReplicated(cluster);

      await cluster.crash(2);
      await a?.query("INSERT INTO t VALUES (2, 'two')");
      await cluster.restart(2);
      const again = await connect(cluster, 2);
      expect((await again.query('SELECT count(*)::int AS n FROM t')).rows).toEqual([{ n: 2 }]);

      cluster.partition([0], [1, 2]);
      // The leaseholder may be cut off: then the outcome of the first try is not known, and a client asks again.
      for (let done = false; !done;) {
        try {
          await b?.query("INSERT INTO t VALUES (3, 'three') ON CONFLICT DO NOTHING");
          done = true;
        } catch (error) {
          expect(error).toMatchObject({ code: '40003' });
        }
      }
      cluster.heal();
      expect((await a?.query('SELECT count(*)::int AS n FROM t'))?.rows).toEqual([{ n: 3 }]);
      for (const client of [a, b, again]) await client?.end();
    } finally {
      await cluster.stop();
    }
  }, 60_000);

  it('time passes without breaking anything', async () => {
    const cluster = await Cluster.start({ nodes: 3 });
    try {
      const client = await connect(cluster, 1);
      await client.query(
        'CREATE TABLE t (id int PRIMARY KEY, at timestamptz NOT NULL DEFAULT now())',
      );
      await client.query('INSERT INTO t VALUES (1)');
      await allReplicated(cluster);
      const beforeMs = cluster.clock.now();
      const sleeping = client.query('SELECT pg_sleep(600)');
      const writer = await connect(cluster, 2);
      const passed = cluster.clock.advance(600_000);
      // Statements go on meanwhile: leases and liveness hold.
      for (let id = 10; id < 40; id++) await writer.query('INSERT INTO t VALUES ($1)', [id]);
      await passed;
      await sleeping;
      expect(cluster.clock.now() - beforeMs).toBeGreaterThanOrEqual(600_000);
      const { rows } = await client.query(
        "SELECT count(*)::int AS n FROM t WHERE id = 1 AND at <= now() - interval '10 minutes'",
      );
      expect(rows).toEqual([{ n: 1 }]);
      for (const index of [0, 1, 2]) expect(cluster.node(index).status()['state']).toBe('running');
      for (const each of [client, writer]) await each.end();
    } finally {
      await cluster.stop();
    }
  }, 60_000);

  it('a node whose disk fails ends itself, one whose power fails comes back, one that stalls is waited for', async () => {
    const cluster = await Cluster.start({ nodes: 3 });
    try {
      const client = await connect(cluster, 0);
      await client.query('CREATE TABLE t (id int PRIMARY KEY)');
      await allReplicated(cluster);
      await cluster.failDisk(2, 'ENOSPC');
      expect(() => cluster.node(2)).toThrow('node 2 is down');
      await client.query('INSERT INTO t VALUES (1)');
      await cluster.restart(2);
      await cluster.crash(1, 'power');
      await cluster.restart(1);
      cluster.pause(1, 300);
      const late = await connect(cluster, 1);
      expect((await late.query('SELECT id FROM t')).rows).toEqual([{ id: 1 }]);
      for (const each of [client, late]) await each.end();
    } finally {
      await cluster.stop();
    }
  }, 60_000);

  it('keeps its data on disk', async () => {
    const path = mkdtempSync(join(tmpdir(), 'skein-cluster-'));
    try {
      const first = await Cluster.start({ nodes: 3, path });
      const client = await connect(first, 0);
      await client.query('CREATE TABLE t (id int PRIMARY KEY)');
      await client.query('INSERT INTO t SELECT generate_series(1, 100)');
      await client.end();
      await first.stop();
      const second = await Cluster.start({ nodes: 3, path });
      const reader = await connect(second, 2);
      expect((await reader.query('SELECT sum(id)::int AS s FROM t')).rows).toEqual([{ s: 5050 }]);
      await reader.end();
      await second.stop();
    } finally {
      rmSync(path, { recursive: true, force: true });
    }
  }, 60_000);

  it('SHOW RANGES shows splits, three replicas and leaseholders', async () => {
    const cluster = await Cluster.start({ nodes: 3 });
    try {
      const client = await connect(cluster, 0);
      await client.query('CREATE TABLE r (id int PRIMARY KEY, v text)');
      await client.query(
        'INSERT INTO r SELECT g, repeat($1, 100) FROM generate_series(1, 1000) g',
        ['x'],
      );
      await client.query('ALTER TABLE r SPLIT AT VALUES (250), (500), (750)');
      await allReplicated(cluster);
      const { rows, fields } = await client.query('SHOW RANGES FROM TABLE r');
      expect(fields.map((field) => field.name)).toEqual([
        'start_key',
        'end_key',
        'range_id',
        'range_size_mb',
        'lease_holder',
        'lease_holder_locality',
        'replicas',
        'replica_localities',
      ]);
      expect(rows.map((row) => [row.start_key, row.end_key])).toEqual([
        [null, '/250'],
        ['/250', '/500'],
        ['/500', '/750'],
        ['/750', null],
      ]);
      expect(rows.map((row) => row.replicas)).toEqual(
        Array.from({ length: 4 }, () => ['1', '2', '3']),
      );
      expect((await client.query('SELECT count(*)::int AS n FROM r')).rows).toEqual([{ n: 1000 }]);
      await client.end();
    } finally {
      await cluster.stop();
    }
  }, 60_000);
});
