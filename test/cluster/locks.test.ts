/** Who holds and who waits, over nodes: deadlocks, pg_locks, skein_internal.cluster_locks, transaction_contention_events. */
import { expect, it } from 'vitest';
import pg from 'pg';
import { Cluster } from '../../src/index.ts';
import { until } from './replicated.ts';

async function connect(cluster: Cluster, node: number): Promise<pg.Client> {
  const client = new pg.Client({ connectionString: cluster.url(node) });
  client.on('error', () => {});
  await client.connect();
  return client;
}

async function pidOf(client: pg.Client): Promise<number> {
  const { rows } = await client.query<{ pid: number }>('SELECT pg_backend_pid() AS pid');
  return rows[0]?.pid ?? 0;
}

it('locks and deadlocks show who takes part, on whatever nodes', async () => {
  const cluster = await Cluster.start({ nodes: 3 });
  try {
    const clients = await Promise.all([0, 1, 2].map((node) => connect(cluster, node)));
    const [a, b, look] = clients as [pg.Client, pg.Client, pg.Client];
    await look.query('CREATE TABLE t (id int PRIMARY KEY, v int)');
    await look.query('INSERT INTO t VALUES (1, 0), (2, 0)');
    await look.query('ALTER TABLE t SPLIT AT VALUES (2)');
    const [pidA, pidB] = [await pidOf(a), await pidOf(b)];
    for (const client of [a, b]) await client.query('BEGIN');
    await a.query('SELECT * FROM t WHERE id = 1 FOR UPDATE');
    await b.query('SELECT * FROM t WHERE id = 2 FOR UPDATE');
    const waiting = a.query('SELECT * FROM t WHERE id = 2 FOR UPDATE');
    const locks = async (): Promise<unknown[]> => {
      const { rows } = await look.query(
        `SELECT locktype, pid, mode, granted FROM pg_locks WHERE relation = 't'::regclass
         ORDER BY pid, granted DESC, locktype`,
      );
      return rows;
    };
    await until(async () =>
      (await locks()).some((row) => Reflect.get(Object(row), 'granted') === false),
    );
    const mode = 'AccessExclusiveLock';
    const relation = { locktype: 'relation', mode: 'RowShareLock', granted: true };
    expect(await locks()).toEqual([
      { ...relation, pid: pidA },
      { locktype: 'tuple', pid: pidA, mode, granted: true },
      { locktype: 'tuple', pid: pidA, mode, granted: false },
      { ...relation, pid: pidB },
      { locktype: 'tuple', pid: pidB, mode, granted: true },
    ]);
    const cluster_locks = await look.query(
      `SELECT table_name, right(lock_key_pretty, 2) AS key, lock_strength, durability, granted, contended
       FROM skein_internal.cluster_locks WHERE table_name = 't' ORDER BY lock_key, granted DESC`,
    );
    const lock = { table_name: 't', lock_strength: 'Exclusive', durability: 'Unreplicated' };
    expect(cluster_locks.rows).toEqual([
      { ...lock, key: '/1', granted: true, contended: false },
      { ...lock, key: '/2', granted: true, contended: true },
      { ...lock, key: '/2', granted: false, contended: true },
    ]);
    // As docs/OPERATING.md has them.
    const named = await look.query(
      'SELECT DISTINCT relation::regclass::text AS name FROM pg_locks WHERE relation IS NOT NULL AND NOT granted AND waitstart < now()',
    );
    expect(named.rows).toEqual([{ name: 't' }]);
    // The younger one of the two fails, and says who was in whose way.
    const failure = await b.query('SELECT * FROM t WHERE id = 1 FOR UPDATE').then(
      () => undefined,
      (error: unknown) => error,
    );
    expect(failure).toMatchObject({ code: '40P01', message: 'deadlock detected' });
    const detail = String(Reflect.get(Object(failure), 'detail')).replace(
      /\/Table\/\d+/g,
      '/Table/t',
    );
    expect(detail.split('\n')).toEqual([
      `Process ${pidB} waits for ExclusiveLock on /Table/t/1/1; blocked by process ${pidA}.`,
      `Process ${pidA} waits for ExclusiveLock on /Table/t/1/2; blocked by process ${pidB}.`,
    ]);
    await b.query('ROLLBACK');
    await waiting;
    await a.query('COMMIT');
    const events = await look.query(
      `SELECT contending_pretty_key, contention_duration > '0' AS waited
       FROM skein_internal.transaction_contention_events WHERE table_name = 't' AND contending_pretty_key LIKE '%/2'`,
    );
    expect(events.rows).toEqual([expect.objectContaining({ waited: true })]);
    const sums = await look.query(
      // A wait that goes on in another range, behind a split for instance, is told of in parts.
      `SELECT table_name, count(DISTINCT (waiting_txn_id, contending_pretty_key))::int AS n
       FROM skein_internal.transaction_contention_events
       WHERE contention_duration < '1 hour' GROUP BY 1 HAVING max(contention_duration) > '0' AND table_name = 't'`,
    );
    expect(sums.rows).toEqual([{ table_name: 't', n: 2 }]);
    for (const client of [a, b]) await client.query('BEGIN');
    await a.query('SELECT * FROM t WHERE id = 1 FOR KEY SHARE');
    await a.query('SELECT * FROM t WHERE id = 2 FOR SHARE');
    await b.query('SELECT * FROM t WHERE id = 1 FOR NO KEY UPDATE');
    const tuples = await look.query(
      `SELECT mode FROM pg_locks WHERE relation = 't'::regclass AND locktype = 'tuple' ORDER BY mode`,
    );
    const modes = ['AccessShareLock', 'ExclusiveLock', 'RowShareLock'];
    expect(tuples.rows).toEqual(modes.map((each) => ({ mode: each })));
    const strengths = await look.query(
      `SELECT lock_strength FROM skein_internal.cluster_locks WHERE table_name = 't' ORDER BY 1`,
    );
    const names = ['KeyShared', 'NoKeyExclusive', 'Shared'];
    expect(strengths.rows).toEqual(names.map((each) => ({ lock_strength: each })));
    for (const client of [a, b]) await client.query('COMMIT');
    await a.query('SELECT pg_advisory_lock(7), pg_advisory_lock(1, 2)');
    const advisoryLocks = async (): Promise<unknown[]> => {
      const { rows } = await look.query(
        `SELECT pid, classid, objid, objsubid, mode, granted FROM pg_locks WHERE locktype = 'advisory'
         ORDER BY objsubid, mode, pid`,
      );
      return rows;
    };
    const seven = { pid: pidA, classid: 0, objid: 7, objsubid: 1, granted: true };
    const exclusive = { ...seven, mode: 'ExclusiveLock' };
    const pair = { ...exclusive, classid: 1, objid: 2, objsubid: 2 };
    expect(await advisoryLocks()).toEqual([exclusive, pair]);
    // Taken by one transaction of the session, then by others of it.
    await a.query('SELECT pg_advisory_unlock(7), pg_advisory_unlock(1, 2)');
    await a.query('BEGIN; SELECT pg_advisory_xact_lock(7)');
    await a.query('SELECT pg_advisory_lock(7), pg_advisory_lock_shared(7)');
    const shared = { ...seven, mode: 'ShareLock' };
    expect(await advisoryLocks()).toEqual([exclusive, shared]);
    await a.query('COMMIT');
    expect(await advisoryLocks()).toEqual([exclusive, shared]);
    // Who waits is shown to wait, also when it shares the lock and wants it for itself.
    await a.query('SELECT pg_advisory_unlock(7)');
    await b.query('SELECT pg_advisory_lock_shared(7)');
    const upgrading = b.query('SELECT pg_advisory_lock(7)');
    const waiting7 = { ...exclusive, pid: pidB, granted: false };
    const isWaiting = async (): Promise<boolean> => {
      const rows = await advisoryLocks();
      return rows.some((row) => Reflect.get(Object(row), 'granted') === false);
    };
    await until(isWaiting);
    expect(await advisoryLocks()).toEqual([waiting7, shared, { ...shared, pid: pidB }]);
    await a.query('SELECT pg_advisory_unlock_shared(7)');
    await upgrading;
    const ofB = [exclusive, shared].map((row) => ({ ...row, pid: pidB }));
    expect(await advisoryLocks()).toEqual(ofB);
    for (const client of clients) await client.end();
  } finally {
    await cluster.stop();
  }
}, 60_000);
