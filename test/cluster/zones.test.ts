/** Zone configurations take effect on the ranges of a running cluster. */
import { expect, it } from 'vitest';
import pg from 'pg';
import { Cluster } from '../../src/index.ts';
import { until } from './replicated.ts';

it('ranges end where a zone configuration begins, soon after it was set', async () => {
  const cluster = await Cluster.start({ nodes: 1 });
  try {
    const client = new pg.Client({ connectionString: cluster.url(0) });
    await client.connect();
    await client.query('CREATE TABLE a (i int PRIMARY KEY)');
    await client.query('CREATE TABLE b (i int PRIMARY KEY, j int)');
    await client.query('CREATE INDEX bj ON b (j)');
    await client.query('CREATE TABLE c (i int PRIMARY KEY)');
    await client.query('INSERT INTO b SELECT i, i FROM generate_series(1, 100) AS i');
    const rangeOf = async (what: string): Promise<number> => {
      const { rows } = await client.query<{ range_id: string }>(`SHOW RANGES FROM ${what}`);
      return Number(rows[0]?.range_id);
    };
    const differ = async (one: string, other: string): Promise<boolean> =>
      (await rangeOf(one)) !== (await rangeOf(other));
    expect(await differ('TABLE a', 'TABLE c')).toBe(false);

    await client.query('ALTER TABLE b CONFIGURE ZONE USING gc.ttlseconds = 600');
    await until(() => differ('TABLE a', 'TABLE b'));
    await until(() => differ('TABLE b', 'TABLE c'));
    expect(await differ('TABLE b', 'INDEX b@bj')).toBe(false);

    await client.query('ALTER INDEX b@bj CONFIGURE ZONE USING gc.ttlseconds = 700');
    await until(() => differ('TABLE b', 'INDEX b@bj'));
    await until(() => differ('INDEX b@bj', 'TABLE c'));
    // And they stay apart for it.
    await until(async () => {
      const apart = await client.query(
        `SELECT 1 FROM skein_internal.merge_decisions JOIN skein_internal.ranges USING (range_id)
         WHERE table_name = 'a' AND NOT is_merged AND right_range_id IS NULL
           AND reason = 'another zone configuration begins behind it'`,
      );
      return apart.rows.length === 1;
    });
    const { rows } = await client.query('SELECT sum(i)::int AS i, sum(j)::int AS j FROM b');
    expect(rows).toEqual([{ i: 5050, j: 5050 }]);
    await client.end();
  } finally {
    await cluster.stop();
  }
}, 60_000);

it('constraints must be met by some node', async () => {
  const cluster = await Cluster.start({
    nodes: 2,
    locality: (node) => [
      ['region', node === 0 ? 'west' : 'east'],
      ['zone', `z${node}`],
    ],
  });
  try {
    const client = new pg.Client({ connectionString: cluster.url(0) });
    await client.connect();
    await client.query('CREATE TABLE t (i int PRIMARY KEY)');
    const configure = async (assignment: string): Promise<unknown> =>
      client.query(`ALTER TABLE t CONFIGURE ZONE USING ${assignment}`).then(
        ({ command }) => command,
        (error: unknown) =>
          error instanceof pg.DatabaseError ? `${error.code} ${error.message}` : error,
      );
    const refused = (text: string): string =>
      `23514 no node of the cluster meets the constraint "${text}"`;
    expect(await configure(`constraints = '[+region=west, -zone=nowhere]'`)).toBe('CONFIGURE');
    expect(await configure(`constraints = '[+region=mars]'`)).toBe(refused('+region=mars'));
    expect(await configure(`constraints = '[+ssd]'`)).toBe(refused('+ssd'));
    expect(
      await configure(`num_voters = 1, voter_constraints = '{"+region=west,+zone=z1": 1}'`),
    ).toBe(refused('+region=west,+zone=z1'));
    expect(await configure(`lease_preferences = '[[+zone=z1], [+zone=z2]]'`)).toBe(
      refused('+zone=z2'),
    );
    await client.end();
  } finally {
    await cluster.stop();
  }
}, 60_000);
