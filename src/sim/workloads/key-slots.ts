/** Numbered keys in use, from 0: each is replaced by a new one after so many operations. */
import { type SqlRandom } from '../sql-program.ts';

export class KeySlots {
  readonly #slots: { key: number; operations: number }[];
  readonly #operationsPerKey: number;

  constructor(active: number, operationsPerKey: number) {
    this.#slots = Array.from({ length: active }, (_, key) => ({ key, operations: 0 }));
    this.#operationsPerKey = operationsPerKey;
  }

  /** Those in use. */
  get keys(): number[] {
    return this.#slots.map(({ key }) => key);
  }

  /** The key of one more operation. */
  draw(random: Pick<SqlRandom, 'pick'>): number {
    const slot = random.pick(this.#slots);
    if (slot.operations++ >= this.#operationsPerKey) {
      slot.key += this.#slots.length;
      slot.operations = 1;
    }
    return slot.key;
  }
}
