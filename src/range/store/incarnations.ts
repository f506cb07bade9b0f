/**
 * Notices a store that is an older copy of itself: a restored backup, a snapshot of its volume (trap L14). It has
 * forgotten votes, promises and entries that others count on.
 *
 * What tells a copy from the store is its clock bound, which is kept ahead of the clock: a heartbeat is only sent below
 * the bound on disk. Every start moves the bound, and the first one it writes names this life of the store (its
 * incarnation). A store that was heard of at W in one life therefore resumes the next one from a bound above W; one
 * that resumes from less has been put back to some moment before W. Stores write down what they heard along with
 * their own bound, so a restart does not make them forget.
 */
import { type StoreId } from '../../kv/index.ts';

/** What makes a life of a store: HLC wall microseconds. */
export interface Life {
  readonly incarnation: number;
  /** The bound that it found at its start; 0 for a new store. */
  readonly resumedFrom: number;
}

/** The last heartbeat of a store: in which life, and its HLC wall microseconds. */
export interface Heard {
  readonly storeId: StoreId;
  readonly incarnation: number;
  readonly wall: number;
}

export class Incarnations {
  readonly #heard = new Map<StoreId, Heard>();

  /** From before a restart. */
  restore(heard: readonly Heard[]): void {
    for (const each of heard) this.#heard.set(each.storeId, each);
  }

  all(): Heard[] {
    return [...this.#heard.values()];
  }

  /** Undefined: it may be the store. Otherwise the latest heartbeat, which this one cannot come behind. */
  outdatedBy(
    storeId: StoreId,
    { incarnation, resumedFrom }: Life,
    wall: number,
  ): Heard | undefined {
    const known = this.#heard.get(storeId);
    if (known !== undefined && incarnation !== known.incarnation && resumedFrom <= known.wall) {
      return known;
    }
    if (known === undefined || wall > known.wall) {
      this.#heard.set(storeId, { storeId, incarnation, wall });
    }
    return undefined;
  }
}
