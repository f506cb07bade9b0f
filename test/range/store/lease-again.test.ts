/**
 * A replica that loses its lease and gets the next one goes on with what is under way in its executor. Cause: a new
 * executor knew nothing of the latches of the old one, and the old one nothing of the reads that the new one had
 * served, so a write that had waited for a latch since the first lease committed below them.
 */
import { expect, it } from 'vitest';
import { systemKey } from '../../../src/encoding/index.ts';
import { asNodeId, asRangeId, asStoreId } from '../../../src/kv/index.ts';
import { must } from '../../../src/util/index.ts';
import { Cluster, values } from './cluster.ts';

it('requests under way keep their executor from one lease of a replica to its next', async () => {
  const cluster = await Cluster.start({ nodes: 3 });
  await cluster.time.run(1000);
  const key = systemKey('user-a');
  const ask = (through: number, request: Parameters<ReturnType<Cluster['client']>['request']>[0]) =>
    cluster.time.settleOf(cluster.client(through).request(request));
  const add = [2, 3].map((id) => ({ nodeId: asNodeId(id), storeId: asStoreId(id) }));
  values(await ask(1, { kind: 'admin-change-replicas', key, add, remove: [] }));
  const replica = must(cluster.machine(1).store.replicas.get(asRangeId(1)));
  const first = replica.leaseSequence;
  const executor = replica.executor();
  const release = await executor.quiesce();
  cluster.isolate(1);
  await cluster.time.run(10_000);
  expect(replica.holdsLease).toBe(false);
  cluster.cut.clear();
  await cluster.time.run(10_000);
  values(await ask(2, { kind: 'admin-transfer-lease', key, to: asStoreId(1) }));
  await cluster.time.run(1_000);
  expect(replica.holdsLease).toBe(true);
  expect(replica.leaseSequence).toBeGreaterThan(first);
  expect(replica.executor()).toBe(executor);
  release();
});
