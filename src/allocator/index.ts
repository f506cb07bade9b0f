export { balanceTurn, decide, wantedVoters } from './allocator.ts';
export { distance, diversityOf } from './diversity.ts';
export type {
  AllocatorAction,
  AllocatorTarget,
  ChangePurpose,
  RangePicture,
  StorePicture,
  StoreStatus,
} from './types.ts';
