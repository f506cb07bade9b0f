/**
 * Sends and answers the heartbeats of store liveness and keeps the clock bound ahead of the clock. All
 * decisions are in `liveness.ts`; this file only knows time and the network.
 */
import {
  type HlcClock,
  type NodeId,
  type StoreId,
  type Timestamp,
  type Transport,
} from '../../kv/index.ts';
import { asStoreId } from '../../kv/index.ts';
import { isCount, type Env, type TimerHandle } from '../../util/index.ts';
import { type ClockBound } from './clock-bound.ts';
import { SupportLedger } from './liveness.ts';

export interface StoreAddress {
  readonly nodeId: NodeId;
  readonly storeId: StoreId;
}

export interface LivenessOptions {
  readonly heartbeatMs: number;
  readonly supportMs: number;
}

export interface LivenessDeps {
  readonly env: Env;
  readonly clock: HlcClock;
  readonly transport: Transport;
  readonly storeId: StoreId;
  readonly bound: ClockBound;
  readonly options: LivenessOptions;
  /** All other stores this one knows of. */
  readonly peers: () => readonly StoreAddress[];
  /** `store` no longer holds a valid promise to this store, or holds one of a new epoch. */
  readonly supportChanged: (store: StoreId) => void;
  /** This store's promise to `store` has run out. */
  readonly promiseLapsed: (store: StoreId) => void;
  /** The clock bound cannot be written: the store must not go on. */
  readonly fatal: (error: unknown) => void;
}

const heartbeatMethod = 'store-heartbeat';
const supportMethod = 'store-support';

export class StoreLiveness {
  readonly ledger = new SupportLedger();
  readonly #deps: LivenessDeps;
  readonly #supported = new Map<StoreId, boolean>();
  /** Monotonic milliseconds of the last sign of life. */
  readonly #lastHeard = new Map<StoreId, number>();
  #timer: TimerHandle | undefined;
  #stopped = false;

  constructor(deps: LivenessDeps) {
    this.#deps = deps;
    deps.transport.onMessage(heartbeatMethod, (payload, from) => {
      this.#onHeartbeat(payload, from);
    });
    deps.transport.onMessage(supportMethod, (payload) => {
      this.#onSupport(payload);
    });
  }

  start(): void {
    this.#beat();
  }

  /** No promise is made and no heartbeat sent from here on. */
  stop(): void {
    this.#stopped = true;
    this.#timer?.cancel();
  }

  /** True while this store promises its support to `store`; see SupportLedger.supports. */
  supports(store: StoreId): boolean {
    return this.ledger.supports(store, this.#deps.clock.now().wall);
  }

  supportedBy(store: StoreId): boolean {
    return this.ledger.supportedBy(store, this.#deps.clock.now().wall);
  }

  /** Votes may be granted and elections begun: no promise of an earlier life of this store still binds it. */
  mayVote(): boolean {
    return this.#deps.clock.now().wall > this.#deps.bound.noVotesBefore;
  }

  /** Milliseconds since `store` was heard of; undefined when never. */
  silentMs(store: StoreId): number | undefined {
    const heard = this.#lastHeard.get(store);
    return heard === undefined ? undefined : this.#deps.env.clock.monotonicMs() - heard;
  }

  /** Called once per store tick: reports what has run out since. */
  checkExpirations(): void {
    const now = this.#deps.clock.now().wall;
    for (const store of this.ledger.lapsedPromises(now)) {
      this.#deps.promiseLapsed(store);
    }
    for (const store of this.ledger.peers()) {
      const supported = this.ledger.supportedBy(store, now);
      if (this.#supported.get(store) === supported) continue;
      this.#supported.set(store, supported);
      if (!supported) this.#deps.supportChanged(store);
    }
  }

  #beat(): void {
    if (this.#stopped) return;
    const { env, clock, transport, storeId, options } = this.#deps;
    this.#deps.bound.renew().catch((error: unknown) => this.#deps.fatal(error));
    const now = clock.now();
    const expiration = now.wall + options.supportMs * 1000;
    for (const peer of this.#deps.peers()) {
      transport.send(
        peer.nodeId,
        heartbeatMethod,
        { from: storeId, to: peer.storeId, wall: now.wall, logical: now.logical, expiration },
        'system',
      );
    }
    this.#timer = env.timers.after(options.heartbeatMs, () => this.#beat());
  }

  #onHeartbeat(payload: unknown, fromNode: NodeId): void {
    const message = decode(payload);
    if (message === undefined || this.#stopped || message.to !== this.#deps.storeId) return;
    if (!this.#observe(message)) return;
    this.#lastHeard.set(message.from, this.#deps.env.clock.monotonicMs());
    const now = this.#deps.clock.now();
    const granted = Math.min(message.expiration, this.#deps.bound.promiseLimit);
    const support = this.ledger.promise(message.from, granted, now.wall);
    this.#deps.transport.send(
      fromNode,
      supportMethod,
      {
        from: this.#deps.storeId,
        to: message.from,
        wall: now.wall,
        logical: now.logical,
        ...support,
      },
      'system',
    );
  }

  #onSupport(payload: unknown): void {
    const message = decode(payload);
    if (message === undefined || this.#stopped || message.to !== this.#deps.storeId) return;
    if (!this.#observe(message)) return;
    this.#lastHeard.set(message.from, this.#deps.env.clock.monotonicMs());
    const { epoch, expiration } = message;
    if (this.ledger.receive(message.from, { epoch, expiration })) {
      this.#deps.supportChanged(message.from);
    }
  }

  #observe(message: Timestamp & { from: StoreId }): boolean {
    const { clock, env } = this.#deps;
    if (clock.isTooFarAhead(message)) {
      env.log.warn(
        {
          store: message.from,
          aheadMs: Math.round((message.wall - clock.physicalMicros()) / 1000),
        },
        'a heartbeat from a clock too far ahead of ours is ignored',
      );
      return false;
    }
    clock.observe({ wall: message.wall, logical: message.logical });
    return true;
  }
}

interface Beat {
  readonly from: StoreId;
  readonly to: StoreId;
  readonly wall: number;
  readonly logical: number;
  readonly epoch: number;
  readonly expiration: number;
}

function decode(payload: unknown): Beat | undefined {
  if (typeof payload !== 'object' || payload === null) return undefined;
  const names = ['from', 'to', 'wall', 'logical', 'epoch', 'expiration'] as const;
  const [from = 0, to = 0, wall = 0, logical = 0, epoch = 0, expiration = 0] = names.map((name) => {
    const value: unknown = Reflect.get(payload, name) ?? 0;
    return isCount(value) ? value : -1;
  });
  const hasBad = [from, to, wall, logical, epoch, expiration].some((value) => value < 0);
  if (hasBad || from === 0 || logical > 0xffff_ffff) return undefined;
  return { from: asStoreId(from), to: asStoreId(to), wall, logical, epoch, expiration };
}
