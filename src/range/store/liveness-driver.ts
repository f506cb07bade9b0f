/**
 * Sends and answers the heartbeats of store liveness, keeps the clock bound ahead of the clock, and measures where other
 * machines' clocks stand. All decisions are in `liveness.ts` and `kv/machine-clock.ts`; this file only knows time and the
 * network.
 *
 * A store whose node must not serve by its clock goes on with heartbeats, to learn when that is over, but asks for no
 * support: its leaders are to be replaced. It goes on promising support to others, without which they might lack a quorum.
 * The promise holds whatever the clock shows: it ends when this store's HLC has passed a time, that never goes backwards,
 * and it does not run ahead either, because it reads the others' time meanwhile.
 */
import {
  type Coordinator,
  type HlcClock,
  type NodeId,
  type StoreId,
  type Timestamp,
  type Transport,
} from '../../kv/index.ts';
import { asStoreId, storeMethod } from '../../kv/index.ts';
import { CorruptionError } from '../../storage/index.ts';
import { isCount, type Env, type TimerHandle } from '../../util/index.ts';
import { type ClockBound } from './clock-bound.ts';
import { type Heard } from './incarnations.ts';
import { SupportLedger } from './liveness.ts';

export interface StoreAddress {
  readonly nodeId: NodeId;
  readonly storeId: StoreId;
}

export interface LivenessOptions {
  readonly heartbeatMs: number;
  /** How far beyond its clock a store asks for support. */
  readonly supportMicros: number;
}

export interface LivenessDeps {
  readonly env: Env;
  readonly clock: HlcClock;
  readonly transport: Transport;
  readonly nodeId: NodeId;
  readonly storeId: StoreId;
  readonly bound: ClockBound;
  readonly options: LivenessOptions;
  /** All other stores this one knows of. */
  readonly peers: () => readonly StoreAddress[];
  /** False: this store could not do what its leases promise, and must not say that it lives. */
  readonly mayBeat: () => boolean;
  /** `store` no longer holds a valid promise to this store, or holds one of a new epoch. */
  readonly supportChanged: (store: StoreId) => void;
  /** This store's promise to `store` has run out. */
  readonly promiseLapsed: (store: StoreId) => void;
  /** Nothing was heard of a node for as long as support lasts (true), or something again (false). */
  readonly peerSilent: (node: NodeId, isSilent: boolean) => void;
  /** The clock bound cannot be written, or this is an older copy of the store: it must not go on. */
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
  /**
   * Heartbeats sent since the last sign of life. Silence that others are blamed for is counted in beats: time in which
   * this process stood still itself counts as one.
   */
  readonly #beatsUnheard = new Map<StoreId, number>();
  /** Of other stores: what their present life goes on from, HLC wall microseconds. */
  readonly #resumedFrom = new Map<StoreId, number>();
  #timer: TimerHandle | undefined;
  #startedAtMs = 0;
  /** Stores that have not said that this one is an older copy of itself, and were asked. */
  readonly #answered = new Set<StoreId>();
  #isIntroduced = false;
  #stopped = false;

  constructor(deps: LivenessDeps) {
    this.#deps = deps;
    deps.transport.onMessage(storeMethod(heartbeatMethod, deps.storeId), (payload, from) => {
      this.#onHeartbeat(payload, from);
    });
    deps.transport.onMessage(storeMethod(supportMethod, deps.storeId), (payload, from) => {
      this.#onSupport(payload, from);
    });
  }

  start(): void {
    this.#startedAtMs = this.#deps.env.clock.monotonicMs();
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

  /**
   * Votes may be granted and elections begun: no promise of an earlier life of this store still binds it, and the
   * others had the time to say so if it is an older copy of itself.
   */
  mayVote(): boolean {
    const { clock, bound } = this.#deps;
    return clock.now().wall > bound.noVotesBefore && this.#introduced();
  }

  /** Every other store has answered, or a support interval has passed: by then promises that a copy forgot have run out, too. */
  #introduced(): boolean {
    if (this.#isIntroduced) return true;
    const { env, options, peers } = this.#deps;
    const sinceMs = env.clock.monotonicMs() - this.#startedAtMs;
    this.#isIntroduced =
      sinceMs * 1000 >= options.supportMicros ||
      peers().every(({ storeId }) => this.#answered.has(storeId));
    return this.#isIntroduced;
  }

  /** Milliseconds since `store` was heard of; undefined when never. */
  silentMs(store: StoreId): number | undefined {
    const heard = this.#lastHeard.get(store);
    return heard === undefined ? undefined : this.#deps.env.clock.monotonicMs() - heard;
  }

  /**
   * The process has ended: a store of its node goes on from a later time (see `ClockBound.start`). Or nothing is heard of any store of its
   * node, which then serves nothing either. Nothing is known of a node without stores.
   */
  isGone({ nodeId, since }: Coordinator): boolean {
    const { bound, peers } = this.#deps;
    if (nodeId === this.#deps.nodeId) return since < bound.life.resumedFrom;
    const stores = peers().filter((peer) => peer.nodeId === nodeId);
    return (
      stores.some(({ storeId }) => since < (this.#resumedFrom.get(storeId) ?? 0)) ||
      (stores.length > 0 && this.#isNodeSilent(nodeId))
    );
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
    this.#timer = env.timers.after(options.heartbeatMs, () => this.#beat());
    const now = clock.now();
    // What is said of an incarnation rests on this: no heartbeat at or above the bound on disk.
    if (!this.#deps.mayBeat() || now.wall >= this.#deps.bound.upperBound) return;
    const expiration = clock.complaint() === undefined ? now.wall + options.supportMicros : 0;
    for (const peer of this.#deps.peers()) {
      transport.send(
        peer.nodeId,
        storeMethod(heartbeatMethod, peer.storeId),
        {
          from: storeId,
          to: peer.storeId,
          wall: now.wall,
          logical: now.logical,
          sent: Math.floor(env.clock.monotonicMs() * 1000),
          ...this.#deps.bound.life,
          expiration,
        },
        'system',
      );
      this.#noteBeat(peer);
    }
  }

  get #silentAfterBeats(): number {
    const { supportMicros, heartbeatMs } = this.#deps.options;
    return Math.ceil(supportMicros / 1000 / heartbeatMs);
  }

  #noteBeat({ storeId, nodeId }: StoreAddress): void {
    const beats = (this.#beatsUnheard.get(storeId) ?? 0) + 1;
    this.#beatsUnheard.set(storeId, beats);
    if (beats === this.#silentAfterBeats && this.#isNodeSilent(nodeId)) {
      this.#deps.peerSilent(nodeId, true);
    }
  }

  /** All of its stores: a slow disk stops one of them, a node that stands still all. */
  #isNodeSilent(node: NodeId): boolean {
    return this.#deps
      .peers()
      .filter(({ nodeId }) => nodeId === node)
      .every(({ storeId }) => (this.#beatsUnheard.get(storeId) ?? 0) >= this.#silentAfterBeats);
  }

  #noteHeard(store: StoreId, node: NodeId): void {
    this.#lastHeard.set(store, this.#deps.env.clock.monotonicMs());
    const beats = this.#beatsUnheard.get(store) ?? 0;
    this.#beatsUnheard.set(store, 0);
    if (beats >= this.#silentAfterBeats) this.#deps.peerSilent(node, false);
  }

  #onHeartbeat(payload: unknown, fromNode: NodeId): void {
    const message = decode(payload);
    if (message === undefined || this.#stopped || message.to !== this.#deps.storeId) return;
    const { clock, bound } = this.#deps;
    // Whoever is too far ahead gets no support, but an answer, from which it learns how far.
    const trusted = this.#observe(message);
    const later = trusted
      ? bound.incarnations.outdatedBy(message.from, message, message.wall)
      : undefined;
    if (later !== undefined) {
      this.#refuse(message, later, fromNode);
      return;
    }
    if (trusted) {
      this.#noteHeard(message.from, fromNode);
      this.#resumedFrom.set(message.from, message.resumedFrom);
    }
    const now = clock.now();
    const granted = trusted ? Math.min(message.expiration, bound.promiseLimit) : 0;
    const support = this.ledger.promise(message.from, granted, now.wall);
    this.#deps.transport.send(
      fromNode,
      storeMethod(supportMethod, message.from),
      {
        from: this.#deps.storeId,
        to: message.from,
        wall: now.wall,
        logical: now.logical,
        shown: clock.machine.shownMicros(),
        sent: message.sent,
        incarnation: message.incarnation,
        ...support,
      },
      'system',
    );
  }

  /** No support for an older copy of a store, but the time at which that was heard of. */
  #refuse({ from, incarnation }: Beat, later: Heard, fromNode: NodeId): void {
    this.#deps.env.log.warn({ store: from, node: fromNode }, 'an older copy of a store is refused');
    const { wall, logical } = this.#deps.clock.now();
    this.#deps.transport.send(
      fromNode,
      storeMethod(supportMethod, from),
      { from: this.#deps.storeId, to: from, wall, logical, incarnation, heard: later.wall },
      'system',
    );
  }

  #onSupport(payload: unknown, fromNode: NodeId): void {
    const message = decode(payload);
    if (message === undefined || this.#stopped || message.to !== this.#deps.storeId) return;
    const { bound, storeId, fatal } = this.#deps;
    const { incarnation, resumedFrom } = bound.life;
    const isOurs = message.incarnation === incarnation;
    if (isOurs && message.heard > 0 && message.heard >= resumedFrom) {
      fatal(outdated(storeId, message, resumedFrom));
      return;
    }
    if (isOurs) this.#answered.add(message.from);
    this.#measure(message, fromNode);
    if (!this.#observe(message)) return;
    this.#noteHeard(message.from, fromNode);
    const { epoch, expiration } = message;
    if (this.ledger.receive(message.from, { epoch, expiration })) {
      this.#deps.supportChanged(message.from);
    }
  }

  #measure({ sent, shown }: Beat, from: NodeId): void {
    const { clock, nodeId } = this.#deps;
    if (from !== nodeId && sent > 0 && shown > 0) clock.machine.note(from, shown, sent / 1000);
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

function outdated(storeId: StoreId, { from, heard }: Beat, resumedFrom: number): CorruptionError {
  const [then, end] = [heard, resumedFrom].map((micros) => new Date(micros / 1000).toISOString());
  return new CorruptionError(
    `it is an older copy of store ${storeId}: it ends at ${end}, and store ${from} has heard of store ${storeId} at ${then}`,
  );
}

interface Beat {
  readonly from: StoreId;
  readonly to: StoreId;
  readonly wall: number;
  readonly logical: number;
  /** In an answer: what the sender's machine clock shows, which its HLC may be ahead of. */
  readonly shown: number;
  /** Monotonic microseconds of the heartbeat's sender; an answer carries it back. */
  readonly sent: number;
  /** Of the heartbeat's sender (see `incarnations.ts`); an answer carries the first one back. */
  readonly incarnation: number;
  readonly resumedFrom: number;
  /** In an answer to an older copy of a store: HLC wall time of the last heartbeat of the store. */
  readonly heard: number;
  readonly epoch: number;
  readonly expiration: number;
}

function decode(payload: unknown): Beat | undefined {
  if (typeof payload !== 'object' || payload === null) return undefined;
  const field = (name: keyof Beat): number => {
    const value: unknown = Reflect.get(payload, name) ?? 0;
    return isCount(value) ? value : -1;
  };
  const beat = {
    from: asStoreId(field('from')),
    to: asStoreId(field('to')),
    wall: field('wall'),
    logical: field('logical'),
    shown: field('shown'),
    sent: field('sent'),
    incarnation: field('incarnation'),
    resumedFrom: field('resumedFrom'),
    heard: field('heard'),
    epoch: field('epoch'),
    expiration: field('expiration'),
  };
  const isBad = Object.values(beat).some((value) => value < 0);
  return isBad || beat.from === 0 || beat.logical > 0xffff_ffff ? undefined : beat;
}
