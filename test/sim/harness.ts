/** Runs simulated clusters from tests: see `outside`. */
import { microtaskDrain, outsideOfPromiseJobs } from '../../src/cli/microtask-drain.ts';
import {
  runSimulation,
  SimCluster,
  World,
  type SimClusterOptions,
  type SimOptions,
  type SimResult,
} from '../../src/sim/index.ts';

export const drainMicrotasks = microtaskDrain();

export const outside = outsideOfPromiseJobs;

export function simulate(
  seed: number,
  faultSeconds: number,
  more: Partial<SimOptions> = {},
): Promise<SimResult> {
  return outside(() =>
    runSimulation({ seed, nodes: 5, faultSeconds, drainMicrotasks, trace: undefined, ...more }),
  );
}

/** A started cluster without faults. To be called within `outside`. */
export function calmCluster(
  seed: number,
  more: Partial<SimClusterOptions> = {},
): { world: World; cluster: SimCluster } {
  const world = new World({ seed, drainMicrotasks, trace: undefined });
  const cluster = new SimCluster(world, {
    clusterSettings: {},
    nodes: 5,
    rangeMaxBytes: 512 << 20,
    rangeMinBytes: 0,
    maxOffsetMs: 500,
    skewMs: 20,
    driftPpm: 50,
    delayMs: { min: 0.2, mean: 0.5 },
    loss: 0,
    diskMs: { min: 0.1, max: 1 },
    ...more,
  });
  for (let i = 0; i < cluster.size; i++) cluster.start(i);
  if (!world.run(60_000, () => cluster.serving().length === cluster.size)) {
    throw new Error('the cluster did not start');
  }
  return { world, cluster };
}

/** Runs the world until `work` has ended. */
export function finish<T>(world: World, work: Promise<T>, limitMs = 60_000): T {
  let end: { value: T } | { error: unknown } | undefined;
  work.then(
    (value) => {
      end = { value };
    },
    (error: unknown) => {
      end = { error };
    },
  );
  if (!world.run(world.nowMs + limitMs, () => end !== undefined) || end === undefined) {
    throw new Error(`not done within ${limitMs} ms`);
  }
  if ('error' in end) throw end.error;
  return end.value;
}
