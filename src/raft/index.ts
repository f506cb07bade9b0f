export {
  decodeConfigChange,
  encodeConfigChange,
  isJoint,
  isMember,
  isVoter,
} from './configuration.ts';
export { RaftNode } from './node.ts';
export type {
  ConfigChange,
  Configuration,
  Entry,
  EntryKind,
  FollowerProgress,
  HardState,
  LogReader,
  Message,
  ProposeResult,
  RaftConfig,
  RaftCore,
  RaftId,
  RaftStatus,
  ReadResult,
  ReadState,
  Ready,
  Role,
  SnapshotMeta,
} from './types.ts';
