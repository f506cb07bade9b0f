/**
 * The lease of one replica: whether it is held, since when, how far it reaches, and how it is given away.
 *
 * INVARIANT: the lease is the leadership of one term. A replica that has begun to transfer it away never serves in
 *   that term again.
 */
import {
  compareTimestamps,
  laterTimestamp,
  replicaById,
  zeroTimestamp,
  type FrozenRange,
  type KvError,
  type RangeDescriptor,
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
  /** As of the lease; only the leaseholder raises it. */
  #gcThreshold: Timestamp = zeroTimestamp;
  #transfer: { readonly term: number; readonly to: RaftId } | undefined;
  #lostAtMs = 0;

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

  /** When it was last lost, monotonic. */
  get lostAtMs(): number {
    return this.#lostAtMs;
  }

  /** See `ReplicaPort.checkLease`. */
  check(timestamp: Timestamp): KvError | undefined {
    const replica = this.#replica;
    if (!this.isHeld) return replica.notLeaseholder();
    if (replica.applier.splitPending) return replica.notLeaseholder();
    if (compareTimestamps(timestamp, this.#gcThreshold) < 0) {
      return { kind: 'below-gc-threshold', timestamp, threshold: this.#gcThreshold };
    }
    const isServed = timestamp.wall < this.expiration() && this.#isInForce();
    return isServed ? undefined : replica.notLeaseholder();
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
    if (!this.#replica.isLeader) this.#support = undefined;
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
    this.#gcThreshold = readThreshold(host.engine, replica.descriptor);
    replica.closing.leaseBegins();
    // One leader per term: in the range's first term nobody else has served since the split.
    replica.executor().leaseAcquired(this.#start, raft.term === initialLogTerm + 1);
    host.counters.leasesAcquired++;
    host.leaseChanged(replica);
    reconcileConfiguration(replica);
  }

  /** Stops serving for good in this term and orders `to` to campaign. The caller has made requests wait, and sealed the range. */
  beginTransfer(to: RaftId): void {
    const { raft } = this.#replica;
    this.#transfer = { term: raft.term, to };
    this.update();
    raft.transferLeadership(to);
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
  absorb(right: RangeDescriptor, { at, txnsUpTo }: FrozenRange): void {
    const replica = this.#replica;
    // Of what was read there ahead of the clock the next leaseholder has to know, too.
    replica.closed.raiseFloor(at.wall + 1);
    if (!this.#isTaken) return;
    this.#start = laterTimestamp(this.#start, at);
    this.raiseGcThreshold(readThreshold(replica.host.engine, replica.descriptor));
    replica.executor().absorb(right, { reads: at, txns: txnsUpTo });
  }

  get gcThreshold(): Timestamp {
    return this.#gcThreshold;
  }

  /** Called before the versions below it are deleted. */
  raiseGcThreshold(threshold: Timestamp): void {
    this.#gcThreshold = laterTimestamp(this.#gcThreshold, threshold);
  }
}
