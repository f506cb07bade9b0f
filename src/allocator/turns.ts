import { type StoreId } from '../kv/index.ts';
import { type StorePicture } from './types.ts';

/**
 * Whose turn it is to balance: live stores take turns, in the order of their ids. Two leaseholders that
 * looked at the same picture at the same time would both send a range to the emptiest store; taking turns,
 * each sees what the one before has done. Clocks that differ only make turns overlap.
 *
 * `nowMs` is wall time, `turnMs` how long a turn lasts.
 */
export function balanceTurn(
  stores: readonly StorePicture[],
  own: StoreId,
  nowMs: number,
  turnMs: number,
): boolean {
  const live = stores.filter((each) => each.status === 'live').map((each) => each.storeId);
  live.sort((a, b) => a - b);
  return live.length > 0 && live[Math.floor(nowMs / turnMs) % live.length] === own;
}

/**
 * Of the largest distance from the mean: what stores do of which the next one does not know yet never adds up to all of it,
 * and most of the machines is left for whoever works with them meanwhile.
 */
const shareOfTurn = 1 / 10;

/**
 * How many moves a store may begin in its turn: more the farther the cluster is from balance, so that the time to balance
 * grows with the logarithm of what there is to move. `least`: where nearly all is even; 0: none at all.
 */
export function movesInTurn(stores: readonly StorePicture[], least: number): number {
  if (least === 0) return 0;
  const live = stores.filter(({ status }) => status === 'live');
  const farthest = (countOf: (store: StorePicture) => number): number => {
    const counts = live.map(countOf);
    const mean = counts.reduce((sum, count) => sum + count, 0) / counts.length;
    return counts.reduce((most, count) => Math.max(most, Math.abs(count - mean)), 0);
  };
  const distance = Math.max(
    farthest(({ rangeCount }) => rangeCount),
    farthest(({ leaseCount }) => leaseCount),
  );
  return Math.max(least, Math.floor(distance * shareOfTurn));
}
