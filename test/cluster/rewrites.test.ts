/** Tables whose rows are rewritten while sessions of all nodes write: the statements come to an end, and nothing is lost. */
import { expect, it } from 'vitest';
import { Cluster } from '../../src/index.ts';
import { connect } from './writer.ts';

const rows = 500;

it('rewrites a table that others go on writing to', async () => {
  const cluster = await Cluster.start({ nodes: 3 });
  try {
    const client = await connect(cluster.url(0));
    await client.query('CREATE TABLE t (id int PRIMARY KEY, v int, n int)');
    await client.query(`INSERT INTO t SELECT i, i, 0 FROM generate_series(1, ${rows}) g(i)`);
    let isOver = false;
    let written = 0;
    const write = async (node: number): Promise<void> => {
      const writer = await connect(cluster.url(node));
      while (!isOver) {
        await writer.query('UPDATE t SET n = n + 1 WHERE id = $1', [1 + (written % rows)]);
        written++;
      }
      await writer.end();
    };
    const writers = Promise.all([0, 1, 2].map(write));
    await client.query('ALTER TABLE t ALTER COLUMN v TYPE text');
    await client.query('ALTER TABLE t ADD COLUMN r float DEFAULT random()');
    isOver = true;
    await writers;
    const after = await client.query('SELECT sum(n)::int AS sum, count(r)::int AS filled FROM t');
    expect(after.rows).toEqual([{ sum: written, filled: rows }]);
    expect(written).toBeGreaterThan(0);
    await client.end();
  } finally {
    await cluster.stop();
  }
});
