/**
 * Tombstones: transactions that have finished without a record, or whose record is gone, and pushes of
 * transactions that have no record yet. A record may be created only when there is no tombstone and
 * the transaction began above the low water (trap X5). Like the timestamp cache it is bounded by two
 * generations and starts at the lease.
 *
 * INVARIANT: what was said here of a transaction that began above the low water is never forgotten.
 */
import {
  compareTimestamps,
  laterTimestamp,
  zeroTimestamp,
  type FinishedTxn,
  type Timestamp,
  type TxnId,
  type TxnMeta,
} from '../../kv/index.ts';

interface Generation {
  readonly finished: Map<TxnId, FinishedTxn>;
  readonly pushed: Map<TxnId, Timestamp>;
  /** No transaction in here began later. */
  max: Timestamp;
}

const defaultMaxEntries = 16_384;

export class TxnTombstones {
  readonly #maxEntries: number;
  #lowWater: Timestamp;
  #young = newGeneration();
  #old = newGeneration();

  constructor(lowWater: Timestamp, maxEntries = defaultMaxEntries) {
    this.#lowWater = lowWater;
    this.#maxEntries = maxEntries;
  }

  /** Nothing is remembered of a transaction that began above it. */
  get ceiling(): Timestamp {
    return laterTimestamp(this.#lowWater, laterTimestamp(this.#old.max, this.#young.max));
  }

  reset(lowWater: Timestamp): void {
    this.#lowWater = lowWater;
    this.#young = newGeneration();
    this.#old = newGeneration();
  }

  /** Transactions that began up to `lowWater` may have been ended elsewhere. */
  raise(lowWater: Timestamp): void {
    this.#lowWater = laterTimestamp(this.#lowWater, lowWater);
  }

  /** `now`: the leaseholder's clock, at or above the beginning of the transaction. */
  addFinished(txn: FinishedTxn, now: Timestamp): void {
    this.#young.finished.set(txn.id, txn);
    this.#grown(now);
  }

  /** The transaction may not commit below `timestamp`. */
  addPush(txnId: TxnId, timestamp: Timestamp, now: Timestamp): void {
    this.#young.pushed.set(txnId, laterTimestamp(this.pushedTo(txnId), timestamp));
    this.#grown(now);
  }

  finished(txnId: TxnId): FinishedTxn | undefined {
    return this.#young.finished.get(txnId) ?? this.#old.finished.get(txnId);
  }

  pushedTo(txnId: TxnId): Timestamp {
    return this.#young.pushed.get(txnId) ?? this.#old.pushed.get(txnId) ?? zeroTimestamp;
  }

  mayCreateRecord(txn: TxnMeta): boolean {
    return (
      compareTimestamps(txn.minTimestamp, this.#lowWater) > 0 && this.finished(txn.id) === undefined
    );
  }

  /** Replaces what `other` knows by this (rule T7). */
  copyTo(other: TxnTombstones): void {
    other.#lowWater = this.#lowWater;
    other.#young = copyGeneration(this.#young);
    other.#old = copyGeneration(this.#old);
  }

  #grown(now: Timestamp): void {
    const young = this.#young;
    young.max = laterTimestamp(young.max, now);
    if (young.finished.size + young.pushed.size < this.#maxEntries) return;
    this.#lowWater = laterTimestamp(this.#lowWater, this.#old.max);
    this.#old = young;
    this.#young = newGeneration();
  }
}

function newGeneration(): Generation {
  return { finished: new Map(), pushed: new Map(), max: zeroTimestamp };
}

function copyGeneration(from: Generation): Generation {
  return { finished: new Map(from.finished), pushed: new Map(from.pushed), max: from.max };
}
