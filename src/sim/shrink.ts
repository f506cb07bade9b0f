/**
 * The smallest part of a failing run's faults that still fails: delta debugging over the list (Zeller, Hildebrandt,
 * "Simplifying and isolating failure-inducing input", 2002), then shorter times of what is left.
 */
import { type Selection } from './faults/schedule.ts';

/** Times are not made shorter than by this. */
const divisorMax = 64;

/** `fails` must hold of all `ids` together. It is called at most `triesMax` times. */
export async function shrink(
  ids: readonly number[],
  triesMax: number,
  fails: (selection: Selection) => Promise<boolean>,
): Promise<Selection> {
  let tries = 0;
  const stillFails = async (selection: Selection): Promise<boolean> =>
    ++tries <= triesMax && (await fails(selection));
  const whole = (part: readonly number[]): Selection => new Map(part.map((id) => [id, 1]));
  let left = [...ids];
  for (let pieces = 2; left.length > 0 && tries < triesMax;) {
    const size = Math.ceil(left.length / pieces);
    let smaller: number[] | undefined;
    for (let at = 0; at < left.length && smaller === undefined; at += size) {
      const rest = [...left.slice(0, at), ...left.slice(at + size)];
      if (await stillFails(whole(rest))) smaller = rest;
    }
    if (smaller !== undefined) {
      left = smaller;
      pieces = Math.max(2, pieces - 1);
    } else if (size === 1) break;
    else pieces = Math.min(left.length, pieces * 2);
  }
  let best = new Map(whole(left));
  for (const id of left) {
    for (let divisor = divisorMax; divisor > 1; divisor /= 4) {
      const shorter = new Map(best).set(id, 1 / divisor);
      if (!(await stillFails(shorter))) continue;
      best = shorter;
      break;
    }
  }
  return best;
}
