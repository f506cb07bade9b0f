/**
 * How far behind the clock ranges are closed, or ahead of it where the zone says global_reads: so far that, when a follower
 * has learnt of it, the uncertainty interval of a reader who begins then still lies below. That is the maximum clock offset
 * twice over in the worst case; readers whose clocks are ahead by more than the slack below go to the leaseholder. Figures
 * are CockroachDB's.
 */
import { kvSettings, type ClusterSettings, type HlcClock } from '../../kv/index.ts';

/** A round trip between the nodes that are furthest from each other. */
const roundTripMs = 150;
/** Consensus takes a trip to the followers and back, and their knowledge of the commit one more. */
const consensusMs = roundTripMs * 1.5 + 20;
const slackMs = 25;

/** Microseconds. */
function leadMicros(settings: ClusterSettings, maxOffsetMicros: number): number {
  const intervalMs = settings.get(kvSettings.closedTimestampSideTransportInterval);
  const heardAfterMs = Math.max(consensusMs, roundTripMs / 2 + intervalMs);
  return maxOffsetMicros + (heardAfterMs + slackMs) * 1000;
}

/** See `ReplicaHost.closingTarget`; 0: nothing is closed. */
export function closingTarget(
  settings: ClusterSettings,
  clock: Pick<HlcClock, 'now' | 'maxOffsetMicros'>,
  ahead: boolean,
): number {
  const behindMs = settings.get(kvSettings.closedTimestampTarget);
  if (behindMs === 0) return 0;
  const now = clock.now().wall;
  return ahead && settings.get(kvSettings.followerReads)
    ? now + leadMicros(settings, clock.maxOffsetMicros)
    : now - behindMs * 1000;
}
