/** Old versions go soon after the zone says so, and reads that would need them say why they fail. */
import { expect, it } from 'vitest';
import pg from 'pg';
import { Cluster } from '../../src/index.ts';
import { until } from './replicated.ts';

it('a shortened gc.ttlseconds takes effect within seconds', async () => {
  const cluster = await Cluster.start({ nodes: 1 });
  const client = new pg.Client({ connectionString: cluster.url(0) });
  await client.connect();
  try {
    await client.query('CREATE TABLE t (a int PRIMARY KEY, b int)');
    await client.query('INSERT INTO t SELECT g, 0 FROM generate_series(1, 50) g');
    const nanoseconds = `${cluster.node(0).clock.now().wall}000`;
    const past = `SELECT sum(b) FROM t AS OF SYSTEM TIME ${nanoseconds}`;
    for (let i = 0; i < 20; i++) await client.query('UPDATE t SET b = b + 1');
    expect((await client.query(past)).rows).toEqual([{ sum: '0' }]);
    await client.query('ALTER TABLE t CONFIGURE ZONE USING gc.ttlseconds = 1');
    let failure: unknown;
    await until(async () => {
      failure = await client.query(past).then(
        () => undefined,
        (error: unknown) => error,
      );
      return failure !== undefined;
    });
    expect(failure).toMatchObject({ code: '22023' });
    expect(String(failure)).toMatch(
      /data as of \d+\.\d{10} are no longer kept: reads must be after the garbage collection threshold \d+\.\d{10}/,
    );
    await until(async () => cluster.node(0).store.metrics().counters.versionsCollected >= 950);
    expect((await client.query('SELECT sum(b) FROM t')).rows).toEqual([{ sum: '1000' }]);
  } finally {
    await client.end();
    await cluster.stop();
  }
}, 60_000);
