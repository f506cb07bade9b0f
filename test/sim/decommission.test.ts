/** A node leaves: its replicas and leases go elsewhere, it ends itself, and its store is refused when it is started again. */
import { expect, it } from 'vitest';
import { indexPrefix } from '../../src/encoding/index.ts';
import { KvFailure } from '../../src/kv/index.ts';
import { checkMemberships, checkReplicas } from '../../src/sim/checks.ts';
import { must } from '../../src/util/index.ts';
import { calmCluster, finish, outside } from './harness.ts';

it('a decommissioned node holds nothing and never comes back', async () => {
  await outside(() => {
    const { world, cluster } = calmCluster(7);
    const db = must(cluster.serving()[0]).node.db;
    const split = async (): Promise<void> => {
      for (let id = 1000; id < 1010; id++) await db.split(indexPrefix({ tableId: id, indexId: 1 }));
    };
    world.run(world.nowMs + 5_000);
    finish(world, split());
    world.run(world.nowMs + 60_000);
    const leaving = must(cluster.serving()[3]).node;
    expect(leaving.store.replicas.size).toBeGreaterThan(0);

    finish(world, db.setMembership({ kind: 'node', id: leaving.nodeId }, 'decommissioning'));
    const early = db.setMembership({ kind: 'node', id: leaving.nodeId }, 'decommissioned');
    expect(() => finish(world, early)).toThrow(KvFailure);
    const isEmpty = (): boolean => leaving.store.replicas.size === 0;
    expect(world.run(world.nowMs + 60_000, isEmpty)).toBe(true);
    finish(world, db.setMembership({ kind: 'node', id: leaving.nodeId }, 'decommissioned'));

    // It ends itself, and once more when it is started again; then the machine gets a new store.
    expect(world.run(world.nowMs + 2_000, () => !cluster.isUp(3))).toBe(true);
    expect(world.run(world.nowMs + 10_000, () => cluster.node(3)?.nodeId === leaving.nodeId)).toBe(
      true,
    );
    expect(world.run(world.nowMs + 10_000, () => !cluster.isUp(3))).toBe(true);
    const isNew = (): boolean => Number(cluster.node(3)?.nodeId ?? 0) > cluster.size;
    expect(world.run(world.nowMs + 20_000, isNew)).toBe(true);
    expect(cluster.failures).toEqual([]);
    expect(finish(world, checkMemberships(cluster))).toEqual([]);
    world.run(world.nowMs + 30_000);
    expect(finish(world, checkReplicas(cluster, 3)).problems).toEqual([]);
  });
}, 60_000);

it('a decommissioned store holds nothing, and its node goes on', async () => {
  await outside(() => {
    const { world, cluster } = calmCluster(8, { stores: [1, 1, 1, 2, 1] });
    const db = must(cluster.serving()[0]).node.db;
    const split = async (): Promise<void> => {
      for (let id = 1000; id < 1020; id++) await db.split(indexPrefix({ tableId: id, indexId: 1 }));
    };
    world.run(world.nowMs + 5_000);
    expect(world.run(world.nowMs + 20_000, () => cluster.areWhole([3]))).toBe(true);
    finish(world, split());
    world.run(world.nowMs + 60_000);
    const { node } = must(cluster.serving()[3]);
    const leaving = must(node.stores[1]);
    expect(leaving.replicas.size).toBeGreaterThan(0);

    const member = { kind: 'store', id: leaving.storeId } as const;
    finish(world, db.setMembership(member, 'decommissioning'));
    const isEmpty = (): boolean => leaving.replicas.size === 0;
    expect(world.run(world.nowMs + 60_000, isEmpty)).toBe(true);
    finish(world, db.setMembership(member, 'decommissioned'));

    // It stays open until its node is started again; then its disk is another one.
    world.run(world.nowMs + 3_000);
    expect(cluster.node(3)).toBe(node);
    expect(node.stores).toContain(leaving);
    cluster.crash(3, 'process');
    cluster.start(3);
    expect(world.run(world.nowMs + 20_000, () => cluster.areWhole([3]))).toBe(true);
    const again = must(cluster.node(3));
    expect(again.nodeId).toBe(node.nodeId);
    expect(again.stores.map(({ storeId }) => storeId)).not.toContain(leaving.storeId);
    expect(cluster.failures).toEqual([]);
    expect(finish(world, checkMemberships(cluster))).toEqual([]);
    world.run(world.nowMs + 30_000);
    expect(finish(world, checkReplicas(cluster, 3)).problems).toEqual([]);
  });
}, 60_000);
