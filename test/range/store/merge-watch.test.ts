/**
 * A change of the right side's replicas has laid down its meta record when a merge freezes that side: what became of the change can
 * only be asked where nothing is served before the merge is decided.
 */
import { expect, it } from 'vitest';
import { metaRecordKeys, rangeDescriptorKey, systemKey } from '../../../src/encoding/index.ts';
import {
  asNodeId,
  asRangeId,
  asStoreId,
  encodeDescriptor,
  type KvRequest,
} from '../../../src/kv/index.ts';
import { must } from '../../../src/util/index.ts';
import { Cluster, values } from './cluster.ts';

it('the watch of a merge waits for nobody who is anchored in the frozen range', async () => {
  const cluster = await Cluster.start({ nodes: 3 });
  await cluster.time.run(1000);
  const m = systemKey('user-m');
  const ask = (request: KvRequest) => cluster.time.settleOf(cluster.client(1).request(request));
  const add = [2, 3].map((id) => ({ nodeId: asNodeId(id), storeId: asStoreId(id) }));
  values(await ask({ kind: 'admin-change-replicas', key: m, add, remove: [] }));
  values(await ask({ kind: 'admin-split', splitKey: m, expiration: { wall: 0, logical: 0 } }));
  await cluster.time.run(1000);
  const { db } = cluster.machine(1).store.deps;
  const right = must(cluster.machine(2).store.replicas.get(asRangeId(2)));
  const meta = must(metaRecordKeys(right.descriptor).at(-1));

  const change = db.begin({ name: 'change of replicas', priority: 'high' });
  change.put(systemKey('user-m1'), Buffer.from('anchored in the right side'));
  change.put(meta, encodeDescriptor(right.descriptor));
  await cluster.time.settleOf(change.flush());
  // The merge waits for the change at the meta record: it has not come to its freeze.
  const merge = db.begin({ name: 'merge', priority: 'high' });
  merge.put(rangeDescriptorKey(systemKey('user-a')), Buffer.from('anchored in the left side'));
  merge.delete(rangeDescriptorKey(right.descriptor.startKey));
  await cluster.time.settleOf(merge.flush());

  values(await ask({ kind: 'admin-transfer-lease', key: m, to: asStoreId(2) }));
  await cluster.time.run(1000);
  expect(right.raft.role).toBe('leader');
  expect(right.holdsLease).toBe(true);
  await cluster.time.settleOf(change.rollback());

  // Its own intent is there: it may come to its freeze any time, so nothing is served.
  merge.put(meta, encodeDescriptor(right.descriptor));
  await cluster.time.settleOf(merge.flush());
  values(await ask({ kind: 'admin-transfer-lease', key: m, to: asStoreId(3) }));
  await cluster.time.run(3000);
  const heir = must(cluster.machine(3).store.replicas.get(asRangeId(2)));
  expect(heir.raft.role).toBe('leader');
  expect(heir.mergeWatch.isFrozen).toBe(true);
  await cluster.time.settleOf(merge.rollback());
  await cluster.time.run(1000);
  expect(heir.holdsLease).toBe(true);
});
