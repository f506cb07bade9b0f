/** Old versions go, through raft; reads that would need them are refused. */
import { expect, it } from 'vitest';
import { systemKey } from '../../../src/encoding/index.ts';
import { addMicros, asNodeId, asRangeId, asStoreId } from '../../../src/kv/index.ts';
import { collectBelow } from '../../../src/range/queues/mvcc-gc-queue.ts';
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
  expect(replica.checkLease(addMicros(threshold, -1))).toMatchObject({
    kind: 'below-gc-threshold',
    threshold,
  });
  const answer = values(await ask({ kind: 'get', key, lock: 'none' }))[0];
  expect(answer).toMatchObject({ kind: 'get', value: Buffer.from('4') });
  // The next leaseholder knows the threshold too.
  values(await ask({ kind: 'admin-transfer-lease', key, to: asStoreId(2) }));
  await cluster.time.run(500);
  const heir = must(cluster.machine(2).store.replicas.get(asRangeId(1)));
  expect(heir.checkLease(addMicros(threshold, -1))).toMatchObject({ kind: 'below-gc-threshold' });
});
