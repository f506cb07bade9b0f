/** Trap L14: a store that was put back to an earlier state (a restored backup, a snapshot of its volume) is refused. */
import { describe, expect, it } from 'vitest';
import { systemKey } from '../../../src/encoding/index.ts';
import { asNodeId, asStoreId, type KvRequest, type StoreId } from '../../../src/kv/index.ts';
import { Incarnations } from '../../../src/range/store/incarnations.ts';
import { type MemoryEngine, CorruptionError } from '../../../src/storage/index.ts';
import { Cluster } from './cluster.ts';

const key = systemKey('user-a');

async function ask(cluster: Cluster, node: number, request: KvRequest): Promise<string> {
  const response = await cluster.time.settleOf(cluster.client(node).request(request));
  return response.kind === 'error' ? response.error.kind : 'ok';
}

function put(cluster: Cluster, node: number, value: string): Promise<string> {
  return ask(cluster, node, { kind: 'put', key, value: Buffer.from(value), sequence: 1 });
}

interface Copy {
  readonly files: ReadonlyMap<string, Buffer>;
  readonly engine: MemoryEngine;
}

/** Of a machine that is down. */
function copyOf(cluster: Cluster, id: number): Copy {
  const machine = cluster.machine(id);
  const { disk, engine } = machine;
  machine.engine = engine.crash(undefined);
  const files = new Map(disk.paths().map((path) => [path, disk.peek(path) ?? Buffer.alloc(0)]));
  return { files, engine: engine.crash(undefined) };
}

function restore(cluster: Cluster, id: number, copy: Copy): void {
  const machine = cluster.machine(id);
  for (const path of machine.disk.paths()) machine.disk.poke(path, undefined);
  for (const [path, content] of copy.files) machine.disk.poke(path, content);
  machine.engine = copy.engine;
}

/** Three stores; store 3 is copied while it is down, and takes part in more afterwards. */
async function history(): Promise<{ cluster: Cluster; copy: Copy }> {
  const cluster = await Cluster.start({ nodes: 3 });
  await cluster.time.run(1000);
  const place = (id: number) => ({ nodeId: asNodeId(id), storeId: asStoreId(id) });
  const add = [place(2), place(3)];
  await ask(cluster, 1, { kind: 'admin-change-replicas', key, add, remove: [] });
  await put(cluster, 1, 'before');
  await cluster.stop(3, true);
  const copy = copyOf(cluster, 3);
  await cluster.restart(3);
  await cluster.time.run(2000);
  expect(await put(cluster, 1, 'after')).toBe('ok');
  await cluster.stop(3, true);
  return { cluster, copy };
}

describe('an older copy of a store (trap L14)', () => {
  it('is refused by those that heard of the store later', async () => {
    const { cluster, copy } = await history();
    restore(cluster, 3, copy);
    await cluster.restart(3);
    await cluster.time.run(100);
    const { fatal } = cluster.machine(3);
    expect(fatal).toBeInstanceOf(CorruptionError);
    expect(String(fatal)).toMatch(
      /it is an older copy of store 3: it ends at 2023-11-14T\S+, and store \d has heard of store 3 at 2023-11-14T\S+$/,
    );
  });

  it('is refused by those that have restarted since', async () => {
    const { cluster, copy } = await history();
    for (const id of [1, 2]) await cluster.stop(id, true);
    for (const id of [1, 2]) await cluster.restart(id);
    await cluster.time.run(1000);
    restore(cluster, 3, copy);
    await cluster.restart(3);
    await cluster.time.run(100);
    expect(cluster.machine(3).fatal).toBeInstanceOf(CorruptionError);
  });

  it('gives no vote before the others had the time to refuse it', async () => {
    const { cluster, copy } = await history();
    restore(cluster, 3, copy);
    // Whoever knows is cut off at first; the other one needs a vote, and hears of nothing.
    cluster.cut.add('1-3');
    cluster.cut.add('1-2');
    cluster
      .machine(2)
      .store.bound.incarnations.restore([{ storeId: asStoreId(3), incarnation: 0, wall: 0 }]);
    await cluster.restart(3);
    await cluster.time.run(1500);
    expect(cluster.machine(3).store.liveness.mayVote()).toBe(false);
    cluster.cut.clear();
    await cluster.time.run(600);
    expect(cluster.machine(3).fatal).toBeInstanceOf(CorruptionError);
  });

  it('the store itself goes on after stops and crashes', async () => {
    const { cluster } = await history();
    await cluster.restart(3);
    for (let i = 0; i < 5; i++) {
      await cluster.time.run(i * 700);
      if (i % 2 === 0) cluster.crash(3);
      else await cluster.stop(3, false);
      await cluster.restart(3);
    }
    await cluster.time.run(8000);
    expect(cluster.machine(3).fatal).toBeUndefined();
    expect(await put(cluster, 3, 'later')).toBe('ok');
  });
});

describe('incarnations', () => {
  const storeId: StoreId = asStoreId(1);

  it('a life resumes above everything that was heard of the one before', () => {
    const incarnations = new Incarnations();
    const hear = (incarnation: number, resumedFrom: number, wall: number) =>
      incarnations.outdatedBy(storeId, { incarnation, resumedFrom }, wall);
    expect(hear(90, 0, 100)).toBeUndefined();
    expect(hear(90, 0, 200)).toBeUndefined();
    expect(hear(250, 201, 300)).toBeUndefined();
    const last = { storeId, incarnation: 250, wall: 300 };
    // Of the former life, late; a copy from before it; a copy from between the two; a copy of this life.
    expect(hear(90, 0, 400)).toEqual(last);
    expect(hear(390, 150, 400)).toEqual(last);
    expect(hear(390, 201, 400)).toEqual(last);
    expect(hear(390, 300, 400)).toEqual(last);
    expect(hear(250, 201, 310)).toBeUndefined();
    const restarted = new Incarnations();
    restarted.restore(incarnations.all());
    const then = { incarnation: 600, resumedFrom: 310 };
    expect(restarted.outdatedBy(storeId, then, 500)?.wall).toBe(310);
    expect(restarted.outdatedBy(storeId, { ...then, resumedFrom: 311 }, 500)).toBeUndefined();
  });
});
