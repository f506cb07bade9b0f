/**
 * The note of a removal that a crash brings back removes the log once more. Cause: by then a successor of the replica
 * might have voted, which it has written down nowhere else, and could have voted once more in the same term.
 */
import { expect, it, vi } from 'vitest';
import { systemKey } from '../../../src/encoding/index.ts';
import { storeMethod, asNodeId, asRangeId, asStoreId } from '../../../src/kv/index.ts';
import { encodeFrame } from '../../../src/range/replica/message-codec.ts';
import { clearingName, decodeClearing } from '../../../src/range/store/remover.ts';
import { raftMethod } from '../../../src/range/store/scheduler.ts';
import { rangeStateKey } from '../../../src/storage/index.ts';
import { must } from '../../../src/util/index.ts';
import { Cluster, values } from './cluster.ts';

const rangeId = asRangeId(1);
const term = 50;

/** Four nodes; the one range is on all of them. */
async function startCluster(): Promise<Cluster> {
  const cluster = await Cluster.start({ nodes: 4 });
  await cluster.time.run(1000);
  await change(cluster, { add: [2, 3, 4], remove: [] });
  return cluster;
}

async function change(cluster: Cluster, ids: { add: number[]; remove: number[] }): Promise<void> {
  const targets = (list: number[]) =>
    list.map((id) => ({ nodeId: asNodeId(id), storeId: asStoreId(id) }));
  const key = systemKey('user-a');
  const add = targets(ids.add);
  const remove = targets(ids.remove);
  const request = { kind: 'admin-change-replicas', key, add, remove } as const;
  values(await cluster.time.settleOf(cluster.client(1).request(request)));
  await cluster.time.run(2000);
}

it('a vote of a replica without data outlives the removal of the one before it', async () => {
  const cluster = await startCluster();
  await change(cluster, { add: [], remove: [4] });
  await cluster.time.settleOf(cluster.machine(4).store.runQueues());
  await cluster.time.run(2000);
  expect(cluster.replicas(1).map(({ machine }) => machine.id)).toEqual([1, 2, 3]);

  // Its successor is asked for a vote before it has any data.
  const { transport, clock } = cluster.machine(1);
  const message = {
    kind: 'vote-request',
    from: 2,
    to: 9,
    term,
    pre: false,
    lastIndex: 100,
    lastTerm: term - 1,
    transfer: false,
  } as const;
  const frame = encodeFrame({
    fromStore: asStoreId(2),
    toStore: asStoreId(4),
    now: clock.now(),
    envelopes: [{ rangeId, message, supportEpoch: 0 }],
  });
  transport.send(asNodeId(4), storeMethod(raftMethod, asStoreId(4)), frame, 'raft');
  await cluster.time.run(500);
  const voted = { term, vote: 2 };
  expect(cluster.machine(4).store.raftLog.range(rangeId).hardState).toMatchObject(voted);

  // Of what was not synced nothing is left.
  const losing = vi.spyOn(cluster.random, 'u32').mockReturnValue(0);
  cluster.crash(4);
  losing.mockRestore();
  await cluster.restart(4);
  await cluster.time.run(2000);
  expect(cluster.machine(4).store.raftLog.range(rangeId).hardState).toMatchObject(voted);
});

it('what a replayed split discards does not make a removal under way forget the log', async () => {
  const cluster = await startCluster();
  await change(cluster, { add: [], remove: [4] });
  const { store, engine } = cluster.machine(4);
  const replica = must(store.replicas.get(rangeId));
  const { descriptor } = replica;
  const noteKey = rangeStateKey(rangeId, clearingName);
  store.remover.remove(replica, descriptor.nextReplicaId);
  const discard = store.remover.prepareDiscard(descriptor);
  expect(decodeClearing(must(discard.write.value)).removeLog).toBe(true);
  engine.apply([discard.write]);
  discard.finish();
  await cluster.time.settleOf(store.remover.idle());
  expect(engine.get(noteKey)).toBeUndefined();
  expect(store.remover.isRemoving(rangeId)).toBe(false);
  const later = store.remover.prepareDiscard(descriptor);
  expect(decodeClearing(must(later.write.value)).removeLog).toBe(false);
});

it('the note outlives what it tells to clear, whatever a crash takes back', async () => {
  const cluster = await startCluster();
  await change(cluster, { add: [], remove: [4] });
  const { engine, store } = cluster.machine(4);
  const noteKey = rangeStateKey(rangeId, clearingName);
  const steps: string[] = [];
  const clear = engine.clear.bind(engine);
  vi.spyOn(engine, 'clear').mockImplementation((start, end) => {
    steps.push('clear');
    return clear(start, end);
  });
  const barrier = engine.barrier.bind(engine);
  vi.spyOn(engine, 'barrier').mockImplementation(async () => {
    await barrier();
    steps.push('barrier');
  });
  const apply = engine.apply.bind(engine);
  vi.spyOn(engine, 'apply').mockImplementation((writes) => {
    if (writes.some(({ key, value }) => key.equals(noteKey) && value === undefined)) {
      steps.push('forget');
    }
    apply(writes);
  });
  await cluster.time.settleOf(store.runQueues());
  await cluster.time.run(2000);
  const cleared = steps.lastIndexOf('clear');
  expect(cleared).toBeGreaterThan(0);
  expect(steps.slice(cleared, steps.indexOf('forget') + 1)).toEqual(['clear', 'barrier', 'forget']);
});
