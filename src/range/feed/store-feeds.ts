/**
 * Rangefeeds of a store: serves their protocol (`kv/range-feed.ts`), and runs one timer for all of them while there are any.
 */
import {
  kvSettings,
  rangeFeedMethod,
  streamIdleMs,
  type NodeId,
  type RangeFeedAnswer,
  type RangeFeedEnd,
  type RangeFeedRequest,
} from '../../kv/index.ts';
import { compareBytes, unreachable, type TimerHandle } from '../../util/index.ts';
import { type Replica } from '../replica/replica.ts';
import { type Store } from '../store/store.ts';
import { FeedStream } from './feed-stream.ts';
import { RangeFeed } from './range-feed.ts';

/** How often ranges are looked at: a resolved timestamp is that much behind what is closed. */
const tickMs = 200;
const notHere: RangeFeedEnd = { kind: 'not-here' };

type Open = Extract<RangeFeedRequest, { kind: 'open' }>;

export class StoreFeeds {
  readonly #store: Store;
  readonly #streams = new Map<string, FeedStream>();
  /** Those with a feed. */
  readonly #replicas = new Set<Replica>();
  #timer: TimerHandle | undefined;

  constructor(store: Store) {
    this.#store = store;
    store.deps.transport.onCall(rangeFeedMethod(store.storeId), (payload, from) =>
      // Made by a client of the same version of the wire format.
      this.#serve(payload as RangeFeedRequest, from),
    );
  }

  stop(): void {
    this.#timer?.cancel();
    this.#timer = undefined;
    for (const stream of this.#streams.values()) stream.closeAll();
    this.#streams.clear();
  }

  async #serve(request: RangeFeedRequest, from: NodeId): Promise<RangeFeedAnswer> {
    const name = `${from}/${request.stream}`;
    switch (request.kind) {
      case 'open':
        return this.#open(name, request);
      case 'next':
        return this.#next(name);
      case 'close':
        if (request.feed === undefined) this.#giveUp(name);
        else this.#streams.get(name)?.close(request.feed);
        return { kind: 'ok' };
      default:
        return unreachable(request);
    }
  }

  #open(name: string, request: Open): RangeFeedAnswer {
    if (!this.#isEnabled) return { kind: 'refused', end: { kind: 'disabled' } };
    const replica = this.#replicaFor(request);
    if (replica === undefined) return { kind: 'refused', end: notHere };
    let stream = this.#streams.get(name);
    if (stream === undefined) {
      stream = new FeedStream(this.#store.env);
      this.#streams.set(name, stream);
    }
    replica.feed ??= new RangeFeed(replica);
    this.#replicas.add(replica);
    this.#run();
    const { start, end, after, withPrevious } = request;
    const refused = stream.open(request.feed, replica.feed, { start, end, after, withPrevious });
    return refused === undefined ? { kind: 'ok' } : { kind: 'refused', end: refused };
  }

  /** While a snapshot is being installed, or data are being cleared, they are neither the old nor the new ones. */
  #replicaFor({ rangeId, start, end }: Open): Replica | undefined {
    const replica = this.#store.serving ? this.#store.replicas.get(rangeId) : undefined;
    if (replica?.initialised !== true || replica.suspended > 0) return undefined;
    if (replica.applier.underWay.length > 0) return undefined;
    const { startKey, endKey } = replica.descriptor;
    const isInside = compareBytes(startKey, start) <= 0 && compareBytes(end, endKey) <= 0;
    return isInside ? replica : undefined;
  }

  async #next(name: string): Promise<RangeFeedAnswer> {
    const stream = this.#streams.get(name);
    if (stream === undefined) return { kind: 'no-stream' };
    const events = await stream.next();
    return { kind: 'events', now: this.#store.clock.now(), events };
  }

  #giveUp(name: string): void {
    this.#streams.get(name)?.closeAll();
    this.#streams.delete(name);
  }

  get #isEnabled(): boolean {
    return this.#store.clusterSettings.get(kvSettings.rangefeedEnabled);
  }

  #run(): void {
    this.#timer ??= this.#store.env.timers.after(tickMs, () => {
      this.#timer = undefined;
      this.#tick();
      if (this.#replicas.size > 0 || this.#streams.size > 0) this.#run();
    });
  }

  #tick(): void {
    for (const [name, stream] of this.#streams) {
      if (stream.idleMs >= streamIdleMs) this.#giveUp(name);
    }
    const isEnabled = this.#isEnabled;
    for (const replica of this.#replicas) {
      if (!isEnabled) replica.endFeed({ kind: 'disabled' });
      if (replica.feed?.tick() === true) continue;
      replica.feed = undefined;
      this.#replicas.delete(replica);
    }
  }
}
