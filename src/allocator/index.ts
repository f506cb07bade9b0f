export { balanceTurn, decide, wantedVoters } from './allocator.ts';
export { distance, diversityOf } from './diversity.ts';
export type { Locality } from './diversity.ts';
export { allocatorSettings } from './settings.ts';
export type {
  AllocatorAction,
  AllocatorSettings,
  AllocatorTarget,
  Balancing,
  ChangePurpose,
  Considered,
  LoadObjective,
  PlacementAction,
  RangeOutline,
  RangePicture,
  ReplicaRole,
  StorePicture,
  StoreStatus,
} from './types.ts';
