/**
 * Expected failures of the key-value layers. They travel over the wire as they are and carry what
 * the caller needs to act. SQLSTATEs are chosen at the top of sql, never here.
 */
import { type RangeDescriptor, type ReplicaDescriptor } from './descriptor.ts';
import { type Timestamp } from './hlc.ts';
import { type RangeId, type TxnId } from './ids.ts';

export type KvError =
  // Routing: handled by the sender, never seen by SQL.
  | { readonly kind: 'range-not-found'; readonly rangeId: RangeId }
  | { readonly kind: 'range-key-mismatch'; readonly ranges: readonly RangeDescriptor[] }
  | {
      readonly kind: 'not-leaseholder';
      readonly rangeId: RangeId;
      readonly leaseholder: ReplicaDescriptor | undefined;
      readonly range: RangeDescriptor | undefined;
    }
  /** Nothing was done yet: others are in the way. Whoever still wants it asks again soon, and finds its place in the queue kept. */
  | { readonly kind: 'still-waiting' }
  // Transactions: handled by the coordinator where it can.
  /** A committed value is newer than the write or locking read. Retry at or above `existing`. */
  | { readonly kind: 'write-too-old'; readonly key: Buffer; readonly existing: Timestamp }
  /** A value above the read timestamp may be older than the transaction. Retry at or above `existing`. */
  | { readonly kind: 'read-within-uncertainty'; readonly key: Buffer; readonly existing: Timestamp }
  /** The commit timestamp moved above the read timestamp; the reads must be refreshed to `retryAt`. */
  | { readonly kind: 'txn-pushed'; readonly retryAt: Timestamp }
  /** A refresh found a change in (readTimestamp, refreshTo]. */
  | { readonly kind: 'refresh-failed'; readonly key: Buffer }
  /** Someone aborted the transaction, or its record can no longer be made. Definitely not committed. */
  | { readonly kind: 'txn-aborted'; readonly reason: string }
  /**
   * Under 'read-committed': what the statement has read changed before it could write. Whoever runs it rolls back to its
   * beginning, says `beginStatement` and runs it anew; the transaction is open as before.
   */
  | { readonly kind: 'statement-retry'; readonly reason: string }
  /** The transaction must restart from its beginning (SQLSTATE 40001). */
  | { readonly kind: 'txn-retry'; readonly reason: string }
  /** Each waits for the next one, the last for the first, which gets the error. */
  | { readonly kind: 'deadlock'; readonly cycle: readonly DeadlockMember[] }
  /** Wait policy 'error' met a lock, or the lock timeout passed. */
  | { readonly kind: 'lock-not-available'; readonly key: Buffer; readonly timedOut: boolean }
  /** A conditional write found something else; `existing` is the value found. */
  | {
      readonly kind: 'condition-failed';
      readonly key: Buffer;
      readonly existing: Buffer | undefined;
    }
  // Outcomes and environment.
  /** The request may or may not have happened. Never retried, never turned into another kind. */
  | { readonly kind: 'ambiguous-result'; readonly reason: string }
  /** Versions that a read at `timestamp` needs may have been collected. */
  | {
      readonly kind: 'below-gc-threshold';
      readonly timestamp: Timestamp;
      readonly threshold: Timestamp;
    }
  /** Answers `BatchHeader.nearest`: this replica does not know everything above `closed`. */
  | { readonly kind: 'not-closed'; readonly closed: Timestamp }
  /** A feed cannot go on: `kv.rangefeed.enabled` is off, or data of its spans was removed without leaving versions. */
  | { readonly kind: 'feed-ended'; readonly cause: 'disabled' | 'cleared' }
  /** No quorum, no leaseholder or no route within the deadline; the request definitely had no effect. */
  | { readonly kind: 'unavailable'; readonly reason: string }
  | { readonly kind: 'canceled' }
  /** A limit was reached: a batch, a transaction or a range is too large. */
  | { readonly kind: 'too-large'; readonly reason: string }
  /** A stored value failed its checksum. */
  | { readonly kind: 'corruption'; readonly reason: string }
  /** The request itself makes no sense (an admin request with impossible arguments). */
  | { readonly kind: 'invalid-request'; readonly reason: string };

export interface DeadlockMember {
  readonly txnId: TxnId;
  /** What it waits for; undefined: not known. */
  readonly key: Buffer | undefined;
}

/** How a KvError travels through promise code. Decide on `kvError.kind`, never on the message. */
export class KvFailure extends Error {
  override readonly name = 'KvFailure';
  readonly kvError: KvError;

  constructor(kvError: KvError) {
    super('reason' in kvError ? `${kvError.kind}: ${kvError.reason}` : kvError.kind);
    this.kvError = kvError;
  }
}
