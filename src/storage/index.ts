export { CorruptionError, StorePoisonedError } from './engine.ts';
export type {
  Engine,
  EngineIterator,
  EngineReader,
  EngineSnapshot,
  EngineWrite,
} from './engine.ts';
export type {
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
export type { LogAppend, RaftLog, RangeLog } from './raft-log-types.ts';
