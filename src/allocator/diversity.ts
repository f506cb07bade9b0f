/**
 * How far apart two places are: 1 when they differ in the first tier, less the later they differ, 0
 * when they are the same. Replicas are as diverse as their pairs are on average (`candidates.ts`).
 */

export type Locality = readonly (readonly [string, string])[];

export function distance(a: Locality, b: Locality): number {
  const tiers = Math.max(a.length, b.length);
  for (let i = 0; i < tiers; i++) {
    if (a[i]?.[1] !== b[i]?.[1]) return (tiers - i) / tiers;
  }
  return 0;
}
