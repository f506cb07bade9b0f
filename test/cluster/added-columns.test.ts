/** A column is added to a table whose first range is empty: the rows behind it get the default all the same. */
import { expect, it } from 'vitest';
import { Cluster } from '../../src/index.ts';
import { connect } from './writer.ts';

it('fills the rows of every range', async () => {
  const cluster = await Cluster.start({ nodes: 1 });
  try {
    const client = await connect(cluster.url(0));
    await client.query('CREATE TABLE t (id int PRIMARY KEY)');
    await client.query('INSERT INTO t VALUES (1), (2), (5)');
    await client.query('ALTER TABLE t SPLIT AT VALUES (1), (2)');
    await client.query('ALTER TABLE t ADD COLUMN n int NOT NULL DEFAULT 7');
    const { rows } = await client.query('SELECT id, n FROM t ORDER BY id');
    expect(rows).toEqual([
      { id: 1, n: 7 },
      { id: 2, n: 7 },
      { id: 5, n: 7 },
    ]);
    await client.query('CREATE TABLE u (id int PRIMARY KEY)');
    await client.query('INSERT INTO u VALUES (1)');
    await client.query('ALTER TABLE u SPLIT AT VALUES (1)');
    await expect(client.query('ALTER TABLE u ADD COLUMN n int NOT NULL')).rejects.toMatchObject({
      code: '23502',
    });
    await client.end();
  } finally {
    await cluster.stop();
  }
});
