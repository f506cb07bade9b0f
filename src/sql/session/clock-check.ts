/**
 * A node whose clock is too far from the others' begins no statement and no session (`kv/machine-clock.ts`). What has begun
 * goes on, and a transaction may end: it keeps the timestamps that it was given while the clock was right.
 */
import { type HlcClock } from '../../kv/index.ts';
import { sqlError } from '../errors.ts';

/** Throws 57P03, which names the offset. */
export function refuseWrongClock(clock: HlcClock): void {
  const complaint = clock.complaint();
  if (complaint === undefined) return;
  throw sqlError('cannotConnectNow', `the node does not serve: ${complaint}`, {
    hint: 'Use another node, or synchronise the clock: the node serves again once it has agreed with the others for some seconds.',
  });
}
