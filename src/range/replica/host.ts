/** What a replica asks of its store: shared parts, and the decisions that concern other replicas. */
import {
  type HlcClock,
  type NodeId,
  type RangeDescriptor,
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
import { type ClockBound } from '../store/clock-bound.ts';
import { type StoreLiveness } from '../store/liveness-driver.ts';
import { type StoreCounters } from '../store/metrics.ts';
import { type StoreSettings } from '../store/settings.ts';
import { type Replica } from './replica.ts';

/** The right side of a split on this store, decided before the batch is applied. */
export interface PreparedRight {
  /** Belong into the batch that splits the left side. */
  readonly writes: readonly EngineWrite[];
  /** After the batch: brings the right replica to life, or drops data nobody here owns. */
  finish(): void;
}

export interface ReplicaHost {
  readonly env: Env;
  readonly clock: HlcClock;
  readonly engine: Engine;
  readonly raftLog: RaftLog;
  readonly liveness: StoreLiveness;
  readonly bound: ClockBound;
  readonly nodeId: NodeId;
  readonly storeId: StoreId;
  readonly settings: StoreSettings;
  readonly raftSettings: RaftSettings;
  readonly counters: StoreCounters;
  readonly rowPrograms: RowProgramCompiler | undefined;
  readonly sender: KeySender;
  readonly executorFactory: (port: ReplicaPort, lowWater: LowWater | undefined) => RangeExecutor;
  /** The disk has not answered for so long that others should lead this store's ranges. */
  readonly diskIsSlow: boolean;
  /** See `ReplicaPort`. */
  readonly loadSplitThreshold: number;

  engineSnapshot(): EngineSnapshot;
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
  prepareRight(left: Replica, right: RangeDescriptor, stats: MvccStats): PreparedRight;
  /** The descriptor (already set) changed; `removed`: this store is not in it any more. */
  descriptorChanged(replica: Replica, removed: boolean): void;
  /** A failure after which this store must not go on. */
  fatal(error: unknown): void;
}
