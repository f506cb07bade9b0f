/**
 * A feed of spans over all ranges that hold them. The spans are cut into *parts*, one per range; each is told of by the store that led the
 * range when it began, and stays there when the lease moves on. When the store ends it (the range was split, the replica is
 * gone, ...) or is lost itself, the part begins anew where it is resolved, wherever its range is now.
 *
 * INVARIANT 1: the parts cover the spans at all times and do not overlap.
 * INVARIANT 2: a resolved timestamp is delivered when all parts have it: what is at or below it came before.
 */
import {
  compareTimestamps,
  feedEventBytes,
  KvFailure,
  laterTimestamp,
  rangeFeedMethod,
  type FeedEvent,
  type FeedOptions,
  type HlcClock,
  type KvError,
  type RangeFeedAnswer,
  type RangeFeedEnd,
  type RangeFeedEvent,
  type RangeInfo,
  type ReplicaDescriptor,
  type SpanFeed,
  type StoreId,
} from '../../kv/index.ts';
import { compareBytes, minBytes, sleep, unreachable, type Env } from '../../util/index.ts';
import { type Router } from '../router.ts';
import { frontier, type FeedPart } from './feed-part.ts';
import { StoreStream } from './store-stream.ts';

export interface ClusterFeedDeps {
  readonly env: Env;
  readonly clock: HlcClock;
  readonly router: Pick<Router, 'call'>;
  /** As the leaseholder says; throws KvFailure. */
  readonly rangeInfo: (key: Buffer) => Promise<RangeInfo>;
  /** Never the same twice. */
  readonly newStreamId: () => number;
}

const queuedBytesMax = 4 << 20;
/** An answer waits a second for events, at most. */
const callTimeoutMs = 5_000;
const retryMs = 50;
const stuckAfterMs = 5_000;
/** Parts that look for their range at the same time. */
const placedAtOnce = 16;

export class ClusterFeed implements SpanFeed {
  readonly #deps: ClusterFeedDeps;
  readonly #options: FeedOptions;
  readonly #parts = new Set<FeedPart>();
  readonly #streams = new Map<StoreId, StoreStream>();
  readonly #toPlace: FeedPart[] = [];
  #placing = 0;
  #resolved;
  #queue: FeedEvent[] = [];
  #queuedBytes = 0;
  #error: KvError | undefined;
  #arrived: (() => void) | undefined;
  #room: (() => void)[] = [];

  constructor(deps: ClusterFeedDeps, options: FeedOptions) {
    this.#deps = deps;
    this.#options = options;
    this.#resolved = options.after;
    for (const { start, end } of options.spans) {
      if (compareBytes(start, end) < 0) this.#addPart(start, end, options.after);
    }
  }

  async next(): Promise<readonly FeedEvent[]> {
    if (this.#queue.length === 0 && this.#error === undefined) {
      await new Promise<void>((resolve) => {
        this.#arrived = resolve;
      });
    }
    const events = this.#queue;
    if (events.length === 0 && this.#error !== undefined) throw new KvFailure(this.#error);
    this.#queue = [];
    this.#queuedBytes = 0;
    this.#giveRoom();
    return events;
  }

  close(): void {
    this.#queue = [];
    this.#fail({ kind: 'canceled' });
  }

  #fail(error: KvError): void {
    if (this.#error !== undefined) return;
    this.#error = error;
    this.#parts.clear();
    for (const stream of this.#streams.values()) stream.close();
    this.#giveRoom();
    this.#wake();
  }

  // ---- parts ----

  #addPart(start: Buffer, end: Buffer, resolved: FeedPart['resolved']): void {
    const part: FeedPart = { start, end, resolved, movedAtMs: this.#nowMs };
    this.#parts.add(part);
    this.#placeSoon(part);
  }

  #placeSoon(part: FeedPart): void {
    this.#toPlace.push(part);
    if (this.#placing >= placedAtOnce) return;
    this.#placing++;
    this.#placeAll().then(
      () => this.#placing--,
      (error: unknown) => {
        this.#placing--;
        this.#fail(error instanceof KvFailure ? error.kvError : unexpected(error));
      },
    );
  }

  async #placeAll(): Promise<void> {
    for (let part = this.#toPlace.shift(); part !== undefined; part = this.#toPlace.shift()) {
      if (await this.#place(part)) continue;
      const { env } = this.#deps;
      await sleep(env, retryMs * (0.5 + env.random.float()));
      // Behind the others: its range may be away for long.
      this.#toPlace.push(part);
    }
  }

  /** False: to be tried again. */
  async #place(part: FeedPart): Promise<boolean> {
    const info = await this.#locate(part);
    // It may have been closed, or cut, meanwhile.
    if (!this.#parts.has(part)) return true;
    if (info?.leaseholder === undefined) return false;
    const { range, leaseholder } = info;
    const { end } = part;
    part.end = minBytes(end, range.endKey);
    if (compareBytes(part.end, end) < 0) this.#addPart(part.end, end, part.resolved);
    const { withPrevious } = this.#options;
    const after = part.resolved;
    const refused = await this.#streamTo(leaseholder).open(part, {
      rangeId: range.rangeId,
      after,
      withPrevious,
    });
    if (refused === undefined || !this.#parts.has(part)) return true;
    const error = finalError(refused);
    if (error !== undefined) this.#fail(error);
    return error !== undefined;
  }

  async #locate(part: FeedPart): Promise<RangeInfo | undefined> {
    try {
      return await this.#deps.rangeInfo(part.start);
    } catch (error) {
      // Nobody serves the range just now; the feed waits for it.
      if (error instanceof KvFailure) return undefined;
      throw error;
    }
  }

  #streamTo({ nodeId, storeId }: ReplicaDescriptor): StoreStream {
    const known = this.#streams.get(storeId);
    if (known?.hasEnded === false) return known;
    const { clock, router, newStreamId } = this.#deps;
    const stream = new StoreStream(newStreamId(), {
      call: async (request) => {
        const options = { timeoutMs: callTimeoutMs, traffic: 'batch' } as const;
        const answer = await router.call(nodeId, rangeFeedMethod(storeId), request, options);
        // Made by a store of the same version of the wire format.
        const checked = answer as RangeFeedAnswer;
        if (checked.kind === 'events') clock.observe(checked.now);
        return checked;
      },
      room: () => this.#untilRoom(),
      deliver: (events) => this.#deliver(stream, events),
      ended: (parts) => {
        if (this.#streams.get(storeId) === stream) this.#streams.delete(storeId);
        for (const part of parts) if (this.#parts.has(part)) this.#placeSoon(part);
      },
    });
    this.#streams.set(storeId, stream);
    return stream;
  }

  // ---- events ----

  #deliver(stream: StoreStream, events: readonly (readonly [FeedPart, RangeFeedEvent])[]): void {
    for (const [part, event] of events) {
      if (!this.#parts.has(part)) continue;
      switch (event.kind) {
        case 'value':
          this.#queue.push(event);
          this.#queuedBytes += feedEventBytes(event);
          break;
        case 'resolved':
          part.resolved = laterTimestamp(part.resolved, event.timestamp);
          part.movedAtMs = this.#nowMs;
          break;
        case 'end':
          this.#ended(part, event.end);
          break;
        default:
          unreachable(event);
      }
    }
    this.#moveFrontier();
    this.#lookForStuck(stream);
    if (this.#queue.length > 0) this.#wake();
  }

  #moveFrontier(): void {
    const timestamp = frontier(this.#parts);
    if (timestamp === undefined || compareTimestamps(timestamp, this.#resolved) <= 0) return;
    this.#resolved = timestamp;
    this.#queue.push({ kind: 'resolved', timestamp });
  }

  #ended(part: FeedPart, end: RangeFeedEnd): void {
    const error = finalError(end);
    if (error === undefined) this.#placeSoon(part);
    else this.#fail(error);
  }

  /** A replica that was cut off, or left behind, is not closed any more: its part moves to the leaseholder, if that is another one. */
  #lookForStuck(stream: StoreStream): void {
    for (const part of stream.parts) {
      if (this.#nowMs - part.movedAtMs < stuckAfterMs) continue;
      part.movedAtMs = this.#nowMs;
      this.#locate(part).then(
        (info) => {
          const leads = info?.leaseholder && this.#streams.get(info.leaseholder.storeId);
          if (info?.leaseholder === undefined || leads === stream) return;
          // Not one that has been placed anew meanwhile: its events would come twice, also behind what is resolved.
          if (stream.drop(part) && this.#parts.has(part)) this.#placeSoon(part);
        },
        (error: unknown) => this.#fail(unexpected(error)),
      );
    }
  }

  #untilRoom(): Promise<void> {
    if (this.#queuedBytes < queuedBytesMax || this.#error !== undefined) return Promise.resolve();
    return new Promise((resolve) => this.#room.push(resolve));
  }

  #giveRoom(): void {
    const waiting = this.#room;
    this.#room = [];
    for (const resolve of waiting) resolve();
  }

  #wake(): void {
    this.#arrived?.();
    this.#arrived = undefined;
  }

  get #nowMs(): number {
    return this.#deps.env.clock.monotonicMs();
  }
}

/** Of an end that a new beginning does not help against. */
function finalError(end: RangeFeedEnd): KvError | undefined {
  switch (end.kind) {
    case 'disabled':
    case 'cleared':
      return { kind: 'feed-ended', cause: end.kind };
    case 'below-gc-threshold':
      return end;
    default:
      return undefined;
  }
}

function unexpected(error: unknown): KvError {
  return { kind: 'unavailable', reason: String(error) };
}
