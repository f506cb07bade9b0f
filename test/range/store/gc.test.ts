/** Old versions go, through raft; reads that would need them are refused. */
import { expect, it } from 'vitest';
import { systemKey } from '../../../src/encoding/index.ts';
import {
  addMicros,
  asNodeId,
  asRangeId,
  asStoreId,
  defaultZoneConfig,
  isProtected,
  protect,
  readProtected,
  releaseProtection,
} from '../../../src/kv/index.ts';
import { collectBelow, isPassDue, longestTtl } from '../../../src/range/queues/mvcc-gc-queue.ts';
import { readThreshold } from '../../../src/range/replica/range-state.ts';
import {
  computeStats,
  keySpans,
  subtractStats,
  zeroStats,
  type MvccStats,
} from '../../../src/storage/index.ts';
import { must } from '../../../src/util/index.ts';
import { Cluster, values } from './cluster.ts';

it('versions below the threshold are collected on all replicas', async () => {
  const cluster = await Cluster.start({ nodes: 3 });
  await cluster.time.run(1000);
  const key = systemKey('user-a');
  const ask = (request: Parameters<ReturnType<Cluster['client']>['request']>[0]) =>
    cluster.time.settleOf(cluster.client(1).request(request));
  const add = [2, 3].map((id) => ({ nodeId: asNodeId(id), storeId: asStoreId(id) }));
  values(await ask({ kind: 'admin-change-replicas', key, add, remove: [] }));
  for (let i = 0; i < 5; i++) {
    values(await ask({ kind: 'put', key, value: Buffer.from(String(i)), sequence: 1 }));
    await cluster.time.run(100);
  }
  const { store, clock } = cluster.machine(1);
  const replica = must(store.replicas.get(asRangeId(1)));
  const before = replica.stats.versionCount;
  const threshold = clock.now();
  await cluster.time.settleOf(collectBelow(store, replica, threshold));
  await cluster.time.run(1000);
  expect(before - replica.stats.versionCount).toBeGreaterThanOrEqual(4);
  const sizes = cluster.replicas(1).map((each) => each.replica.stats);
  expect(sizes).toEqual([sizes[0], sizes[0], sizes[0]]);
  expect(replica.checkLease(clock.now())).toBe(undefined);
  expect(replica.checkHistory(addMicros(threshold, -1))).toMatchObject({
    kind: 'below-gc-threshold',
    threshold,
  });
  const answer = values(await ask({ kind: 'get', key, lock: 'none' }))[0];
  expect(answer).toMatchObject({ kind: 'get', value: Buffer.from('4') });
  // The next leaseholder knows the threshold too.
  values(await ask({ kind: 'admin-transfer-lease', key, to: asStoreId(2) }));
  await cluster.time.run(500);
  const heir = must(cluster.machine(2).store.replicas.get(asRangeId(1)));
  expect(heir.checkHistory(addMicros(threshold, -1))).toMatchObject({ kind: 'below-gc-threshold' });
});

it('the right side of a split knows the threshold, and both sides know their sizes, wherever they are applied', async () => {
  const cluster = await Cluster.start({ nodes: 3 });
  await cluster.time.run(1000);
  const key = systemKey('user-b');
  const ask = (request: Parameters<ReturnType<Cluster['client']>['request']>[0]) =>
    cluster.time.settleOf(cluster.client(1).request(request));
  const add = [2, 3].map((id) => ({ nodeId: asNodeId(id), storeId: asStoreId(id) }));
  values(await ask({ kind: 'admin-change-replicas', key, add, remove: [] }));
  for (const value of ['1', '2']) {
    values(await ask({ kind: 'put', key, value: Buffer.from(value), sequence: 1 }));
    await cluster.time.run(100);
  }
  const { store, clock } = cluster.machine(1);
  const left = must(store.replicas.get(asRangeId(1)));
  const threshold = clock.now();
  // The third store gets both commands at once.
  cluster.isolate(3);
  await cluster.time.settleOf(collectBelow(store, left, threshold));
  const expiration = { wall: 0, logical: 0 };
  values(await ask({ kind: 'admin-split', splitKey: systemKey('user-a'), expiration }));
  cluster.cut.clear();
  await cluster.time.run(3000);
  const right = must(cluster.rangeOf(key)).rangeId;
  const known = cluster
    .replicas(right)
    .map(({ machine }) => readThreshold(machine.engine, must(cluster.rangeOf(key))));
  expect(known).toEqual([threshold, threshold, threshold]);
  const drift = async (rangeId: number): Promise<MvccStats[]> => {
    const found: MvccStats[] = [];
    for (const { machine, replica } of cluster.replicas(rangeId)) {
      let difference = replica.stats;
      for (const { start, end } of keySpans(replica.descriptor)) {
        difference = subtractStats(difference, await computeStats(machine.engine, start, end));
      }
      found.push(difference);
    }
    return found;
  };
  const none = [zeroStats, zeroStats, zeroStats];
  expect(await drift(1)).toEqual(none);
  expect(await drift(right)).toEqual(none);
  expect(cluster.replicas(right)[0]?.replica.stats.systemCount).toBe(1);

  values(await ask({ kind: 'admin-merge', key: systemKey('user') }));
  await cluster.time.run(1000);
  expect(await drift(1)).toEqual(none);
  expect(left.stats.systemCount).toBe(1);
});

/** One node with five versions of a key that are twenty seconds old; queues run when they are told. */
async function withVersions() {
  const cluster = await Cluster.start({ nodes: 1, settings: { queueIntervalMs: 0 } });
  await cluster.time.run(1000);
  const key = systemKey('user-a');
  for (let i = 0; i < 5; i++) {
    const value = Buffer.from(String(i));
    const put = cluster.client(1).request({ kind: 'put', key, value, sequence: 1 });
    values(await cluster.time.settleOf(put));
    await cluster.time.run(100);
  }
  const at = cluster.machine(1).clock.now();
  await cluster.time.run(20_000);
  const { store } = cluster.machine(1);
  const collected = async (): Promise<number> => {
    await cluster.time.settleOf(store.runQueues());
    return store.counters.versionsCollected;
  };
  return { cluster, key, at, store, db: store.deps.db, collected };
}

it('a TTL that is shortened takes effect with the next look', async () => {
  const { cluster, collected } = await withVersions();
  expect(await collected()).toBe(0);
  cluster.zone = { ...cluster.zone, gcTtlSeconds: 1 };
  expect(await collected()).toBeGreaterThanOrEqual(4);
});

it('of several zones the one that keeps versions longest counts', () => {
  const boundary = systemKey('m');
  const zones = {
    zoneConfigFor: (at: Buffer) => ({
      ...defaultZoneConfig,
      gcTtlSeconds: at.compare(boundary) < 0 ? 60 : 600,
    }),
    zoneBoundariesIn: (start: Buffer, end: Buffer) =>
      [boundary].filter((key) => key.compare(start) > 0 && key.compare(end) < 0),
  };
  const ttl = (startKey: string, endKey: string): number =>
    longestTtl({ startKey: systemKey(startKey), endKey: systemKey(endKey) }, zones);
  expect([ttl('a', 'z'), ttl('a', 'm'), ttl('m', 'z')]).toEqual([600, 60, 600]);
});

it('nothing that is protected is collected, until it is released', async () => {
  const { cluster, key, at, db, collected } = await withVersions();
  const spans = [{ start: key, end: systemKey('user-b') }];
  const record = { id: 'backup', spans, timestamp: addMicros(at, -250_000), owner: '7' };
  await cluster.time.settleOf(db.run({}, async (txn) => protect(txn, record)));
  expect(await cluster.time.settleOf(db.run({}, readProtected))).toEqual([record]);
  expect(await collected()).toBe(0);
  cluster.zone = { ...cluster.zone, gcTtlSeconds: 1 };
  const some = await collected();
  expect(some).toBeGreaterThan(0);
  expect(await cluster.time.settleOf(isProtected(db, record))).toBe(true);
  const past = db.begin({ asOf: record.timestamp });
  expect(await cluster.time.settleOf(past.get(key))).toEqual(Buffer.from('2'));
  await cluster.time.settleOf(db.run({}, async (txn) => releaseProtection(txn, 'backup')));
  await cluster.time.run(10_000);
  expect(await collected()).toBeGreaterThan(some);
  expect(await cluster.time.settleOf(isProtected(db, record))).toBe(false);
});

it('a record whose job is gone is removed', async () => {
  const { cluster, key, at, db, store } = await withVersions();
  const spans = [{ start: key, end: systemKey('user-b') }];
  for (const owner of ['1', '2']) {
    const record = { id: `of-${owner}`, spans, timestamp: at, owner };
    await cluster.time.settleOf(db.run({}, async (txn) => protect(txn, record)));
  }
  await cluster.time.settleOf(store.protectedTimes.reconcile(async (owner) => owner === '1'));
  const left = await cluster.time.settleOf(db.run({}, readProtected));
  expect(left.map(({ id }) => id)).toEqual(['of-2']);
});

it('requests for other keys do not wait for a page', async () => {
  const { cluster, key, store } = await withVersions();
  const replica = must(store.replicas.get(asRangeId(1)));
  const release = await replica.executor().exclude([key]);
  const get = (name: string) =>
    cluster.client(1).request({ kind: 'get', key: systemKey(name), lock: 'none' });
  values(await cluster.time.settleOf(get('user-b')));
  let isDone = false;
  const waiting = get('user-a').then(() => {
    isDone = true;
  });
  await cluster.time.run(100);
  expect(isDone).toBe(false);
  release();
  await cluster.time.settleOf(waiting);
});

it('a pass is due when it gains something', () => {
  const figures = { liveBytes: 1000, liveCount: 10, sizeBytes: 2640, versionCount: 20 };
  const stats = { ...zeroStats, ...figures };
  const last = { threshold: 0, tookMs: 0 };
  expect(isPassDue(stats, 100, 9e6, last)).toBe(false);
  expect(isPassDue(stats, 100, 11e6, last)).toBe(true);
  expect(isPassDue(stats, 100, 11e6, { threshold: 0, tookMs: 1000 })).toBe(false);
  expect(isPassDue({ ...stats, versionCount: 10 }, 100, 11e6, last)).toBe(false);
});
