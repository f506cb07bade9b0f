/**
 * MVCC: many versions of each key in the engine.
 *
 *   h <key>  ->  HeadRecord: the newest committed version, and the intent if there is one
 *   v <key> <newest first timestamp>  ->  older committed versions
 *
 * A current read touches one head record; only time travel and garbage collection read history.
 * Reads are synchronous when the head decides (almost always) and a promise otherwise.
 */
import {
  type FinishedTxn,
  type SpanStats,
  type Timestamp,
  type TxnId,
  type TxnMeta,
} from '../kv/index.ts';
import { type EngineReader, type EngineWrite } from './engine.ts';

/** A provisional write. `value` undefined is a deletion. */
export interface Intent {
  readonly txnId: TxnId;
  readonly anchor: Buffer;
  readonly epoch: number;
  readonly priority: number;
  readonly isolation: TxnMeta['isolation'];
  readonly minTimestamp: Timestamp;
  readonly timestamp: Timestamp;
  readonly sequence: number;
  readonly value: Buffer | undefined;
  /** Earlier writes of the same transaction and epoch, oldest first: for savepoints and replays (trap X7). */
  readonly history: readonly { readonly sequence: number; readonly value: Buffer | undefined }[];
}

/** Another transaction's intent. */
export interface FoundIntent {
  readonly key: Buffer;
  readonly intent: Intent;
  /** Whatever becomes of the intent there is a row: all its writes are values, and it stands over one. */
  readonly keepsRow: boolean;
}

/** `timestamp` undefined: no committed version. `value` undefined with a timestamp: a deletion. */
export interface HeadRecord {
  readonly timestamp: Timestamp | undefined;
  readonly value: Buffer | undefined;
  readonly intent: Intent | undefined;
}

export interface MvccReadOptions {
  readonly timestamp: Timestamp;
  /** Sees its own intents (same id and epoch, sequence <= txn.sequence, not ignored). */
  readonly txn: TxnMeta | undefined;
  /** Locking reads: a committed version above `timestamp` is reported as 'newer' instead of skipped. */
  readonly failOnNewer: boolean;
  /** Locking reads: intents that keep the row are judged as a plain read does. */
  readonly passesUpdates?: boolean;
  /** 'inconsistent' lookups: skip other transactions' intents and return them beside the values. */
  readonly ignoreIntents: boolean;
  /**
   * Transactions known to have ended: their intents are taken for what their resolution will
   * leave (value, nothing) instead of being reported or skipped. Called once per intent met.
   */
  readonly finished?: (txnId: TxnId, key: Buffer) => FinishedTxn | undefined;
  /** Transactions whose rows are left out: where they have an intent, there is nothing. */
  readonly leftOut?: ReadonlySet<TxnId> | undefined;
}

export type MvccGet =
  | {
      readonly kind: 'value';
      readonly value: Buffer | undefined;
      readonly timestamp: Timestamp | undefined;
      /** With `ignoreIntents`: the intent of another transaction that was passed over. */
      readonly skippedIntent?: Intent;
    }
  /** Another transaction's intent at or below the timestamp (or the uncertainty limit). */
  | (FoundIntent & { readonly kind: 'intent' })
  /** A committed version in (timestamp, txn.uncertaintyLimit]. */
  | { readonly kind: 'uncertain'; readonly key: Buffer; readonly existing: Timestamp }
  | { readonly kind: 'newer'; readonly key: Buffer; readonly existing: Timestamp };

export interface MvccScanOptions extends MvccReadOptions {
  readonly start: Buffer;
  readonly end: Buffer;
  readonly reverse: boolean;
}

/** How a scan ended. `resume` is undefined when the span is exhausted. */
export type MvccScanEnd =
  | {
      readonly kind: 'done';
      readonly resume: { readonly start: Buffer; readonly end: Buffer } | undefined;
      /** With `ignoreIntents`: intents of other transactions that were passed over, if there were any. */
      readonly skippedIntents?: readonly FoundIntent[];
    }
  /** Conflicting intents met (a bounded number of them); nothing the visitor saw may be used. */
  | {
      readonly kind: 'intents';
      readonly intents: readonly FoundIntent[];
    }
  | { readonly kind: 'uncertain'; readonly key: Buffer; readonly existing: Timestamp }
  | { readonly kind: 'newer'; readonly key: Buffer; readonly existing: Timestamp };

/** Returns true to stop behind this row. Buffers are owned by the visitor. */
export type MvccVisitor = (key: Buffer, value: Buffer) => boolean;

/** Sizes of a range's data: `mvcc-stats.ts` says what counts as what. */
export type MvccStats = SpanStats;

export type MvccWriteResult =
  | { readonly kind: 'ok' }
  | (FoundIntent & { readonly kind: 'intent' })
  | { readonly kind: 'newer' | 'changed'; readonly key: Buffer; readonly existing: Timestamp };

/**
 * Collects the effects of one command over an EngineReader. Reads through it see its own writes, so
 * the requests of a batch see each other. Nothing reaches the engine until the command is applied.
 */
export interface MvccBatch extends EngineReader {
  readonly writes: readonly EngineWrite[];
  readonly stats: MvccStats;
  /**
   * Writes a version at `timestamp` (txn undefined) or an intent at txn.writeTimestamp. Fails, and
   * leaves the batch as it was, on another transaction's intent or a newer committed version. A replay
   * of a (txn, epoch, sequence) that is there already succeeds without effect, and so does a straggler of
   * an epoch that the transaction has left behind. 'newer': a version above txn.readTimestamp, or at
   * or above the timestamp of the write, or an own intent above it (it was pushed, or this is a replay of a write that
   * had to move up); a retry must write strictly above `existing`. 'changed': a version above `unchangedSince`.
   */
  put(
    key: Buffer,
    value: Buffer | undefined,
    at: {
      readonly timestamp: Timestamp;
      readonly txn: TxnMeta | undefined;
      readonly sequence: number;
      readonly unchangedSince?: Timestamp | undefined;
    },
  ): MvccWriteResult;
  /** Commits, moves or removes the intent of `txn` on `key`; returns whether there was one. Idempotent. */
  resolve(key: Buffer, txn: FinishedTxn): boolean;
  /** A value without versions (transaction records, descriptors of local keys' metadata, range state). */
  putUnversioned(engineKey: Buffer, value: Buffer | undefined): void;
}
