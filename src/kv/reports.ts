/**
 * What nodes tell about themselves on request: rows of plain data behind the tables of skein_internal. One call per
 * node, all at once; a node that does not answer is named instead of waited for.
 *
 *     skein_internal.x -> ClusterReports.collect('x') -> every node: 'report' -> its stores
 */
import { type RangeInfo } from './api.ts';
import { type RangeDescriptor } from './descriptor.ts';
import { type HeldStrength } from './lock-strength.ts';
import { type Timestamp } from './hlc.ts';
import { type NodeId, type RangeId, type StoreId, type TxnId } from './ids.ts';
import { type IsolationLevel } from './txn.ts';

/** One row type per report; who adds a report adds its provider (`Store.reports`, or that of the node) and its table. */
export interface ReportRows extends StoreReportRows {
  /** Those of the node's clients that have a transaction. */
  readonly sessions: ReportedSession;
}

export interface StoreReportRows {
  /** The ranges that a store of the node holds the lease of. */
  readonly ranges: RangeInfo;
  readonly 'split-decisions': SplitDecision;
  readonly 'merge-decisions': MergeDecision;
  readonly 'allocator-decisions': AllocatorDecision;
  /** Of the ranges that a store leads, and of those of which it knows no leader. */
  readonly conformance: ReportedConformance;
  /** As far as the lock tables of leaseholders know; the contended ones first, if they are too many. */
  readonly locks: ReportedLock;
  /** Waits of lately, the oldest first. */
  readonly contention: ContentionEvent;
}

export interface ReportedSession {
  /** As in pg_stat_activity. */
  readonly pid: number;
  readonly database: string;
  readonly txnId: TxnId;
}

/** Somebody holds a key, or waits for it. */
export interface ReportedLock {
  readonly rangeId: RangeId;
  readonly key: Buffer;
  readonly txnId: TxnId;
  readonly isolation: IsolationLevel;
  readonly strength: HeldStrength;
  /** An intent. Those that nobody came across are not known. */
  readonly isReplicated: boolean;
  readonly isGranted: boolean;
  /** Somebody waits for the key. */
  readonly isContended: boolean;
  /** Where the transaction would write. */
  readonly timestamp: Timestamp;
  /** For how long it has been held or waited for, as far as this leaseholder knows. */
  readonly durationMs: number;
}

/** A wait for a lock or an intent that is over. */
export interface LockWait {
  readonly key: Buffer;
  /** Undefined: not a transaction. */
  readonly waitingTxnId: TxnId | undefined;
  readonly blockingTxnId: TxnId;
  readonly durationMs: number;
}

export interface ContentionEvent extends LockWait {
  /** Wall microseconds of its end. */
  readonly at: number;
}

export interface ConstraintViolation {
  readonly type: 'constraint' | 'voter_constraint';
  readonly constraint: string;
}

/** Whether a range is as its zone wants it, and what it can bear. */
export interface RangeConformance {
  readonly rangeId: RangeId;
  readonly isUnavailable: boolean;
  readonly isUnderReplicated: boolean;
  readonly isOverReplicated: boolean;
  readonly violations: readonly ConstraintViolation[];
  /** As `region=eu,zone=a`: those without which the range would not be available. */
  readonly criticalLocalities: readonly string[];
}

export interface ReportedConformance extends RangeConformance {
  readonly range: RangeDescriptor;
  /** By the leaseholder; otherwise by a replica that knows of none. */
  readonly isLed: boolean;
  /** The range is available, and would not be without one of these. */
  readonly criticalNodes: readonly NodeId[];
}

/** Why a range was split, or was not although it is large or busy. */
export interface SplitDecision {
  /** Wall microseconds. */
  readonly at: number;
  readonly rangeId: RangeId;
  readonly storeId: StoreId;
  readonly cause: 'zone' | 'size' | 'append' | 'load';
  /** Undefined: it was not split. */
  readonly key: Buffer | undefined;
  readonly reason: string;
  readonly sizeBytes: number;
  readonly queriesPerSecond: number;
}

/** Why a small range was merged with its right neighbour, or was not. */
export interface MergeDecision {
  /** Wall microseconds. */
  readonly at: number;
  /** The left one. */
  readonly rangeId: RangeId;
  /** Undefined: what is in the way was found without a look at the neighbour. */
  readonly rightRangeId: RangeId | undefined;
  readonly storeId: StoreId;
  readonly isMerged: boolean;
  readonly reason: string;
  /** Of the range; with its neighbour, if that was looked at. */
  readonly sizeBytes: number;
  readonly queriesPerSecond: number;
}

/** What was to be done about the replicas or the lease of a range, why, and what became of it. */
export interface AllocatorDecision {
  /** Wall microseconds, of the outcome. */
  readonly at: number;
  readonly rangeId: RangeId;
  /** The leaseholder's, which decided. */
  readonly storeId: StoreId;
  /** 'none': something is due, and nothing can be done. */
  readonly action: string;
  readonly reason: string;
  /** The stores that were compared, the best first. */
  readonly considered: string;
  /** 'under way', 'done', 'blocked', or what went wrong. */
  readonly outcome: string;
}

export type ReportName = keyof ReportRows;

export type StoreReportName = keyof StoreReportRows;

export type ReportProviders = {
  readonly [K in StoreReportName]: () => readonly StoreReportRows[K][];
};

export interface CollectedReport<K extends ReportName> {
  readonly rows: readonly { readonly nodeId: NodeId; readonly row: ReportRows[K] }[];
  /** Nodes that did not answer in time. */
  readonly missing: readonly NodeId[];
}

export interface ClusterReports {
  /** Never throws. */
  collect<K extends ReportName>(name: K): Promise<CollectedReport<K>>;
}
