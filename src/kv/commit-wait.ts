/**
 * Commit wait: what happened at a timestamp ahead of the clocks is told to nobody before this node's clock has passed it. Whoever
 * begins afterwards, on any node, has an uncertainty interval that reaches at least that far, so it sees what
 * was told (Spanner, 2012, section 4.1.2; CockroachDB's non-blocking transactions).
 *
 * Only ranges that are closed ahead (zone variable global_reads) put writes there: for all others this is one comparison.
 */
import { sleep, type Env } from '../util/index.ts';
import { addMicros, compareTimestamps, type HlcClock, type Timestamp } from './hlc.ts';

/** Resolves as soon as `clock` is above `t`. */
export async function untilPast(env: Env, clock: HlcClock, t: Timestamp): Promise<void> {
  for (;;) {
    const now = clock.now();
    if (compareTimestamps(now, t) > 0) return;
    await sleep(env, Math.max(1, Math.ceil((t.wall - now.wall) / 1000)));
  }
}

/**
 * Commit wait of a transaction. `isStrict`: until the clocks of all nodes have passed it; no two of them are farther apart
 * than the maximum offset.
 */
export function untilCommitIsPast(
  parts: { readonly env: Env; readonly clock: HlcClock },
  committed: Timestamp,
  { isStrict }: { readonly isStrict: boolean },
): Promise<void> {
  const { env, clock } = parts;
  return untilPast(env, clock, isStrict ? addMicros(committed, clock.maxOffsetMicros) : committed);
}
