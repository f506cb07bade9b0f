/**
 * Sweeps up behind finished transactions. A plain read takes the intents of a transaction that is known
 * to have ended for what they will become and goes on; this notes where they were and, when nobody
 * else has resolved them a moment later, does so for all of them at once.
 */
import { type FinishedTxn, type Span, type TxnId } from '../../kv/index.ts';
import { nextKey, type Env } from '../../util/index.ts';

/** The coordinator, which resolves its intents right after the commit, gets a head start. */
const delayMs = 1_000;

interface Met {
  readonly txn: FinishedTxn;
  first: Buffer;
  last: Buffer;
}

export class IntentSweeper {
  readonly #env: Env;
  readonly #resolve: (span: Span, txn: FinishedTxn) => Promise<unknown>;
  readonly #met = new Map<TxnId, Met>();

  constructor(env: Env, resolve: (span: Span, txn: FinishedTxn) => Promise<unknown>) {
    this.#env = env;
    this.#resolve = resolve;
  }

  /** An intent of `txn`, which has ended, was read at `key`. */
  note(txn: FinishedTxn, key: Buffer): void {
    const met = this.#met.get(txn.id);
    if (met === undefined) {
      this.#met.set(txn.id, { txn, first: key, last: key });
      this.#env.timers.after(delayMs, () => this.#sweep(txn.id));
      return;
    }
    if (key.compare(met.first) < 0) met.first = key;
    else if (key.compare(met.last) > 0) met.last = key;
  }

  get idle(): boolean {
    return this.#met.size === 0;
  }

  clear(): void {
    this.#met.clear();
  }

  #sweep(id: TxnId): void {
    const met = this.#met.get(id);
    if (met === undefined) return;
    this.#met.delete(id);
    // The keys are pieces of pages that were read: what is kept is a copy.
    const span = { start: Buffer.from(met.first), end: nextKey(met.last) };
    this.#resolve(span, met.txn).catch((error: unknown) => {
      this.#env.log.warn({ txn: id, error: String(error) }, 'intents could not be resolved');
    });
  }
}
