/**
 * The receiver of a snapshot loses its power at each of its steps in turn: every operation of its disk and its engine
 * from the first chunk to the last file removed. What it finds when it is back is the old state or the new one, and the
 * snapshot arrives in the end (traps R9, R12).
 */
import { expect, it } from 'vitest';
import { systemKey } from '../../../src/encoding/index.ts';
import { asNodeId, asStoreId, zeroTimestamp, type KvRequest } from '../../../src/kv/index.ts';
import { rangeSpans } from '../../../src/storage/index.ts';
import { must } from '../../../src/util/index.ts';
import { Cluster, values, type Machine } from './cluster.ts';
import { countSteps } from './crash-steps.ts';

const settings = {
  snapshotChunkBytes: 3000,
  checkpointMs: 500,
  logBytesPerRangeMax: 1000,
  logWaitMs: 500,
};
const rows = 20;

async function ask(cluster: Cluster, request: KvRequest): Promise<void> {
  values(await cluster.time.settleOf(cluster.client(1).request(request)));
}

async function fill(cluster: Cluster, prefix: string): Promise<void> {
  for (let i = 0; i < rows; i++) {
    const key = systemKey(`user-${prefix}${i}`);
    await ask(cluster, { kind: 'put', key, value: Buffer.alloc(500, i), sequence: 1 });
  }
}

function addReplicas(...ids: readonly number[]): KvRequest {
  const add = ids.map((id) => ({ nodeId: asNodeId(id), storeId: asStoreId(id) }));
  return { kind: 'admin-change-replicas', key: systemKey('user-'), add, remove: [] };
}

async function contents({ engine }: Machine, cluster: Cluster): Promise<string> {
  const entries: string[] = [];
  for (const range of cluster.ranges()) {
    for (const span of rangeSpans(range)) {
      const iterator = engine.iterate(span);
      for (let page = await iterator.next(100); page.length > 0; page = await iterator.next(100)) {
        for (const row of page) entries.push(row.map((each) => each.toString('hex')).join('='));
      }
      await iterator.close();
    }
  }
  return entries.join('\n');
}

function hasCaughtUp(cluster: Cluster, id: number): boolean {
  return cluster.ranges().every(({ rangeId }) => {
    const replicas = cluster.replicas(rangeId);
    const own = replicas.find(({ machine }) => machine.id === id)?.replica;
    if (own?.initialised !== true) return false;
    return replicas.every(
      ({ replica }) => replica.applier.appliedIndex <= own.applier.appliedIndex,
    );
  });
}

/**
 * 'new': store 3 has nothing yet. 'behind': it has an old state and a log that ends too early. 'unmerged': the same, and a
 * replica of a range that its range has absorbed since.
 */
type Receiver = 'new' | 'behind' | 'unmerged';

/**
 * Splits the range and merges it again; store 3 has what it takes, and hears nothing of the merge. Then the whole is split
 * at another place: what store 3 has of the right side reaches further than the snapshot that it will get.
 */
async function mergeBehindTheBack(cluster: Cluster): Promise<void> {
  const [key, splitKey, again] = [systemKey('user-a0'), systemKey('user-a5'), systemKey('user-a7')];
  await ask(cluster, { kind: 'admin-split', splitKey, expiration: { wall: 0, logical: 0 } });
  await cluster.time.run(1000);
  const merge = ask(cluster, { kind: 'admin-merge', key });
  const left = must(cluster.replicas(1)[0]).replica;
  const isProposed = (): boolean =>
    left.proposals.commands().some(({ trigger }) => trigger?.kind === 'merge');
  for (let ms = 0; ms < 1000 && !isProposed(); ms++) await cluster.time.run(1);
  cluster.isolate(3);
  await merge;
  await ask(cluster, { kind: 'admin-split', splitKey: again, expiration: { wall: 0, logical: 0 } });
}

/** False when the snapshot was there before step `n`. */
async function crashAtStep(n: number, receiver: Receiver): Promise<boolean> {
  const cluster = await Cluster.start({ nodes: 3, seed: n, settings });
  await cluster.time.run(1000);
  await fill(cluster, 'a');
  let crashed = false;
  const watch = (): void => {
    countSteps(cluster.machine(3), n, () => {
      crashed = true;
      cluster.crash(3);
    });
  };
  if (receiver === 'new') {
    await ask(cluster, addReplicas(2));
    watch();
    const change = ask(cluster, addReplicas(3));
    change.catch(() => undefined);
  } else if (receiver === 'unmerged') {
    await ask(cluster, addReplicas(2, 3));
    await mergeBehindTheBack(cluster);
    await cluster.time.run(1000);
    await fill(cluster, 'a');
    await fill(cluster, 'b');
    for (const { store } of cluster.live()) {
      await cluster.time.settleOf(store.checkpointer.runTwice());
    }
    watch();
    cluster.cut.clear();
  } else {
    await ask(cluster, addReplicas(2, 3));
    await cluster.time.run(1000);
    cluster.crash(3);
    await cluster.time.run(1000);
    await fill(cluster, 'b');
    // What it still has of this has to go.
    const [start, end] = [systemKey('user-a'), systemKey('user-a5')];
    await ask(cluster, { kind: 'clear-range', start, end, threshold: zeroTimestamp });
    for (const { store } of cluster.live()) {
      await cluster.time.settleOf(store.checkpointer.runTwice());
    }
    await cluster.restart(3);
    watch();
  }
  const received = (): boolean =>
    crashed || cluster.machine(3).store.metrics().counters.snapshotsReceived > 0;
  await cluster.time.run(30_000, received);
  await cluster.time.run(2000, () => crashed);
  const machine = cluster.machine(3);
  machine.disk.fault = undefined;
  if (crashed) await cluster.restart(3);
  await cluster.time.run(20_000, () => hasCaughtUp(cluster, 3));
  await cluster.time.run(500);
  expect(machine.fatal, `step ${n}`).toBeUndefined();
  // A change whose learner died may have been given up.
  const members = cluster.ranges()[0]?.replicas ?? [];
  if (!members.some(({ storeId }) => storeId === 3)) {
    await ask(cluster, addReplicas(3));
    await cluster.time.run(2000);
  }
  expect(cluster.replicas(2), `step ${n}`).toEqual([]);
  expect(await contents(machine, cluster), `step ${n}`).toBe(
    await contents(cluster.machine(1), cluster),
  );
  return crashed;
}

/** Every how many steps it dies; the third one takes the most steps, many of them like those of the second. */
const strides = { new: 1, behind: 1, unmerged: 4 };

for (const receiver of ['new', 'behind', 'unmerged'] as const) {
  it(`whole or nothing at each step (${receiver})`, async () => {
    let n = 1;
    while (await crashAtStep(n, receiver)) n += strides[receiver];
    if (process.env['FIGURES'] !== undefined) process.stdout.write(`${receiver}: ${n - 1} steps\n`);
    // Four chunks and the installation.
    expect(n).toBeGreaterThan(20);
  }, 120_000);
}

it('a record of an installation that a crash brings back does not revive a replica that was removed since (R6)', async () => {
  const cluster = await Cluster.start({ nodes: 4, settings });
  await cluster.time.run(1000);
  await fill(cluster, 'a');
  const machine = cluster.machine(2);
  const removed = new Map<string, Buffer>();
  machine.disk.fault = ({ kind, path }) => {
    const content = kind === 'remove' ? machine.disk.peek(path) : undefined;
    if (content !== undefined && /install-|snapshot-/.test(path)) removed.set(path, content);
    return undefined;
  };
  await ask(cluster, addReplicas(2, 3));
  await cluster.time.run(2000);
  expect([...removed.keys()].some((path) => path.includes('install-'))).toBe(true);
  const [gone, come] = [2, 4].map((id) => ({ nodeId: asNodeId(id), storeId: asStoreId(id) }));
  const change = { add: [must(come)], remove: [must(gone)] };
  await ask(cluster, { kind: 'admin-change-replicas', key: systemKey('user-'), ...change });
  await cluster.time.run(1000);
  await cluster.time.settleOf(machine.store.runQueues());
  await cluster.time.run(5000);
  expect(machine.store.replicas.size).toBe(0);
  machine.disk.fault = undefined;
  cluster.crash(2);
  for (const [path, content] of removed) machine.disk.poke(path, content);
  await cluster.restart(2);
  await cluster.time.run(5000);
  expect(machine.store.replicas.size).toBe(0);
  expect(machine.fatal).toBeUndefined();
});
