/** A piece of a feed's spans that lies in one range, as far as is known, and how far its changes are known. */
import { compareTimestamps, type Timestamp } from '../../kv/index.ts';

export interface FeedPart {
  readonly start: Buffer;
  end: Buffer;
  /** All changes up to here were delivered: it is begun anew here. */
  resolved: Timestamp;
  /** When `resolved` last moved (monotonic milliseconds), or somebody looked why it did not. */
  movedAtMs: number;
}

/** Up to where all parts are known. */
export function frontier(parts: Iterable<FeedPart>): Timestamp | undefined {
  let lowest: Timestamp | undefined;
  for (const { resolved } of parts) {
    if (lowest === undefined || compareTimestamps(resolved, lowest) < 0) lowest = resolved;
  }
  return lowest;
}
