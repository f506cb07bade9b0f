/**
 * Counts the right side of a split while the range goes on serving: a scan over a snapshot, the deltas
 * of the commands that come between the snapshot and the split in the log, and the split's own writes.
 * Another command that writes on both sides is counted on the left; the next split's scan sees it right.
 */
import { type RangeDescriptor } from '../../kv/index.ts';
import {
  addStats,
  computeStats,
  keySpans,
  rangeSpans,
  subtractStats,
  zeroStats,
  type EngineReader,
  type EngineSnapshot,
  type EngineSpan,
  type EngineWrite,
  type MvccStats,
} from '../../storage/index.ts';
import { isBetween } from '../../util/index.ts';
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
    if (!command.writes.every((write) => this.#holds(write.key))) return;
    this.#sum = addStats(this.#sum, command.statsDelta);
  }

  /** Counts those writes that fall on the right side, over what `reader` holds now. */
  async addWrites(command: Command, reader: EngineReader): Promise<void> {
    const after = command.writes.filter((write) => this.#holds(write.key));
    const before = after.map(({ key }) => ({ key, value: reader.get(key) }));
    this.#sum = subtractStats(
      addStats(this.#sum, await this.#sizeOf(after)),
      await this.#sizeOf(before),
    );
  }

  async #sizeOf(rows: readonly EngineWrite[]): Promise<MvccStats> {
    let sum = zeroStats;
    for (const span of keySpans(this.#right)) {
      sum = addStats(sum, await computeStats(readerOf(rows), span.start, span.end));
    }
    return sum;
  }

  #holds(key: Buffer): boolean {
    return this.#spans.some((span) => isBetween(key, span.start, span.end));
  }

  result(): MvccStats {
    return this.#sum;
  }
}

/** The rows that have a value, as a reader. */
function readerOf(rows: readonly EngineWrite[]): EngineReader {
  return {
    get: (key) => rows.find((row) => row.key.equals(key))?.value,
    iterate({ start, end }) {
      let left = rows
        .flatMap(({ key, value }): [Buffer, Buffer][] =>
          value === undefined ? [] : [[key, value]],
        )
        .filter(([key]) => isBetween(key, start, end))
        .sort(([a], [b]) => a.compare(b));
      return {
        async next(max) {
          const page = left.slice(0, max);
          left = left.slice(max);
          return page;
        },
        async close() {},
      };
    },
  };
}
