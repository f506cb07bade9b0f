/**
 * Rangefeeds: what is committed to a span of keys, as it is applied. Two interfaces meet here.
 *
 * `SpanFeed` is what `Db.feed` hands out: the changes of any spans, over all ranges that hold them. It delivers
 *
 *   at least once   every version above `after`; after a fault some of them again
 *   in order        for one key, a version that was not delivered before stands above all that were
 *   resolved t      nothing at or below t comes later that did not come before
 *
 * The protocol of one store is below it. Its client pulls: a *stream* holds any number of feeds, each of a span of one range,
 * and gives what there is with each `next`; a store keeps a bounded number of bytes for a stream that does not ask.
 */
import { type Timestamp } from './hlc.ts';
import { type RangeId, type StoreId } from './ids.ts';
import { storeMethod } from './transport.ts';

/** A committed version of a key; `value` undefined is a deletion. */
export interface ChangedValue {
  readonly kind: 'value';
  readonly key: Buffer;
  readonly value: Buffer | undefined;
  readonly timestamp: Timestamp;
  /** What was there before, when it was asked for: undefined for nothing. */
  readonly previous: Buffer | undefined;
}

export interface Resolved {
  readonly kind: 'resolved';
  readonly timestamp: Timestamp;
}

export type FeedEvent = ChangedValue | Resolved;

export interface FeedOptions {
  /** [start, end) each; they do not overlap. */
  readonly spans: readonly { readonly start: Buffer; readonly end: Buffer }[];
  /** Versions above it are delivered. Not below the GC threshold of any range, or the feed ends with 'below-gc-threshold'. */
  readonly after: Timestamp;
  readonly withPrevious: boolean;
}

/** Owned by whoever asked for it, who closes it. */
export interface SpanFeed {
  /**
   * All that has come since the last call, in order; waits for something. Throws KvFailure when the feed cannot go on:
   * 'below-gc-threshold', 'feed-ended'; 'canceled' once it is closed.
   */
  next(): Promise<readonly FeedEvent[]>;
  close(): void;
}

/** Why a feed of one range is over. Its client begins a new one where it stands, unless that cannot help. */
export type RangeFeedEnd =
  | {
      readonly kind:
        | 'not-here'
        | 'range-split'
        | 'range-merged'
        | 'replica-removed'
        /** A snapshot takes the place of what the replica holds, or part of that is removed. */
        | 'data-replaced'
        | 'slow-consumer';
    }
  /** Data was removed without leaving versions. */
  | { readonly kind: 'cleared' }
  /** `kv.rangefeed.enabled` is off. */
  | { readonly kind: 'disabled' }
  | {
      readonly kind: 'below-gc-threshold';
      readonly timestamp: Timestamp;
      readonly threshold: Timestamp;
    };

export type RangeFeedEvent = FeedEvent | { readonly kind: 'end'; readonly end: RangeFeedEnd };

/** `stream` and `feed` are chosen by the client: no stream id is used twice in the life of a cluster. */
export type RangeFeedRequest =
  | {
      readonly kind: 'open';
      readonly stream: number;
      readonly feed: number;
      readonly rangeId: RangeId;
      /** Inside the range. */
      readonly start: Buffer;
      readonly end: Buffer;
      readonly after: Timestamp;
      readonly withPrevious: boolean;
    }
  /** Waits for events, at most `nextWaitMs`. One at a time; a stream that does not ask for `streamIdleMs` is given up. */
  | { readonly kind: 'next'; readonly stream: number }
  /** `feed` undefined: the whole stream. */
  | { readonly kind: 'close'; readonly stream: number; readonly feed: number | undefined };

export type RangeFeedAnswer =
  | { readonly kind: 'ok' }
  | { readonly kind: 'refused'; readonly end: RangeFeedEnd }
  /** Each event with the feed it belongs to. */
  | {
      readonly kind: 'events';
      readonly now: Timestamp;
      readonly events: readonly (readonly [feed: number, event: RangeFeedEvent])[];
    }
  /** The store does not know the stream (any more). */
  | { readonly kind: 'no-stream' };

export const nextWaitMs = 1_000;
export const streamIdleMs = 30_000;

export function rangeFeedMethod(storeId: StoreId): string {
  return storeMethod('range-feed', storeId);
}

/** What an event costs whoever keeps it, in bytes. */
export function feedEventBytes(event: RangeFeedEvent): number {
  const overhead = 100;
  if (event.kind !== 'value') return overhead;
  const { key, value, previous } = event;
  return overhead + key.length + (value?.length ?? 0) + (previous?.length ?? 0);
}
