/**
 * Counts the right side of a split while the range goes on serving: a scan over a snapshot, plus the
 * deltas of the commands that come between the snapshot and the split in the log. A command that
 * writes on both sides is counted on the left; the drift is corrected by the next split's scan.
 */
import { computeStats, rangeSpans, keySpans } from '../../storage/index.ts';
import {
  addStats,
  type EngineSnapshot,
  type EngineSpan,
  type MvccStats,
  zeroStats,
} from '../../storage/index.ts';
import { type RangeDescriptor } from '../../kv/index.ts';
import { type Command } from '../ports.ts';

export class RightSideStats {
  readonly #right: RangeDescriptor;
  readonly #spans: readonly EngineSpan[];
  #sum: MvccStats = zeroStats;

  constructor(right: RangeDescriptor) {
    this.#right = right;
    this.#spans = rangeSpans(right);
  }

  /** Closes the snapshot. */
  async scan(snapshot: EngineSnapshot): Promise<void> {
    try {
      for (const span of keySpans(this.#right)) {
        this.#sum = addStats(this.#sum, await computeStats(snapshot, span.start, span.end));
      }
    } finally {
      snapshot.close();
    }
  }

  add(command: Command): void {
    if (command.writes.length === 0) return;
    for (const write of command.writes) {
      const inside = this.#spans.some(
        (span) => write.key.compare(span.start) >= 0 && write.key.compare(span.end) < 0,
      );
      if (!inside) return;
    }
    this.#sum = addStats(this.#sum, command.statsDelta);
  }

  result(): MvccStats {
    return this.#sum;
  }
}
