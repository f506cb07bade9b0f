/** For faults that wait for something to happen. */
import { sleep } from '../../util/index.ts';
import { type Target } from './fault.ts';

/** Looks every millisecond; false when it did not come true in time. */
export async function waitFor(
  target: Target,
  limitMs: number,
  isSo: () => boolean,
): Promise<boolean> {
  const untilMs = target.world.nowMs + limitMs;
  while (!isSo()) {
    if (target.isOver || target.world.nowMs >= untilMs) return false;
    await sleep(target.world, 1);
  }
  return !target.isOver;
}
