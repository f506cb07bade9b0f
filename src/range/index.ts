export { createRangeExecutor } from './evaluate/executor.ts';
export type {
  Command,
  KeySender,
  OnePhaseOutcome,
  ProposeOutcome,
  RangeExecutor,
  ReplicaPort,
} from './ports.ts';
export { bootstrapCluster, rangeIdCounterKey } from './store/bootstrap.ts';
export type { BootstrapOptions } from './store/bootstrap.ts';
export type { Replica } from './replica/replica.ts';
export { storePictures } from './queues/cluster-view.ts';
export { goneStore } from './store/capacity.ts';
export type { StoreCapacity } from './store/capacity.ts';
export { clockBoundOnDisk } from './store/clock-bound.ts';
export type { ClockBoundFile, ClockBounds } from './store/clock-bound.ts';
export type { StoreCounters, StoreMetrics } from './store/metrics.ts';
export { membershipTold } from './store/store-status.ts';
export { defaultStoreSettings } from './store/settings.ts';
export type { StoreSettings } from './store/settings.ts';
export { Store } from './store/store.ts';
export type { StoreDeps } from './store/store-deps.ts';
