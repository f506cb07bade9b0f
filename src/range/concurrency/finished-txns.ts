/**
 * Transactions that this range knows to have ended: their intents are read through and resolved without asking again,
 * and an aborted one that does not know yet is told at its next request, before it misses its own
 * writes (trap X11). A bounded memory of final facts: forgetting one is only slower.
 *
 * Commits may be known before the records say so. Such intents are read through, too, but nobody resolves them: whoever has to recover
 * the transaction still has to find them (trap X4).
 */
import { type FinishedTxn, type TxnId } from '../../kv/index.ts';

const maxEntries = 4_096;

export class FinishedTxns {
  readonly #entries = new Map<TxnId, FinishedTxn>();
  readonly #announced = new Map<TxnId, FinishedTxn>();
  readonly #onMet: (txn: FinishedTxn, key: Buffer) => void;

  /** `onMet`: a read has met an intent of a transaction whose record says that it has ended. */
  constructor(onMet: (txn: FinishedTxn, key: Buffer) => void = () => undefined) {
    this.#onMet = onMet;
  }

  /** For reads that go through intents of finished transactions. */
  met(txnId: TxnId, key: Buffer): FinishedTxn | undefined {
    const txn = this.get(txnId);
    if (txn !== undefined) this.#onMet(txn, key);
    return this.outcomeOf(txnId);
  }

  /** How it has ended, whatever its record says. */
  outcomeOf(txnId: TxnId): FinishedTxn | undefined {
    return this.get(txnId) ?? this.#announced.get(txnId);
  }

  /** How it has ended as its record says: what it left may be resolved. */
  get(txnId: TxnId): FinishedTxn | undefined {
    return this.#entries.get(txnId);
  }

  isAborted(txnId: TxnId): boolean {
    return this.#entries.get(txnId)?.status === 'aborted';
  }

  add(txn: FinishedTxn): void {
    if (txn.status !== 'committed' && txn.status !== 'aborted') return;
    this.#announced.delete(txn.id);
    remember(this.#entries, txn);
  }

  /** It has committed; its record may not say so yet. */
  announce(txn: FinishedTxn): void {
    if (!this.#entries.has(txn.id)) remember(this.#announced, txn);
  }

  copyTo(other: FinishedTxns): void {
    for (const txn of this.#entries.values()) other.add(txn);
    for (const txn of this.#announced.values()) other.announce(txn);
  }
}

function remember(entries: Map<TxnId, FinishedTxn>, txn: FinishedTxn): void {
  entries.set(txn.id, txn);
  if (entries.size <= maxEntries) return;
  for (const oldest of entries.keys()) {
    entries.delete(oldest);
    return;
  }
}
