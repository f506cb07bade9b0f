/**
 * The seam inside the range layer. The *replica* side (raft, lease, apply, split, snapshot) provides
 * a ReplicaPort; the *executor* side (latches, locks, timestamp cache, evaluation) provides a
 * RangeExecutor. Neither knows how the other works.
 *
 *      BatchRequest
 *          |                                   executor                        replica
 *     [ latches ] -> [ lock table / waits ] -> [ lease check + evaluate ] -> [ propose ] -> raft
 *          ^                  |  push-txn          |                              |
 *          |                  v  (Sender)          v timestamp cache              v apply on all replicas
 *          +-------------- release <------------ answer <------------------- applied here
 */
import {
  type BatchRequest,
  type BatchResponse,
  type CommitTrigger,
  type Coordinator,
  type Handover,
  type FinishedTxn,
  type HlcClock,
  type KvError,
  type NodeId,
  type RangeDescriptor,
  type RangeId,
  type RowProgramCompiler,
  type Sender,
  type StoreId,
  type LockWait,
  type Span,
  type Timestamp,
  type TxnId,
  type TxnMeta,
  type TxnRecord,
} from '../kv/index.ts';
import { type EngineReader, type EngineWrite, type MvccStats } from '../storage/index.ts';
import { type Env } from '../util/index.ts';
import { type LockUse } from './concurrency/lock-table.ts';
import { type RangeLoad } from './load/range-load.ts';
import { type ClosedTimestamp } from './closed/closed-timestamp.ts';

/** The physical effects of one evaluated batch: what raft replicates and every replica applies blindly. */
export interface Command {
  readonly writes: readonly EngineWrite[];
  readonly statsDelta: MvccStats;
  readonly trigger: CommitTrigger | undefined;
  /** Key spans to delete physically (clear-range); the replica counts what goes. */
  readonly clears: readonly { readonly start: Buffer; readonly end: Buffer }[];
  /** HLC reading of the leaseholder; replicas observe it. */
  readonly timestamp: Timestamp;
  /** This is all of the transaction: it commits in one phase. */
  readonly committed?: CommittedTxn;
}

export interface CommittedTxn {
  readonly id: TxnId;
  readonly timestamp: Timestamp;
}

/** Of a transaction that may have committed in one phase: when, or that it has not so far, if that is known here. */
export type OnePhaseOutcome = Timestamp | 'none' | 'unknown';

export type ProposeOutcome =
  | { readonly kind: 'applied' }
  /** Definitely without effect: refused, or another entry took its index. */
  | { readonly kind: 'rejected'; readonly error: KvError }
  /** Leadership was lost and this replica cannot learn what became of the entry. */
  | { readonly kind: 'ambiguous'; readonly reason: string };

/** What the executor may ask of its replica. All getters are read at use: they change across an await. */
export interface ReplicaPort {
  readonly nodeId: NodeId;
  readonly storeId: StoreId;
  readonly rangeId: RangeId;
  readonly descriptor: RangeDescriptor;
  readonly engine: EngineReader;
  readonly clock: HlcClock;
  readonly env: Env;
  readonly rowPrograms: RowProgramCompiler | undefined;
  /** To other ranges, for pushes and intent resolution; routes by key, the header's range is ignored. */
  readonly sender: KeySender;
  /**
   * Undefined when this replica may serve reads and evaluate writes at `timestamp` right now: it is
   * the leader of its term, has applied an entry of that term, is not transferring, its quorum's
   * support reaches beyond both `timestamp` and the clock. To be called after latching and again
   * after every await before an answer or proposal is made.
   */
  checkLease(timestamp: Timestamp): KvError | undefined;
  /** Undefined when everything that was there at `timestamp` and has changed since is still there. To be called as often. */
  checkHistory(timestamp: Timestamp): KvError | undefined;
  /** From this step on nothing is served below `threshold`. */
  raiseGcThreshold(threshold: Timestamp): void;
  /** Changes whenever the lease was lost in between: evaluations started under another one are void. */
  readonly leaseSequence: number;
  /** Requests per second above which the range may be split by load; Infinity: it is not. */
  readonly loadSplitThreshold: number;
  /** The lease began here: the low water of the timestamp cache (rule T1). */
  readonly leaseStart: Timestamp;
  /** When it was taken: above the clock of every earlier leaseholder while it served. A merge moves `leaseStart`, even ahead of the clock, not this. */
  readonly leaseTakenAt: Timestamp;
  /** The leaseholder closes the range ahead of its clock. */
  readonly closesAhead: boolean;
  readonly closed: ClosedTimestamp;
  /** Called in the step in which the evaluation of a write begins: writes stand above `closed.floor`, and tell when they end. */
  openForWrites(): ClosedTimestamp;
  /** A transaction has waited for another one. */
  noteContention(wait: LockWait): void;
  /** Whoever coordinates it has ended, as far as is known here, or nothing is heard of its node. A guess: never what safety rests on. */
  isGone(coordinator: Coordinator): boolean;
  /** What has become of a one-phase commit, from what was applied here; to be asked under the lease. */
  onePhaseOutcome(txn: Pick<TxnMeta, 'id' | 'minTimestamp'>): OnePhaseOutcome;
  /** A parallel commit whose coordinator was silent has been ended from here. */
  countRecovery(status: 'committed' | 'aborted'): void;
  /** Proposes under the lease with `leaseSequence`; resolves when the command is applied on this replica. */
  propose(command: Command, leaseSequence: number): Promise<ProposeOutcome>;
}

/**
 * What an executor leaves to the next one: everything may have been read up to `reads`, and
 * a transaction that began up to `txns` may have been ended here before its record was made (rules T1, X5).
 */
export interface LowWater {
  readonly reads: Timestamp;
  readonly txns: Timestamp;
}

/** Sends requests by the address of their first key: range lookups, retries and redirects are its business. */
export type KeySender = Sender;

/** One per replica that holds, or has held, the lease. */
export interface RangeExecutor {
  /** Serves every request but the admin ones. Never throws for an expected failure. */
  execute(batch: BatchRequest): Promise<BatchResponse>;
  /**
   * The replica became leaseholder: all reads below `start` may have been served by others. `before`: nobody has led
   * this range since `split` handed its state over (this is the range's first term), or since another leaseholder left
   * this behind. Undefined: whatever leaseholders had in memory is lost.
   */
  leaseAcquired(start: Timestamp, before?: 'split' | Handover): void;
  /** Fails waiting requests with 'not-leaseholder' and forgets locks, queues and the timestamp cache. */
  leaseLost(): void;
  /**
   * Called while a split is being applied on the leaseholder: keeps [.., splitKey), hands locks,
   * waiters and timestamp cache entries of the rest to the right side's executor (rule T7).
   */
  split(splitKey: Buffer, right: RangeExecutor): void;
  /** What another executor would have to know that begins here, with nothing under way. */
  readonly lowWater: LowWater;
  /** The locks and tombstones of this lease, for the next one; with nothing under way. */
  handOver(): Handover;
  /** Called while a merge is being applied on the leaseholder: what the right side's has left. */
  absorb(handover: Handover): void;
  /** Blocks new requests and waits until those under way have finished; used before a lease transfer (rule T2). */
  quiesce(): Promise<() => void>;
  /** The same for requests that touch one of these keys. */
  exclude(keys: readonly Buffer[]): Promise<() => void>;
  /**
   * Asks what became of a transaction of which something was found here, which aborts it if it was abandoned. When it has
   * ended, what it left in `spans` of this range is resolved. Undefined: it goes on, or nobody knows.
   */
  settle(txn: TxnMeta, spans: readonly Span[]): Promise<FinishedTxn | undefined>;
  /** Resolves what the record of a committed transaction names, on all ranges, then removes it if `drops`. False: not all was done. */
  resolveCommitted(record: TxnRecord, drops: boolean): Promise<boolean>;
  /** Who holds and who waits for the keys of the range; may be many. */
  locks(): Iterable<LockUse>;
  /** What was asked of the range lately, for decisions by load. */
  readonly load: RangeLoad;
  /**
   * Nobody has asked for anything for `restMs`, and nobody holds, waits or works: this executor may be thrown
   * away. Its successor under the same lease begins at the result. Undefined: it is still needed.
   */
  retire(restMs: number): LowWater | undefined;
}
