/**
 * Tombstones: transactions that have finished without a record, or whose record is gone, and pushes of
 * transactions that have no record yet. A record may be created only when there is no tombstone and
 * the transaction began above the low water (trap X5). Bounded like the timestamp cache by two generations.
 * They start at the lease, unless the one before handed its own over.
 *
 * INVARIANT: what was said here of a transaction that began above the low water is never forgotten.
 */
import {
  compareTimestamps,
  laterTimestamp,
  zeroTimestamp,
  type FinishedTxn,
  type Handover,
  type Timestamp,
  type TxnId,
  type TxnMeta,
  type TxnTombstone,
} from '../../kv/index.ts';

interface Generation {
  readonly entries: Map<TxnId, TxnTombstone>;
  /** No transaction in here began later. */
  max: Timestamp;
  /** Nor, of those that were aborted. */
  maxAborted: Timestamp;
}

const defaultMaxEntries = 16_384;

export class TxnTombstones {
  readonly #maxEntries: number;
  #lowWater: Timestamp;
  #abortsForgottenUpTo: Timestamp;
  #young = newGeneration();
  #old = newGeneration();

  constructor(lowWater: Timestamp, maxEntries = defaultMaxEntries) {
    this.#lowWater = lowWater;
    this.#abortsForgottenUpTo = lowWater;
    this.#maxEntries = maxEntries;
  }

  /** What was aborted later under this lease is known to have been. */
  get abortsForgottenUpTo(): Timestamp {
    return this.#abortsForgottenUpTo;
  }

  /** Nothing is remembered of a transaction that began above it. */
  get ceiling(): Timestamp {
    return laterTimestamp(this.#lowWater, laterTimestamp(this.#old.max, this.#young.max));
  }

  reset(lowWater: Timestamp): void {
    this.#lowWater = lowWater;
    this.#abortsForgottenUpTo = lowWater;
    this.#young = newGeneration();
    this.#old = newGeneration();
  }

  /** The newest ones, in about `maxBytes`, and up to where transactions may have ended that are not among them. */
  newest(maxBytes: number): Pick<Handover, 'tombstones' | 'txnsUpTo'> {
    const all = [...this.#old.entries.values(), ...this.#young.entries.values()];
    const tombstones: TxnTombstone[] = [];
    let txnsUpTo = this.#lowWater;
    let bytes = 0;
    for (const tombstone of all.reverse()) {
      bytes += bytesOf(tombstone);
      if (bytes <= maxBytes) tombstones.push(tombstone);
      else txnsUpTo = laterTimestamp(txnsUpTo, tombstone.at);
    }
    return { tombstones: tombstones.reverse(), txnsUpTo };
  }

  /** What was done to transactions elsewhere counts as if it had been done here, and what was forgotten there as forgotten here. */
  adopt({ tombstones, txnsUpTo }: Pick<Handover, 'tombstones' | 'txnsUpTo'>): void {
    this.#lowWater = laterTimestamp(this.#lowWater, txnsUpTo);
    this.#abortsForgottenUpTo = laterTimestamp(this.#abortsForgottenUpTo, txnsUpTo);
    for (const tombstone of tombstones) this.#add(tombstone);
  }

  /** `now`: the leaseholder's clock, at or above the beginning of the transaction. */
  addFinished(finished: FinishedTxn, now: Timestamp): void {
    this.#add({ txnId: finished.id, finished, pushedTo: zeroTimestamp, at: now });
  }

  /** The transaction may not commit below `timestamp`. */
  addPush(txnId: TxnId, timestamp: Timestamp, now: Timestamp): void {
    this.#add({ txnId, finished: undefined, pushedTo: timestamp, at: now });
  }

  finished(txnId: TxnId): FinishedTxn | undefined {
    return this.#find(txnId)?.finished;
  }

  pushedTo(txnId: TxnId): Timestamp {
    return this.#find(txnId)?.pushedTo ?? zeroTimestamp;
  }

  mayCreateRecord(txn: TxnMeta): boolean {
    return (
      compareTimestamps(txn.minTimestamp, this.#lowWater) > 0 && this.finished(txn.id) === undefined
    );
  }

  /** Replaces what `other` knows by this (rule T7). */
  copyTo(other: TxnTombstones): void {
    other.#lowWater = this.#lowWater;
    other.#abortsForgottenUpTo = this.#abortsForgottenUpTo;
    other.#young = copyGeneration(this.#young);
    other.#old = copyGeneration(this.#old);
  }

  #find(txnId: TxnId): TxnTombstone | undefined {
    return this.#young.entries.get(txnId) ?? this.#old.entries.get(txnId);
  }

  /** Beside what is known of the transaction: the sides of a split each learn of it, and a merge brings both together. */
  #add(learnt: TxnTombstone): void {
    const { txnId } = learnt;
    const known = this.#find(txnId);
    const finished = learnt.finished ?? known?.finished;
    const pushedTo = laterTimestamp(learnt.pushedTo, known?.pushedTo ?? zeroTimestamp);
    const at = laterTimestamp(learnt.at, known?.at ?? zeroTimestamp);
    const young = this.#young;
    young.entries.set(txnId, { txnId, finished, pushedTo, at });
    young.max = laterTimestamp(young.max, at);
    if (finished?.status === 'aborted') young.maxAborted = laterTimestamp(young.maxAborted, at);
    if (young.entries.size < this.#maxEntries) return;
    const { max, maxAborted } = this.#old;
    this.#lowWater = laterTimestamp(this.#lowWater, max);
    this.#abortsForgottenUpTo = laterTimestamp(this.#abortsForgottenUpTo, maxAborted);
    this.#old = young;
    this.#young = newGeneration();
  }
}

/** Roughly what it takes on its way. */
function bytesOf({ finished }: TxnTombstone): number {
  return 64 + 8 * (finished?.ignoredSequences.length ?? 0);
}

function newGeneration(): Generation {
  return { entries: new Map(), max: zeroTimestamp, maxAborted: zeroTimestamp };
}

function copyGeneration(from: Generation): Generation {
  return { ...from, entries: new Map(from.entries) };
}
