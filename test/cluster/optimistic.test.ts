/** UPDATE and DELETE of one row by its key look at the gateway's own replica first, which may be behind. */
import { describe, expect, it } from 'vitest';
import pg from 'pg';
import { Cluster } from '../../src/index.ts';
import { allReplicated } from './replicated.ts';

describe('updates of single rows through every node', () => {
  it('lose nothing, and believe no error that comes from an outdated row', async () => {
    const cluster = await Cluster.start({ nodes: 3 });
    try {
      const clients = [0, 1, 2].map(
        (node) => new pg.Client({ connectionString: cluster.url(node) }),
      );
      for (const client of clients) await client.connect();
      await allReplicated(cluster);
      const [first, second, third] = clients;
      await first?.query('CREATE TABLE t (id int PRIMARY KEY, n int, turn int, CHECK (turn >= 0))');
      await first?.query('CREATE UNIQUE INDEX ON t (n)');
      await first?.query('INSERT INTO t SELECT g, g * 1000000, 1 FROM generate_series(1, 4) g');

      // All clients add to the same few rows.
      const rounds = 60;
      await Promise.all(
        clients.map(async (client) => {
          for (let i = 0; i < rounds; i++) {
            const id = 1 + (i % 4);
            const { rowCount } = await client.query({
              name: 'add',
              text: 'UPDATE t SET n = n + 1 WHERE id = $1',
              values: [id],
            });
            expect(rowCount).toBe(1);
          }
        }),
      );
      const { rows } = (await second?.query('SELECT sum(n % 1000000)::int AS s FROM t')) ?? {};
      expect(rows).toEqual([{ s: clients.length * rounds }]);

      // `turn` goes to and fro between 0 and 1: a node that still sees 0 would divide by it.
      for (let i = 0; i < rounds; i++) {
        await clients[(i + 1) % 3]?.query('UPDATE t SET turn = 0 WHERE id = 1');
        await clients[(i + 1) % 3]?.query('UPDATE t SET turn = 1 WHERE id = 1');
        const result = await third?.query(
          'UPDATE t SET turn = 1 / turn WHERE id = 1 RETURNING turn',
        );
        expect(result?.rows).toEqual([{ turn: 1 }]);
      }
      // True errors still are errors, a row that is gone is gone, and one that a filter leaves out stays.
      await expect(third?.query('UPDATE t SET turn = -1 WHERE id = 1')).rejects.toMatchObject({
        code: '23514',
      });
      await second?.query('DELETE FROM t WHERE id = 2');
      expect((await third?.query('UPDATE t SET n = 0 WHERE id = 2'))?.rowCount).toBe(0);
      expect((await first?.query('DELETE FROM t WHERE id = 3 AND turn = 7'))?.rowCount).toBe(0);
      expect((await third?.query('DELETE FROM t WHERE id = 3'))?.rowCount).toBe(1);
      expect((await first?.query('SELECT id FROM t ORDER BY id'))?.rows).toEqual([
        { id: 1 },
        { id: 4 },
      ]);
      for (const client of clients) await client.end();
    } finally {
      await cluster.stop();
    }
  }, 60_000);
});
