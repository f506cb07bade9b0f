/**
 * A replica that doubts asks for the descriptor. Cause: the range had come back to the store meanwhile, under a newer
 * id; the tombstone covered that one, too, and the new replica was refused until it was given up after a minute.
 */
import { expect, it } from 'vitest';
import { systemKey } from '../../../src/encoding/index.ts';
import { asNodeId, asRangeId, asStoreId } from '../../../src/kv/index.ts';
import { checkMembership } from '../../../src/range/queues/replica-gc-queue.ts';
import { must } from '../../../src/util/index.ts';
import { Cluster, values } from './cluster.ts';

it('a removed replica leaves room for the one that takes its place on the same store', async () => {
  const cluster = await Cluster.start({ nodes: 4 });
  await cluster.time.run(1000);
  const change = (ids: { add: number[]; remove: number[] }) => {
    const targets = (list: number[]) =>
      list.map((id) => ({ nodeId: asNodeId(id), storeId: asStoreId(id) }));
    return cluster.client(1).request({
      kind: 'admin-change-replicas',
      key: systemKey('user-a'),
      add: targets(ids.add),
      remove: targets(ids.remove),
    });
  };
  values(await cluster.time.settleOf(change({ add: [2, 3, 4], remove: [] })));
  await cluster.time.run(1000);
  cluster.crash(4);
  values(await cluster.time.settleOf(change({ add: [], remove: [4] })));
  // Its learner cannot be reached yet.
  const back = change({ add: [4], remove: [] });
  await cluster.time.run(500);
  await cluster.restart(4);
  const { store } = cluster.machine(4);
  const old = must(store.replicas.get(asRangeId(1)));
  expect(await cluster.time.settleOf(checkMembership(store, old))).toBe(true);
  const leader = must(cluster.machine(1).store.replicas.get(asRangeId(1)));
  const successor = must(leader.descriptor.replicas.find((each) => each.storeId === 4));
  expect(store.tombstone(asRangeId(1))).toBe(successor.replicaId);
  values(await cluster.time.settleOf(back));
  expect(store.replicas.get(asRangeId(1))?.replicaId).toBe(successor.replicaId);
});
