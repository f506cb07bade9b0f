/** What a replica asks of its store: shared parts, and the decisions that concern other replicas. */
import {
  type ChecksumTrigger,
  type CommitTrigger,
  type Db,
  type ClusterSettings,
  type HlcClock,
  type LockWait,
  type NodeId,
  type RangeDescriptor,
  type RangeEvent,
  type RangeId,
  type ReplicaId,
  type RowProgramCompiler,
  type StoreId,
} from '../../kv/index.ts';
import {
  type Engine,
  type EngineSnapshot,
  type EngineWrite,
  type MvccStats,
  type RaftLog,
} from '../../storage/index.ts';
import { type Env } from '../../util/index.ts';
import { type RaftSettings } from '../../raft/index.ts';
import { type KeySender, type LowWater, type RangeExecutor, type ReplicaPort } from '../ports.ts';
import { type SideTransport } from '../closed/side-transport.ts';
import { type ClockBound } from '../store/clock-bound.ts';
import { type StoreLiveness } from '../store/liveness-driver.ts';
import { type StoreCounters } from '../store/metrics.ts';
import { type StoreSettings } from '../store/settings.ts';
import { type AppliedCommits } from './applied-commits.ts';
import { type Replica } from './replica.ts';

/** The right side of a split or merge on this store, decided before the batch is applied. */
export interface PreparedRight {
  /** Belong into the batch that changes the left side. */
  readonly writes: readonly EngineWrite[];
  /** After the batch: brings the right replica to life, or drops what nobody here owns. */
  finish(): void;
}

export interface ReplicaHost {
  readonly env: Env;
  readonly clock: HlcClock;
  readonly engine: Engine;
  readonly raftLog: RaftLog;
  readonly liveness: StoreLiveness;
  readonly bound: ClockBound;
  readonly appliedCommits: AppliedCommits;
  readonly sideTransport: SideTransport;
  readonly nodeId: NodeId;
  readonly storeId: StoreId;
  readonly settings: StoreSettings;
  readonly raftSettings: RaftSettings;
  readonly counters: StoreCounters;
  readonly rowPrograms: RowProgramCompiler | undefined;
  readonly sender: KeySender;
  readonly db: Db;
  readonly clusterSettings: ClusterSettings;
  readonly executorFactory: (port: ReplicaPort, lowWater: LowWater | undefined) => RangeExecutor;
  /** The disk has not answered for so long that others should lead this store's ranges. */
  readonly diskIsSlow: boolean;
  /** The clock of this machine is too far from the others': no replica here is to lead (`kv/machine-clock.ts`). */
  readonly clockIsWrong: boolean;
  /** See `ReplicaPort`. */
  readonly loadSplitThreshold: number;

  engineSnapshot(): EngineSnapshot;
  /** Up to where (HLC wall microseconds) leaseholders close timestamps now; `ahead`: of ranges that `hasGlobalReads`. */
  closingTarget(ahead: boolean): number;
  /** The zone of the range asks for reads of the present at any replica. */
  hasGlobalReads(range: RangeDescriptor): boolean;
  /** The replica has something to do: include it in the next turn and in ticks. */
  activate(replica: Replica): void;
  /** True for a store that hands over its leases. */
  isDraining(storeId: StoreId): boolean;
  /** Applied something since the last checkpoint. */
  noteDirty(replica: Replica): void;
  /** The replica has won or lost the lease. */
  leaseChanged(replica: Replica): void;
  /** A snapshot to this replica waits for its turn, or got ahead within the last `withinMs`. */
  snapshotAdvances(rangeId: RangeId, to: ReplicaId, withinMs: number): boolean;
  /** The live replica of that range on this store. */
  replicaOf(rangeId: RangeId): Replica | undefined;
  /** The replica may not belong to its range any more: find out soon. */
  checkMembership(replica: Replica): void;
  prepareRight(left: Replica, right: RangeDescriptor, stats: MvccStats): PreparedRight;
  /** When the right side of a merge can be absorbed, unless it can be at once. */
  untilAbsorbable(right: RangeId): Promise<void> | undefined;
  /** `isReplayed`: applied before a restart already. Throws CorruptionError when the right side is not here. */
  prepareAbsorption(
    trigger: Extract<CommitTrigger, { kind: 'merge' }>,
    isReplayed: boolean,
  ): PreparedRight;
  /** Everything up to the command is in the engine, and nothing after it. */
  beginChecksum(replica: Replica, trigger: ChecksumTrigger): void;
  /** See `ReplicaPort`. */
  noteContention(wait: LockWait): void;
  /** The descriptor (already set) changed; `removed`: this store is not in it any more. */
  descriptorChanged(replica: Replica, removed: boolean): void;
  /** The leaseholder has applied a change of its range. */
  noteEvents(events: readonly RangeEvent[]): void;
  /** A failure after which this store must not go on. */
  fatal(error: unknown): void;
}
