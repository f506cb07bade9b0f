/**
 * Where the clocks of other nodes stand, and what they say of this node's (trap T11). Pure bookkeeping over readings that
 * `machine-clock.ts` hands in.
 *
 * Another machine's wall clock is kept as its distance from this machine's *monotonic* clock: when the wall clock here is set,
 * the measurements stay right, so a jump shows at the first reading and not with the next message. How the two monotonic
 * clocks drift apart while a measurement counts is far less than what is tolerated.
 */
import { type NodeId } from './ids.ts';

/** Microseconds. The true distance (their wall clock - our monotonic clock) lies within `distance` +- `uncertainty`. */
export interface ClockMeasurement {
  readonly distance: number;
  readonly uncertainty: number;
}

interface Measured extends ClockMeasurement {
  readonly atMs: number;
}

export type ClockVerdict =
  | { readonly kind: 'agrees' }
  | {
      readonly kind: 'differs';
      readonly sentence: string;
      /** Where the others stand, if most nodes are there: the median of their distances. */
      readonly others: number | undefined;
    };

/** Of the maximum offset: clocks go on drifting. */
const toleratedShare = 0.8;
/** A silent node is a witness for so long: at 200 ppm of drift it is wrong by 12 ms then. */
const validMs = 60_000;

const agrees: ClockVerdict = { kind: 'agrees' };

export class ClockOffsets {
  readonly #measured = new Map<NodeId, Measured>();
  readonly #toleratedMicros: number;

  constructor(maxOffsetMicros: number) {
    this.#toleratedMicros = maxOffsetMicros * toleratedShare;
  }

  get isEmpty(): boolean {
    return this.#measured.size === 0;
  }

  note(node: NodeId, measured: ClockMeasurement, nowMs: number): void {
    this.#measured.set(node, { ...measured, atMs: nowMs });
  }

  /**
   * Of a wall clock that stands at `distance`; undefined when there is nobody to compare with. It is wrong when it agrees
   * with half of all nodes or fewer, itself counted. A node whose offset may be within what is tolerated agrees.
   */
  judge(distance: number, nowMs: number): ClockVerdict | undefined {
    const valid = this.#valid(nowMs);
    if (valid.length === 0) return undefined;
    const away = valid.filter((each) => this.#isAway(each, distance));
    const nodes = valid.length + 1;
    if (2 * (nodes - away.length) > nodes) return agrees;
    const furthest = Math.max(...away.map((each) => Math.abs(each.distance - distance)));
    return {
      kind: 'differs',
      sentence:
        `the clock of this machine differs by up to ${ms(furthest)} from those of ${away.length} of ${valid.length} other nodes, ` +
        `more than ${ms(this.#toleratedMicros)} (80 % of the maximum offset)`,
      others: this.#most(valid),
    };
  }

  /** Mean distance of the clocks of others from one at `distance`, in microseconds. */
  meanMicros(distance: number, nowMs: number): number {
    const valid = this.#valid(nowMs);
    if (valid.length === 0) return 0;
    return valid.reduce((sum, each) => sum + each.distance - distance, 0) / valid.length;
  }

  /** Two nodes that differ are no majority: nobody knows which one is right. */
  #most(valid: readonly Measured[]): number | undefined {
    const sorted = valid.map(({ distance }) => distance).sort((a, b) => a - b);
    const median = sorted[Math.floor(sorted.length / 2)] ?? 0;
    const near = valid.filter((each) => !this.#isAway(each, median));
    return 2 * near.length > valid.length + 1 ? median : undefined;
  }

  #isAway(measured: Measured, distance: number): boolean {
    return Math.abs(measured.distance - distance) - measured.uncertainty > this.#toleratedMicros;
  }

  #valid(nowMs: number): Measured[] {
    for (const [node, { atMs }] of this.#measured) {
      if (nowMs - atMs > validMs) this.#measured.delete(node);
    }
    return [...this.#measured.values()];
  }
}

function ms(micros: number): string {
  return `${Math.round(micros / 1000)} ms`;
}
