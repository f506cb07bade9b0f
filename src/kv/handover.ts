/**
 * What a leaseholder knows of transactions and keeps in no record: handed to the next one when the lease is given away
 * and to the left side of a merge. Bounded: what is left out counts as lost (locks), or as ended (`txnsUpTo`).
 */
import { type FinishedTxn } from './api.ts';
import { type HeldStrength } from './lock-strength.ts';
import { type Timestamp } from './hlc.ts';
import { type TxnId } from './ids.ts';
import { type TxnMeta } from './txn.ts';

/** A transaction as those see it whom it keeps waiting. */
export type LockOwner = Pick<
  TxnMeta,
  | 'id'
  | 'anchor'
  | 'epoch'
  | 'isolation'
  | 'priority'
  | 'writeTimestamp'
  | 'minTimestamp'
  | 'sequence'
>;

/** An unreplicated lock (trap X14). */
export interface HeldLock {
  readonly key: Buffer;
  readonly owner: LockOwner;
  readonly strength: HeldStrength;
}

/** Of a transaction anchored in the range that has no record: how it ended, or where it was pushed to (trap X5). */
export interface TxnTombstone {
  readonly txnId: TxnId;
  readonly finished: FinishedTxn | undefined;
  /** It may not commit below. */
  readonly pushedTo: Timestamp;
  /** The leaseholder's clock then: the transaction had begun. */
  readonly at: Timestamp;
}

export interface Handover {
  readonly locks: readonly HeldLock[];
  readonly tombstones: readonly TxnTombstone[];
  /** A transaction that began up to here may have ended or been pushed without a tombstone. */
  readonly txnsUpTo: Timestamp;
}
