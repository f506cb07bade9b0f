/**
 * Transactions that this range knows to have ended: their intents are read through and resolved without asking again,
 * and an aborted one that does not know yet is told at its next request, before it misses its own
 * writes (trap X11). A bounded memory of final facts: forgetting one is only slower.
 */
import { type FinishedTxn, type TxnId } from '../../kv/index.ts';

const maxEntries = 4_096;

export class FinishedTxns {
  readonly #entries = new Map<TxnId, FinishedTxn>();
  readonly #onMet: (txn: FinishedTxn, key: Buffer) => void;

  /** `onMet`: a read has met an intent of a transaction that has ended. */
  constructor(onMet: (txn: FinishedTxn, key: Buffer) => void = () => undefined) {
    this.#onMet = onMet;
  }

  /** For reads that go through intents of finished transactions. */
  met(txnId: TxnId, key: Buffer): FinishedTxn | undefined {
    const txn = this.#entries.get(txnId);
    if (txn !== undefined) this.#onMet(txn, key);
    return txn;
  }

  get(txnId: TxnId): FinishedTxn | undefined {
    return this.#entries.get(txnId);
  }

  isAborted(txnId: TxnId): boolean {
    return this.#entries.get(txnId)?.status === 'aborted';
  }

  add(txn: FinishedTxn): void {
    if (txn.status !== 'committed' && txn.status !== 'aborted') return;
    this.#entries.set(txn.id, txn);
    if (this.#entries.size <= maxEntries) return;
    for (const oldest of this.#entries.keys()) {
      this.#entries.delete(oldest);
      return;
    }
  }

  copyTo(other: FinishedTxns): void {
    for (const txn of this.#entries.values()) other.add(txn);
  }
}
