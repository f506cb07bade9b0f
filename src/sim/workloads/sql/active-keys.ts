/** The keys that transactions of reads and writes are about: few and popular ones, which are replaced when they have been written often. */
import { type SqlRandom } from '../../sql-program.ts';

const keysInUse = 10;
const writesPerKey = 64;

export class ActiveKeys {
  /** Each half as popular again as the one behind it. */
  readonly #slots = Array.from({ length: keysInUse }, (_, key) => ({ key, writes: 0 }));
  #keys = keysInUse;
  #values = 0;

  /** That were ever in use. */
  get all(): number[] {
    return Array.from({ length: this.#keys }, (_, key) => key);
  }

  /** `value`: what to write, which nobody else writes; undefined for a read. */
  draw(random: SqlRandom): { readonly key: number; readonly value: number | undefined } {
    let index = 0;
    while (index < this.#slots.length - 1 && random.chance(1 / 3)) index++;
    const slot = random.pick(this.#slots.slice(index, index + 1));
    if (random.chance(0.5)) return { key: slot.key, value: undefined };
    if (slot.writes === writesPerKey) {
      slot.key = this.#keys++;
      slot.writes = 0;
    }
    slot.writes++;
    return { key: slot.key, value: this.#values++ };
  }
}
