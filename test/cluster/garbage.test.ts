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

it('what was truncated is there in the past, and when its time is over it is refused, not empty', async () => {
  const cluster = await Cluster.start({ nodes: 1 });
  const client = new pg.Client({ connectionString: cluster.url(0) });
  await client.connect();
  try {
    await client.query('CREATE TABLE t (a int PRIMARY KEY)');
    await client.query('ALTER TABLE t CONFIGURE ZONE USING gc.ttlseconds = 2');
    await client.query('INSERT INTO t SELECT generate_series(1, 50)');
    const past = `SELECT count(*)::int AS n FROM t AS OF SYSTEM TIME ${cluster.node(0).clock.now().wall}000`;
    await client.query('TRUNCATE t');
    let failure: unknown;
    await until(async () => {
      const answer = await client.query(past).then(
        ({ rows }) => rows,
        (error: unknown) => error,
      );
      if (Array.isArray(answer)) expect(answer).toEqual([{ n: 50 }]);
      else failure = answer;
      return failure !== undefined;
    });
    expect(failure).toMatchObject({ code: '22023' });
    expect((await client.query('SELECT count(*)::int AS n FROM t')).rows).toEqual([{ n: 0 }]);
  } finally {
    await client.end();
    await cluster.stop();
  }
}, 60_000);

it('what a long transaction truncated is there for its time from the commit on', async () => {
  const cluster = await Cluster.start({ nodes: 1 });
  const client = new pg.Client({ connectionString: cluster.url(0) });
  const reader = new pg.Client({ connectionString: cluster.url(0) });
  await client.connect();
  await reader.connect();
  const nowMicros = (): number => cluster.node(0).clock.now().wall;
  try {
    await client.query('CREATE TABLE t (a int PRIMARY KEY)');
    await client.query('ALTER TABLE t CONFIGURE ZONE USING gc.ttlseconds = 3');
    await client.query('INSERT INTO t SELECT generate_series(1, 50)');
    await client.query('BEGIN');
    await client.query('TRUNCATE t');
    const truncated = nowMicros();
    await until(async () => nowMicros() > truncated + 3_500_000);
    const before = nowMicros();
    const past = `AS OF SYSTEM TIME ${before}000`;
    // What has been read cannot be changed in the past any more: the commit comes behind it.
    await reader.query(`SELECT count(*) FROM system.descriptor ${past}`);
    await client.query('COMMIT');
    let failure: unknown;
    await until(async () => {
      const answer = await reader.query(`SELECT count(*)::int AS n FROM t ${past}`).then(
        ({ rows }) => rows,
        (error: unknown) => error,
      );
      if (Array.isArray(answer)) expect(answer).toEqual([{ n: 50 }]);
      else failure = answer;
      return failure !== undefined;
    });
    expect(failure).toMatchObject({ code: '22023' });
    expect(nowMicros() - before).toBeGreaterThan(3_000_000);
  } finally {
    await reader.end();
    await client.end();
    await cluster.stop();
  }
}, 60_000);
