import { describe, expect, it, vi } from 'vitest';
import { asNodeId, type Db, type KvError, KvFailure, type Txn } from '../../../src/kv/index.ts';
import {
  CatalogCache,
  CatalogWriter,
  bootstrapCatalog,
  changeCatalog,
  systemIds,
  zoneConfigFor,
  type Barrier,
  type TableDescriptor,
} from '../../../src/sql/catalog/index.ts';
import { abandonIndexes } from '../../../src/sql/jobs/index.ts';
import { indexSpan } from '../../../src/sql/ddl/backfill.ts';
import { must } from '../../../src/util/index.ts';
import { systemKey, tableKeyPrefix } from '../../../src/encoding/index.ts';
import { TestSession, startCluster, type TestCluster } from '../ddl/node.ts';

/** Runs `work` while virtual time goes on; returns its result and how much time passed. */
async function timed<T>(
  cluster: TestCluster,
  work: Promise<T>,
): Promise<{ readonly value: T; readonly ms: number }> {
  const start = cluster.env.clock.monotonicMs();
  let isDone = false;
  let ms = 0;
  const finished = work.finally(() => {
    isDone = true;
    ms = cluster.env.clock.monotonicMs() - start;
  });
  finished.catch(() => {});
  await cluster.env.runFor(120_000, () => isDone);
  return { value: await finished, ms };
}

const wait = { checkCanceled: (): void => {}, timeoutMs: 1_000 };

function tableNamed(cache: CatalogCache, wanted: string): TableDescriptor {
  const found = [...cache.current.data.descriptors.values()].find(({ name }) => name === wanted);
  if (found?.kind !== 'table') throw new Error('no such table');
  return found;
}

function cacheOf(cluster: TestCluster, node: number): CatalogCache {
  const cache = cluster.caches[node];
  if (cache === undefined) throw new Error('no such node');
  return cache;
}

describe('catalog cache', () => {
  it('bootstraps once', async () => {
    const { db, caches } = await startCluster();
    await bootstrapCatalog(db);
    const snapshot = caches[0]?.current;
    expect(
      [...(snapshot?.data.descriptors.values() ?? [])]
        .filter(({ kind }) => kind === 'database')
        .map(({ name }) => name),
    ).toEqual(['system', 'defaultdb', 'postgres']);
    expect(snapshot?.data.roles.get('root')?.options.superuser).toBe(true);
    expect(snapshot?.schema(systemIds.defaultDatabase, 'public')?.name).toBe('public');
  });

  it('a node that starts waits until the catalog can be reached, and registers again when it does not know', async () => {
    const cluster = await startCluster();
    const { db, env, board } = cluster;
    const reason = 'the connection was lost before the answer came';
    const failures: KvError[] = [
      { kind: 'ambiguous-result', reason },
      { kind: 'unavailable', reason },
      { kind: 'ambiguous-result', reason },
    ];
    const failing: Db = new Proxy(db, {
      get(target, name) {
        const kvError = name === 'run' ? failures.pop() : undefined;
        if (kvError !== undefined) return () => Promise.reject(new KvFailure(kvError));
        const member: unknown = Reflect.get(target, name, target);
        return typeof member === 'function' ? member.bind(target) : member;
      },
    });
    const nodeId = asNodeId(2);
    const cache = new CatalogCache({ env, db: failing, nodeId, transport: board.endpoint(nodeId) });
    await timed(cluster, cache.start());
    expect(failures).toEqual([]);
    expect(cache.current.version).toBe(1);
    await cache.stop();
  });

  it('tells every node before a new table is announced', async () => {
    const cluster = await startCluster(3);
    const { ms } = await timed(
      cluster,
      new TestSession(cluster, 0).run('create table t (a int primary key)'),
    );
    expect(ms).toBe(0);
    for (const cache of cluster.caches) {
      expect(cache.current.version).toBe(2);
      expect(
        cache.current.contents(systemIds.defaultDatabase).tables.map(({ name }) => name),
      ).toEqual(['t']);
    }
  });

  it('waits for the lease of a node that does not answer, once', async () => {
    const cluster = await startCluster(3);
    cluster.board.away.add(asNodeId(3));
    const session = new TestSession(cluster, 0);
    const first = await timed(cluster, session.run('create table t (a int primary key)'));
    expect(first.value).toBe('CREATE TABLE');
    expect(first.ms).toBeGreaterThanOrEqual(5000);
    // Its lease was renewed meanwhile through the keys, which it still reaches: it knows the new version.
    expect(cacheOf(cluster, 2).current.contents(systemIds.defaultDatabase).tables).toHaveLength(1);
  });

  it('voids the transactions of a node that was struck off', async () => {
    const cluster = await startCluster(2);
    const session = new TestSession(cluster, 0);
    await timed(cluster, session.run('create table t (a int primary key)'));
    const other = new TestSession(cluster, 1);
    await other.run('begin; insert into t values (1)');
    cluster.board.away.add(asNodeId(2));
    const changed = await timed(cluster, session.run('alter table t add column b int'));
    expect(changed.value).toBe('ALTER TABLE');
    expect(await other.run('commit')).toContain('ERROR 40001');
    cluster.board.away.clear();
    expect(await session.run('select * from t')).toBe('a | b');
  });

  it('lets no commit of theirs be made that was sent before and arrives behind the change', async () => {
    const cluster = await startCluster(2);
    const session = new TestSession(cluster, 0);
    await timed(cluster, session.run('create table t (a int primary key)'));
    const cache = cacheOf(cluster, 1);
    const pin = await cache.pin(() => new Set());
    const txn = cluster.db.begin({ isolation: 'read-committed' });
    txn.put(systemKey('late'), Buffer.from('late'));
    const deadline = cache.deadline(pin);
    cluster.board.away.add(asNodeId(2));
    const changed = await timed(cluster, session.run('alter table t add column b int'));
    expect(changed.value).toBe('ALTER TABLE');
    await expect(txn.commit({ deadline: () => deadline })).rejects.toMatchObject({
      kvError: { kind: 'txn-retry' },
    });
    expect(() => cache.deadline(pin)).toThrow('the definition of a table changed');
  });

  it('waits for a commit whose outcome nobody knows until it could not be made any more', async () => {
    const cluster = await startCluster(2);
    const session = new TestSession(cluster, 0);
    await timed(cluster, session.run('create table t (a int primary key)'));
    const cache = cacheOf(cluster, 1);
    const pin = await cache.pin(() => new Set([tableNamed(cache, 't').id]));
    const txn = cluster.db.begin({ isolation: 'read-committed' });
    txn.put(systemKey('late'), Buffer.from('late'));
    const deadline = cache.deadline(pin);
    cache.release(pin, { mayLandLate: true });
    const changed = await timed(cluster, session.run('alter table t add column b int'));
    expect(changed.value).toBe('ALTER TABLE');
    expect(changed.ms).toBeGreaterThan(3_000);
    expect(changed.ms).toBeLessThan(6_000);
    await expect(txn.commit({ deadline: () => deadline })).rejects.toMatchObject({
      kvError: { kind: 'txn-retry' },
    });
  });

  describe('a barrier', () => {
    /** Node 1 has raised one over a table that a session of node 2 knows. */
    const raised = async (): Promise<{
      readonly cluster: TestCluster;
      readonly user: TestSession;
      readonly change: Txn;
      readonly barrier: Barrier | undefined;
    }> => {
      const cluster = await startCluster(2);
      const user = new TestSession(cluster, 1);
      await timed(cluster, user.run('create table t (a int primary key)'));
      await user.run('insert into t values (1)');
      const change = cluster.db.begin({ isolation: 'serializable' });
      const writer = await CatalogWriter.begin(cacheOf(cluster, 0), change);
      writer.replace({ ...tableNamed(cacheOf(cluster, 0), 't'), name: 'u' }, { drain: true });
      const barrier = await writer.prepareCommit(undefined, wait);
      return { cluster, user, change, barrier };
    };

    it('is no more when what was read of the table has changed', async () => {
      const cluster = await startCluster(2);
      const user = new TestSession(cluster, 1);
      await timed(cluster, user.run('create table t (a int primary key)'));
      const change = cluster.db.begin({ isolation: 'serializable' });
      const writer = await CatalogWriter.begin(cacheOf(cluster, 0), change);
      const table = tableNamed(cacheOf(cluster, 0), 't');
      const { start, end } = indexSpan(table.id, table.primaryIndex.id);
      await change.scan({ start, end });
      writer.replace({ ...table, name: 'u' }, { drain: true });
      await user.run('insert into t values (1)');
      await expect(writer.prepareCommit(undefined, wait)).rejects.toMatchObject({
        kvError: { kind: 'txn-retry' },
      });
      const insert = await timed(cluster, user.run('insert into t values (2)'));
      expect(insert).toEqual({ value: 'INSERT 0 1', ms: 0 });
    });

    it('is held for as long as a statement goes on', async () => {
      const cluster = await startCluster(2);
      const user = new TestSession(cluster, 1);
      await timed(cluster, user.run('create table t (a int primary key)'));
      await user.run('insert into t values (1)');
      const { catalog } = new TestSession(cluster, 0);
      await catalog.begin();
      const txn = cluster.db.begin({ isolation: 'serializable' });
      await catalog.writer(txn);
      const { id } = tableNamed(cacheOf(cluster, 0), 't');
      await catalog.holdBack(txn, id);
      const insert = timed(cluster, user.run('insert into t values (2)'));
      for (let step = 0; step < 20; step++) {
        await cluster.env.runFor(1_000);
        await catalog.holdBack(txn, id);
      }
      await txn.rollback();
      await catalog.finish();
      const { value, ms } = await insert;
      expect(value).toBe('INSERT 0 1');
      expect(ms).toBeGreaterThanOrEqual(20_000);
      expect(ms).toBeLessThan(20_100);
    });

    it('falls by itself when nobody knows whether its change commits, which it does not any more', async () => {
      const { cluster, user, change, barrier } = await raised();
      cacheOf(cluster, 0).abandonBarrier(must(barrier));
      const insert = await timed(cluster, user.run('insert into t values (2)'));
      expect(insert.value).toBe('INSERT 0 1');
      expect(insert.ms).toBeGreaterThan(1_500);
      expect(insert.ms).toBeLessThan(2_100);
      await expect(change.commit()).rejects.toMatchObject({ kvError: { kind: 'txn-retry' } });
    });

    it('holds while its coordinator is heard, and no longer than ten seconds', async () => {
      const { cluster, user } = await raised();
      const insert = await timed(cluster, user.run('insert into t values (2)'));
      expect(insert.ms).toBeGreaterThan(9_900);
      expect(insert.ms).toBeLessThan(10_100);
    });

    it('is not waited for by who is cancelled', async () => {
      const { cluster } = await raised();
      const cache = cacheOf(cluster, 1);
      const ids = [...cache.current.data.descriptors.values()].map(({ id }) => id);
      let isCanceled = false;
      const check = (): void => {
        if (isCanceled) throw new Error('cancelled');
      };
      const free = await cache.pin(() => new Set());
      const waits = [
        cache.pin(() => new Set(ids), check),
        ...ids.map((id) => cache.use(free, id, false, check)),
      ];
      const ends = Promise.allSettled(waits);
      isCanceled = true;
      cache.lookAgain();
      const stopped = await timed(cluster, ends);
      expect(stopped.ms).toBeLessThan(10);
      expect(stopped.value.map(({ status }) => status)).toContain('rejected');
      expect(stopped.value[0]).toMatchObject({ reason: { message: 'cancelled' } });
      expect(stopped.value.filter(({ status }) => status === 'rejected')).toHaveLength(2);
      cache.release(free);
    });

    it('falls when nothing is heard of its coordinator, which does not commit any more', async () => {
      const { cluster, user, change } = await raised();
      cluster.board.away.add(asNodeId(1));
      const insert = await timed(cluster, user.run('insert into t values (2)'));
      expect(insert.value).toBe('INSERT 0 1');
      expect(insert.ms).toBeLessThan(2_100);
      await expect(change.commit()).rejects.toMatchObject({ kvError: { kind: 'txn-retry' } });
      expect(await user.run('select count(*) from t')).toContain('2');
    });

    it('falls when nothing is heard of its coordinator, whose commit is seen', async () => {
      const { cluster, user, change } = await raised();
      cluster.board.away.add(asNodeId(1));
      await change.commit();
      const insert = await timed(cluster, user.run('insert into t values (2)'));
      expect(insert.value).toContain('42P01');
      expect(insert.ms).toBeLessThan(2_100);
    });
  });

  it('reads again before planning when the lease has run out', async () => {
    const cluster = await startCluster(2);
    await cacheOf(cluster, 1).stop();
    await timed(cluster, new TestSession(cluster, 0).run('create table t (a int)'));
    const late = new CatalogCache({ env: cluster.env, db: cluster.db, nodeId: asNodeId(3) });
    expect(late.current.version).toBe(0);
    const pin = await late.pin(() => new Set());
    expect(pin.snapshot.version).toBe(2);
    late.release(pin);
  });

  it('brings a copy up to date after more changes than are remembered', async () => {
    const cluster = await startCluster(1);
    const cache = cacheOf(cluster, 0);
    const stale = new CatalogCache({ env: cluster.env, db: cluster.db, nodeId: asNodeId(1) });
    await stale.refresh();
    for (let i = 0; i < 70; i++) {
      await changeCatalog(cache, { name: 'test' }, async (writer) => {
        writer.putSetting('cluster.organization', 's', `change ${i}`, 0n);
      });
    }
    await stale.refresh();
    expect(stale.current.data.settings.get('cluster.organization')).toBe('change 69');
    expect(stale.current.version).toBe(cache.current.version);
  });

  it('inherits zones field by field', async () => {
    const cluster = await startCluster(1);
    const session = new TestSession(cluster, 0);
    await session.run(
      'create table t (a int primary key); alter table t configure zone using gc.ttlseconds = 60',
    );
    await session.run('alter database defaultdb configure zone using num_replicas = 5');
    const { current } = cacheOf(cluster, 0);
    const table = current.contents(systemIds.defaultDatabase).tables[0];
    const zone = zoneConfigFor(current, tableKeyPrefix(table?.id ?? 0));
    expect(zone).toMatchObject({
      rangeMinBytes: 134_217_728,
      rangeMaxBytes: 536_870_912,
      gcTtlSeconds: 60,
      numReplicas: 5,
    });
    expect(zoneConfigFor(current, Buffer.from([0x02])).gcTtlSeconds).toBe(3600);
  });

  it('takes back an index whose building node was restarted', async () => {
    const cluster = await startCluster(1);
    const session = new TestSession(cluster, 0);
    const cache = cacheOf(cluster, 0);
    await session.run('create table t (a int primary key, b int); insert into t values (1, 1)');
    // The build dies between its first commit and the backfill: its keys cannot be written.
    const id = cache.current.contents(systemIds.defaultDatabase).tables[0]?.id ?? 0;
    const { db } = cluster;
    const run = db.run.bind(db);
    db.run = (options, body) =>
      options.name === 'backfill index' ||
      options.name === 'abandon index' ||
      options.name === 'job'
        ? Promise.reject(new Error('node died'))
        : run(options, body);
    await expect(session.run('create index on t (b)')).rejects.toThrow('node died');
    db.run = run;
    expect(cache.current.tableById(id)?.indexes.map(({ state }) => state)).toEqual(['write-only']);
    const [jobs] = cluster.jobs;
    jobs?.start();
    await cluster.env.runFor(60_000, () => cache.current.tableById(id)?.indexes.length === 0);
    await cluster.env.runFor(1_000, () => false);
    expect(cache.current.tableById(id)?.indexes).toEqual([]);
    expect(await session.run('select status, error from system.jobs')).toContain('failed');
    await jobs?.stop();
  });

  describe('a primary key that is built behind its statement', () => {
    /** `fail` is asked before every transaction of the database, by name. */
    const built = async (
      fail: (name: string, cache: CatalogCache) => void,
    ): Promise<{ readonly outcome: string; readonly session: TestSession }> => {
      const cluster = await startCluster(1);
      const session = new TestSession(cluster, 0);
      await session.run('create table t (a int, b int not null)');
      await session.run('insert into t values (1, 1), (2, 2)');
      const { db } = cluster;
      const run = db.run.bind(db);
      db.run = async (options, body) => {
        fail(options.name ?? '', cacheOf(cluster, 0));
        return run(options, body);
      };
      const outcome = await session.run('alter table t add primary key (b)').catch(String);
      db.run = run;
      return { outcome, session };
    };

    const unavailable = (): Error => new KvFailure({ kind: 'unavailable', reason: 'away' });

    it('stays when the others could not be told of it', async () => {
      const publish = vi.spyOn(CatalogCache.prototype, 'publish');
      const { outcome, session } = await built((name) => {
        if (name === 'publish index') publish.mockRejectedValueOnce(unavailable());
      });
      publish.mockRestore();
      expect(outcome).toContain('ERROR');
      await session.catalog.cache.refresh();
      expect(await session.run('select a from t order by b')).toBe('a\n1\n2');
      expect(await session.run("select status from system.jobs where status = 'failed'")).toBe(
        'status',
      );
    });

    it('is taken back, and not reported, when it could not be filled', async () => {
      const { outcome, session } = await built((name) => {
        if (name === 'backfill index') throw unavailable();
      });
      expect(outcome).toContain('ERROR');
      expect(await session.run('select a from t order by b')).toBe('a\n1\n2');
      const table = tableNamed(session.catalog.cache, 't');
      expect(table.indexes).toEqual([]);
      expect(await session.run('select status from system.jobs')).toBe('status\nfailed');
    });

    it('is left alone by who takes unfinished indexes back', async () => {
      const { outcome, session } = await built(() => {});
      expect(outcome).toBe('ALTER TABLE');
      const { cache } = session.catalog;
      const { id: tableId, primaryIndex } = tableNamed(cache, 't');
      await abandonIndexes(cache, { tableId, indexIds: [primaryIndex.id] }, { tell: () => {} });
      expect(await session.run('select a from t order by b')).toBe('a\n1\n2');
    });
  });
});
