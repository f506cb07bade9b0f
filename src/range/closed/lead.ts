/**
 * How far ahead of the clock a range is closed whose zone says global_reads: so far that, when a follower has learnt of
 * it, the uncertainty interval of a reader who begins then still lies below. That is the maximum clock offset twice over in the
 * worst case; readers whose clocks are ahead by more than the slack below go to the leaseholder. Figures are CockroachDB's.
 */
import { kvSettings, type ClusterSettings } from '../../kv/index.ts';

/** A round trip between the nodes that are furthest from each other. */
const roundTripMs = 150;
/** Consensus takes a trip to the followers and back, and their knowledge of the commit one more. */
const consensusMs = roundTripMs * 1.5 + 20;
const slackMs = 25;

/** Microseconds. */
export function leadMicros(settings: ClusterSettings, maxOffsetMicros: number): number {
  const intervalMs = settings.get(kvSettings.closedTimestampSideTransportInterval);
  const heardAfterMs = Math.max(consensusMs, roundTripMs / 2 + intervalMs);
  return maxOffsetMicros + (heardAfterMs + slackMs) * 1000;
}
