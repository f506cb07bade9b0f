/** What `skein node status` asks of a cluster: the columns of each flag, and that figures belong to the right node. */
import { expect, it } from 'vitest';
import pg from 'pg';
import { nodeStatusQuery } from '../../src/cli/node-status.ts';
import { Cluster } from '../../src/index.ts';

const plain = [
  'id',
  'address',
  'sql_address',
  'build',
  'started_at',
  'updated_at',
  'locality',
  'is_available',
  'is_live',
  'clock_problem',
];
const ranges = [
  'replicas_leaders',
  'replicas_leaseholders',
  'ranges',
  'ranges_unavailable',
  'ranges_underreplicated',
];
const stats = ['live_bytes', 'key_bytes', 'value_bytes', 'intent_bytes', 'system_bytes'];
const memberships = ['gossiped_replicas', 'is_decommissioning', 'membership', 'is_draining'];

it('each flag of node status adds its columns', async () => {
  const cluster = await Cluster.start({ nodes: 2 });
  try {
    const client = new pg.Client({ connectionString: cluster.url(0) });
    await client.connect();
    await client.query('CREATE TABLE t (i int PRIMARY KEY, s text)');
    await client.query(
      `INSERT INTO t SELECT i, repeat('x', 1000) FROM generate_series(1, 100) AS i`,
    );
    const look = (flags: Record<string, boolean>): Promise<pg.QueryResult> =>
      client.query(nodeStatusQuery(flags));
    const columns = async (flags: Record<string, boolean>): Promise<string[]> =>
      (await look(flags)).fields.map(({ name }) => name);
    expect(await columns({})).toEqual(plain);
    expect(await columns({ ranges: true })).toEqual([...plain, ...ranges]);
    expect(await columns({ stats: true })).toEqual([...plain, ...stats]);
    expect(await columns({ decommission: true })).toEqual([...plain, ...memberships]);
    expect(await columns({ all: true })).toEqual([...plain, ...ranges, ...stats, ...memberships]);

    // Two nodes make no second replica: the rows are on one of them.
    const { rows } = await look({ stats: true });
    const values = rows.map((row: { value_bytes: string }) => Number(row.value_bytes));
    expect(values.filter((bytes) => bytes > 100_000).length).toBe(1);
    const sums = await client.query<{ fits: boolean }>(
      `SELECT bool_and(range_size = key_bytes + value_bytes AND live_bytes > 0 AND intent_bytes >= 0 AND system_bytes >= 0) AS fits
       FROM skein_internal.ranges`,
    );
    expect(sums.rows).toEqual([{ fits: true }]);
    await client.end();
  } finally {
    await cluster.stop();
  }
}, 60_000);
