/**
 * Lots without chance: the same for the same pair of ids, scattered otherwise. Where several places are equally good,
 * different ranges choose different ones, and the same decision can be replayed.
 */

/** Lots are whole numbers from 0 up to this one. */
export const lotEnd = 2 ** 32;

/** Multiplicative hashing (the finalizer of MurmurHash3). */
export function lotOf(rangeId: number, other: number): number {
  let hash = Math.imul(rangeId ^ Math.imul(other, 0x9e3779b1), 0x85ebca6b);
  hash ^= hash >>> 13;
  hash = Math.imul(hash, 0xc2b2ae35);
  return (hash ^ (hash >>> 16)) >>> 0;
}

/** The one with the highest lot, the first of several. */
export function drawn<T>(from: readonly T[], lot: (each: T) => number): T | undefined {
  let best: T | undefined;
  let highest = -Infinity;
  for (const each of from) {
    const number = lot(each);
    if (number <= highest) continue;
    best = each;
    highest = number;
  }
  return best;
}
