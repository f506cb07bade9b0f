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
