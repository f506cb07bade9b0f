/**
 * The feeds that one consumer has at one store. Each `next` brings what there is, and is sent when the consumer has room for it: a slow
 * consumer keeps nothing in memory but what the store keeps for it.
 *
 * A stream whose call fails is lost with all its feeds: nobody knows what was on its way.
 */
import {
  TransportFailure,
  type RangeFeedAnswer,
  type RangeFeedEnd,
  type RangeFeedEvent,
  type RangeFeedRequest,
  type Timestamp,
} from '../../kv/index.ts';
import { assert } from '../../util/index.ts';
import { type FeedPart } from './feed-part.ts';

export interface StoreStreamDeps {
  /** Rejects with TransportFailure. */
  readonly call: (request: RangeFeedRequest) => Promise<RangeFeedAnswer>;
  /** Resolves when the consumer has room. */
  readonly room: () => Promise<void>;
  readonly deliver: (events: readonly (readonly [FeedPart, RangeFeedEvent])[]) => void;
  /** It is of no use any more; these parts were its own. */
  readonly ended: (parts: readonly FeedPart[]) => void;
}

export interface OpenOptions {
  readonly rangeId: Extract<RangeFeedRequest, { kind: 'open' }>['rangeId'];
  readonly after: Timestamp;
  readonly withPrevious: boolean;
}

export class StoreStream {
  readonly #id: number;
  readonly #deps: StoreStreamDeps;
  readonly #parts = new Map<number, FeedPart>();
  #lastFeed = 0;
  #isRunning = false;
  #hasEnded = false;

  /** `id`: no other stream has it, or had. */
  constructor(id: number, deps: StoreStreamDeps) {
    this.#id = id;
    this.#deps = deps;
  }

  get hasEnded(): boolean {
    return this.#hasEnded;
  }

  get parts(): Iterable<FeedPart> {
    return this.#parts.values();
  }

  /** Why the store cannot tell of `part`; undefined: it does from now on. */
  async open(part: FeedPart, options: OpenOptions): Promise<RangeFeedEnd | undefined> {
    const feed = ++this.#lastFeed;
    const { start, end } = part;
    this.#parts.set(feed, part);
    try {
      const request = { kind: 'open', stream: this.#id, feed, start, end, ...options } as const;
      const answer = await this.#deps.call(request);
      // It was lost with the stream, and is placed anew already.
      if (this.#parts.get(feed) !== part) return undefined;
      if (answer.kind !== 'ok') {
        this.#parts.delete(feed);
        return answer.kind === 'refused' ? answer.end : { kind: 'not-here' };
      }
    } catch (error) {
      if (!(error instanceof TransportFailure)) throw error;
      if (this.#parts.get(feed) !== part) return undefined;
      this.#parts.delete(feed);
      this.#tell({ kind: 'close', stream: this.#id, feed });
      return { kind: 'not-here' };
    }
    this.#run();
    return undefined;
  }

  /** Nothing more of `part` is delivered. False: it was none of this stream's (any more). */
  drop(part: FeedPart): boolean {
    for (const [feed, each] of this.#parts) {
      if (each !== part) continue;
      this.#parts.delete(feed);
      this.#tell({ kind: 'close', stream: this.#id, feed });
      return true;
    }
    return false;
  }

  close(): void {
    this.#end();
  }

  #run(): void {
    if (this.#isRunning) return;
    this.#isRunning = true;
    this.#drain().then(
      () => this.#end(),
      (error: unknown) => {
        assert(
          error instanceof TransportFailure,
          `a stream fails for its transport: ${String(error)}`,
        );
        this.#end();
      },
    );
  }

  async #drain(): Promise<void> {
    while (this.#parts.size > 0) {
      await this.#deps.room();
      if (this.#hasEnded) return;
      const answer = await this.#deps.call({ kind: 'next', stream: this.#id });
      if (this.#hasEnded || answer.kind !== 'events') return;
      const events: [FeedPart, RangeFeedEvent][] = [];
      for (const [feed, event] of answer.events) {
        const part = this.#parts.get(feed);
        if (part === undefined) continue;
        events.push([part, event]);
        if (event.kind === 'end') this.#parts.delete(feed);
      }
      this.#deps.deliver(events);
    }
  }

  #end(): void {
    if (this.#hasEnded) return;
    this.#hasEnded = true;
    const parts = [...this.#parts.values()];
    this.#parts.clear();
    this.#tell({ kind: 'close', stream: this.#id, feed: undefined });
    this.#deps.ended(parts);
  }

  /** A store that does not hear it gives the stream up by itself. */
  #tell(request: RangeFeedRequest): void {
    this.#deps.call(request).catch(() => undefined);
  }
}
