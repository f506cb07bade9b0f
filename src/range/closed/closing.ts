/**
 * How a leaseholder closes its range: up to where, with which other ranges while it is at rest, and what becomes of that when
 * the lease is given away.
 */
import { kvSettings } from '../../kv/index.ts';
import { type RaftId } from '../../raft/index.ts';
import { zeroStats } from '../../storage/index.ts';
import { type Command } from '../ports.ts';
import { initialLogIndex } from '../replica/range-state.ts';
import { type Replica } from '../replica/replica.ts';
import { type ClosedTimestamp } from './closed-timestamp.ts';
import { type GroupPlace } from './quiet-groups.ts';

export class Closing {
  readonly #replica: Replica;
  /** Of the zone, as of `readPolicy`. */
  #hasGlobalReads = false;
  /** Nothing more is closed under this lease. */
  #isSealed = false;

  constructor(replica: Replica) {
    this.#replica = replica;
  }

  /** The lease was taken; the executor has not heard of it yet. */
  leaseBegins(): void {
    this.#isSealed = false;
    this.readPolicy();
    const { closed, host, bornElsewhere } = this.#replica;
    if (bornElsewhere && this.#isFirstReign()) {
      closed.raiseFloor(host.closingTarget(true) + host.clock.maxOffsetMicros);
    }
  }

  #isFirstReign(): boolean {
    const { host, rangeId, raft } = this.#replica;
    return host.raftLog.range(rangeId).term(initialLogIndex + 1) === raft.term;
  }

  /** Looks up how the range is to be closed: the lease or the zone has changed. */
  readPolicy(): void {
    const { host, descriptor, quietGroup } = this.#replica;
    const hasGlobalReads = host.hasGlobalReads(descriptor);
    if (hasGlobalReads === this.#hasGlobalReads) return;
    this.#hasGlobalReads = hasGlobalReads;
    // At rest it would be closed with the wrong group.
    if (quietGroup !== undefined) this.#replica.activate();
  }

  /** The range is closed ahead of the clock. */
  get isAhead(): boolean {
    const { clusterSettings } = this.#replica.host;
    return this.#hasGlobalReads && clusterSettings.get(kvSettings.followerReads);
  }

  /** HLC wall microseconds: up to where this leaseholder would close the range now. */
  target(): number {
    if (this.#isSealed) return 0;
    const { host, lease } = this.#replica;
    return Math.min(host.closingTarget(this.#hasGlobalReads), lease.expiration() - 1);
  }

  /** See `ReplicaPort.openForWrites`. */
  openForWrites(): ClosedTimestamp {
    const { closed, quietGroup } = this.#replica;
    if (quietGroup !== undefined) this.#replica.activate();
    // What others commit to such ranges afterwards stands above what has been committed here before, even if none of it is closed yet.
    if (this.isAhead) closed.raiseFloor(this.target());
    return closed;
  }

  /** With which other ranges this one may be closed while it is at rest. */
  quietPlace(): GroupPlace | undefined {
    const { raft, lease, storeId } = this.#replica;
    const { voters, votersOutgoing } = raft.configuration;
    if (!lease.isHeld || this.#isSealed || votersOutgoing.length > 0) return undefined;
    return {
      peers: this.#replica.descriptor.replicas.filter((replica) => replica.storeId !== storeId),
      promising: lease.promising(),
      voters: voters.length,
      ahead: this.#hasGlobalReads,
    };
  }

  /**
   * The lease is about to be given away to `to`: nothing is closed any more. The next one begins above the clock of this one; what
   * was closed, read or written ahead of the clock goes along as the closed timestamp of one more entry, and locks and tombstones
   * with it. From the step in which it is proposed nothing is served any more. The caller has made requests wait, and sees to it
   * that `to` is elected with that entry if it is; nobody else is before the lease has run out. False: the lease was lost, or
   * stays.
   */
  async seal(to: RaftId): Promise<boolean> {
    const replica = this.#replica;
    const { raft, lease } = replica;
    const { term, lastIndex } = raft;
    this.#isSealed = true;
    replica.activate();
    const executor = replica.executor();
    replica.closed.promise(Math.max(replica.closed.ceiling, executor.lowWater.reads.wall + 1));
    const command: Command = {
      writes: [],
      statsDelta: zeroStats,
      trigger: { kind: 'hand-over', handover: executor.handOver() },
      clears: [],
      timestamp: replica.clock.now(),
    };
    const proposed = replica.propose(command, lease.sequence);
    if (raft.lastIndex === lastIndex) return false;
    lease.giveUp(to);
    await proposed;
    return replica.isLeader && raft.term === term;
  }

  /** The lease was not given away. */
  unseal(): void {
    this.#isSealed = false;
  }
}
