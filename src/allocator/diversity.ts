/**
 * How far apart two places are: 1 when they differ in the first tier, less the later they differ, 0
 * when they are the same. A set of replicas is as diverse as its pairs are on average.
 */

export type Locality = readonly (readonly [string, string])[];

export function distance(a: Locality, b: Locality): number {
  const tiers = Math.max(a.length, b.length);
  for (let i = 0; i < tiers; i++) {
    if (a[i]?.[1] !== b[i]?.[1]) return (tiers - i) / tiers;
  }
  return 0;
}

/** Average distance of `place` to `others`; 1 when there are none. */
export function diversityOf(place: Locality, others: readonly Locality[]): number {
  if (others.length === 0) return 1;
  let sum = 0;
  for (const other of others) sum += distance(place, other);
  return sum / others.length;
}
