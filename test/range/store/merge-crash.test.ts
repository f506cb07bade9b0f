/**
 * The power of one store goes at each step of a merge in turn: every operation of its disk and its engine, from the moment
 * at which the merge is asked for. The merge is made or it is not; nothing is lost, and all replicas are equal afterwards.
 */
import { expect, it } from 'vitest';
import { systemKey } from '../../../src/encoding/index.ts';
import { asNodeId, asStoreId, type KvRequest } from '../../../src/kv/index.ts';
import { rangeSpans } from '../../../src/storage/index.ts';
import { Cluster, values } from './cluster.ts';
import { countSteps } from './crash-steps.ts';

const boundary = systemKey('user-m');
const rows = 6;

async function ask(cluster: Cluster, request: KvRequest, node = 1): Promise<void> {
  values(await cluster.time.settleOf(cluster.client(node).request(request)));
}

function keysOf(prefix: string): Buffer[] {
  return Array.from({ length: rows }, (_, i) => systemKey(`user-${prefix}${i}`));
}

async function write(cluster: Cluster, keys: readonly Buffer[], value: string): Promise<void> {
  for (const key of keys) {
    await ask(cluster, { kind: 'put', key, value: Buffer.from(value), sequence: 1 });
  }
}

/** Two ranges on three stores: the left lease on store 1, the right one on store 2. */
async function twoRanges(seed: number): Promise<Cluster> {
  const settings = { checkpointMs: 2000 };
  const cluster = await Cluster.start({ nodes: 3, seed, settings });
  await cluster.time.run(1000);
  const add = [2, 3].map((id) => ({ nodeId: asNodeId(id), storeId: asStoreId(id) }));
  await ask(cluster, { kind: 'admin-change-replicas', key: boundary, add, remove: [] });
  await write(cluster, [...keysOf('a'), ...keysOf('z')], 'old');
  const expiration = { wall: 0, logical: 0 };
  await ask(cluster, { kind: 'admin-split', splitKey: boundary, expiration });
  await cluster.time.run(500);
  await ask(cluster, { kind: 'admin-transfer-lease', key: boundary, to: asStoreId(2) });
  await cluster.time.run(500);
  await write(cluster, keysOf('z'), 'new');
  return cluster;
}

/** What differs between the replicas of the ranges, and what is not as it was written. */
async function problems(cluster: Cluster): Promise<string[]> {
  const found: string[] = [];
  for (const range of cluster.ranges()) {
    const copies = new Set<string>();
    for (const { machine, replica } of cluster.replicas(range.rangeId)) {
      let copy = replica.descriptor.endKey.toString('hex');
      for (const span of rangeSpans(range)) {
        const iterator = machine.engine.iterate(span);
        for (const row of await iterator.next(1000))
          copy += row.map((each) => each.toString('hex'));
        await iterator.close();
      }
      copies.add(copy);
    }
    if (copies.size !== 1) found.push(`replicas of range ${range.rangeId} differ`);
  }
  for (const { id, fatal } of cluster.machines) {
    if (fatal !== undefined) found.push(`store ${id} failed`);
  }
  return found;
}

async function valuesOf(cluster: Cluster, keys: readonly Buffer[]): Promise<Set<string>> {
  const found = new Set<string>();
  for (const key of keys) {
    const answer = cluster.client(3).request({ kind: 'get', key, lock: 'none' });
    const [result] = values(await cluster.time.settleOf(answer));
    found.add(result?.kind === 'get' ? String(result.value) : 'no answer');
  }
  return found;
}

/** Whether the merge took so many steps that the store died. */
async function crashAtStep(victim: number, n: number): Promise<boolean> {
  const cluster = await twoRanges(n);
  let crashed = false;
  const stop = countSteps(cluster.machine(victim), n, () => {
    crashed = true;
    cluster.crash(victim);
  });
  let ended = false;
  const end = (): void => {
    ended = true;
  };
  cluster
    .client(1)
    .request({ kind: 'admin-merge', key: systemKey('user-a') })
    .then(end, end);
  await cluster.time.run(3000, () => ended || crashed);
  // What is behind the answer: the intents, the log of the right side.
  await cluster.time.run(ended ? 3000 : 50, () => crashed);
  stop();
  await cluster.time.run(n % 2 === 0 ? 3000 : 0);
  if (crashed) await cluster.restart(victim);
  await cluster.time.run(8_000);
  const step = `store ${victim}, step ${n}`;
  expect(await valuesOf(cluster, keysOf('z')), step).toEqual(new Set(['new']));
  expect(await valuesOf(cluster, keysOf('a')), step).toEqual(new Set(['old']));
  await write(cluster, [...keysOf('a'), ...keysOf('z')], 'newest');
  await cluster.time.run(1000);
  expect(await problems(cluster), step).toEqual([]);
  if (n % 3 !== 0) return crashed;
  // Once more: what the merge left on the disks is enough to go on from.
  cluster.crash(victim);
  await cluster.restart(victim);
  await cluster.time.run(8_000);
  expect(await valuesOf(cluster, keysOf('z')), step).toEqual(new Set(['newest']));
  expect(await problems(cluster), step).toEqual([]);
  return crashed;
}

it.each([
  [1, 'the left leaseholder'],
  [2, 'the right leaseholder'],
  [3, 'a follower'],
])(
  'store %i, %s, dies at each step of a merge',
  async (victim) => {
    let n = 1;
    while (await crashAtStep(victim, n)) n++;
    if (process.env['FIGURES'] !== undefined) process.stdout.write(`${victim}: ${n - 1} steps\n`);
    expect(n).toBeGreaterThan(15);
  },
  120_000,
);
