export type {
  AdminRequest,
  BatchHeader,
  BatchRequest,
  BatchResponse,
  ChecksumTrigger,
  CommitTrigger,
  FrozenRange,
  HandOverTrigger,
  EndTxnRequest,
  EndTxnResult,
  FinishedTxn,
  KvRequest,
  KeyState,
  KvResult,
  RangeCheck,
  RangeInfo,
  RelocationTarget,
  RowProgram,
  RowProgramCompiler,
  RowProgramRun,
  ScanRequest,
  ScanResult,
  Sender,
  TxnWaiter,
  WaitPolicy,
} from './api.ts';
export { areInConflict, covers, strongerOf } from './lock-strength.ts';
export type { HeldStrength, LockStrength } from './lock-strength.ts';
export { untilCommitIsPast, untilPast } from './commit-wait.ts';
export { ClusterSettings, kvSettings, settingValue } from './cluster-settings.ts';
export type { ClusterSetting, SettingType } from './cluster-settings.ts';
export type { Handover, HeldLock, LockOwner, TxnTombstone } from './handover.ts';
export { allLanded, queriesOf } from './parallel-commit.ts';
export type {
  CommitOptions,
  Db,
  InsertOptions,
  PrepareOptions,
  ReadOptions,
  Savepoint,
  ScanOptions,
  ScanPage,
  Txn,
  TxnOptions,
} from './db.ts';
export {
  containsKey,
  containsSpan,
  inRange,
  isChanging,
  replicaById,
  replicaOnStore,
} from './descriptor.ts';
export { decodeDescriptor, encodeDescriptor } from './descriptor-codec.ts';
export type { RangeDescriptor, ReplicaDescriptor, ReplicaKind } from './descriptor.ts';
export { firstRangeIn } from './first-range.ts';
export { KvFailure } from './errors.ts';
export type { DeadlockMember, KvError } from './errors.ts';
export {
  HlcClock,
  addMicros,
  compareTimestamps,
  equalTimestamps,
  formatTimestamp,
  isTimestamp,
  laterTimestamp,
  maxTimestamp,
  nextTimestamp,
  previousTimestamp,
  zeroTimestamp,
} from './hlc.ts';
export type { Timestamp } from './hlc.ts';
export { asNodeId, asRangeId, asReplicaId, asStoreId, asTxnId } from './ids.ts';
export type { NodeId, RangeId, ReplicaId, StoreId, TxnId } from './ids.ts';
export { collectConformance } from './conformance.ts';
export type { RangeEvent, RangeEventKind, RangeEvents } from './events.ts';
export { KeptBytes } from './kept-bytes.ts';
export { keepDescriptor } from './kept-descriptor.ts';
export { LocalDb } from './local-db.ts';
export type { LocalDbOptions } from './local-db.ts';
export type { DrainProgress, NodeControl, SessionSignal, SignalOutcome } from './node-control.ts';
export {
  allActive,
  asMember,
  decodeMemberships,
  encodeMemberships,
  isPartOf,
  leavingAt,
  memberName,
  membershipOf,
  membershipsKey,
  membershipsToPlain,
  nodeIdCounterKey,
  refusedStep,
  storeIdCounterKey,
  withMembership,
} from './membership.ts';
export type { Member, Membership, Memberships } from './membership.ts';
export { PageBuilder } from './page-builder.ts';
export type { PageLimits } from './page-builder.ts';
export type {
  AllocatorDecision,
  ClusterReports,
  CollectedReport,
  ConstraintViolation,
  MergeDecision,
  RangeConformance,
  ReportName,
  ReportedConformance,
  ContentionEvent,
  LockWait,
  ReportedLock,
  ReportedSession,
  StoreReportName,
  StoreReportRows,
  ReportProviders,
  ReportRows,
  SplitDecision,
} from './reports.ts';
export type {
  ConstraintStats,
  CriticalLocality,
  RangeZones,
  ReplicationReport,
  ReplicationStats,
  ReportZone,
} from './replication-report.ts';
export type {
  AdvisedRange,
  BlockedRange,
  PlacementAdvice,
  PlacementAdvisor,
  PlacementQuestion,
  PlannedMove,
} from './placement-advice.ts';
export {
  isProtected,
  protect,
  protectedTimestamps,
  protectionDelayMs,
  readProtected,
  releaseProtection,
} from './protected.ts';
export type { ProtectedSpan, ProtectedTimestamp } from './protected.ts';
export {
  containsRequest,
  isAdminRequest,
  isPlainRead,
  joinedSpan,
  recordKeyOf,
  requestSpan,
  spanContains,
} from './request-span.ts';
export { SortedMap } from './sorted-map.ts';
export { addSpanStats, zeroSpanStats } from './span-stats.ts';
export type { SpanStats } from './span-stats.ts';
export { TransportFailure, gossipKeys, storeMethod } from './transport.ts';
export type {
  CallHandler,
  CallOptions,
  Gossip,
  MessageHandler,
  NodeInfo,
  TrafficClass,
  Transport,
} from './transport.ts';
export { coordinatorOf, newTxnId } from './txn.ts';
export type {
  Coordinator,
  InFlightWrite,
  IsolationLevel,
  PreparedTxn,
  SequenceSpan,
  Span,
  TxnMeta,
  TxnSibling,
  TxnRecord,
  TxnStatus,
} from './txn.ts';
export { restBehind, WriteBuffer } from './write-buffer.ts';
export type { BufferedVersion, BufferedWrite, InsertConflict, Snapshot } from './write-buffer.ts';
export {
  constraintsText,
  constraintText,
  defaultZoneConfig,
  meetsConstraint,
} from './zone-config.ts';
export type { Constraint, ConstraintGroup, Place, ZoneConfig } from './zone-config.ts';
export { feedEventBytes, nextWaitMs, rangeFeedMethod, streamIdleMs } from './range-feed.ts';
export type {
  ChangedValue,
  FeedEvent,
  FeedOptions,
  RangeFeedAnswer,
  RangeFeedEnd,
  RangeFeedEvent,
  RangeFeedRequest,
  Resolved,
  SpanFeed,
} from './range-feed.ts';
