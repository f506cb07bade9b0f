/**
 * The raft log of a store: one append-only sequence of segments for all its ranges. All live entries
 * are also in memory (they are few: the log is truncated as soon as the state engine has made them
 * durable), so reads are synchronous and segments are only read at recovery.
 *
 * A record carries a CRC32C, range, term, index and the checksum of the range's previous entry. A
 * torn tail is cut; a hole or a bad checksum before the tail means the store has forgotten something
 * it promised: it is refused (trap L3).
 */
import { type Entry, type HardState, type LogReader } from '../raft/index.ts';
import { type RangeId } from '../kv/index.ts';

export interface LogAppend {
  readonly rangeId: RangeId;
  readonly hardState: HardState | undefined;
  /** Contiguous; replaces what is at and behind the first index. */
  readonly entries: readonly Entry[];
}

export interface RangeLog extends LogReader {
  readonly hardState: HardState;
  readonly sizeBytes: number;
}

export interface RaftLog {
  /** Ranges that have a log, after recovery. */
  rangeIds(): RangeId[];
  /** A view that stays true as the log grows; an unknown range is an empty log (firstIndex 1, hard state all 0). */
  range(rangeId: RangeId): RangeLog;
  /**
   * Visible to `range()` when it returns the promise, durable when that resolves. All appends of one call
   * share one write and one fdatasync, and so do all calls while a write is under way. A failure poisons the store.
   */
  append(appends: readonly LogAppend[]): Promise<void>;
  /** Entries up to `index` are durable in the state engine: forget them. Durable with a later append. */
  truncate(rangeId: RangeId, upTo: { readonly index: number; readonly term: number }): void;
  /** Starts the range's log anew behind a snapshot, discarding all its entries. Durable when it resolves. */
  reset(
    rangeId: RangeId,
    at: { readonly index: number; readonly term: number },
    hardState: HardState,
  ): Promise<void>;
  /** The replica is gone for good (its tombstone lives in the engine). */
  remove(rangeId: RangeId): Promise<void>;
  /** Bytes of live records; grows beyond the limit only until the next barrier. */
  readonly liveBytes: number;
  close(): Promise<void>;
}
