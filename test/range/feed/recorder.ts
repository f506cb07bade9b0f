/** Listens to a feed and holds it to its promises: order per key, and that what is resolved is complete. */
import {
  compareTimestamps,
  formatTimestamp,
  KvFailure,
  zeroTimestamp,
  type ChangedValue,
  type SpanFeed,
  type Timestamp,
} from '../../../src/kv/index.ts';

export class Recorder {
  /** Every version that was delivered, once, by `version`. */
  readonly versions = new Map<string, ChangedValue>();
  /** What was promised and not kept. */
  readonly problems: string[] = [];
  /** What came, since it was last looked at. */
  news: ChangedValue[] = [];
  resolved: Timestamp = zeroTimestamp;
  repeated = 0;
  /** How it ended. */
  failure: string | undefined;
  readonly #newest = new Map<string, Timestamp>();
  readonly #feed: SpanFeed;

  constructor(feed: SpanFeed) {
    this.#feed = feed;
    this.#listen().catch((error: unknown) => {
      this.failure = error instanceof KvFailure ? error.kvError.kind : String(error);
    });
  }

  close(): void {
    this.#feed.close();
  }

  async #listen(): Promise<never> {
    for (;;) {
      for (const event of await this.#feed.next()) {
        if (event.kind === 'value') this.#value(event);
        else {
          if (compareTimestamps(event.timestamp, this.resolved) <= 0) {
            this.problems.push(`resolved twice up to ${formatTimestamp(event.timestamp)}`);
          }
          this.resolved = event.timestamp;
        }
      }
    }
  }

  #value(event: ChangedValue): void {
    const name = version(event);
    if (this.versions.has(name)) {
      this.repeated++;
      return;
    }
    this.versions.set(name, event);
    this.news.push(event);
    const { timestamp } = event;
    if (compareTimestamps(timestamp, this.resolved) <= 0) {
      this.problems.push(`${name} came behind resolved ${formatTimestamp(this.resolved)}`);
    }
    const key = event.key.toString('hex');
    const newest = this.#newest.get(key);
    if (newest !== undefined && compareTimestamps(timestamp, newest) <= 0) {
      this.problems.push(`${name} came behind ${formatTimestamp(newest)}`);
    }
    this.#newest.set(key, timestamp);
  }
}

export function version({ key, timestamp, value, previous }: Omit<ChangedValue, 'kind'>): string {
  const text = (bytes: Buffer | undefined): string => bytes?.toString('latin1') ?? 'nothing';
  return `${key.toString('latin1')}@${formatTimestamp(timestamp)} ${text(previous)} -> ${text(value)}`;
}
