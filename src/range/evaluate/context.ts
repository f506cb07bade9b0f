/**
 * What the evaluation of one batch works with, and what one request may end in. Evaluation reads the
 * engine through an MvccBatch that collects the effects; nothing it does is visible before the command
 * is applied, so it can be thrown away and started again at a later timestamp.
 */
import {
  laterTimestamp,
  type BatchHeader,
  type CommitTrigger,
  type HeldStrength,
  type KvError,
  type KvResult,
  type Timestamp,
  type TxnId,
  type TxnMeta,
} from '../../kv/index.ts';
import { type FoundIntent, type MvccBatch } from '../../storage/index.ts';
import { type FinishedTxns } from '../concurrency/finished-txns.ts';
import { type LockTable } from '../concurrency/lock-table.ts';
import { type TimestampCache } from '../concurrency/timestamp-cache.ts';
import { type TxnTombstones } from '../concurrency/txn-tombstones.ts';
import { type TxnWaitQueue } from '../concurrency/txn-wait-queue.ts';
import { type CommittedTxn, type ReplicaPort } from '../ports.ts';
import { type Resolve } from './resolve-pages.ts';

export type Outcome =
  | { readonly kind: 'ok'; readonly result: KvResult }
  | { readonly kind: 'error'; readonly error: KvError }
  /** The lock has to be waited for. */
  | { readonly kind: 'locked'; readonly key: Buffer; readonly strength: HeldStrength }
  /** Intents of other transactions are in the way; a writer or locking read queues for the first key. */
  | {
      readonly kind: 'intents';
      readonly intents: readonly FoundIntent[];
      readonly strength: HeldStrength | undefined;
    }
  /** The request needs a later read timestamp; `error` is the answer when the server may not move it. */
  | { readonly kind: 'raise-read'; readonly to: Timestamp; readonly error: KvError }
  /** The writes have to move up to `to`. */
  | { readonly kind: 'raise-write'; readonly to: Timestamp }
  /** The push has to wait for its pushee. */
  | { readonly kind: 'wait-push' };

export interface ReadMark {
  readonly start: Buffer;
  readonly end: Buffer | undefined;
  readonly timestamp: Timestamp;
  /** False: keeps off everybody's writes, the transaction's own too. */
  readonly own: boolean;
}

/** The lasting parts of an executor that requests look at and change. */
export interface RangeState {
  readonly port: ReplicaPort;
  readonly locks: LockTable;
  readonly reads: TimestampCache;
  readonly tombstones: TxnTombstones;
  readonly pushes: TxnWaitQueue;
  readonly finished: FinishedTxns;
}

export class EvaluationContext {
  readonly state: RangeState;
  readonly header: BatchHeader;
  readonly batch: MvccBatch;
  /** The leaseholder's clock when evaluation began. */
  readonly now: Timestamp;
  /** The timestamp of everything without a transaction: above what it must see, so perhaps ahead of the clock. */
  readonly at: Timestamp;
  /** What it finds depends on nothing older. */
  readonly oldest: Timestamp;
  txn: TxnMeta | undefined;
  trigger: CommitTrigger | undefined;
  /** The transaction that commits by this command alone. */
  committed: CommittedTxn | undefined;
  /** What this command has resolved, or looked through for it. */
  readonly resolved = { keys: 0, bytes: 0, heads: 0 };
  /** What was too much for this command. */
  readonly unresolved: Resolve[] = [];
  readonly clears: { readonly start: Buffer; readonly end: Buffer }[] = [];
  /** Reads to remember in the timestamp cache before anything is answered. */
  readonly marks: ReadMark[] = [];
  /** Run when the command has been applied, or at once when there is none. */
  readonly afterApply: (() => void)[] = [];
  /** The batch commits all its writes by itself: they are laid down as versions, not intents. */
  readonly onePhase: boolean;
  /** SKIP LOCKED: who is in the way of plain reads, and stays there. */
  readonly leftOut: ReadonlySet<TxnId> | undefined;

  constructor(
    state: RangeState,
    parts: {
      readonly header: BatchHeader;
      readonly batch: MvccBatch;
      readonly now: Timestamp;
      readonly at: Timestamp;
      readonly oldest: Timestamp;
      readonly txn: TxnMeta | undefined;
      readonly onePhase: boolean;
      readonly leftOut?: ReadonlySet<TxnId>;
    },
  ) {
    this.state = state;
    this.header = parts.header;
    this.batch = parts.batch;
    this.now = parts.now;
    this.at = parts.at;
    this.oldest = parts.oldest;
    this.txn = parts.txn;
    this.onePhase = parts.onePhase;
    this.leftOut = parts.leftOut;
  }

  get readTimestamp(): Timestamp {
    return this.txn?.readTimestamp ?? this.at;
  }

  get writeTimestamp(): Timestamp {
    return this.txn?.writeTimestamp ?? this.at;
  }

  markRead(start: Buffer, end: Buffer | undefined, timestamp: Timestamp): void {
    this.marks.push({ start, end, timestamp, own: true });
  }
}

export function raiseWrite(txn: TxnMeta, to: Timestamp): TxnMeta {
  return { ...txn, writeTimestamp: laterTimestamp(txn.writeTimestamp, to) };
}

export function raiseRead(txn: TxnMeta, to: Timestamp): TxnMeta {
  const readTimestamp = laterTimestamp(txn.readTimestamp, to);
  return { ...txn, readTimestamp, writeTimestamp: laterTimestamp(txn.writeTimestamp, to) };
}

export const ok = (result: KvResult): Outcome => ({ kind: 'ok', result });
export const failed = (error: KvError): Outcome => ({ kind: 'error', error });
export const invalid = (reason: string): Outcome => failed({ kind: 'invalid-request', reason });
