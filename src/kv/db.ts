/**
 * Db and Txn: ordered keys and transactions as sql, and the range layer's own housekeeping, see them.
 * Implemented by `txn` over a cluster and by `LocalDb` in memory; one compliance suite runs on both.
 *
 * All failures are thrown as `KvFailure`.
 */
import {
  type ChecksumTrigger,
  type CommitTrigger,
  type KeyState,
  type RangeCheck,
  type RangeInfo,
  type RelocationTarget,
  type WaitPolicy,
} from './api.ts';
import { type RangeDescriptor } from './descriptor.ts';
import { type HlcClock, type Timestamp } from './hlc.ts';
import { type NodeId, type StoreId } from './ids.ts';
import { type LockStrength } from './lock-strength.ts';
import { type Member, type Membership, type Memberships } from './membership.ts';
import { type FeedOptions, type SpanFeed } from './range-feed.ts';
import { type SpanStats } from './span-stats.ts';
import { type IsolationLevel, type PreparedTxn, type TxnMeta } from './txn.ts';

export interface TxnOptions {
  /** Default: 'serializable', which all internal work is. */
  readonly isolation?: IsolationLevel;
  /** Strict serializability: the commit is answered when the clocks of all nodes have passed its timestamp. */
  readonly strict?: boolean;
  /** Appears in logs and in lock views. */
  readonly name?: string;
  /** Read-only at this timestamp (AS OF SYSTEM TIME); no uncertainty. */
  readonly asOf?: Timestamp;
  /** With `asOf`: what the replicas nearest to this node do not know yet fails with 'not-closed'. */
  readonly nearest?: boolean;
  readonly priority?: 'low' | 'normal' | 'high';
  /** Reads with `mayAssume` may be answered from what this node knows; see `Txn.assumes`. */
  readonly optimistic?: boolean;
  /** Transactions of the same client that go on only when this one does: deadlocks are found across them. Asked at each request. */
  readonly siblings?: () => readonly Txn[];
  /** Its writes are work in bulk, which goes on at a bounded rate. */
  readonly bulk?: boolean;
}

export interface CommitOptions {
  readonly trigger?: CommitTrigger;
  /**
   * The latest timestamp that a commit may have, however late the request for it arrives: what the writes rest on holds so long
   * without being written down anywhere. Asked whenever a commit is sent, so it may move. A KvFailure that it throws ends the
   * transaction.
   */
  readonly deadline?: (() => Timestamp) | undefined;
}

export interface PrepareOptions extends Pick<CommitOptions, 'deadline'> {
  readonly anchor: Buffer;
  readonly register: (prepared: PreparedTxn) => Promise<void>;
}

export interface ReadOptions {
  readonly lock?: LockStrength;
  /** Also of reads without a lock, which otherwise wait for those whose writes may come before them. */
  readonly waitPolicy?: WaitPolicy;
  /** 0: wait without limit; absent: as the statement does, see `Txn.beginStatement`. */
  readonly lockTimeoutMs?: number;
  /** `get` only: the transaction is going to write this key, so its commit can check what was read. */
  readonly mayAssume?: boolean;
  /**
   * Under every isolation level the commit fails unless the same read would find the same there, rows that are not there
   * included: for constraints that rest on it. 'serializable' does so for all reads.
   */
  readonly untilCommit?: boolean;
  /**
   * Of single keys, with a lock of 'key-share': the caller asks whether there is a row and does not look at its value, which
   * may be an older one. So it may change up to the commit, under every isolation level, if only the row stays.
   */
  readonly existence?: boolean;
}

export interface ScanOptions extends ReadOptions {
  /** [start, end) over any number of ranges. */
  readonly start: Buffer;
  readonly end: Buffer;
  readonly reverse?: boolean;
  /** Page limits; a page may be shorter than both when `resume` is set. */
  readonly maxRows?: number;
  readonly maxBytes?: number;
  readonly program?: Buffer;
}

export interface ScanPage {
  /** Empty when a program ran. */
  readonly keys: readonly Buffer[];
  readonly values: readonly Buffer[];
  readonly resume: { readonly start: Buffer; readonly end: Buffer } | undefined;
}

export interface Savepoint {
  readonly sequence: number;
}

export interface InsertOptions {
  /** The key was made up for this value and is known to nobody else: to find it taken would be a surprise. */
  readonly isFresh?: boolean;
}

/**
 * One transaction of one client: calls are made one after the other, except that reads may run
 * concurrently with each other.
 *
 * Writes are buffered at the gateway and need no round trip; they are visible to the transaction's
 * own later reads at once. They reach the ranges at `commit`, when the buffer is large, or when a
 * scan overlaps them.
 */
export interface Txn {
  readonly meta: TxnMeta;
  readonly status: 'open' | 'prepared' | 'committed' | 'aborted' | 'ambiguous';
  /**
   * Some value was assumed: read from this node's own replica without asking the leaseholder. The
   * commit checks it with the write of the same key and fails with 'txn-retry' when it was not (or not
   * any more) true. Until then nothing that follows from it, an error included, may be believed.
   */
  readonly assumes: boolean;
  /** Of a transaction that reads the past: where, and how many of its answers came from replicas without a lease so far. */
  readonly past: { readonly at: Timestamp; readonly followerReads: number } | undefined;

  get(key: Buffer, options?: ReadOptions): Promise<Buffer | undefined>;
  /** Results stand in the order of `keys`; one round trip per range. 'skip' leaves undefined. */
  getMany(keys: readonly Buffer[], options?: ReadOptions): Promise<(Buffer | undefined)[]>;
  scan(options: ScanOptions): Promise<ScanPage>;
  /**
   * `Db.readCurrent` for a transaction that has done nothing and is going to do nothing else: what it waits for ends with the
   * transaction, or with `cancelStatement`.
   */
  readCurrent(key: Buffer): Promise<Buffer | undefined>;

  put(key: Buffer, value: Buffer): void;
  delete(key: Buffer): void;
  /**
   * A put that must not find a live value. The check is made by the next `checkInserts`, `commit`
   * or flush, which then fails with 'condition-failed' and this key.
   */
  insert(key: Buffer, value: Buffer, options?: InsertOptions): void;
  /**
   * Makes the pending checks of `insert` (a locking read of each key): the end of a statement in an open transaction.
   * Those of fresh keys are left to the write.
   */
  checkInserts(): Promise<void>;
  /** Sends all buffered writes out as intents and waits until they are there. */
  flush(): Promise<void>;
  /** Sends buffered writes out as intents when they exceed the buffer limit; executors call it between batches. */
  flushIfLarge(): Promise<void>;

  /**
   * Holds `key`, which nobody gives a value, for as long as the transaction lives or until it goes back to an earlier savepoint, whatever
   * becomes of leaseholders and the locks in their memory: an intent that leaves nothing behind. Waits for others like a write.
   */
  hold(key: Buffer): Promise<void>;
  holds(key: Buffer): boolean;

  savepoint(): Savepoint;
  /**
   * Undoes all writes since, and gives up the locks taken since behind the caller's back: but not when a statement failed with
   * 'statement-retry' and this is the latest savepoint, since it is going to take them again. Behind 'deadlock', 'canceled' of `cancelStatement` and
   * other failures of a statement that left the transaction open it goes on from there.
   */
  rollbackTo(savepoint: Savepoint): void;
  /** Resolves when others can have the locks that were given up, or a second later. Does not fail. */
  released(): Promise<void>;

  /**
   * Starts a new statement: under 'read-committed' it gets a snapshot of its own, as of now, and may fail with
   * 'statement-retry'. What earlier statements locked or wrote is checked by the commit all the same. No call is under way.
   * `lockTimeoutMs`: longest wait for a lock of its reads and checks; 0 or absent: without limit. `isFirst`: the transaction was begun
   * for this statement, so its snapshot may be as of then.
   */
  beginStatement(options?: { readonly lockTimeoutMs?: number; readonly isFirst?: boolean }): void;
  /** Another level than it was begun with: before its first statement, as long as it has read, locked and written nothing. */
  setIsolation(isolation: IsolationLevel): void;
  /**
   * For changes of the catalog under a weaker level: from the present statement on the transaction is serializable. Later
   * `beginStatement` calls change nothing; all that was and will be read since the last effective one is of one snapshot, and
   * the commit succeeds only if it is the same at the commit timestamp, rows that are not there included. What earlier statements
   * have read is not checked; what they have locked or written is, as ever. What fails from here on is 'txn-retry'.
   */
  becomeSerializable(): void;
  /**
   * Of a serializable transaction: what it has read is the same at `to`, and its commit will not stand below. Fails with
   * 'txn-retry' when something has changed, or the commit timestamp is fixed below.
   */
  refreshTo(to: Timestamp): Promise<void>;
  /**
   * Commits. Resolves with the commit timestamp. Throws 'ambiguous-result' when the outcome is not
   * known; any other failure is definite and leaves the transaction aborted.
   */
  commit(options?: CommitOptions): Promise<Timestamp>;
  /**
   * The first phase of a two-phase commit: from here on the transaction is certain to commit, at the timestamp it has now, when
   * `Db.endPrepared` says so, from any node and after any failure; it lets nobody pass where it has written. `register` is called
   * before: who keeps what it is told finds the transaction whatever happens to this node. `anchor` gets the record of a transaction
   * that has locked and written nothing. Fails like `commit`.
   */
  prepare(options: PrepareOptions): Promise<void>;
  /** Resolves when its locks are free, as `released` does; also of a transaction that has ended by itself. */
  rollback(): Promise<void>;
  /** Fails pending and later calls with 'canceled'; the caller still rolls back. */
  cancel(): void;
  /** The same up to the next `rollbackTo`, behind which the transaction goes on. A commit under way is cancelled for good. */
  cancelStatement(): void;
  /**
   * cluster_logical_timestamp(): fixes the commit timestamp to the read timestamp. 'invalid-request' below 'serializable', where
   * statements have timestamps of their own and the commit another one.
   */
  fixedTimestamp(): Timestamp;
}

export interface Db {
  readonly clock: HlcClock;
  readonly nodeId: NodeId;

  begin(options?: TxnOptions): Txn;
  /**
   * Runs `body` in a transaction and commits it; restarts it on 'txn-retry' and 'txn-aborted'. For
   * internal work that has no side effects outside the transaction.
   */
  run<T>(options: TxnOptions, body: (txn: Txn) => Promise<T>): Promise<T>;
  /**
   * The second phase: of all who try, one ends the transaction. False: it is not prepared (any more). Throws 'ambiguous-result'
   * when nobody can tell. `strict`: see TxnOptions; it is the promise of who asks.
   */
  endPrepared(
    prepared: PreparedTxn,
    end: 'commit' | 'abort',
    options?: Pick<TxnOptions, 'strict'>,
  ): Promise<boolean>;
  /** 'open': it may become prepared yet; one that was abandoned before is aborted by the question. */
  stateOfPrepared(prepared: PreparedTxn): Promise<'open' | 'prepared' | 'ended'>;
  /** The newest committed value, at the leaseholder's own now: one round trip, no uncertainty. */
  readCurrent(key: Buffer): Promise<Buffer | undefined>;
  /** See the request 'query-key'. */
  stateOfKey(key: Buffer): Promise<KeyState>;
  /** One-range atomic counter (ids, sequences); returns the value after the addition. */
  increment(key: Buffer, by: bigint): Promise<bigint>;

  /** Ranges that overlap [start, end), in key order, with sizes and leaseholders: one question per range. */
  ranges(start: Buffer, end: Buffer): Promise<RangeInfo[]>;
  /** Ranges that overlap [start, end), in key order, as the meta records have them. */
  rangeDescriptors(start: Buffer, end: Buffer): Promise<RangeDescriptor[]>;
  /** What is committed to spans of keys from a timestamp on: see `range-feed.ts`. */
  feed(options: FeedOptions): SpanFeed;
  /** Counts what [start, end) holds by reading it at its leaseholders. */
  spanStats(start: Buffer, end: Buffer): Promise<SpanStats>;
  /**
   * Compares the replicas of each range that overlaps [start, end), range by range: their data, or with `mode` 'stats' only
   * what is recorded of their sizes. Stores in the minority end themselves; a range that nobody serves is 'indeterminate'.
   */
  checkConsistency(
    start: Buffer,
    end: Buffer,
    mode?: ChecksumTrigger['mode'],
  ): Promise<RangeCheck[]>;
  /** The right side stays apart until `expiration` (default: as long as nobody merges it). */
  split(splitKey: Buffer, options?: { readonly expiration?: Timestamp }): Promise<void>;
  /** Lets the range that starts at `key` be merged with its left neighbour at any time. */
  unsplit(key: Buffer): Promise<void>;
  /** The range that holds `key` absorbs its right neighbour: both at rest, with replicas on the same stores. */
  mergeRight(key: Buffer): Promise<void>;
  /**
   * ALTER RANGE ... RELOCATE LEASE: to the voter on store `to`. 'invalid-request' names the range and its replicas when
   * there is none: `unable to find store 2 in range r70: [(n7,s7):1, ...]`.
   */
  transferLease(key: Buffer, to: StoreId): Promise<void>;
  /** `role`: default 'voter'; a store that has a replica of the other role is promoted or demoted. */
  changeReplicas(
    key: Buffer,
    change: {
      readonly add: readonly {
        readonly nodeId: NodeId;
        readonly storeId: StoreId;
        readonly role?: 'voter' | 'non-voter';
      }[];
      readonly remove: readonly { readonly nodeId: NodeId; readonly storeId: StoreId }[];
    },
  ): Promise<void>;
  /** Brings the range that holds `key` to these stores, in as few steps as possible. */
  relocateRange(key: Buffer, to: RelocationTarget): Promise<void>;
  /** Spreads replicas and leases of the ranges in [start, end) at random, evenly and within their zones. Best effort. */
  scatter(start: Buffer, end: Buffer): Promise<void>;
  /** Nodes and stores that are to leave, or have left; the others are active. */
  memberships(): Promise<Memberships>;
  /**
   * Refused with 'invalid-request': who does not exist, who is decommissioned for good, 'decommissioned' for who is active
   * or still holds replicas. Others hear of it within a second or so.
   */
  setMembership(member: Member, membership: Membership): Promise<void>;
  /**
   * Removes all versions in [start, end) for good: only for data that no descriptor refers to, and none that may still be read
   * in the past did at or after `threshold`. Reads below it are refused from then on.
   */
  clearRange(start: Buffer, end: Buffer, threshold: Timestamp): Promise<void>;
}
