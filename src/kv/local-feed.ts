/**
 * The feeds of `LocalDb`: commits stand above the clock's last reading there, so all that it has read is resolved; but for those of
 * transactions that have fixed their timestamps, which nobody waits for here.
 */
import { isBetween, type Timers } from '../util/index.ts';
import { KvFailure } from './errors.ts';
import { compareTimestamps, type HlcClock } from './hlc.ts';
import {
  type ChangedValue,
  type FeedEvent,
  type FeedOptions,
  type SpanFeed,
} from './range-feed.ts';

const resolvedEveryMs = 200;

interface LocalFeedDeps {
  readonly clock: HlcClock;
  /** Without them only changes are told, and resolved timestamps with them. */
  readonly timers: Timers | undefined;
  readonly feeds: Set<LocalFeed>;
}

export class LocalFeed implements SpanFeed {
  readonly #deps: LocalFeedDeps;
  readonly #options: FeedOptions;
  #changes: ChangedValue[] = [];
  #wake: (() => void) | undefined;
  #isClosed = false;

  constructor(deps: LocalFeedDeps, options: FeedOptions) {
    this.#deps = deps;
    this.#options = options;
    deps.feeds.add(this);
  }

  publish(change: ChangedValue): void {
    const { spans, after, withPrevious } = this.#options;
    const { key, timestamp } = change;
    if (compareTimestamps(timestamp, after) <= 0) return;
    if (!spans.some(({ start, end }) => isBetween(key, start, end))) return;
    this.#changes.push(withPrevious ? change : { ...change, previous: undefined });
    this.#wake?.();
  }

  async next(): Promise<readonly FeedEvent[]> {
    if (this.#changes.length === 0 && !this.#isClosed) await this.#untilNews();
    if (this.#isClosed) throw new KvFailure({ kind: 'canceled' });
    const changes = this.#changes;
    this.#changes = [];
    return [...changes, { kind: 'resolved', timestamp: this.#deps.clock.now() }];
  }

  close(): void {
    this.#isClosed = true;
    this.#deps.feeds.delete(this);
    this.#wake?.();
  }

  #untilNews(): Promise<void> {
    return new Promise((resolve) => {
      const timer = this.#deps.timers?.after(resolvedEveryMs, () => this.#wake?.());
      this.#wake = () => {
        this.#wake = undefined;
        timer?.cancel();
        resolve();
      };
    });
  }
}
