/** What a leaseholder served ahead of its clock binds it, too: its vote would help somebody who stands at the clock. */
import { expect, it } from 'vitest';
import { systemKey } from '../../../src/encoding/index.ts';
import {
  addMicros,
  asNodeId,
  asRangeId,
  asStoreId,
  type KvRequest,
  type TxnMeta,
} from '../../../src/kv/index.ts';
import { type Message } from '../../../src/raft/index.ts';
import { must } from '../../../src/util/index.ts';
import { Cluster, values } from './cluster.ts';

it('a deposed leaseholder votes when its clock has passed what it served', async () => {
  const cluster = await Cluster.start({ nodes: 3 });
  await cluster.time.run(1000);
  const key = systemKey('user-k');
  const ask = (request: KvRequest) => cluster.time.settleOf(cluster.client(1).request(request));
  const add = [2, 3].map((id) => ({ nodeId: asNodeId(id), storeId: asStoreId(id) }));
  values(await ask({ kind: 'admin-change-replicas', key, add, remove: [] }));
  await cluster.time.run(1000);
  const { store, router, clock } = cluster.machine(1);
  const replica = must(store.replicas.get(asRangeId(1)));
  expect(replica.holdsLease).toBe(true);

  // A transaction that writes to a global table stands ahead of all clocks; it reads here, too.
  const ahead = addMicros(clock.now(), 600_000);
  const base: TxnMeta = store.deps.db.begin().meta;
  const txn = { ...base, readTimestamp: ahead, writeTimestamp: ahead, uncertaintyLimit: ahead };
  const policy = { waitPolicy: 'block', lockTimeoutMs: 0, consistency: 'txn' } as const;
  const header = { txn, ...policy, canForwardReadTimestamp: false };
  values(
    await cluster.time.settleOf(router.sendBatch(header, [{ kind: 'get', key, lock: 'none' }])),
  );
  expect(replica.lease.servedUpTo).toBe(ahead.wall);

  for (const id of [1, 2, 3]) cluster.isolate(id);
  const { raft } = replica;
  const { term } = raft;
  const other = must(replica.descriptor.replicas.find(({ storeId }) => storeId === 2));
  const head = { from: other.replicaId, to: replica.replicaId } as const;
  const step = (message: Message): void => {
    replica.step({ rangeId: replica.rangeId, message, supportEpoch: 0 }, other);
  };
  // It hears of a later term: it leads no more.
  const refusal = { kind: 'vote-response', term: term + 1, pre: true, granted: false } as const;
  step({ ...head, ...refusal });
  const votes = (): boolean => {
    step({
      ...head,
      kind: 'vote-request',
      term: term + 9,
      pre: false,
      transfer: false,
      lastIndex: raft.lastIndex + 9,
      lastTerm: term + 8,
    });
    return raft.term === term + 9;
  };
  expect(raft.role).toBe('follower');
  expect(votes()).toBe(false);
  await cluster.time.run(500);
  expect(replica.holdsLease).toBe(false);
  expect(votes()).toBe(false);
  await cluster.time.run(200);
  expect(votes()).toBe(true);
});
