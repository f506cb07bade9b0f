/**
 * One replica of one range: drives its raft core, owns the proposals under way, knows whether it holds
 * the lease, and hands committed entries to the applier. It is the ReplicaPort of its executor.
 *
 * A replica is *uninitialised* while it knows neither its keys nor its peers: made by a raft message
 * for a range this store has no data of. It votes and answers, and waits for a snapshot or for the
 * split that creates it (trap R8).
 *
 * INVARIANT 1: the lease is the leadership of one term. A replica that has begun to transfer it away
 *   never serves in that term again.
 * INVARIANT 2: a proposal is decided by the entry that is applied at its index, and by nothing else.
 * INVARIANT 3: on the leader, a committed entry is applied in the same turn in which followers are told
 *   of it, so no follower can have applied a split that the leaseholder has not (T7). While applying is
 *   suspended (a large deletion), the lease is not used.
 */
import {
  compareTimestamps,
  keepDescriptor,
  kvSettings,
  laterTimestamp,
  replicaById,
  type BatchRequest,
  type BatchResponse,
  type FrozenRange,
  type KvError,
  type NodeId,
  type RangeDescriptor,
  type RangeId,
  type ReplicaDescriptor,
  type ReplicaId,
  type StoreId,
  type Timestamp,
  zeroTimestamp,
} from '../../kv/index.ts';
import {
  type Configuration,
  type RaftCore,
  type RaftHost,
  type RaftId,
  type Ready,
  RaftNode,
} from '../../raft/index.ts';
import {
  CorruptionError,
  zeroStats,
  type EngineReader,
  type MvccStats,
} from '../../storage/index.ts';
import { must, unreachable, type Env } from '../../util/index.ts';
import {
  type Command,
  type LowWater,
  type ProposeOutcome,
  type RangeExecutor,
  type ReplicaPort,
} from '../ports.ts';
import { type RangeLoad } from '../load/range-load.ts';
import { AdminWork } from './admin-work.ts';
import { ClosedTimestamp } from '../closed/closed-timestamp.ts';
import { readPast } from '../closed/past-reads.ts';
import { type GroupPlace, type QuietGroup } from '../closed/quiet-groups.ts';
import { Applier } from './applier.ts';
import { encodeCommand, type SplitEffects } from './command-codec.ts';
import { type ReplicaHost } from './host.ts';
import { Effects } from './effects.ts';
import { LeaseSupport } from './lease.ts';
import { MergeWatch } from './merge-watch.ts';
import { type RaftEnvelope } from './message-codec.ts';
import { Proposals } from './proposals.ts';
import { initialLogIndex, initialLogTerm, readThreshold } from './range-state.ts';
import { type ReplicaStart } from './replica-start.ts';
import { Waiters } from './waiters.ts';

/** Address of a raft peer. */
export interface PeerAddress {
  readonly nodeId: NodeId;
  readonly storeId: StoreId;
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
  /** Of a leader; what was acknowledged in the current term. */
  #support: LeaseSupport | undefined;
  #executor: RangeExecutor | undefined;
  /** Where the next executor begins, when an earlier one was given up; a new lease begins later. */
  #lowWater: LowWater | undefined;

  readonly closed = new ClosedTimestamp();
  /** Of the zone, as of `readPolicy`. */
  #hasGlobalReads = false;
  readonly proposals = new Proposals();
  readonly admin = new AdminWork();
  readonly effects = new Effects(this);
  readonly mergeWatch = new MergeWatch(this);
  readonly #waiters = new Waiters();

  #holdsLease = false;
  #leaseTerm = 0;
  #leaseSequence = 0;
  #leaseStart: Timestamp = zeroTimestamp;
  /** As of the lease; only the leaseholder raises it. */
  #gcThreshold: Timestamp = zeroTimestamp;
  #transfer: { readonly term: number; readonly to: RaftId } | undefined;
  /** Nothing more is closed under this lease. */
  #isSealed = false;
  #lostLeadershipAtMs = 0;

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
    this.raft = new RaftNode({
      id: start.replicaId,
      log: host.raftLog.range(start.rangeId),
      hardState: start.hardState,
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
    return this.#leaseSequence;
  }

  get loadSplitThreshold(): number {
    return this.host.loadSplitThreshold;
  }

  get leaseStart(): Timestamp {
    return this.#leaseStart;
  }

  checkLease(timestamp: Timestamp): KvError | undefined {
    if (!this.holdsLease) return this.notLeaseholder();
    if (this.applier.splitPending) return this.notLeaseholder();
    if (compareTimestamps(timestamp, this.#gcThreshold) < 0) {
      return { kind: 'below-gc-threshold', timestamp, threshold: this.#gcThreshold };
    }
    const isServed = timestamp.wall < this.leaseExpiration() && this.#isInForce();
    return isServed ? undefined : this.notLeaseholder();
  }

  countRecovery(status: 'committed' | 'aborted'): void {
    if (status === 'committed') this.host.counters.txnsRecoveredCommitted++;
    else this.host.counters.txnsRecoveredAborted++;
  }

  openForWrites(): ClosedTimestamp {
    if (this.quietGroup !== undefined) this.activate();
    // What others commit to such ranges afterwards stands above what has been committed here before, even if none of it is closed yet.
    if (this.closesAhead) this.closed.raiseFloor(this.closingTarget());
    return this.closed;
  }

  get closesAhead(): boolean {
    return this.#hasGlobalReads && this.host.clusterSettings.get(kvSettings.followerReads);
  }

  /** HLC wall microseconds: up to where this leaseholder would close the range now. */
  closingTarget(): number {
    if (this.#isSealed) return 0;
    return Math.min(this.host.closingTarget(this.#hasGlobalReads), this.leaseExpiration() - 1);
  }

  /** Looks up how the range is to be closed: the lease or the zone has changed. */
  readPolicy(): void {
    const hasGlobalReads = this.host.hasGlobalReads(this.descriptor);
    if (hasGlobalReads === this.#hasGlobalReads) return;
    this.#hasGlobalReads = hasGlobalReads;
    // At rest it would be closed with the wrong group.
    if (this.quietGroup !== undefined) this.activate();
  }

  /** HLC wall microseconds: nothing that is missing here will be written at or below it. */
  get closedTimestamp(): number {
    return Math.max(this.closed.known, this.host.sideTransport.closedFor(this));
  }

  /** With which other ranges this one may be closed while it is at rest. */
  quietPlace(): GroupPlace | undefined {
    const { term, configuration } = this.raft;
    const isChanging = configuration.votersOutgoing.length > 0;
    if (!this.holdsLease || this.#isSealed || isChanging) return undefined;
    return {
      peers: this.descriptor.replicas.filter(({ storeId }) => storeId !== this.storeId),
      promising: this.#leaseSupport().promising(term, configuration),
      voters: configuration.voters.length,
      ahead: this.#hasGlobalReads,
    };
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
    // A leader that is about to lose its vote transfers on its own (raft's transfer target).
    return (
      this.#holdsLease &&
      this.isLeader &&
      this.raft.term === this.#leaseTerm &&
      this.raft.transferTarget === 0
    );
  }

  /** HLC wall microseconds: nothing at or beyond it is served. */
  leaseExpiration(): number {
    return Math.min(this.#supportExpiration(), this.host.bound.upperBound);
  }

  /** No clock has passed what a quorum promised, not one that is ahead of this one by the maximum offset either (trap T3). */
  #isInForce(): boolean {
    const { clock, bound } = this.host;
    const now = clock.now().wall;
    return now + clock.maxOffsetMicros < this.#supportExpiration() && now < bound.upperBound;
  }

  #supportExpiration(): number {
    return this.#leaseSupport().expiration(this.raft.term, this.raft.configuration);
  }

  /** The best-known leaseholder; undefined when there is none to name. */
  leaseholder(): ReplicaDescriptor | undefined {
    const transfer = this.#transfer;
    const id = transfer?.term === this.raft.term ? transfer.to : this.raft.leader;
    return this.#descriptor && replicaById(this.#descriptor, id);
  }

  notLeaseholder(): KvError {
    if (this.successor !== undefined) {
      return { kind: 'range-key-mismatch', ranges: [this.successor] };
    }
    const leaseholder = this.leaseholder();
    return {
      kind: 'not-leaseholder',
      rangeId: this.rangeId,
      leaseholder: leaseholder?.replicaId === this.replicaId ? undefined : leaseholder,
      range: this.#descriptor,
    };
  }

  /** Takes note of a lease gained or lost since the last turn and tells the executor. */
  updateLease(): void {
    const { term } = this.raft;
    const holds =
      !this.destroyed &&
      this.isLeader &&
      this.#descriptor !== undefined &&
      this.applier.appliedTerm === term &&
      this.#transfer?.term !== term &&
      this.raft.transferTarget === 0 &&
      !this.mergeWatch.isBlocked(term);
    if (this.#holdsLease && (!holds || this.#leaseTerm !== term)) {
      this.#holdsLease = false;
      this.#leaseSequence++;
      this.#lostLeadershipAtMs = this.host.env.clock.monotonicMs();
      // It stays while anything runs in it: a request that waits for a latch may be served under the next lease of
      // this replica, by the timestamps that are remembered then.
      this.#executor?.leaseLost();
      this.host.counters.leasesLost++;
      this.host.leaseChanged(this);
    }
    if (holds && !this.#holdsLease) {
      this.#holdsLease = true;
      this.#leaseTerm = term;
      // An entry of an earlier term that lies behind the first one of this term is not in this leader's log:
      // it was not committed and never will be (leader completeness, paper 5.4.3).
      this.proposals.refuseBefore(term, this.notLeaseholder());
      this.#leaseSequence++;
      // Above every read that an earlier leaseholder served: a voter brought its clock along (rule T1).
      this.#leaseStart = this.host.clock.now();
      this.#gcThreshold = readThreshold(this.host.engine, this.descriptor);
      this.#isSealed = false;
      this.readPolicy();
      if (this.bornElsewhere && this.#isFirstReign()) {
        const { clock } = this.host;
        this.closed.raiseFloor(this.host.closingTarget(true) + clock.maxOffsetMicros);
      }
      // One leader per term: in the range's first term nobody else has served since the split.
      this.executor().leaseAcquired(this.#leaseStart, term === initialLogTerm + 1);
      this.host.counters.leasesAcquired++;
      this.host.leaseChanged(this);
      this.reconcileConfiguration();
    }
    if (!this.isLeader) this.#support = undefined;
  }

  #isFirstReign(): boolean {
    const log = this.host.raftLog.range(this.rangeId);
    return log.term(initialLogIndex + 1) === this.raft.term;
  }

  /** Below a merge: with its keys comes what was done to them elsewhere, as if the lease began only now (trap T6). */
  absorbed(right: RangeDescriptor, { at, txnsUpTo }: FrozenRange): void {
    // Of what was read there ahead of the clock the next leaseholder has to know, too.
    this.closed.raiseFloor(at.wall + 1);
    if (!this.#holdsLease) return;
    this.#leaseStart = laterTimestamp(this.#leaseStart, at);
    this.raiseGcThreshold(readThreshold(this.host.engine, this.descriptor));
    this.executor().absorb(right, { reads: at, txns: txnsUpTo });
  }

  get gcThreshold(): Timestamp {
    return this.#gcThreshold;
  }

  /** Called before the versions below it are deleted. */
  raiseGcThreshold(threshold: Timestamp): void {
    this.#gcThreshold = laterTimestamp(this.#gcThreshold, threshold);
  }

  /** Stops serving for good in this term and orders `to` to campaign. The caller has made requests wait, and `seal`ed. */
  beginTransfer(to: RaftId): void {
    this.#transfer = { term: this.raft.term, to };
    this.updateLease();
    this.raft.transferLeadership(to);
    this.activate();
  }

  /**
   * The lease is about to be given away: nothing is closed any more. The next one begins above the clock of this one; what was
   * closed, read or written ahead of the clock goes along as the closed timestamp of one more entry, without which nobody can
   * be elected. The caller has made requests wait. False: that entry was not committed.
   */
  async seal(): Promise<boolean> {
    this.#isSealed = true;
    this.activate();
    const reads = (this.#executor?.lowWater ?? this.#lowWater)?.reads ?? zeroTimestamp;
    const ceiling = Math.max(this.closed.ceiling, reads.wall + 1);
    const timestamp = this.host.clock.now();
    if (ceiling <= timestamp.wall) return true;
    this.closed.promise(ceiling);
    const nothing = { writes: [], statsDelta: zeroStats, trigger: undefined, clears: [] };
    const { kind } = await this.#propose({ ...nothing, timestamp }, undefined, this.#leaseSequence);
    return kind === 'applied';
  }

  /** The lease was not given away. */
  unseal(): void {
    this.#isSealed = false;
  }

  // ---- executor ----

  executor(): RangeExecutor {
    this.#executor ??= this.host.executorFactory(this, this.#lowWater);
    return this.#executor;
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
          this.#leaseSupport().acknowledge(message.from, message.term, envelope.supportEpoch);
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
      if (!this.#mayVote()) return true;
    } else if (this.#mayFallSilent()) {
      return this.#waiters.any;
    }
    this.raft.tick();
    return true;
  }

  campaign(): void {
    if (this.destroyed || !this.#mayVote()) return;
    this.raft.campaign();
    this.activate();
  }

  afterTurn(): void {
    this.updateLease();
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
    for (const member of former?.replicas ?? []) {
      const { replicaId } = member;
      if (replicaById(descriptor, replicaId) === undefined) this.#noteStranger(replicaId, member);
    }
  }

  /**
   * Leader: makes raft's configuration follow the descriptor, which says who should take part. (The
   * other direction, marking a joint descriptor as finished, is the business of `change-replicas.ts`.)
   */
  reconcileConfiguration(): void {
    if (!this.holdsLease || this.#descriptor === undefined) return;
    const current = this.raft.configuration;
    if (current.votersOutgoing.length > 0) return;
    const wanted = configurationOf(this.#descriptor);
    if (sameIds(current.voters, wanted.voters) && sameIds(current.learners, wanted.learners)) {
      return;
    }
    const { voters, learners } = wanted;
    const result = this.raft.proposeConfigChange({ voters, learners });
    if (result.kind === 'accepted') this.activate();
  }

  /** The end of this replica on this store: everything that waits for it is answered. */
  destroy(reason: string): void {
    if (this.destroyed) return;
    this.destroyed = true;
    this.updateLease();
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
    if (leaseSequence !== this.#leaseSequence || !this.holdsLease) {
      return Promise.resolve({ kind: 'rejected', error: this.notLeaseholder() });
    }
    const closed = this.closed.close(this.closingTarget());
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

  #leaseSupport(): LeaseSupport {
    this.#support ??= new LeaseSupport(
      this.replicaId,
      this.host.liveness.ledger,
      (id) => this.address(id)?.storeId,
    );
    return this.#support;
  }

  #mayVote(): boolean {
    const { voters, votersOutgoing } = this.raft.configuration;
    const alone =
      voters.length === 1 && voters[0] === this.replicaId && votersOutgoing.length === 0;
    return alone || this.host.liveness.mayVote();
  }

  /** A leader may stop ticking when nothing is under way, every follower knows it, and it can serve. */
  #mayFallSilent(): boolean {
    if (this.proposals.size > 0 || this.closed.hasWrites) return false;
    if (!this.holdsLease || !this.raft.canQuiesce()) return false;
    const now = this.host.clock.now().wall;
    const { term, configuration } = this.raft;
    return this.#isInForce() && this.#leaseSupport().settled(term, configuration, now);
  }

  /** A former leader that cannot learn what became of its proposals says so after a while. */
  #expireProposals(): void {
    if (this.proposals.size === 0 || this.holdsLease) return;
    const waited = this.host.env.clock.monotonicMs() - this.#lostLeadershipAtMs;
    if (waited < this.host.settings.ambiguousAfterMs) return;
    this.proposals.abandon(Infinity, 'leadership was lost');
  }
}

/** Raft's configuration as the descriptor wants it to become. */
export function configurationOf(range: RangeDescriptor): Configuration {
  const voters: RaftId[] = [];
  const learners: RaftId[] = [];
  for (const replica of range.replicas) {
    switch (replica.kind) {
      case 'voter':
      case 'voter-incoming':
        voters.push(replica.replicaId);
        break;
      case 'learner':
      case 'non-voter':
      case 'voter-demoting':
        learners.push(replica.replicaId);
        break;
      case 'voter-outgoing':
        break;
      default:
        unreachable(replica.kind);
    }
  }
  const ascending = (a: number, b: number): number => a - b;
  return {
    voters: voters.sort(ascending),
    votersOutgoing: [],
    learners: learners.sort(ascending),
  };
}

export function sameIds(a: readonly RaftId[], b: readonly RaftId[]): boolean {
  return a.length === b.length && a.every((id) => b.includes(id));
}
