export { createRangeExecutor } from './evaluate/executor.ts';
export type { Command, KeySender, ProposeOutcome, RangeExecutor, ReplicaPort } from './ports.ts';
export {
  bootstrapCluster,
  nodeIdCounterKey,
  rangeIdCounterKey,
  storeIdCounterKey,
} from './store/bootstrap.ts';
export type { BootstrapOptions } from './store/bootstrap.ts';
export type { Replica } from './replica/replica.ts';
export { goneStore } from './store/capacity.ts';
export { clockBoundOnDisk } from './store/clock-bound.ts';
export type { ClockBoundFile, ClockBounds } from './store/clock-bound.ts';
export type { StoreCounters, StoreMetrics } from './store/metrics.ts';
export { defaultStoreSettings } from './store/settings.ts';
export type { StoreSettings } from './store/settings.ts';
export { Store } from './store/store.ts';
export type { StoreCapacity, StoreDeps } from './store/store.ts';
