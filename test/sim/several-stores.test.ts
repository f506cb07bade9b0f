/** Machines with several disks: what happens to one store of a node does not happen to the others. */
import { expect, it } from 'vitest';
import { indexPrefix } from '../../src/encoding/index.ts';
import { type RangeDescriptor } from '../../src/kv/index.ts';
import { checkReplicas } from '../../src/sim/checks.ts';
import { ranges, storesOf } from '../../src/sim/picture.ts';
import { type SimCluster, type World } from '../../src/sim/index.ts';
import { calmCluster, finish, outside } from './harness.ts';

const at = indexPrefix({ tableId: 1000, indexId: 1 });

/** Four machines, the first with two stores; stores of lost ones are given up after six seconds. */
function cluster(seed: number): { world: World; cluster: SimCluster } {
  const made = calmCluster(seed, {
    nodes: 4,
    stores: [2, 1, 1, 1],
    settings: { timeUntilStoreDeadMs: 6_000 },
  });
  const { world } = made;
  world.run(world.nowMs + 20_000, () => false);
  expect(made.cluster.areWhole()).toBe(true);
  return made;
}

function storeIds(of: SimCluster, machine: number): number[] {
  return storesOf(of)
    .filter(({ index }) => index === machine)
    .map(({ store }) => store.storeId);
}

function nodesOf({ replicas }: RangeDescriptor): number[] {
  return replicas.map(({ nodeId }) => nodeId);
}

it('a range that is relocated from one store of its leaseholder to another has no two replicas on the node', () =>
  outside(() => {
    const { world, cluster: it } = cluster(1);
    const db = it.serving()[0]?.node.db;
    const [first, second] = storesOf(it).filter(({ index }) => index === 0);
    const others = storesOf(it).filter(({ index }) => index > 0);
    const [a, b, c] = others.map(({ store }) => store.storeId);
    if (db === undefined || first === undefined || second === undefined)
      throw new Error('no store');
    if (a === undefined || b === undefined || c === undefined) throw new Error('no store');
    finish(world, db.split(at));
    const one = first.store.storeId;
    finish(world, db.relocateRange(at, { voters: [one, a, b], nonVoters: [], leaseholder: one }));
    const crowded = new Set<string>();
    let isOver = false;
    const look = (): void => {
      for (const range of ranges(it)) {
        const nodes = nodesOf(range);
        const isAtRest = range.replicas.every(({ kind }) => kind === 'voter');
        if (isAtRest && new Set(nodes).size < nodes.length)
          crowded.add(`${range.rangeId}: ${nodes.join()}`);
      }
      if (!isOver) world.after(1, look);
    };
    look();
    finish(world, db.relocateRange(at, { voters: [c, second.store.storeId], nonVoters: [] }));
    isOver = true;
    expect([...crowded]).toEqual([]);
    expect(it.failures).toEqual([]);
  }));

it('a node that has lost one of its stores goes on with a new one in its place', () =>
  outside(() => {
    const { world, cluster: it } = cluster(2);
    const before = storeIds(it, 0);
    const nodeId = it.node(0)?.nodeId;
    it.wipe(0, it.storeOf(0, 0.9));
    it.start(0);
    world.run(world.nowMs + 60_000, () => false);
    expect(it.node(0)?.nodeId).toBe(nodeId);
    expect(storeIds(it, 0)).toHaveLength(2);
    expect(storeIds(it, 0)[0]).toBe(before[0]);
    expect(before).not.toContain(storeIds(it, 0)[1]);
    expect(finish(world, checkReplicas(it, 3)).problems).toEqual([]);
    expect(it.failures).toEqual([]);
  }));

it('a damaged store of several is refused and set aside, and the node keeps its id', () =>
  outside(() => {
    const { world, cluster: it } = cluster(3);
    const before = storeIds(it, 0);
    const nodeId = it.node(0)?.nodeId;
    it.crash(0, 'process');
    const { disk, path } = it.storeOf(0, 0);
    disk.files.flipBit(`${path}/STORE`, 12);
    disk.isDamaged = true;
    it.start(0);
    world.run(world.nowMs + 60_000, () => it.areWhole());
    expect(it.stops).toBe(1);
    world.run(world.nowMs + 60_000, () => false);
    expect(it.node(0)?.nodeId).toBe(nodeId);
    expect(storeIds(it, 0)).toHaveLength(2);
    expect(storeIds(it, 0)).not.toContain(before[0]);
    expect(disk.files.paths().some((file) => file.includes('quarantined-'))).toBe(true);
    expect(finish(world, checkReplicas(it, 3)).problems).toEqual([]);
    expect(it.failures).toEqual([]);
  }));
