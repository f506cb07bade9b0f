/** While a replica deletes a span of keys, which takes a disk its time, nobody reads what is left, and no snapshot comes in between. */
import { expect, it } from 'vitest';
import { systemKey } from '../../../src/encoding/index.ts';
import {
  asNodeId,
  asRangeId,
  asStoreId,
  type KvRequest,
  type Timestamp,
  type TxnMeta,
} from '../../../src/kv/index.ts';
import { headKey, type MemoryEngine } from '../../../src/storage/index.ts';
import { must } from '../../../src/util/index.ts';
import { Cluster, values } from './cluster.ts';

const rangeId = asRangeId(1);
const key = systemKey('user-k');

/** A range on three nodes whose third one takes its time to clear it, until told. */
async function start(): Promise<{
  readonly cluster: Cluster;
  readonly ask: (request: KvRequest) => Promise<ReturnType<typeof values>>;
  readonly before: Timestamp;
  readonly goOn: () => void;
}> {
  const settings = { checkpointMs: 500, logBytesPerRangeMax: 1000 };
  const cluster = await Cluster.start({ nodes: 3, settings });
  await cluster.time.run(1000);
  const ask = async (request: KvRequest) =>
    values(await cluster.time.settleOf(cluster.client(1).request(request)));
  const add = [2, 3].map((id) => ({ nodeId: asNodeId(id), storeId: asStoreId(id) }));
  await ask({ kind: 'admin-change-replicas', key, add, remove: [] });
  await ask({ kind: 'put', key, value: Buffer.from('old'), sequence: 1 });
  await cluster.time.run(10_000);
  const { clock, engine } = cluster.machine(3);
  const before = clock.now();
  await cluster.time.run(10_000);
  const clear = engine.clear.bind(engine);
  let goOn = (): void => {};
  const gate = new Promise<void>((resolve) => {
    goOn = resolve;
  });
  engine.clear = async (from, to) => {
    engine.clear = clear;
    await clear(from, to);
    await gate;
  };
  const threshold = cluster.machine(1).clock.now();
  await ask({ kind: 'clear-range', start: key, end: systemKey('user-l'), threshold });
  await cluster.time.run(1000);
  return { cluster, ask, before, goOn };
}

it('who reads of a time before it is told that not all is there', async () => {
  const { cluster, before } = await start();
  const { store } = cluster.machine(3);
  const replica = must(store.replicas.get(rangeId));
  expect(replica.applier.underWay.length).toBeGreaterThan(0);
  const base: TxnMeta = store.deps.db.begin().meta;
  const txn = {
    ...base,
    readTimestamp: before,
    writeTimestamp: before,
    uncertaintyLimit: before,
  };
  const header = {
    txn,
    rangeId,
    generation: replica.descriptor.generation,
    timestamp: before,
    gatewayNodeId: asNodeId(3),
    waitPolicy: 'block',
    lockTimeoutMs: 0,
    consistency: 'txn',
    canForwardReadTimestamp: false,
    anyReplica: true,
    nearest: true,
  } as const;
  const answer = await cluster.time.settleOf(
    store.send({ header, requests: [{ kind: 'get', key, lock: 'none' }] }),
  );
  expect(answer).toMatchObject({ kind: 'error', error: { kind: 'below-gc-threshold' } });
});

it('a snapshot waits until it is done, and what came behind it', async () => {
  const { cluster, ask, goOn } = await start();
  const put = (value: string) =>
    ask({ kind: 'put', key: systemKey(`user-${value}`), value: Buffer.alloc(500), sequence: 1 });
  // These are committed at the third node, and wait for the deletion.
  for (const value of ['a', 'b', 'c']) await put(value);
  await cluster.time.run(1000);
  cluster.isolate(3);
  const { store } = cluster.machine(3);
  const { snapshotsReceived } = store.counters;
  for (let i = 0; i < 20; i++) await put(i % 2 === 0 ? 'b' : 'd');
  await ask({ kind: 'delete', key: systemKey('user-a'), sequence: 1 });
  for (const id of [1, 2]) {
    await cluster.time.settleOf(cluster.machine(id).store.checkpointer.runTwice());
  }
  cluster.cut.clear();
  await cluster.time.run(5000);
  expect(store.counters.snapshotsReceived).toBe(snapshotsReceived);
  const { raft } = must(store.replicas.get(rangeId));
  expect(raft.commitIndex - raft.appliedIndex).toBeGreaterThan(1);
  goOn();
  await cluster.time.run(10_000);
  expect(store.counters.snapshotsReceived).toBe(snapshotsReceived + 1);
  const [first, ...others] = await Promise.all(
    cluster.machines.map(({ engine }) => contentOf(engine)),
  );
  for (const other of others) expect(other).toEqual(first);
});

async function contentOf(engine: MemoryEngine): Promise<string[]> {
  const iterator = engine.iterate({
    start: headKey(systemKey('user-')),
    end: headKey(systemKey('user-~')),
  });
  const rows = await iterator.next(100);
  await iterator.close();
  return rows.map(([at, value]) => `${at.toString('latin1')} ${value.toString('latin1')}`);
}
