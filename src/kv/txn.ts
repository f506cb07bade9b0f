/** The transaction as every layer sees it, and its durable record. */
import { type Timestamp } from './hlc.ts';
import { asNodeId, asTxnId, type NodeId, type TxnId } from './ids.ts';

/** 'snapshot' is REPEATABLE READ; `txn/README.md` says what each of them checks. */
export type IsolationLevel = 'serializable' | 'snapshot' | 'read-committed';

/** Inclusive sequence numbers whose writes were rolled back by a savepoint (trap X17). */
export interface SequenceSpan {
  readonly from: number;
  readonly to: number;
}

/**
 * What a request carries about its transaction. A plain value: the coordinator makes a new one when
 * something changes; the server sends changes back in the response header.
 *
 * INVARIANT 1: readTimestamp <= writeTimestamp.
 * INVARIANT 2: uncertaintyLimit is fixed for the life of the transaction, under 'read-committed' of the statement (trap X3).
 */
export interface TxnMeta {
  readonly id: TxnId;
  /** The key whose range holds the record; undefined until the first lock or write. */
  readonly anchor: Buffer | undefined;
  /** Raised when the whole transaction restarts under the same id: older intents are void. */
  readonly epoch: number;
  readonly isolation: IsolationLevel;
  /** Larger wins a push between two live transactions; ties go to the older one. */
  readonly priority: number;
  /** Reads see versions at or below this. */
  readonly readTimestamp: Timestamp;
  /** Writes are laid down at this; equal to the read timestamp at commit under 'serializable', perhaps above it below. */
  readonly writeTimestamp: Timestamp;
  /**
   * When the transaction began and, once it has an anchor, a time before which nobody can have heard of it: no one has
   * pushed it or ended it before. Its age in waits.
   */
  readonly minTimestamp: Timestamp;
  /** A value in (readTimestamp, uncertaintyLimit] may have been written before we began. */
  readonly uncertaintyLimit: Timestamp;
  /** Number of the latest write or savepoint; every write of a transaction has its own. */
  readonly sequence: number;
  readonly ignoredSequences: readonly SequenceSpan[];
  /**
   * Other transactions of the same client: while this one waits they wait, too. For finding deadlocks; neither records nor intents
   * tell of them.
   */
  readonly siblings?: readonly TxnSibling[];
}

/** Where a transaction is coordinated, and since when: wall microseconds of that node's clock. */
export interface Coordinator {
  readonly nodeId: NodeId;
  readonly since: number;
}

/**
 * Seven bytes of wall time and two of the counter, so that younger transactions have larger ids; four of the node that
 * coordinates it, three of `chance`.
 */
export function newTxnId({ wall, logical }: Timestamp, nodeId: NodeId, chance: Buffer): TxnId {
  newId.writeUInt32BE(Math.floor(wall / 2 ** 24), 0);
  newId.writeUIntBE(wall % 2 ** 24, 4, 3);
  newId.writeUInt16BE(logical & 0xffff, 7);
  newId.writeUInt32BE(nodeId, 9);
  chance.copy(newId, 13, 0, 3);
  return asTxnId(newId.toString('hex'));
}

/** Written and read in one step. */
const newId = Buffer.alloc(16);

export function coordinatorOf(id: TxnId): Coordinator {
  return {
    nodeId: asNodeId(Number.parseInt(id.slice(18, 26), 16)),
    since: Number.parseInt(id.slice(0, 14), 16),
  };
}

export interface TxnSibling {
  readonly id: TxnId;
  readonly anchor: Buffer | undefined;
}

/**
 * 'staging': all writes are in flight together with the record (parallel commit). 'prepared': it can be committed or rolled
 * back by whoever asks for it by name, and by nobody else (two-phase commit): no one aborts it, moves it or takes it for abandoned.
 */
export type TxnStatus = 'pending' | 'staging' | 'prepared' | 'committed' | 'aborted';

/**
 * INVARIANT: status only moves pending -> staging -> committed | aborted, pending -> committed | aborted,
 * pending -> prepared -> committed | aborted.
 * A missing record means pending while the transaction is young, and may not be created any more once
 * a pusher has pushed or aborted it (the timestamp cache holds a tombstone: trap X5).
 */
export interface TxnRecord {
  readonly meta: TxnMeta;
  readonly status: TxnStatus;
  readonly lastHeartbeat: Timestamp;
  /** Spans that may hold this transaction's intents: needed by whoever finishes a committed one. */
  readonly lockSpans: readonly Span[];
  /**
   * 'staging' only: the transaction is committed when all of these have landed at or below `meta.writeTimestamp`. The writes
   * of the record's own range are not among them: they are one command with it.
   */
  readonly inFlightWrites: readonly InFlightWrite[];
}

/** What it takes to find a prepared transaction, from any node and at any time later. Plain data. */
export interface PreparedTxn {
  readonly id: TxnId;
  /** The key whose range holds the record. */
  readonly anchor: Buffer;
  /** Nobody had heard of the transaction before. */
  readonly minTimestamp: Timestamp;
}

export interface InFlightWrite {
  readonly key: Buffer;
  readonly sequence: number;
}

/** [start, end). A single key has end = undefined. */
export interface Span {
  readonly start: Buffer;
  readonly end: Buffer | undefined;
}
