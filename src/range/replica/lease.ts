/**
 * The lease of one replica: whether it is held, since when, how far it reaches, and how it is given away.
 *
 * INVARIANT 1: the lease is the leadership of one term. A replica that has begun to transfer it away never serves in
 *   that term again.
 *
 * Who gives its lease away leaves a handover: the last entry of its reign (`closed/closing.ts`), which every replica that
 * applies it keeps in memory until the next lease begins.
 *
 * INVARIANT 2: a lease begins with a handover only if the entry right behind it is the first of the new term. Then nobody has
 *   served since: its author stopped in the step in which it proposed it (invariant 1), and whoever served in a term
 *   between had committed an entry of that term before, which would stand between the two in the log of every later
 *   leader (leader completeness). And only the first lease of the new term: a second one comes after the first has served.
 */
import {
  compareTimestamps,
  laterTimestamp,
  replicaById,
  zeroTimestamp,
  type FrozenRange,
  type Handover,
  type KvError,
  type ReplicaDescriptor,
  type StoreId,
  type Timestamp,
} from '../../kv/index.ts';
import { type RaftId } from '../../raft/index.ts';
import { reconcileConfiguration } from './configuration.ts';
import { LeaseSupport } from './lease-support.ts';
import { initialLogTerm, readThreshold } from './range-state.ts';
import { type Replica } from './replica.ts';

export class Lease {
  readonly #replica: Replica;
  /** Of a leader; what was acknowledged in the current term. */
  #support: LeaseSupport | undefined;
  #isTaken = false;
  #term = 0;
  #sequence = 0;
  #start: Timestamp = zeroTimestamp;
  #takenAt: Timestamp = zeroTimestamp;
  /** As of the lease; only the leaseholder raises it. */
  #gcThreshold: Timestamp = zeroTimestamp;
  #transfer: { readonly term: number; readonly to: RaftId } | undefined;
  #lostAtMs = 0;
  /** See `servedUpTo`; of the leases before the present one. */
  #servedUpTo = 0;
  /** What the lease before this one left, and the index of the entry that says so. */
  #left: { readonly index: number; readonly handover: Handover } | undefined;

  constructor(replica: Replica) {
    this.#replica = replica;
  }

  get isHeld(): boolean {
    // A leader that is about to lose its vote transfers on its own (raft's transfer target).
    const { raft } = this.#replica;
    return (
      this.#isTaken &&
      raft.role === 'leader' &&
      raft.term === this.#term &&
      raft.transferTarget === 0
    );
  }

  /** See `ReplicaPort.leaseSequence`. */
  get sequence(): number {
    return this.#sequence;
  }

  get start(): Timestamp {
    return this.#start;
  }

  /** See `ReplicaPort.leaseTakenAt`. */
  get takenAt(): Timestamp {
    return this.#takenAt;
  }

  /** When it was last lost, monotonic. */
  get lostAtMs(): number {
    return this.#lostAtMs;
  }

  /**
   * HLC wall microseconds: nothing was read, written or closed above it under leases of this replica. The promises of followers bind
   * those who made them; the clock of a vote tells of what happened up to then. What was served ahead of the clock binds this
   * replica itself: it votes for others, and stands, when its clock has passed that.
   */
  get servedUpTo(): number {
    if (!this.#isTaken) return this.#servedUpTo;
    const { closed, lowWater } = this.#replica;
    return Math.max(this.#servedUpTo, closed.ceiling, lowWater?.reads.wall ?? 0);
  }

  /** See `ReplicaPort.checkLease`. */
  check(timestamp: Timestamp): KvError | undefined {
    const replica = this.#replica;
    if (!this.isHeld) return replica.notLeaseholder();
    if (replica.host.clock.complaint() !== undefined) return replica.notLeaseholder();
    if (replica.applier.splitPending) return replica.notLeaseholder();
    const isServed = timestamp.wall < this.expiration() && this.#isInForce();
    return isServed ? undefined : replica.notLeaseholder();
  }

  /** See `ReplicaPort.checkHistory`. */
  checkHistory(timestamp: Timestamp): KvError | undefined {
    const threshold = this.#gcThreshold;
    return compareTimestamps(timestamp, threshold) < 0
      ? { kind: 'below-gc-threshold', timestamp, threshold }
      : undefined;
  }

  // ---- how far it reaches ----

  /** HLC wall microseconds: nothing at or beyond it is served. */
  expiration(): number {
    return Math.min(this.#supportExpiration(), this.#replica.host.bound.upperBound);
  }

  /** No clock has passed what a quorum promised, not one that is ahead of this one by the maximum offset either (trap T3). */
  #isInForce(): boolean {
    const { clock, bound } = this.#replica.host;
    const now = clock.now().wall;
    return now + clock.maxOffsetMicros < this.#supportExpiration() && now < bound.upperBound;
  }

  #supportExpiration(): number {
    const { term, configuration } = this.#replica.raft;
    return this.#leaseSupport().expiration(term, configuration);
  }

  /** A follower has answered this leader while its store's promise of `epoch` was in force. */
  acknowledge(from: RaftId, term: number, epoch: number): void {
    this.#leaseSupport().acknowledge(from, term, epoch);
  }

  /** Other stores whose promise it rests on. */
  promising(): StoreId[] {
    const { term, configuration } = this.#replica.raft;
    return this.#leaseSupport().promising(term, configuration);
  }

  /** In force, and nothing has to be said to a follower for its store's promise to count. */
  get isSettled(): boolean {
    const { raft, host } = this.#replica;
    const now = host.clock.now().wall;
    return this.#isInForce() && this.#leaseSupport().settled(raft.term, raft.configuration, now);
  }

  #leaseSupport(): LeaseSupport {
    const replica = this.#replica;
    this.#support ??= new LeaseSupport(
      replica.replicaId,
      replica.host.liveness.ledger,
      (id) => replica.address(id)?.storeId,
    );
    return this.#support;
  }

  // ---- taken and lost ----

  /** Takes note of a lease gained or lost since the last turn and tells the executor. */
  update(): void {
    const isDue = this.#isDue();
    if (this.#isTaken && (!isDue || this.#term !== this.#replica.raft.term)) this.#lose();
    if (isDue && !this.#isTaken) this.#take();
    if (!this.#replica.isLeader) {
      this.#support = undefined;
      if (this.#left !== undefined && this.#replica.raft.appliedIndex > this.#left.index) {
        this.#left = undefined;
      }
    }
  }

  #isDue(): boolean {
    const { raft, applier, destroyed, initialised, mergeWatch } = this.#replica;
    const { term } = raft;
    return (
      !destroyed &&
      raft.role === 'leader' &&
      initialised &&
      applier.appliedTerm === term &&
      this.#transfer?.term !== term &&
      raft.transferTarget === 0 &&
      !mergeWatch.isBlocked(term)
    );
  }

  #lose(): void {
    const replica = this.#replica;
    this.#servedUpTo = this.servedUpTo;
    this.#isTaken = false;
    this.#sequence++;
    this.#lostAtMs = replica.host.env.clock.monotonicMs();
    // It stays while anything runs in it: a request that waits for a latch may be served under the next lease of
    // this replica, by the timestamps that are remembered then.
    replica.executorInUse?.leaseLost();
    replica.host.counters.leasesLost++;
    replica.host.leaseChanged(replica);
  }

  #take(): void {
    const replica = this.#replica;
    const { host, raft } = replica;
    this.#isTaken = true;
    this.#term = raft.term;
    // An entry of an earlier term that lies behind the first one of this term is not in this leader's log:
    // it was not committed and never will be (leader completeness, paper 5.4.3).
    replica.proposals.refuseBefore(raft.term, replica.notLeaseholder());
    this.#sequence++;
    // Above every read that an earlier leaseholder served: a voter brought its clock along (rule T1).
    this.#start = host.clock.now();
    this.#takenAt = this.#start;
    this.#gcThreshold = readThreshold(host.engine, replica.descriptor);
    replica.closing.leaseBegins();
    replica.executor().leaseAcquired(this.#start, this.#before());
    host.counters.leasesAcquired++;
    host.leaseChanged(replica);
    reconcileConfiguration(replica);
  }

  /** See `RangeExecutor.leaseAcquired`; asked once per lease. */
  #before(): 'split' | Handover | undefined {
    const { raft, host, rangeId, mergeWatch } = this.#replica;
    const left = this.#left;
    this.#left = undefined;
    const frozen = mergeWatch.takeBack();
    if (frozen !== undefined) return frozen;
    // One leader per term: in the range's first term nobody else has served since the split.
    if (raft.term === initialLogTerm + 1) return 'split';
    const isNext =
      left !== undefined && host.raftLog.range(rangeId).term(left.index + 1) === raft.term;
    return isNext ? left.handover : undefined;
  }

  /** The entry at `index` is the last one of a lease that was given away. */
  noteHandover(index: number, handover: Handover): void {
    this.#left = { index, handover };
  }

  /** Stops serving for good in this term, in favour of `to`. */
  giveUp(to: RaftId): void {
    this.#transfer = { term: this.#replica.raft.term, to };
    this.update();
  }

  /** Orders `to` to campaign. The caller has made requests wait, and sealed the range in favour of it. */
  beginTransfer(to: RaftId): void {
    this.#replica.raft.transferLeadership(to);
    this.#replica.activate();
  }

  /** The best-known leaseholder of the range; undefined when there is none to name. */
  holder(): ReplicaDescriptor | undefined {
    const replica = this.#replica;
    const { term, leader } = replica.raft;
    const id = this.#transfer?.term === term ? this.#transfer.to : leader;
    return replica.initialised ? replicaById(replica.descriptor, id) : undefined;
  }

  // ---- what it has to know of the past ----

  /** Below a merge: with its keys comes what was done to them elsewhere, as if the lease began only now (trap T6). */
  absorb({ at, handover }: FrozenRange): void {
    const replica = this.#replica;
    // Above what was read there; ahead of the clock the next leaseholder has to know of it, too.
    replica.closed.raiseFloor(at.wall + 1);
    if (!this.#isTaken) return;
    this.#start = laterTimestamp(this.#start, at);
    this.raiseGcThreshold(readThreshold(replica.host.engine, replica.descriptor));
    replica.executor().absorb(handover);
  }

  get gcThreshold(): Timestamp {
    return this.#gcThreshold;
  }

  /** Called before the versions below it are deleted. */
  raiseGcThreshold(threshold: Timestamp): void {
    this.#gcThreshold = laterTimestamp(this.#gcThreshold, threshold);
  }
}
