export { ClusterPicture } from './cluster-picture.ts';
export { decide } from './decide.ts';
export { distance, diversityOf } from './diversity.ts';
export type { Locality } from './diversity.ts';
export { allocatorSettings } from './settings.ts';
export { balanceTurn } from './turns.ts';
export type {
  AllocatorAction,
  AllocatorSettings,
  AllocatorTarget,
  Balancing,
  ChangePurpose,
  Considered,
  LoadMoves,
  LoadObjective,
  PlacementAction,
  RangeOutline,
  RangePicture,
  ReplicaRole,
  StorePicture,
  StoreStatus,
} from './types.ts';
