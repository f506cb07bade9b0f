/** A merge that fails right behind its freeze: what the right side had read ahead of its clock is forgotten. */
import { expect, it } from 'vitest';
import { metaRecordKeys, rangeDescriptorKey, systemKey } from '../../../src/encoding/index.ts';
import {
  addMicros,
  asNodeId,
  asRangeId,
  asStoreId,
  encodeDescriptor,
  type KvRequest,
  type TxnMeta,
} from '../../../src/kv/index.ts';
import { must } from '../../../src/util/index.ts';
import { Cluster, values } from './cluster.ts';

for (const transferred of [true, false]) {
  it(`reads ahead of the clock outlive a merge that fails, ${transferred ? 'a later term' : 'the first term'}`, async () => {
    const cluster = await Cluster.start({ nodes: 3 });
    await cluster.time.run(1000);
    const a = systemKey('user-a');
    const m = systemKey('user-m');
    const key = systemKey('user-m1');
    const ask = (request: KvRequest) => cluster.time.settleOf(cluster.client(1).request(request));
    const add = [2, 3].map((id) => ({ nodeId: asNodeId(id), storeId: asStoreId(id) }));
    values(await ask({ kind: 'admin-change-replicas', key: a, add, remove: [] }));
    values(await ask({ kind: 'put', key, value: Buffer.from('before'), sequence: 1 }));
    values(await ask({ kind: 'admin-split', splitKey: m, expiration: { wall: 0, logical: 0 } }));
    await cluster.time.run(1000);
    const at = transferred ? 2 : 1;
    if (transferred) values(await ask({ kind: 'admin-transfer-lease', key: m, to: asStoreId(2) }));
    await cluster.time.run(3000);
    const { store, router, clock } = cluster.machine(at);
    const replica = must(store.replicas.get(asRangeId(2)));
    expect(replica.holdsLease).toBe(true);

    // A transaction that writes to a global table stands ahead of all clocks; it has read (or refreshed) this key there.
    const { db } = store.deps;
    const base: TxnMeta = db.begin().meta;
    const ahead = addMicros(clock.now(), 600_000);
    const reader: TxnMeta = {
      ...base,
      readTimestamp: ahead,
      writeTimestamp: ahead,
      uncertaintyLimit: ahead,
    };
    const read = async (): Promise<string> => {
      const response = await cluster.time.settleOf(
        router.sendBatch(
          {
            txn: reader,
            waitPolicy: 'block',
            lockTimeoutMs: 0,
            consistency: 'txn',
            canForwardReadTimestamp: false,
          },
          [{ kind: 'get', key, lock: 'none' }],
        ),
      );
      const [result] = values(response);
      return result?.kind === 'get' ? `${result.value?.toString()}` : '?';
    };
    expect(await read()).toBe('before');

    // A merge that gives up right behind the freeze (a follower could not be reached, for instance).
    const right = replica.descriptor;
    const merge = db.begin({ name: 'merge', priority: 'high' });
    merge.put(rangeDescriptorKey(systemKey('user-a')), Buffer.from('x'));
    merge.delete(rangeDescriptorKey(right.startKey));
    merge.put(must(metaRecordKeys(right).at(-1)), encodeDescriptor(right));
    await cluster.time.settleOf(merge.flush());
    const frozen = await cluster.time.settleOf(replica.mergeWatch.freeze(right, merge.meta.id));
    expect('appliedIndex' in frozen).toBe(true);
    expect(replica.holdsLease).toBe(false);
    await cluster.time.settleOf(merge.rollback());
    await cluster.time.run(150);
    expect(replica.holdsLease).toBe(true);

    // Somebody writes, and is told that it is done.
    const txn = db.begin();
    txn.put(key, Buffer.from('after'));
    await cluster.time.settleOf(txn.commit());
    // The same read once more: it must give the same.
    expect(await read()).toBe('before');
  });
}
