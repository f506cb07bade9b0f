/**
 * Prepared transactions of LocalDb: what they will write, and when in time. They keep their locks, so nobody else writes there;
 * who reads at or above their timestamp waits for the lock.
 */
import { type LocalOwner } from './local-db.ts';
import { compareTimestamps, type Timestamp } from './hlc.ts';
import { type TxnId } from './ids.ts';
import { spanContains } from './request-span.ts';
import { type Span } from './txn.ts';

export interface PreparedWrites extends LocalOwner {
  readonly keys: readonly Buffer[];
  readonly timestamp: Timestamp;
  readonly end: (status: 'committed' | 'aborted') => void;
}

export class LocalPrepared {
  readonly #txns = new Map<TxnId, PreparedWrites>();

  add(txn: PreparedWrites): void {
    this.#txns.set(txn.id, txn);
  }

  has(id: TxnId): boolean {
    return this.#txns.has(id);
  }

  end(id: TxnId, status: 'committed' | 'aborted'): boolean {
    const txn = this.#txns.get(id);
    if (txn === undefined) return false;
    this.#txns.delete(id);
    txn.end(status);
    return true;
  }

  /** The first key of `span` that one of them may write in (after, upTo]. */
  firstKey(
    span: Span,
    after: Timestamp | undefined,
    upTo: Timestamp | undefined,
  ): Buffer | undefined {
    for (const { keys, timestamp } of this.#txns.values()) {
      if (after !== undefined && compareTimestamps(timestamp, after) <= 0) continue;
      if (upTo !== undefined && compareTimestamps(timestamp, upTo) > 0) continue;
      const found = keys.find((key) => spanContains(span, key));
      if (found !== undefined) return found;
    }
    return undefined;
  }
}
