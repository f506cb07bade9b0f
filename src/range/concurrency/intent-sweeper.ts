/**
 * Sweeps up behind finished transactions. A plain read takes the intents of a transaction that is known
 * to have ended for what they will become and goes on; this notes where they were and, when nobody
 * else has resolved them a moment later, does so for all of them at once.
 */
import { isLocalKey } from '../../encoding/index.ts';
import { type FinishedTxn, type Span } from '../../kv/index.ts';
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
  /** By transaction; each local key by itself: between those of one range lie others' keys. */
  readonly #met = new Map<string, Met>();

  constructor(env: Env, resolve: (span: Span, txn: FinishedTxn) => Promise<unknown>) {
    this.#env = env;
    this.#resolve = resolve;
  }

  /** An intent of `txn`, which has ended, was read at `key`. */
  note(txn: FinishedTxn, key: Buffer): void {
    const name = isLocalKey(key) ? `${txn.id} ${key.toString('latin1')}` : txn.id;
    const met = this.#met.get(name);
    if (met === undefined) {
      this.#met.set(name, { txn, first: key, last: key });
      this.#env.timers.after(delayMs, () => this.#sweep(name));
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

  #sweep(name: string): void {
    const met = this.#met.get(name);
    if (met === undefined) return;
    this.#met.delete(name);
    // The keys are pieces of pages that were read: what is kept is a copy.
    const start = Buffer.from(met.first);
    const span = { start, end: isLocalKey(start) ? undefined : nextKey(met.last) };
    this.#resolve(span, met.txn).catch((error: unknown) => {
      this.#env.log.warn(
        { txn: met.txn.id, error: String(error) },
        'intents could not be resolved',
      );
    });
  }
}
