export {
  allRangeStatesSpan,
  decodeRangeStateKey,
  decodeVersionKey,
  engineSpans,
  headKey,
  headSpan,
  isHeadKey,
  isVersionKey,
  keyOfHead,
  keyOfUnversioned,
  keySpans,
  rangeSpans,
  rangeStateKey,
  rangeStateSpan,
  storeKey,
  unversionedKey,
  unversionedSpan,
  versionKey,
  versionSpan,
  versionsOf,
} from './engine-keys.ts';
export type { EngineSpan } from './engine-keys.ts';
export { CorruptionError, StorePoisonedError } from './engine.ts';
export type {
  Engine,
  EngineIterator,
  EngineReader,
  EngineSnapshot,
  EngineWrite,
} from './engine.ts';
export { HeadReader, decodeHead, decodeVersion, encodeHead, encodeVersion } from './head-record.ts';
export { LevelEngine } from './level-engine.ts';
export type { LevelEngineOptions } from './level-engine.ts';
export { MemoryEngine } from './memory-engine.ts';
export type { MemoryEngineOptions } from './memory-engine.ts';
export { dropGarbage, mvccGarbage } from './mvcc-garbage.ts';
export type { DroppedGarbage, GarbageEntry, MvccGarbage } from './mvcc-garbage.ts';
export { keepsRow, mvccGet, mvccPeek, mvccScan, newestVisible } from './mvcc-read.ts';
export {
  addStats,
  areSameStats,
  computeStats,
  StatsSum,
  subtractStats,
  unversionedDelta,
  zeroStats,
} from './mvcc-stats.ts';
export type {
  FoundIntent,
  HeadRecord,
  Intent,
  MvccBatch,
  MvccGet,
  MvccReadOptions,
  MvccScanEnd,
  MvccScanOptions,
  MvccStats,
  MvccVisitor,
  MvccWriteResult,
} from './mvcc-types.ts';
export { createMvccBatch } from './mvcc-write.ts';
export { storeFaultOf } from './store-fault.ts';
export type { StoreFault } from './store-fault.ts';
export { SegmentedRaftLog } from './raft-log.ts';
export type { RaftLogOptions } from './raft-log.ts';
export type { LogAppend, RaftLog, RangeLog } from './raft-log-types.ts';
