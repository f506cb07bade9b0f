/**
 * The batch API: what a gateway asks of the leaseholder of one range. Requests of a batch are
 * evaluated in order under one set of latches; either all take effect or none.
 *
 * Every request addresses keys of the one ordered keyspace (see `encoding/keyspace.ts`).
 */
import { type RangeDescriptor, type ReplicaDescriptor } from './descriptor.ts';
import { type KvError } from './errors.ts';
import { type Handover } from './handover.ts';
import { type Timestamp } from './hlc.ts';
import { type NodeId, type RangeId, type StoreId, type TxnId } from './ids.ts';
import { type LockStrength } from './lock-strength.ts';
import { type SpanStats } from './span-stats.ts';
import {
  type InFlightWrite,
  type Span,
  type TxnMeta,
  type TxnRecord,
  type TxnStatus,
} from './txn.ts';

/** What to do on a conflicting lock: wait in its queue, fail with 'lock-not-available', or leave the row out. */
export type WaitPolicy = 'block' | 'error' | 'skip';

export interface BatchHeader {
  readonly rangeId: RangeId;
  /** The store whose replica is asked; undefined: whichever store of the node has one. */
  readonly storeId?: StoreId | undefined;
  /** From the descriptor the sender routed by; a mismatch is answered with 'range-key-mismatch'. */
  readonly generation: number;
  /** The sender's clock: the receiver observes it. Also the read timestamp when there is no txn. */
  readonly timestamp: Timestamp;
  readonly txn: TxnMeta | undefined;
  /**
   * The clock of the receiving node when the transaction first met it, if it has before: what that node wrote
   * later, under its present lease, was written after the transaction began and is not uncertain.
   */
  readonly observed?: Timestamp | undefined;
  readonly gatewayNodeId: NodeId;
  readonly waitPolicy: WaitPolicy;
  /** Longest wait for locks in milliseconds; 0 = no limit. */
  readonly lockTimeoutMs: number;
  /**
   * 'inconsistent' reads skip latches, locks and the lease and return intents of meta records too:
   * only for range lookups. Non-transactional 'current' reads are served at the leaseholder's own now.
   */
  readonly consistency: 'txn' | 'current' | 'inconsistent';
  /**
   * The transaction has read nothing that would need a refresh (or brings its refreshes in this very
   * batch): the server may raise the read timestamp itself instead of failing with 'write-too-old',
   * 'read-within-uncertainty' or 'txn-pushed'. The new one comes back in the response's txn.
   */
  readonly canForwardReadTimestamp: boolean;
  /** A read of the past that is not to be passed on to the leaseholder: a replica that cannot serve it says 'not-closed'. */
  readonly nearest?: boolean | undefined;
  /**
   * Plain reads of a transaction that has left no intent anywhere: a replica without the lease may serve them, if it knows
   * everything that they may see.
   */
  readonly anyReplica?: boolean | undefined;
}

/** What stands at a key. */
export interface KeyState {
  /** Undefined: nothing, or a deletion. */
  readonly committed: Buffer | undefined;
  /** Whose intent stands there. */
  readonly writer: TxnId | undefined;
}

export interface BatchRequest {
  readonly header: BatchHeader;
  readonly requests: readonly KvRequest[];
}

/** `error`: nothing of the batch took effect, but for 'ambiguous-result'. */
export type BatchResponse =
  | {
      readonly kind: 'ok';
      readonly now: Timestamp;
      /** The transaction as the batch left it (timestamps moved up, status); undefined without one. */
      readonly txn: TxnMeta | undefined;
      readonly results: readonly KvResult[];
      /** Some of it was read at a replica without the lease. */
      readonly isFollowerRead?: boolean;
      /** The range is closed ahead of the clock: any replica can serve reads of the present. */
      readonly closesAhead?: boolean;
    }
  | {
      readonly kind: 'error';
      readonly now: Timestamp;
      readonly error: KvError;
      /** Which request failed, when one did. */
      readonly index: number | undefined;
    };

export type KvRequest =
  | {
      readonly kind: 'get';
      readonly key: Buffer;
      readonly lock: LockStrength;
      /** See `ReadOptions.existence`. */
      readonly existence?: boolean;
    }
  | ScanRequest
  | (WriteParts & { readonly kind: 'put'; readonly value: Buffer })
  | (WriteParts & { readonly kind: 'delete' })
  /** Fails with 'condition-failed' when the key has a live value. */
  | (WriteParts & { readonly kind: 'insert'; readonly value: Buffer })
  /** Writes when the live value equals `expected` (undefined: absent). `value` undefined deletes. */
  | (WriteParts & {
      readonly kind: 'conditional-put';
      readonly value: Buffer | undefined;
      readonly expected: Buffer | undefined;
    })
  /** Adds to a counter stored as 8 bytes big-endian two's complement; absent counts as 0. Not transactional. */
  | { readonly kind: 'increment'; readonly key: Buffer; readonly by: bigint }
  /**
   * Succeeds when nothing in the span changed in (from, header.txn.readTimestamp or `to`]; with `untilCommit` up to
   * the write timestamp, wherever the batch moves that. With `existence` values may have changed, if only each row that was
   * there is there at the new timestamp. `ownIntents`: first moves the batch up to the transaction's own intents in the span, where
   * some stand above its write timestamp.
   */
  | {
      readonly kind: 'refresh';
      readonly span: Span;
      readonly from: Timestamp;
      readonly to: Timestamp;
      readonly untilCommit?: boolean;
      readonly existence?: boolean;
      readonly ownIntents?: boolean;
    }
  | EndTxnRequest
  | {
      readonly kind: 'heartbeat-txn';
      readonly txn: TxnMeta;
      readonly now: Timestamp;
    }
  /**
   * Sent by whoever is blocked by `pushee`, to the pushee's anchor. 'abort' makes the lock go away,
   * 'timestamp' moves the pushee's write timestamp above `pushTo`, 'touch' only asks; one that was abandoned is aborted by any
   * of them. Waits in the transaction wait queue unless it can be decided at once; that queue finds deadlocks (trap X13).
   */
  | {
      readonly kind: 'push-txn';
      readonly anchor: Buffer;
      readonly pushee: TxnMeta;
      /** Undefined: somebody who is no transaction. */
      readonly pusher: TxnWaiter | undefined;
      readonly pushKind: 'abort' | 'timestamp' | 'touch';
      readonly pushTo: Timestamp;
      readonly wait: boolean;
    }
  /** Returns the record and who waits for it: one step of distributed deadlock detection. */
  | { readonly kind: 'query-txn'; readonly anchor: Buffer; readonly txnId: TxnId }
  /** Asks whether the transaction waits at `key` for one of `blockers`: whether what 'query-txn' has told still holds. */
  | {
      readonly kind: 'query-wait';
      readonly key: Buffer;
      readonly txnId: TxnId;
      readonly blockers: readonly TxnId[];
    }
  /**
   * Asks whether the write (key, sequence) of `txn` is there, at or below its write timestamp; if not, prevents it from
   * landing there later.
   */
  | {
      readonly kind: 'query-intent';
      readonly key: Buffer;
      readonly txn: TxnMeta;
      readonly sequence: number;
    }
  /**
   * The newest committed value of `key` and who is about to replace it. Waits for nobody, not even when the range of a transaction
   * that has written there cannot be asked; prevents nothing.
   */
  | { readonly kind: 'query-key'; readonly key: Buffer }
  /** Ends a parallel commit, unless it was staged anew meanwhile: `staged` is the transaction as its record was read. */
  | {
      readonly kind: 'recover-txn';
      readonly anchor: Buffer;
      readonly staged: TxnMeta;
      readonly implicitlyCommitted: boolean;
    }
  /** Makes the intents and locks of a finished (or pushed) transaction in `span` values, or removes them. */
  | { readonly kind: 'resolve-locks'; readonly span: Span; readonly txn: FinishedTxn }
  /**
   * The transaction has committed, whether or not its record says so yet: its locks in `span` are free, and its intents are read
   * as values. There they stay until the record says it, too (trap X4). Nothing of it is replicated.
   */
  | { readonly kind: 'announce-commit'; readonly span: Span; readonly txn: FinishedTxn }
  /**
   * Of an open transaction that has gone back to a savepoint: gives up its unreplicated locks in `span` that it took behind
   * sequence `since`, and whatever it still waits for in this range.
   */
  | {
      readonly kind: 'release-locks';
      readonly span: Span;
      readonly txnId: TxnId;
      readonly since: number;
    }
  /**
   * Non-transactional removal of all versions in [start, end): data of dropped objects. Nothing is read below `threshold` in
   * the ranges concerned from then on: who could see the object then must not find it empty.
   */
  | {
      readonly kind: 'clear-range';
      readonly start: Buffer;
      readonly end: Buffer;
      readonly threshold: Timestamp;
    }
  | AdminRequest;

export interface WriteParts {
  readonly key: Buffer;
  /** Orders the writes of one transaction; a replay of the same sequence is a no-op (trap X7). */
  readonly sequence: number;
  /**
   * Where the statement that made the write stood, or the one that locked the key before: a version above it fails the
   * transaction with 'txn-retry'. Only for statements before the present one, which stands at header.txn.readTimestamp: what
   * that one writes meets 'write-too-old'. Under 'serializable' its reads are checked instead.
   */
  readonly unchangedSince?: Timestamp;
}

export interface ScanRequest {
  readonly kind: 'scan';
  /** [start, end), inside the range. */
  readonly start: Buffer;
  readonly end: Buffer;
  readonly reverse: boolean;
  readonly lock: LockStrength;
  /** Stop after this many rows (returned rows when there is a program); 0 = no limit. */
  readonly maxRows: number;
  /** Stop once the returned keys and values reach this size. */
  readonly maxBytes: number;
  /** A serialised row program of sql (filter, projection, partial aggregate) run beside the data. */
  readonly program: Buffer | undefined;
}

/** `lockSpans`: where this transaction may have left intents or locks; resolved after the commit. */
export interface EndTxnRequest {
  readonly kind: 'end-txn';
  readonly anchor: Buffer;
  readonly commit: boolean;
  readonly lockSpans: readonly Span[];
  /**
   * All writes of the transaction are in this batch: commit without intents or record (1PC). With `commit` false: the answer to
   * such a commit was lost. It is answered 'committed', or 'aborted' and will not happen; 'ambiguous-result' when nobody knows.
   */
  readonly onePhase: boolean;
  /** Parallel commit: the writes that must land for the transaction to be committed; empty = plain. */
  readonly inFlightWrites: readonly InFlightWrite[];
  readonly trigger: CommitTrigger | undefined;
  /**
   * 'prepare': makes the record prepared, at the present timestamps, instead of committing. 'finish': commits or aborts a transaction
   * that is prepared; any other one is refused with 'txn-aborted'.
   */
  readonly twoPhase?: 'prepare' | 'finish';
  /** Above it the commit fails with 'txn-pushed': other ranges have not heard of more, or not proved more. */
  readonly notAbove?: Timestamp;
  /** Above it the commit fails with 'txn-pushed', too. See `CommitOptions`. */
  readonly deadline?: Timestamp;
}

/** Side effects of committing a change of range descriptors; run below raft by every replica. */
export type CommitTrigger =
  | { readonly kind: 'split'; readonly left: RangeDescriptor; readonly right: RangeDescriptor }
  | { readonly kind: 'change-replicas'; readonly range: RangeDescriptor }
  /** `left` as it becomes, `right` as it was. */
  | {
      readonly kind: 'merge';
      readonly left: RangeDescriptor;
      readonly right: RangeDescriptor;
      readonly frozen: FrozenRange;
    }
  | ChecksumTrigger
  | HandOverTrigger;

/** Every replica hashes what it holds ('data'), or has recorded of it ('stats'), at the index of this command. */
export interface ChecksumTrigger {
  readonly kind: 'compute-checksum';
  readonly checkId: number;
  readonly mode: 'data' | 'stats';
}

/** The last command of a lease that is given away: whoever takes the next one goes on with this. */
export interface HandOverTrigger {
  readonly kind: 'hand-over';
  readonly handover: Handover;
}

/** What the right side of a merge leaves behind when it stops for good. */
export interface FrozenRange {
  /** All it ever did is in its log up to here. */
  readonly appliedIndex: number;
  /**
   * Everything in it may have been read, and was written, at or below this: its leaseholder's clock, or what was closed, read
   * or written ahead of it.
   */
  readonly at: Timestamp;
  readonly handover: Handover;
}

/** Waits for another transaction to get at `key`. */
export interface TxnWaiter {
  readonly txn: TxnMeta;
  readonly key: Buffer;
}

export interface FinishedTxn {
  readonly id: TxnId;
  readonly epoch: number;
  readonly status: TxnStatus;
  /** Where committed values land; for a pushed pending one its new write timestamp. */
  readonly timestamp: Timestamp;
  readonly ignoredSequences: TxnMeta['ignoredSequences'];
}

export type AdminRequest =
  /**
   * `splitKey` is a row boundary. The right side is not merged before `expiration`; of a range that starts there already
   * only that is put off.
   */
  | { readonly kind: 'admin-split'; readonly splitKey: Buffer; readonly expiration: Timestamp }
  /** The range that starts at `key` may be merged with its left neighbour from now on. */
  | { readonly kind: 'admin-unsplit'; readonly key: Buffer }
  /** The range that holds `key` absorbs its right neighbour. Both are at rest and have replicas on the same stores. */
  | { readonly kind: 'admin-merge'; readonly key: Buffer }
  /**
   * To the right side of a merge, from its left one: serves nothing from now on, until transaction `txnId`, whose intent
   * deletes its descriptor, has ended. Answered again while that is so.
   */
  | { readonly kind: 'admin-freeze'; readonly right: RangeDescriptor; readonly txnId: TxnId }
  | { readonly kind: 'admin-transfer-lease'; readonly key: Buffer; readonly to: StoreId }
  /**
   * `role`: default 'voter'. A store that has a replica of the other role is promoted or demoted, and nothing is copied.
   */
  | {
      readonly kind: 'admin-change-replicas';
      readonly key: Buffer;
      readonly add: readonly {
        readonly nodeId: NodeId;
        readonly storeId: StoreId;
        readonly role?: 'voter' | 'non-voter';
      }[];
      readonly remove: readonly { readonly nodeId: NodeId; readonly storeId: StoreId }[];
    }
  /** A random place for the range, as good as the one it has: for a relocation that follows. */
  | { readonly kind: 'admin-draw-placement'; readonly key: Buffer }
  /** Complete lists of stores; undefined: these replicas (the lease) stay where they are. */
  | {
      readonly kind: 'admin-relocate';
      readonly key: Buffer;
      readonly voters: readonly StoreId[] | undefined;
      readonly nonVoters: readonly StoreId[] | undefined;
      readonly leaseholder: StoreId | undefined;
    }
  | { readonly kind: 'range-info'; readonly key: Buffer }
  /** Counts what [start, end) of one range holds by reading it. */
  | { readonly kind: 'span-stats'; readonly start: Buffer; readonly end: Buffer }
  /**
   * Compares the replicas of the range that holds `key`. A check that began at or after `since` (HLC wall microseconds)
   * answers again; one that takes long is answered as under way, and asked for again.
   */
  | {
      readonly kind: 'check-consistency';
      readonly key: Buffer;
      readonly mode: ChecksumTrigger['mode'];
      readonly since: number;
    };

/**
 * Complete lists of stores; what is not given stays as it is. Refused with 'invalid-request' that names range, store and
 * reason: a store that does not exist, is dead or is being decommissioned, one that is named twice, two on one node, a
 * leaseholder without a vote.
 */
export interface RelocationTarget {
  readonly voters?: readonly StoreId[];
  readonly nonVoters?: readonly StoreId[];
  readonly leaseholder?: StoreId;
}

export interface EndTxnResult {
  readonly kind: 'end-txn';
  /** What the transaction is now: an abort finds one that somebody has recovered 'committed', or one that is 'prepared'. */
  readonly status: TxnStatus;
  readonly commitTimestamp: Timestamp;
  readonly onePhase: boolean;
  /**
   * The range that ended the transaction, as it was then: it has settled every intent of the request in there, and those elsewhere
   * are left. Only the range itself can tell: it may have been split since it was sent to. Undefined: intents may be left
   * anywhere, because they were too many for one command or the transaction ended in another one.
   */
  readonly settledIn?: Pick<RangeDescriptor, 'startKey' | 'endKey'>;
}

export type KvResult =
  | { readonly kind: 'get'; readonly value: Buffer | undefined }
  | ScanResult
  /** `isAwaited`: others wait for the key. */
  | { readonly kind: 'write'; readonly isAwaited?: boolean }
  | { readonly kind: 'increment'; readonly value: bigint }
  | { readonly kind: 'refresh' }
  | EndTxnResult
  | { readonly kind: 'heartbeat-txn'; readonly status: TxnStatus }
  | {
      readonly kind: 'push-txn';
      readonly pushee: FinishedTxn;
      /** The push would succeed, but only the writes in flight tell how the transaction ended: to be recovered. */
      readonly staged: TxnRecord | undefined;
    }
  | {
      readonly kind: 'query-txn';
      readonly record: TxnRecord | undefined;
      readonly waiters: readonly TxnWaiter[];
      /** Without a record: how the transaction is known to have ended. */
      readonly finished?: FinishedTxn;
    }
  | { readonly kind: 'query-wait'; readonly isWaiting: boolean }
  | { readonly kind: 'query-intent'; readonly found: boolean }
  | { readonly kind: 'query-key'; readonly state: KeyState }
  | { readonly kind: 'recover-txn'; readonly record: TxnRecord }
  | { readonly kind: 'resolve-locks' | 'release-locks' | 'announce-commit' }
  | { readonly kind: 'clear-range' }
  | { readonly kind: 'admin'; readonly range: RangeDescriptor }
  /** Undefined: the range stays where it is. */
  | { readonly kind: 'placement'; readonly to: RelocationTarget | undefined }
  | { readonly kind: 'admin-freeze'; readonly frozen: FrozenRange }
  | { readonly kind: 'range-info'; readonly info: RangeInfo }
  | { readonly kind: 'span-stats'; readonly stats: SpanStats }
  /** Undefined: under way. */
  | { readonly kind: 'check-consistency'; readonly check: RangeCheck | undefined };

/**
 * `keys` and `values` run in parallel. With a program, `values` are the program's output rows and
 * `keys` is empty. `resume` is what is left of the span when a limit or the range's end stopped the
 * scan (trap X21: start is inclusive, end exclusive, for both directions).
 */
export interface ScanResult {
  readonly kind: 'scan';
  readonly keys: readonly Buffer[];
  readonly values: readonly Buffer[];
  readonly resume: { readonly start: Buffer; readonly end: Buffer } | undefined;
  /** What a program has locked below 'serializable', which has to know what is to hold until the commit. */
  readonly lockedKeys?: readonly Buffer[];
}

/** How the replicas of a range compare at one index of its log. */
export interface RangeCheck {
  readonly range: RangeDescriptor;
  /**
   * 'stats-incorrect': the replicas are equal, but not what is recorded of their sizes. 'indeterminate': there was nobody to
   * compare with.
   */
  readonly status: 'consistent' | 'inconsistent' | 'stats-incorrect' | 'indeterminate';
  /** Who has what, who was not heard of; empty when there is nothing to say. */
  readonly detail: string;
  readonly durationMicros: number;
}

export interface RangeInfo extends SpanStats {
  readonly range: RangeDescriptor;
  /** What reads below it would need may have been collected. */
  readonly gcThreshold: Timestamp;
  readonly leaseholder: ReplicaDescriptor | undefined;
  readonly queriesPerSecond: number;
}

/** Takes a batch to the store that serves it. Never throws for an expected failure. */
export interface Sender {
  send(batch: BatchRequest): Promise<BatchResponse>;
}

/**
 * Row programs: sql compiles a filter, projection or partial aggregate to plain data, the leaseholder
 * runs it over the rows of a scan. The range layer knows only this interface; the server hands in
 * sql's compiler. A program must be deterministic and may throw `KvFailure` or an SqlFailure-like
 * error whose `toWire()` travels in 'invalid-request'.
 */
export interface RowProgramCompiler {
  /** `serialized` comes from `ScanRequest.program`; compiled programs are cached by content. */
  compile(serialized: Buffer): RowProgram;
}

export interface RowProgram {
  /** A fresh run over one scan request. */
  start(): RowProgramRun;
}

export interface RowProgramRun {
  /** Feeds one live row; returns true when the program wants no more rows. Buffers are only lent. */
  row(key: Buffer, value: Buffer): boolean;
  /** Output rows produced since the last call, owned by the caller. */
  take(): Buffer[];
  /** Number of output rows so far: compared with maxRows. */
  readonly produced: number;
  /** Rows held back until the end (partial aggregates); called once. */
  finish(): Buffer[];
}
