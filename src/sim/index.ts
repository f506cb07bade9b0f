export { SimCluster, type SimClusterOptions } from './cluster.ts';
export { MemoryDisk } from './memory-disk.ts';
export { SeededRandom } from './random.ts';
export { runSimulation } from './run.ts';
export type { SimOptions, SimResult } from './run.ts';
export { World } from './world.ts';
export { workloadNames } from './workloads/index.ts';
export type { WorkloadName } from './workloads/index.ts';
