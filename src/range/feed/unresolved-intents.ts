/**
 * The intents of a range, counted by transaction and timestamp: what was written there may still be committed there, or above.
 * The oldest one holds the resolved timestamp of the range back.
 *
 * It begins with a snapshot that is read behind the traffic, while changes behind the snapshot are counted as they come. An intent of
 * the snapshot may so be gone before it is met: its count is below zero for a while.
 */
import { compareTimestamps, formatTimestamp, type RangeDescriptor } from '../../kv/index.ts';
import { headSpan, HeadReader, type EngineSnapshot, type Intent } from '../../storage/index.ts';
import { yieldTurn, type Env } from '../../util/index.ts';
import { type HeadChange } from './head-changes.ts';

const pageRows = 512;

interface Counted {
  /** One of them: who wrote it, and when. */
  readonly intent: Intent;
  count: number;
}

export class UnresolvedIntents {
  readonly #counted = new Map<string, Counted>();

  /** Counts what `snapshot` holds of the range; the snapshot is the caller's. */
  async scan(
    env: Pick<Env, 'timers'>,
    snapshot: EngineSnapshot,
    range: Pick<RangeDescriptor, 'startKey' | 'endKey'>,
  ): Promise<void> {
    const head = new HeadReader();
    const iterator = snapshot.iterate(headSpan(range.startKey, range.endKey));
    try {
      for (;;) {
        const page = await iterator.next(pageRows);
        if (page.length === 0) return;
        for (const [, record] of page) {
          head.read(record);
          if (head.intent !== undefined) this.#count(head.intent, 1);
        }
        await yieldTurn(env);
      }
    } finally {
      await iterator.close();
    }
  }

  note({ before, after }: HeadChange): void {
    if (before?.intent !== undefined) this.#count(before.intent, -1);
    if (after?.intent !== undefined) this.#count(after.intent, 1);
  }

  get oldest(): Intent | undefined {
    let oldest: Intent | undefined;
    for (const { intent, count } of this.#counted.values()) {
      if (count <= 0) continue;
      if (oldest === undefined || compareTimestamps(intent.timestamp, oldest.timestamp) < 0) {
        oldest = intent;
      }
    }
    return oldest;
  }

  /**
   * One intent of each transaction that has some below `wall` (microseconds), at most `max`. They go behind the others, so that
   * transactions about which nothing can be done do not keep the next call from those behind them.
   */
  nextOlderThan(wall: number, max: number): Intent[] {
    const found = new Map<string, Intent>();
    const moved: [string, Counted][] = [];
    for (const [name, counted] of this.#counted) {
      if (found.size >= max) break;
      const { intent, count } = counted;
      if (count <= 0 || intent.timestamp.wall >= wall) continue;
      found.set(intent.txnId, intent);
      moved.push([name, counted]);
    }
    for (const [name, counted] of moved) {
      this.#counted.delete(name);
      this.#counted.set(name, counted);
    }
    return [...found.values()];
  }

  #count(intent: Intent, by: 1 | -1): void {
    const name = `${intent.txnId} ${formatTimestamp(intent.timestamp)}`;
    const counted = this.#counted.get(name);
    if (counted === undefined) this.#counted.set(name, { intent: bare(intent), count: by });
    else if (counted.count + by === 0) this.#counted.delete(name);
    else counted.count += by;
  }
}

/** Without what it wrote, and without a hold on the memory that it was read from. */
function bare(intent: Intent): Intent {
  return { ...intent, anchor: Buffer.from(intent.anchor), value: undefined, history: [] };
}
