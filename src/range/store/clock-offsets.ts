/**
 * How far the clocks of other stores' machines are from this one's, and whether this one can be trusted (trap T11).
 * Pure bookkeeping; `liveness-driver.ts` measures with every heartbeat.
 *
 * Transactions are right only while clocks differ by less than the maximum offset: a value that was written before a
 * read began must have a timestamp below the read's uncertainty limit. A store that is too far from too many others
 * therefore ends itself: 80 % of the maximum, because clocks go on drifting.
 */
import { type StoreId } from '../../kv/index.ts';

/** Microseconds. The true offset (theirs - ours) lies within `offset` +- `uncertainty` (half of a round trip). */
export interface ClockOffset {
  readonly offset: number;
  readonly uncertainty: number;
}

interface Measured extends ClockOffset {
  readonly atMs: number;
}

const toleratedShare = 0.8;

export class ClockOffsets {
  readonly #measured = new Map<StoreId, Measured>();
  readonly #toleratedMicros: number;
  readonly #validMs: number;

  /** A measurement counts for `validMs`: stores that are silent say nothing about the time. */
  constructor(options: { readonly maxOffsetMicros: number; readonly validMs: number }) {
    this.#toleratedMicros = options.maxOffsetMicros * toleratedShare;
    this.#validMs = options.validMs;
  }

  note(store: StoreId, measured: ClockOffset, nowMs: number): void {
    this.#measured.set(store, { ...measured, atMs: nowMs });
  }

  /**
   * Why this store must not go on, or undefined: it agrees with half of all stores or fewer, itself counted. A store
   * whose offset may be within what is tolerated agrees.
   */
  verdict(nowMs: number): string | undefined {
    const valid = this.#valid(nowMs);
    const away = valid.filter(
      ({ offset, uncertainty }) => Math.abs(offset) - uncertainty > this.#toleratedMicros,
    );
    const stores = valid.length + 1;
    if (2 * (stores - away.length) > stores) return undefined;
    const furthest = Math.max(...away.map(({ offset }) => Math.abs(offset)));
    return (
      `the clock of this machine differs by up to ${ms(furthest)} from those of ${away.length} of ${valid.length} other stores, ` +
      `more than ${ms(this.#toleratedMicros)} (80 % of the maximum offset): synchronise it, then start this node again`
    );
  }

  /** Mean distance from the clocks of others, in microseconds. */
  meanMicros(nowMs: number): number {
    const valid = this.#valid(nowMs);
    if (valid.length === 0) return 0;
    return valid.reduce((sum, { offset }) => sum + offset, 0) / valid.length;
  }

  #valid(nowMs: number): Measured[] {
    return [...this.#measured.values()].filter(({ atMs }) => nowMs - atMs <= this.#validMs);
  }
}

function ms(micros: number): string {
  return `${Math.round(micros / 1000)} ms`;
}
