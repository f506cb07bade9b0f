/**
 * One replica of one range: drives its raft core, owns the proposals under way, and hands committed entries to the
 * applier. It is the ReplicaPort of its executor. Whether it may serve is the business of its lease (`lease.ts`).
 *
 * A replica is *uninitialised* while it knows neither its keys nor its peers: made by a raft message
 * for a range this store has no data of. It votes and answers, and waits for a snapshot or for the
 * split that creates it (trap R8).
 *
 * INVARIANT 1: a proposal is decided by the entry that is applied at its index, and by nothing else.
 * INVARIANT 2: on the leader, a committed entry is applied in the same turn in which followers are told
 *   of it, so no follower can have applied a split that the leaseholder has not (T7). While applying is
 *   suspended (a large deletion), the lease is not used.
 */
import {
  addMicros,
  compareTimestamps,
  keepDescriptor,
  kvSettings,
  laterTimestamp,
  replicaById,
  type BatchRequest,
  type BatchResponse,
  type HlcClock,
  type KvError,
  type LockWait,
  type NodeId,
  type RangeDescriptor,
  type RangeFeedEnd,
  type RangeId,
  type ReplicaId,
  type StoreId,
  type Coordinator,
  type Timestamp,
  type TxnMeta,
} from '../../kv/index.ts';
import {
  type RaftCore,
  type RaftHost,
  type RaftId,
  type Ready,
  RaftNode,
} from '../../raft/index.ts';
import { CorruptionError, type EngineReader, type MvccStats } from '../../storage/index.ts';
import { compareBytes, must, type Env } from '../../util/index.ts';
import {
  type Command,
  type LowWater,
  type OnePhaseOutcome,
  type ProposeOutcome,
  type RangeExecutor,
  type ReplicaPort,
} from '../ports.ts';
import { type RangeLoad } from '../load/range-load.ts';
import { AdminWork } from './admin-work.ts';
import { ClosedTimestamp } from '../closed/closed-timestamp.ts';
import { Closing } from '../closed/closing.ts';
import { readPast } from '../closed/past-reads.ts';
import { type QuietGroup } from '../closed/quiet-groups.ts';
import { type RangeFeed } from '../feed/range-feed.ts';
import { Applier } from './applier.ts';
import { encodeCommand, type SplitEffects } from './command-codec.ts';
import { type ReplicaHost } from './host.ts';
import { Effects } from './effects.ts';
import { Lease } from './lease.ts';
import { MergeWatch } from './merge-watch.ts';
import { type RaftEnvelope } from './message-codec.ts';
import { Proposals } from './proposals.ts';
import { type ReplicaStart } from './replica-start.ts';
import { Waiters } from './waiters.ts';

/** Address of a raft peer. */
export interface PeerAddress {
  readonly nodeId: NodeId;
  readonly storeId: StoreId;
}

/** Transactions that have committed by now anywhere began at or below it. */
function beginningNow(clock: HlcClock): Timestamp {
  return addMicros(clock.now(), clock.maxOffsetMicros);
}

/** An executor that was not used for so long is not worth its memory. */
const executorRestMs = 60_000;

export class Replica implements ReplicaPort, RaftHost {
  readonly rangeId: RangeId;
  readonly replicaId: ReplicaId;
  readonly raft: RaftCore;
  readonly host: ReplicaHost;
  readonly applier: Applier;

  #descriptor: RangeDescriptor | undefined;
  /** Peers that the descriptor does not name (any more). */
  #strangers: Map<RaftId, PeerAddress> | undefined;
  #executor: RangeExecutor | undefined;
  /** Where the next executor begins, when an earlier one was given up; a new lease begins later. */
  #lowWater: LowWater | undefined;

  readonly lease = new Lease(this);
  readonly closed = new ClosedTimestamp();
  readonly closing = new Closing(this);
  readonly proposals = new Proposals();
  readonly admin = new AdminWork();
  readonly effects = new Effects(this);
  readonly mergeWatch = new MergeWatch(this);
  readonly #waiters = new Waiters();

  #lastContactMs: number;

  /** Installing a snapshot or waiting for a first durable write: Readys are not taken meanwhile. */
  suspended = 0;
  destroyed = false;
  /** A snapshot is taking the place of what this replica holds: there is nothing to come back to. */
  replaced = false;
  /**
   * The range began as the right side of one that was led by another store. If that store does not take it, nobody knows what was
   * read or closed there ahead of the clock.
   */
  bornElsewhere = false;
  /** The range that has absorbed this one. */
  successor: RangeDescriptor | undefined;
  /** Owned by the side transport: the ranges that are closed together with this one. */
  quietGroup: QuietGroup | undefined;
  /** Owned by the store's feeds: while somebody wants to know what is applied here. */
  feed: RangeFeed | undefined;
  /** Commits of transactions that began later have been applied here one by one. */
  #historyFrom: Timestamp;
  /** Owned by the scheduler. */
  queuedForTurn = false;
  /** Set together with `activate`, for new proposals: their turn may wait a little. */
  onlyProposed = false;

  constructor(host: ReplicaHost, start: ReplicaStart) {
    this.host = host;
    this.rangeId = start.rangeId;
    this.replicaId = start.replicaId;
    this.#descriptor = start.descriptor;
    this.#lastContactMs = host.env.clock.monotonicMs();
    this.#historyFrom = beginningNow(host.clock);
    this.raft = new RaftNode({
      id: start.replicaId,
      log: host.raftLog.range(start.rangeId),
      hardState: start.hardState,
      leader: start.leader?.id ?? 0,
      configuration: start.floor.configuration,
      applied: start.floor.index,
      settings: host.raftSettings,
      host: this,
    });
    this.applier = new Applier(this, {
      index: start.floor.index,
      term: start.floor.term,
      configuration: this.raft.configuration,
      stats: start.stats,
      statsIndex: start.statsIndex,
    });
    if (start.leader !== undefined) this.#noteStranger(start.leader.id, start.leader.address);
  }

  // ---- ReplicaPort ----

  get nodeId(): NodeId {
    return this.host.nodeId;
  }

  get storeId(): StoreId {
    return this.host.storeId;
  }

  get descriptor(): RangeDescriptor {
    return must(this.#descriptor, 'an initialised replica');
  }

  get initialised(): boolean {
    return this.#descriptor !== undefined;
  }

  get engine(): EngineReader {
    return this.host.engine;
  }

  get clock(): ReplicaHost['clock'] {
    return this.host.clock;
  }

  get env(): Env {
    return this.host.env;
  }

  get rowPrograms(): ReplicaHost['rowPrograms'] {
    return this.host.rowPrograms;
  }

  get sender(): ReplicaHost['sender'] {
    return this.host.sender;
  }

  get leaseSequence(): number {
    return this.lease.sequence;
  }

  get loadSplitThreshold(): number {
    return this.host.loadSplitThreshold;
  }

  get leaseStart(): Timestamp {
    return this.lease.start;
  }

  get leaseTakenAt(): Timestamp {
    return this.lease.takenAt;
  }

  checkLease(timestamp: Timestamp): KvError | undefined {
    return this.lease.check(timestamp);
  }

  checkHistory(timestamp: Timestamp): KvError | undefined {
    return this.lease.checkHistory(timestamp);
  }

  raiseGcThreshold(threshold: Timestamp): void {
    this.lease.raiseGcThreshold(threshold);
  }

  noteContention(wait: LockWait): void {
    this.host.noteContention(wait);
  }

  isGone(coordinator: Coordinator): boolean {
    return this.host.liveness.isGone(coordinator);
  }

  onePhaseOutcome({ id, minTimestamp }: Pick<TxnMeta, 'id' | 'minTimestamp'>): OnePhaseOutcome {
    const { appliedCommits } = this.host;
    const committed = appliedCommits.find(id);
    if (committed !== undefined) return committed;
    const knownFrom = laterTimestamp(this.#historyFrom, appliedCommits.forgottenUpTo);
    return compareTimestamps(minTimestamp, knownFrom) > 0 ? 'none' : 'unknown';
  }

  countRecovery(status: 'committed' | 'aborted'): void {
    if (status === 'committed') this.host.counters.txnsRecoveredCommitted++;
    else this.host.counters.txnsRecoveredAborted++;
  }

  openForWrites(): ClosedTimestamp {
    return this.closing.openForWrites();
  }

  get closesAhead(): boolean {
    return this.closing.isAhead;
  }

  /** HLC wall microseconds: nothing that is missing here will be written at or below it. */
  get closedTimestamp(): number {
    return Math.max(this.closed.known, this.host.sideTransport.closedFor(this));
  }

  propose(command: Command, leaseSequence: number): Promise<ProposeOutcome> {
    return this.effects.propose(command, (completed, split) =>
      this.#propose(completed, split, leaseSequence),
    );
  }

  // ---- RaftHost ----

  random(): number {
    return this.host.env.random.float();
  }

  supports(leader: RaftId): boolean {
    const store = this.address(leader)?.storeId;
    return store !== undefined && (store === this.storeId || this.host.liveness.supports(store));
  }

  supportedBy(peer: RaftId): boolean {
    const store = this.address(peer)?.storeId;
    return store !== undefined && (store === this.storeId || this.host.liveness.supportedBy(store));
  }

  // ---- lease ----

  get isLeader(): boolean {
    return this.raft.role === 'leader';
  }

  get holdsLease(): boolean {
    return this.lease.isHeld;
  }

  notLeaseholder(): KvError {
    if (this.successor !== undefined) {
      return { kind: 'range-key-mismatch', ranges: [this.successor] };
    }
    const leaseholder = this.lease.holder();
    return {
      kind: 'not-leaseholder',
      rangeId: this.rangeId,
      leaseholder: leaseholder?.replicaId === this.replicaId ? undefined : leaseholder,
      range: this.#descriptor,
    };
  }

  // ---- executor ----

  executor(): RangeExecutor {
    this.#executor ??= this.host.executorFactory(this, this.#lowWater);
    return this.#executor;
  }

  /** Made already, and not given up. */
  get executorInUse(): RangeExecutor | undefined {
    return this.#executor;
  }

  /** Of the executor in use, or left by the last one under this lease. */
  get lowWater(): LowWater | undefined {
    return this.#executor?.lowWater ?? this.#lowWater;
  }

  /** Gives the executor up when nobody needs it; a request makes a new one. */
  retireExecutor(): void {
    const lowWater = this.#executor?.retire(executorRestMs);
    if (lowWater === undefined) return;
    this.#lowWater = lowWater;
    this.#executor = undefined;
  }

  get queriesPerSecond(): number {
    return this.#executor?.load.perSecond() ?? 0;
  }

  /** Of the lease it holds; undefined when nobody has asked for anything lately. */
  get load(): RangeLoad | undefined {
    return this.#executor?.load;
  }

  execute(batch: BatchRequest): Promise<BatchResponse> {
    return readPast(this, batch) ?? this.executor().execute(batch);
  }

  // ---- raft driving ----

  get stats(): MvccStats {
    return this.applier.stats;
  }

  address(id: RaftId): PeerAddress | undefined {
    const member = this.#descriptor && replicaById(this.#descriptor, id);
    return member ?? this.#strangers?.get(id);
  }

  /** Milliseconds since a message of a leader arrived. */
  get silentMs(): number {
    return this.host.env.clock.monotonicMs() - this.#lastContactMs;
  }

  noteContact(): void {
    this.#lastContactMs = this.host.env.clock.monotonicMs();
  }

  /** Takes part in ticks and in the next turn. */
  activate(): void {
    this.host.activate(this);
  }

  step(envelope: RaftEnvelope, from: PeerAddress): void {
    const { message } = envelope;
    if (this.address(message.from) === undefined) this.#noteStranger(message.from, from);
    switch (message.kind) {
      case 'vote-request':
        // A promise made before a restart may still bind this store. A transfer is the leader's own wish.
        if (!message.transfer && !this.#mayVote()) return;
        break;
      case 'heartbeat':
        this.#refuseLoss(message);
        this.#lastContactMs = this.host.env.clock.monotonicMs();
        break;
      case 'append':
      case 'snapshot':
        this.#lastContactMs = this.host.env.clock.monotonicMs();
        break;
      case 'append-response':
      case 'heartbeat-response':
        if (envelope.supportEpoch > 0 && message.term === this.raft.term && this.isLeader) {
          this.lease.acknowledge(message.from, message.term, envelope.supportEpoch);
        }
        break;
      case 'vote-response':
      case 'timeout-now':
        break;
    }
    this.raft.step(message);
    this.activate();
  }

  /** A leader names only what this replica has acknowledged in its term: a log that ends before that has lost its end. */
  #refuseLoss({ term, commit }: Extract<RaftEnvelope['message'], { kind: 'heartbeat' }>): void {
    const { lastIndex } = this.raft;
    if (term < this.raft.term || commit <= lastIndex) return;
    this.host.fatal(
      new CorruptionError(
        `the raft log of range ${this.rangeId} ends at ${lastIndex}, and entries up to ${commit} were acknowledged`,
      ),
    );
  }

  /** The epoch to stamp on a response: only while this replica follows exactly that leader in that term. */
  supportEpochFor(message: { readonly to: RaftId; readonly term: number }): number {
    if (this.raft.term !== message.term || this.raft.leader !== message.to) return 0;
    const store = this.address(message.to)?.storeId;
    return store === undefined ? 0 : this.host.liveness.ledger.promisedEpoch(store);
  }

  /** One tick; returns false when the replica may sleep until something happens. */
  tick(): boolean {
    if (this.destroyed) return false;
    this.#expireProposals();
    if (this.suspended > 0 || this.#descriptor === undefined) return this.#waiters.any;
    if (!this.isLeader) {
      if (this.raft.role === 'follower' && this.raft.followsLiveLeader) {
        return this.proposals.size > 0 || this.#waiters.any;
      }
      if (!this.#mayStand()) return true;
    } else if (this.#mayFallSilent()) {
      return this.#waiters.any;
    }
    this.raft.tick();
    return true;
  }

  campaign(): void {
    if (this.destroyed || !this.#mayStand()) return;
    this.raft.campaign();
    this.activate();
  }

  afterTurn(): void {
    this.lease.update();
    this.#waiters.check();
  }

  /** Resolves true once `condition` holds (checked after every turn), false after `timeoutMs` or at the end of the replica. */
  waitUntil(condition: () => boolean, timeoutMs: number): Promise<boolean> {
    if (condition()) return Promise.resolve(true);
    if (this.destroyed) return Promise.resolve(false);
    this.activate();
    return this.#waiters.add(this.host.env.timers, condition, timeoutMs);
  }

  /** Runs `work` when earlier administrative work on this range has ended. */
  exclusively<T>(work: () => Promise<T>): Promise<T> {
    return this.admin.exclusively(work);
  }

  committed(ready: Ready): void {
    if (ready.committed.length > 0) this.applier.enqueue(ready.committed);
  }

  /** Called by the applier when the descriptor changed, together with the batch that says so. */
  setDescriptor(descriptor: RangeDescriptor): void {
    const former = this.#descriptor;
    this.#descriptor = keepDescriptor(descriptor, former);
    const grown = former && compareBytes(descriptor.endKey, former.endKey);
    if (grown !== undefined && grown !== 0) {
      this.endFeed({ kind: grown < 0 ? 'range-split' : 'range-merged' });
    }
    for (const member of former?.replicas ?? []) {
      const { replicaId } = member;
      if (replicaById(descriptor, replicaId) === undefined) this.#noteStranger(replicaId, member);
    }
  }

  /** What this replica holds now has not all been applied by it: another one was absorbed, or a snapshot came. */
  beginHistory(): void {
    this.#historyFrom = beginningNow(this.host.clock);
  }

  /** Below a split: what was applied one by one to the left side was so to its keys, too. */
  inheritHistory(left: Replica): void {
    this.#historyFrom = left.#historyFrom;
  }

  /** What the feed has been told does not continue here. `span`: as for `RangeFeed.end`. */
  endFeed(end: RangeFeedEnd, span?: { readonly start: Buffer; readonly end: Buffer }): void {
    this.feed?.end(end, span);
    this.feed = undefined;
  }

  /** The end of this replica on this store: everything that waits for it is answered. */
  destroy(reason: string): void {
    if (this.destroyed) return;
    this.destroyed = true;
    this.endFeed({ kind: 'replica-removed' });
    this.lease.update();
    this.proposals.abandon(Infinity, reason);
    this.#waiters.giveUp();
  }

  /** A snapshot made everything up to `index` happen without saying what became of each proposal. */
  abandonProposals(index: number): void {
    this.proposals.abandon(index, 'a snapshot replaced the log');
  }

  /** What to say to writers when nothing has been replicated for too long: they would wait behind what is stuck. */
  stuck(): KvError | undefined {
    if (this.proposals.size === 0) return undefined;
    const { clusterSettings, env } = this.host;
    const thresholdMs = clusterSettings.get(kvSettings.slowReplicationThreshold);
    const stuckMs = this.proposals.waitingMs(env.clock.monotonicMs());
    if (thresholdMs === 0 || stuckMs < thresholdMs) return undefined;
    const reason = `range ${this.rangeId} has not replicated anything for ${Math.round(stuckMs / 1000)} s`;
    return { kind: 'unavailable', reason };
  }

  #propose(
    command: Command,
    split: SplitEffects | undefined,
    leaseSequence: number,
  ): Promise<ProposeOutcome> {
    if (leaseSequence !== this.leaseSequence || !this.holdsLease) {
      return Promise.resolve({ kind: 'rejected', error: this.notLeaseholder() });
    }
    const closed = this.closed.close(this.closing.target());
    const data = encodeCommand(command, split, closed);
    const maxBytes = this.host.clusterSettings.get(kvSettings.raftCommandMaxSize);
    if (data.length > maxBytes) {
      const reason = `a command of ${data.length} bytes exceeds kv.raft.command.max_size (${maxBytes})`;
      return Promise.resolve({ kind: 'rejected', error: { kind: 'too-large', reason } });
    }
    const stuck = this.stuck();
    if (stuck !== undefined) return Promise.resolve({ kind: 'rejected', error: stuck });
    const result = this.raft.propose(data);
    switch (result.kind) {
      case 'not-leader':
        return Promise.resolve({ kind: 'rejected', error: this.notLeaseholder() });
      case 'busy': {
        const error: KvError =
          result.reason === 'transfer'
            ? this.notLeaseholder()
            : { kind: 'unavailable', reason: `range ${this.rangeId}: raft ${result.reason}` };
        return Promise.resolve({ kind: 'rejected', error });
      }
      case 'accepted':
        this.onlyProposed = true;
        this.activate();
        this.host.counters.proposals++;
        return new Promise((resolve) => {
          const { term, index } = result;
          const atMs = this.host.env.clock.monotonicMs();
          this.proposals.add(index, { term, command, split, closed, atMs, resolve });
        });
    }
  }

  #noteStranger(id: RaftId, address: PeerAddress): void {
    this.#strangers ??= new Map();
    this.#strangers.set(id, address);
  }

  #mayVote(): boolean {
    const { voters, votersOutgoing } = this.raft.configuration;
    const alone =
      voters.length === 1 && voters[0] === this.replicaId && votersOutgoing.length === 0;
    if (alone) return true;
    // A leader refuses anyway, and says why.
    const isBound = !this.isLeader && this.lease.servedUpTo >= this.host.clock.now().wall;
    return !isBound && this.host.liveness.mayVote();
  }

  /** Who would not serve does not stand, either. Its vote is as good as any: it rests on a clock that never goes backwards. */
  #mayStand(): boolean {
    return this.#mayVote() && !this.host.clockIsWrong;
  }

  /** A leader may stop ticking when nothing is under way, every follower knows it, and it can serve. */
  #mayFallSilent(): boolean {
    if (this.proposals.size > 0 || this.closed.hasWrites) return false;
    return this.holdsLease && this.raft.canQuiesce() && this.lease.isSettled;
  }

  /** A former leader that cannot learn what became of its proposals says so after a while. */
  #expireProposals(): void {
    if (this.proposals.size === 0 || this.holdsLease) return;
    const waited = this.host.env.clock.monotonicMs() - this.lease.lostAtMs;
    if (waited < this.host.settings.ambiguousAfterMs) return;
    this.proposals.abandon(Infinity, 'leadership was lost');
  }
}
