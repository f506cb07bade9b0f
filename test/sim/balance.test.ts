/**
 * The allocator comes to rest. Cause of the first of these: counts in gossip were up to ten seconds old and
 * every leaseholder moved its ranges to the same empty store ("store 4 has 5 ranges, store 1 0"), for ever.
 */
import { expect, it } from 'vitest';
import { indexPrefix } from '../../src/encoding/index.ts';
import { checkReplicas } from '../../src/sim/checks.ts';
import { type SimCluster } from '../../src/sim/index.ts';
import { calmCluster, finish, outside } from './harness.ts';

interface Spread {
  readonly ranges: readonly number[];
  readonly leases: readonly number[];
}

function spread(cluster: SimCluster): Spread {
  const counts = cluster.serving().map(({ node }) => node.store.counts());
  return {
    ranges: counts.map((each) => each.ranges).sort((a, b) => a - b),
    leases: counts.map((each) => each.leases).sort((a, b) => a - b),
  };
}

function width(counts: readonly number[]): number {
  return (counts.at(-1) ?? 0) - (counts[0] ?? 0);
}

function splitInto(cluster: SimCluster, ranges: number): () => Promise<void> {
  return async () => {
    const db = cluster.serving()[0]?.node.db;
    const existing = new Set(
      cluster.serving().flatMap(({ node }) => [...node.store.replicas.keys()]),
    ).size;
    for (let i = existing; i < ranges; i++) {
      await db?.split(indexPrefix({ tableId: 1000 + i, indexId: 1 }));
    }
  };
}

for (const seed of [1, 2, 3]) {
  it(`12 ranges on 5 stores settle and stay where they are (seed ${seed})`, async () => {
    await outside(() => {
      const moves: string[] = [];
      const { world, cluster } = calmCluster(seed, {
        log: (node, line) => {
          if (line.includes('replicas of a range were changed')) moves.push(`m${node + 1} ${line}`);
        },
      });
      world.run(10_000);
      finish(world, splitInto(cluster, 12)());
      world.run(world.nowMs + 120_000);
      const { problems, ranges } = finish(world, checkReplicas(cluster, 3));
      expect(problems).toEqual([]);
      expect(ranges).toBe(12);
      const settled = spread(cluster);
      expect(settled.ranges.reduce((a, b) => a + b)).toBe(36);
      expect(settled.leases.reduce((a, b) => a + b)).toBe(12);
      // Beyond the dead band of two on either side nothing stays uneven.
      expect(width(settled.ranges), JSON.stringify(settled)).toBeLessThanOrEqual(4);
      expect(width(settled.leases), JSON.stringify(settled)).toBeLessThanOrEqual(3);
      // 24 replicas were added; the rest is balancing, which must not take the scenic route.
      expect(moves.length, moves.join('\n')).toBeLessThan(70);
      moves.length = 0;
      world.run(world.nowMs + 600_000);
      expect(moves).toEqual([]);
    });
  }, 60_000);
}

it('a store that joins gets its share, and then nothing moves', async () => {
  await outside(() => {
    const moves: string[] = [];
    const { world, cluster } = calmCluster(4, {
      log: (node, line) => {
        if (line.includes('replicas of a range were changed')) moves.push(`m${node + 1} ${line}`);
      },
    });
    world.run(10_000);
    finish(world, splitInto(cluster, 12)());
    world.run(world.nowMs + 60_000);
    cluster.crash(4, 'process');
    world.run(world.nowMs + 400_000);
    // Dead for longer than the limit: the other four have everything.
    expect(spread(cluster).ranges.reduce((a, b) => a + b)).toBe(36);
    cluster.start(4);
    world.run(world.nowMs + 180_000);
    const settled = spread(cluster);
    expect(settled.ranges.reduce((a, b) => a + b)).toBe(36);
    expect(width(settled.ranges), JSON.stringify(settled)).toBeLessThanOrEqual(4);
    expect(width(settled.leases), JSON.stringify(settled)).toBeLessThanOrEqual(3);
    moves.length = 0;
    world.run(world.nowMs + 300_000);
    expect(moves).toEqual([]);
  });
}, 60_000);
