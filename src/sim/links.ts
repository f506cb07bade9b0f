/** What is wrong with the network between machines: impairments of directed links, which add up. */

/** From one machine to another, by their indexes. */
export type Link = readonly [from: number, to: number];

export interface Impairment {
  /** Nothing arrives, and nobody is told. */
  readonly cut?: boolean;
  /** Added to every delivery. */
  readonly delayMs?: number;
  /** Probability that a delivery is lost together with its stream. */
  readonly loss?: number;
}

const machinesMax = 64;

export class Links {
  readonly #impaired = new Map<number, Set<Impairment>>();

  /** Until the returned function is called. */
  impair(links: readonly Link[], impairment: Impairment): () => void {
    for (const link of links) {
      const known = this.#impaired.get(keyOf(link));
      if (known === undefined) this.#impaired.set(keyOf(link), new Set([impairment]));
      else known.add(impairment);
    }
    return () => {
      for (const link of links) this.#impaired.get(keyOf(link))?.delete(impairment);
    };
  }

  heal(): void {
    this.#impaired.clear();
  }

  /** All impairments of a link together. */
  state(from: number, to: number): Required<Impairment> {
    const state = { cut: false, delayMs: 0, loss: 0 };
    for (const { cut, delayMs, loss } of this.#impaired.get(keyOf([from, to])) ?? []) {
      state.cut ||= cut === true;
      state.delayMs += delayMs ?? 0;
      state.loss = 1 - (1 - state.loss) * (1 - (loss ?? 0));
    }
    return state;
  }
}

function keyOf([from, to]: Link): number {
  return from * machinesMax + to;
}

/** All links between two groups, in both directions or only from the first to the second. */
export function linksBetween(
  a: readonly number[],
  b: readonly number[],
  direction: 'both' | 'one-way' = 'both',
): Link[] {
  const there = a.flatMap((x) => b.filter((y) => y !== x).map((y): Link => [x, y]));
  return direction === 'both' ? [...there, ...there.map(([x, y]): Link => [y, x])] : there;
}
