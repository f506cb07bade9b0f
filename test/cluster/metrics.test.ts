/** What a served node tells at `/metrics`: of its stores, of transactions, of SQL. */
import { expect, it } from 'vitest';
import pg from 'pg';
import { Cluster } from '../../src/index.ts';

it('counts what clients of the node did', async () => {
  const cluster = await Cluster.start({ nodes: 1 });
  try {
    const client = new pg.Client({ connectionString: cluster.url(0) });
    await client.connect();
    const value = async (name: string): Promise<number | undefined> => {
      const { status, body } = await cluster.node(0).http({ method: 'GET', url: '/metrics' });
      expect(status).toBe(200);
      const found = new RegExp(`^skein_${name}\\{node="1"\\} (\\d+)$`, 'm').exec(body);
      return found === null ? undefined : Number(found[1]);
    };
    const names = ['statements', 'commits', 'failed_statements', 'rollbacks'].map(
      (name) => `${name}_total`,
    );
    const read = (): Promise<(number | undefined)[]> => Promise.all(names.map(value));
    const before = await read();
    await client.query('CREATE TABLE t (i int PRIMARY KEY)');
    await client.query('BEGIN; INSERT INTO t VALUES (1); ROLLBACK');
    await expect(client.query('SELECT 1 / 0')).rejects.toThrow('division by zero');
    const after = await read();
    for (const [i, name] of names.entries()) {
      expect(after[i], name).toBeGreaterThan(before[i] ?? Number.POSITIVE_INFINITY);
    }
    expect(await value('open_sessions')).toBe(1);
    expect(await value('open_connections')).toBe(1);
    const retries = ['restarts', 'statement_retries', 'replays', 'replays_refused', 'retry_errors'];
    for (const name of [...retries, 'events_dropped']) {
      expect(await value(`${name}_total`), name).toBeDefined();
    }
    expect(await value('ranges')).toBeGreaterThan(0);
    await client.end();
  } finally {
    await cluster.stop();
  }
});
