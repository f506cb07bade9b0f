/**
 * Closes ranges that no command closes: every `kv.closed_timestamp.side_transport_interval` a store tells each of its peers in one
 * message how far the ranges are closed that it leads. Ranges at rest are closed in groups, so that ten thousand of them cost as much
 * as one: only those that came to rest or woke up are named. Ranges that are awake anyway are closed one by one.
 */
import {
  storeMethod,
  type HlcClock,
  type NodeId,
  type RangeId,
  type StoreId,
  type Transport,
} from '../../kv/index.ts';
import { type Env, type TimerHandle } from '../../util/index.ts';
import { type PeerAddress, type Replica } from '../replica/replica.ts';
import { type ClockBound } from '../store/clock-bound.ts';
import { type SupportLedger } from '../store/liveness.ts';
import { decodeClosed, encodeClosed, type ClosedMessage } from './closed-codec.ts';
import { ClosedStreams } from './closed-streams.ts';
import { leaseReach, QuietGroups, type QuietGroup } from './quiet-groups.ts';

export interface SideTransportDeps {
  readonly env: Env;
  readonly clock: HlcClock;
  readonly transport: Transport;
  readonly storeId: StoreId;
  readonly ledger: SupportLedger;
  readonly bound: ClockBound;
  readonly intervalMs: () => number;
  /** HLC wall microseconds; `ahead`: of ranges that are closed ahead of the clock. */
  readonly closingTarget: (ahead: boolean) => number;
  /** False: the store behaves as one that is cut off. */
  readonly maySpeak: () => boolean;
  readonly replica: (rangeId: RangeId) => Replica | undefined;
  readonly awake: () => Iterable<Replica>;
}

type Entry = ClosedMessage['groups'][number];

interface Box {
  readonly to: PeerAddress;
  readonly isNew: boolean;
  readonly groups: Entry[];
  readonly awake: ClosedMessage['awake'][number][];
}

const closedMethod = 'closed-timestamps';
const restartMethod = 'closed-timestamps-restart';
/** A long interval that is shortened takes effect within this time. */
const lookMs = 1_000;
const noRanges: readonly RangeId[] = [];

export class SideTransport {
  readonly #deps: SideTransportDeps;
  readonly #groups = new QuietGroups();
  readonly #heard: ClosedStreams;
  /** Streams to peers that have been begun. */
  readonly #told = new Map<StoreId, { readonly stream: number; sequence: number }>();
  #lastStream = 0;
  #closedAtMs = 0;
  #timer: TimerHandle | undefined;
  #stopped = false;

  constructor(deps: SideTransportDeps) {
    this.#deps = deps;
    this.#heard = new ClosedStreams((rangeId, { index, closed }) => {
      const replica = deps.replica(rangeId);
      if (replica !== undefined && replica.raft.appliedIndex >= index) replica.closed.learn(closed);
    });
    const { transport } = deps;
    transport.onMessage(storeMethod(closedMethod, deps.storeId), (payload, from) =>
      this.#receive(payload, from),
    );
    transport.onMessage(storeMethod(restartMethod, deps.storeId), (payload) =>
      this.#restart(payload),
    );
  }

  start(): void {
    if (this.#stopped) return;
    const { env, maySpeak } = this.#deps;
    this.#timer = env.timers.after(Math.min(Math.max(this.#restMs(), 1), lookMs), () => {
      if (this.#restMs() <= 0) {
        this.#closedAtMs = env.clock.monotonicMs();
        if (maySpeak()) this.#close();
      }
      this.start();
    });
  }

  /** Until the interval is over. */
  #restMs(): number {
    const { env, intervalMs } = this.#deps;
    return this.#closedAtMs + intervalMs() - env.clock.monotonicMs();
  }

  stop(): void {
    this.#stopped = true;
    this.#timer?.cancel();
  }

  /** How far the range is closed for this replica, by what was said outside of its log. */
  closedFor(replica: Replica): number {
    if (replica.quietGroup !== undefined) return replica.quietGroup.closed;
    const fact = this.#heard.of(replica.rangeId);
    return fact !== undefined && replica.raft.appliedIndex >= fact.index ? fact.closed : 0;
  }

  /** The replica has fallen asleep. */
  slept(replica: Replica): void {
    const { raft, rangeId } = replica;
    const place = replica.closing.quietPlace();
    if (place === undefined || raft.appliedIndex !== raft.lastIndex) return;
    replica.quietGroup = this.#groups.join(rangeId, raft.lastIndex, place);
  }

  /** Something is about to happen to the replica, or it has lost its lease. True when it was closed with others. */
  woke(replica: Replica): boolean {
    const group = replica.quietGroup;
    if (group === undefined) return false;
    replica.quietGroup = undefined;
    replica.closed.promise(group.closed);
    replica.closed.learn(group.closed);
    this.#groups.leave(replica.rangeId, group);
    return true;
  }

  #close(): void {
    const boxes = new Map<StoreId, Box>();
    for (const group of this.#groups.all) this.#closeGroup(group, boxes);
    for (const replica of this.#deps.awake()) this.#closeAwake(replica, boxes);
    for (const box of boxes.values()) this.#send(box);
    this.#groups.told();
  }

  #closeGroup(group: QuietGroup, boxes: Map<StoreId, Box>): void {
    const { ledger, bound, closingTarget } = this.#deps;
    const target = closingTarget(group.place.ahead);
    const reach = leaseReach(group.place, (store) => ledger.supportFrom(store).expiration);
    const closed = Math.min(target, reach - 1, bound.upperBound - 1);
    const isNews = closed > group.closed || group.changes.size > 0;
    group.closed = Math.max(group.closed, closed);
    const changes = isNews ? changesOf(group) : undefined;
    for (const peer of group.place.peers) {
      const box = this.#boxFor(peer, boxes);
      const entry = box.isNew ? membersOf(group) : changes;
      if (entry !== undefined) box.groups.push(entry);
    }
  }

  #closeAwake(replica: Replica, boxes: Map<StoreId, Box>): void {
    if (!replica.holdsLease) return;
    const closed = replica.closed.close(replica.closing.target());
    const { rangeId, raft } = replica;
    if (closed <= 0) return;
    if (raft.appliedIndex === raft.lastIndex) replica.closed.learn(closed);
    const entry = { rangeId, index: raft.lastIndex, closed };
    for (const peer of replica.descriptor.replicas) {
      if (peer.storeId !== this.#deps.storeId) this.#boxFor(peer, boxes).awake.push(entry);
    }
  }

  #boxFor(to: PeerAddress, boxes: Map<StoreId, Box>): Box {
    const known = boxes.get(to.storeId);
    if (known !== undefined) return known;
    const box: Box = { to, isNew: !this.#told.has(to.storeId), groups: [], awake: [] };
    boxes.set(to.storeId, box);
    return box;
  }

  #send({ to, groups, awake }: Box): void {
    if (groups.length === 0 && awake.length === 0) return;
    const { clock, storeId, transport } = this.#deps;
    const now = clock.now();
    let told = this.#told.get(to.storeId);
    if (told === undefined) {
      this.#lastStream = Math.max(this.#lastStream + 1, now.wall);
      told = { stream: this.#lastStream, sequence: 0 };
      this.#told.set(to.storeId, told);
    }
    const { stream } = told;
    const sequence = ++told.sequence;
    const message = { from: storeId, to: to.storeId, now, stream, sequence, groups, awake };
    const method = storeMethod(closedMethod, to.storeId);
    transport.send(to.nodeId, method, encodeClosed(message), 'system');
  }

  #receive(payload: unknown, from: NodeId): void {
    const message = this.#stopped ? undefined : readMessage(payload);
    const { storeId, clock, transport, env } = this.#deps;
    if (message === undefined) {
      env.log.warn(
        { node: from },
        'a message about closed timestamps that cannot be read is dropped',
      );
      return;
    }
    if (message.to !== storeId || clock.isTooFarAhead(message.now)) return;
    clock.observe(message.now);
    if (this.#heard.receive(message)) return;
    const request = { from: storeId, to: message.from };
    transport.send(from, storeMethod(restartMethod, message.from), request, 'system');
  }

  /** A peer has missed something. */
  #restart(payload: unknown): void {
    if (typeof payload !== 'object' || payload === null) return;
    if (Reflect.get(payload, 'to') !== this.#deps.storeId) return;
    const from: unknown = Reflect.get(payload, 'from');
    for (const storeId of this.#told.keys()) if (storeId === from) this.#told.delete(storeId);
  }
}

function changesOf({ id, closed, changes }: QuietGroup): Entry {
  const came: { rangeId: RangeId; index: number }[] = [];
  const went: RangeId[] = [];
  for (const [rangeId, index] of changes) {
    if (index === undefined) went.push(rangeId);
    else came.push({ rangeId, index });
  }
  return { id, closed, came, went };
}

function membersOf({ id, closed, members }: QuietGroup): Entry {
  const came = Array.from(members, ([rangeId, index]) => ({ rangeId, index }));
  return { id, closed, came, went: noRanges };
}

function readMessage(payload: unknown): ClosedMessage | undefined {
  if (!Buffer.isBuffer(payload)) return undefined;
  try {
    return decodeClosed(payload);
  } catch (error) {
    if (error instanceof RangeError) return undefined;
    throw error;
  }
}
