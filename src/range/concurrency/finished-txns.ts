/**
 * Transactions that this range knows to have ended: their intents are resolved without asking again,
 * and an aborted one that does not know yet is told at its next request, before it misses its own
 * writes (trap X11). A bounded memory of final facts: forgetting one is only slower.
 */
import { type FinishedTxn, type TxnId } from '../../kv/index.ts';

const maxEntries = 4_096;

export class FinishedTxns {
  readonly #entries = new Map<TxnId, FinishedTxn>();

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
