/**
 * One-phase commits that this store has applied. They leave neither a record nor an intent, so when the answer to one is
 * lost together with its leaseholder, this is what the next one tells its coordinator from.
 *
 * A memory of bounded size, in two generations like that of `TxnTombstones`, and gone with the process: who asks for a transaction
 * that may have been forgotten is told that nobody knows.
 *
 * INVARIANT: the commit of a transaction that began above `forgottenUpTo` is found once it was noted.
 */
import { laterTimestamp, zeroTimestamp, type Timestamp, type TxnId } from '../../kv/index.ts';
import { type CommittedTxn } from '../ports.ts';

interface Generation {
  /** What they committed at. */
  readonly commits: Map<TxnId, Timestamp>;
  /** No transaction in here began later. */
  max: Timestamp;
}

const defaultMaxEntries = 16_384;

export class AppliedCommits {
  readonly #maxEntries: number;
  #forgottenUpTo = zeroTimestamp;
  #young = newGeneration();
  #old = newGeneration();

  constructor(maxEntries = defaultMaxEntries) {
    this.#maxEntries = maxEntries;
  }

  /** Nothing is forgotten of a transaction that began above it. */
  get forgottenUpTo(): Timestamp {
    return this.#forgottenUpTo;
  }

  /** `at`: the leaseholder's clock when it evaluated the commit, at or above the beginning of the transaction. */
  note({ id, timestamp }: CommittedTxn, at: Timestamp): void {
    const young = this.#young;
    young.commits.set(id, timestamp);
    young.max = laterTimestamp(young.max, at);
    if (young.commits.size < this.#maxEntries) return;
    this.#forgottenUpTo = laterTimestamp(this.#forgottenUpTo, this.#old.max);
    this.#old = young;
    this.#young = newGeneration();
  }

  find(id: TxnId): Timestamp | undefined {
    return this.#young.commits.get(id) ?? this.#old.commits.get(id);
  }
}

function newGeneration(): Generation {
  return { commits: new Map(), max: zeroTimestamp };
}
