/** Machines and their processes. */
import { expect, it } from 'vitest';
import { AssertionError } from '../../src/util/index.ts';
import { calmCluster, finish, outside } from './harness.ts';

it('a node whose orderly stop fails has ended, and comes back when its disk works', () =>
  outside(() => {
    const { world, cluster } = calmCluster(1, { nodes: 3 });
    cluster.storeOf(1, 0).disk.fill(0, { durationMs: 3_000, downMs: 5_000 });
    finish(world, cluster.shutdown(1));
    world.run(world.nowMs + 2_000, () => false);
    expect(cluster.isUp(1)).toBe(false);
    expect(cluster.checkDisks()).toEqual([]);
    expect(cluster.stops).toBe(1);
    world.run(world.nowMs + 10_000, () => cluster.serving().length === 3);
    expect(cluster.serving()).toHaveLength(3);
    expect(cluster.failures).toEqual([]);
  }));

it('an assertion that fails inside a node is a failure of the run, whoever caught it', () =>
  outside(() => {
    const { cluster } = calmCluster(1, { nodes: 1 });
    const error = new AssertionError('never');
    cluster.node(0)?.store.env.log.error({ error: String(error) }, 'a push failed');
    expect(cluster.failures.join()).toContain('AssertionError: never');
  }));
