/**
 * What one consumer is told of one span of a range: first the past (`catch-up.ts`), from a snapshot that was taken in the step in which
 * it registered, then what has been applied since, which waits in a bounded queue meanwhile. Neither misses what the other
 * has not, and for each key the one is older than the other.
 *
 * INVARIANT: a resolved timestamp stands in the queue behind everything at or below it.
 */
import {
  compareTimestamps,
  feedEventBytes,
  type ChangedValue,
  type RangeFeedEnd,
  type RangeFeedEvent,
  type Timestamp,
} from '../../kv/index.ts';
import { compareBytes, isBetween } from '../../util/index.ts';
import { type FeedBudget } from './budget.ts';
import { type CatchUp } from './catch-up.ts';

/** Of the past, at once. */
const pagesMax = 16;

export interface RegistrationOptions {
  readonly start: Buffer;
  readonly end: Buffer;
  readonly after: Timestamp;
  readonly withPrevious: boolean;
}

export class Registration {
  readonly #options: RegistrationOptions;
  readonly #budget: FeedBudget;
  readonly #wake: () => void;
  #past: CatchUp | undefined;
  #queue: RangeFeedEvent[] = [];
  #queuedBytes = 0;
  #resolved: Timestamp;
  #hasEnded = false;

  /** `wake` is called when there is something to take. */
  constructor(options: RegistrationOptions, past: CatchUp, budget: FeedBudget, wake: () => void) {
    this.#options = options;
    this.#resolved = options.after;
    this.#past = past;
    this.#budget = budget;
    this.#wake = wake;
  }

  /** Nothing more is added. */
  get hasEnded(): boolean {
    return this.#hasEnded;
  }

  get hasNews(): boolean {
    return this.#past !== undefined || this.#queue.length > 0;
  }

  overlaps(start: Buffer, end: Buffer): boolean {
    return compareBytes(this.#options.start, end) < 0 && compareBytes(start, this.#options.end) < 0;
  }

  /** The version was committed just now. */
  publish(change: ChangedValue): void {
    const { start, end, after } = this.#options;
    const { key, timestamp } = change;
    if (!isBetween(key, start, end)) return;
    // A follower that is behind learns only now what the consumer knows already.
    if (compareTimestamps(timestamp, after) <= 0) return;
    this.#add(this.#asked(change));
  }

  resolve(timestamp: Timestamp): void {
    if (compareTimestamps(timestamp, this.#resolved) <= 0) return;
    this.#resolved = timestamp;
    const event = { kind: 'resolved', timestamp } as const;
    const last = this.#queue.length - 1;
    if (this.#queue[last]?.kind === 'resolved') this.#queue[last] = event;
    else this.#add(event);
  }

  /** The consumer gets what is there, and then `end`; nothing else when it has not caught up: it has to begin where it began. */
  end(end: RangeFeedEnd): void {
    if (this.#hasEnded) return;
    this.#hasEnded = true;
    if (this.#past !== undefined || end.kind === 'slow-consumer') this.#forget();
    this.#queue.push({ kind: 'end', end });
    this.#wake();
  }

  /** Nobody wants to know any more. */
  close(): void {
    this.#hasEnded = true;
    this.#forget();
  }

  /** What comes next, about `maxBytes` of it; perhaps nothing yet, after a long look at what is older. */
  async take(maxBytes: number): Promise<RangeFeedEvent[]> {
    const taken: RangeFeedEvent[] = [];
    let bytes = 0;
    for (let pages = 0; pages < pagesMax && bytes < maxBytes; pages++) {
      if (this.#past === undefined) break;
      const page = await this.#nextOf(this.#past);
      // It may have ended meanwhile, and this page with it.
      if (this.#past === undefined) break;
      if (page === undefined) this.#leavePast();
      for (const change of page ?? []) {
        const event = this.#asked(change);
        taken.push(event);
        bytes += feedEventBytes(event);
      }
    }
    if (this.#past !== undefined) return taken;
    let count = 0;
    for (const event of this.#queue) {
      if (bytes >= maxBytes) break;
      const size = feedEventBytes(event);
      bytes += size;
      this.#release(size);
      taken.push(event);
      count++;
    }
    this.#queue = this.#queue.slice(count);
    return taken;
  }

  /** What cannot be read must not pass for the end of the past. */
  async #nextOf(past: CatchUp): Promise<readonly ChangedValue[] | undefined> {
    try {
      return await past.next();
    } catch (error) {
      this.end({ kind: 'replica-removed' });
      throw error;
    }
  }

  #leavePast(): void {
    const past = this.#past;
    this.#past = undefined;
    // It frees memory; nothing that could fail is left to be done.
    past?.close().catch(() => undefined);
  }

  #asked(change: ChangedValue): ChangedValue {
    return this.#options.withPrevious ? change : { ...change, previous: undefined };
  }

  #add(event: RangeFeedEvent): void {
    if (this.#hasEnded) return;
    const bytes = feedEventBytes(event);
    if (!this.#budget.take(bytes)) {
      this.end({ kind: 'slow-consumer' });
      return;
    }
    this.#queuedBytes += bytes;
    this.#queue.push(event);
    if (this.#past === undefined) this.#wake();
  }

  #release(bytes: number): void {
    const own = Math.min(bytes, this.#queuedBytes);
    this.#queuedBytes -= own;
    this.#budget.give(own);
  }

  #forget(): void {
    this.#leavePast();
    this.#queue = [];
    this.#release(this.#queuedBytes);
  }
}
