/** Failures of expressions that run beside the data, on another node or on this one. */
import { describe, expect, it } from 'vitest';
import pg from 'pg';
import { Cluster } from '../../src/index.ts';

describe('errors of expressions that travel', () => {
  it('reach the client of every node as they are', async () => {
    const cluster = await Cluster.start({ nodes: 3 });
    try {
      for (const node of [0, 1, 2]) {
        const client = new pg.Client({ connectionString: cluster.url(node) });
        await client.connect();
        const stateOf = (sql: string): Promise<unknown> =>
          client.query(sql).then(
            (result) => result.rows,
            (error: unknown) => (error instanceof pg.DatabaseError ? error.code : error),
          );
        await client.query('CREATE TABLE IF NOT EXISTS t (id int PRIMARY KEY, v text)');
        await client.query(
          "INSERT INTO t VALUES (1, repeat('a', 40) || 'b') ON CONFLICT DO NOTHING",
        );
        expect(await stateOf('SELECT v FROM t WHERE length(v) / (id - 1) > 0')).toBe('22012');
        expect(await stateOf('SELECT sum(2147483647 + id) FROM t')).toBe('22003');
        expect(await stateOf("SELECT v FROM t WHERE v ~ '^(a+)+$'")).toBe('54001');
        expect(await stateOf('SELECT id FROM t')).toEqual([{ id: 1 }]);
        await client.end();
      }
    } finally {
      await cluster.stop();
    }
  }, 60_000);
});
