export { apply, finished } from './apply.ts';
export { ClusterPicture } from './cluster-picture.ts';
export { conformance } from './conformance.ts';
export { decide } from './decide.ts';
export type { Locality } from './diversity.ts';
export { replicationReport } from './replication-report.ts';
export { allocatorSettings } from './settings.ts';
export { balanceTurn, movesInTurn } from './turns.ts';
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
export { whatIf } from './what-if.ts';
export type { ClusterChange, ClusterState } from './what-if.ts';
