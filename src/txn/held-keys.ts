/**
 * Keys that a transaction holds (`Txn.hold`): each by an intent of its own. When the transaction ends, the sequences of these intents
 * are added to those that were rolled back, so its commit leaves no version of them.
 */
import { type SequenceSpan } from '../kv/index.ts';

export class HeldKeys {
  readonly #sequences = new Map<string, number>();

  has(key: Buffer): boolean {
    return this.#sequences.has(key.toString('latin1'));
  }

  /** The first hold of a key counts: an earlier savepoint than that one gives it up. */
  add(key: Buffer, sequence: number): void {
    const name = key.toString('latin1');
    if (!this.#sequences.has(name)) this.#sequences.set(name, sequence);
  }

  rollbackTo(savepoint: number): void {
    for (const [name, sequence] of this.#sequences) {
      if (sequence > savepoint) this.#sequences.delete(name);
    }
  }

  get spans(): readonly SequenceSpan[] {
    const spans: { from: number; to: number }[] = [];
    for (const at of this.#sequences.values()) {
      const last = spans.at(-1);
      if (last?.to === at - 1) last.to = at;
      else spans.push({ from: at, to: at });
    }
    return spans;
  }
}
