/** What a replica begins with: the state that its store found, or nothing. */
import { type RangeDescriptor, type RangeId, type ReplicaId } from '../../kv/index.ts';
import { type HardState, type RaftId } from '../../raft/index.ts';
import { zeroStats, type MvccStats } from '../../storage/index.ts';
import { type ReplayFloor } from './range-state.ts';
import { type PeerAddress } from './replica.ts';

export interface ReplicaStart {
  readonly rangeId: RangeId;
  readonly replicaId: ReplicaId;
  /** One to keep (`keepDescriptor`); undefined: uninitialised. */
  readonly descriptor: RangeDescriptor | undefined;
  readonly stats: MvccStats;
  /** Where applying begins (0 and empty when uninitialised). */
  readonly floor: ReplayFloor;
  readonly hardState: HardState;
  /** The leader that the replica before it has followed in that term: its answers are counted as support. */
  readonly leader?: { readonly id: RaftId; readonly address: PeerAddress } | undefined;
  /** Entries up to here were applied before the restart: their stats are in `stats` already. */
  readonly statsIndex: number;
}

const uninitialisedFloor: ReplayFloor = {
  index: 0,
  term: 0,
  configuration: { voters: [], votersOutgoing: [], learners: [] },
};

/** What a replica without data starts from; its term and vote may be known from an earlier message. */
export function uninitialisedStart(
  rangeId: RangeId,
  replicaId: ReplicaId,
  hardState: HardState,
): ReplicaStart {
  return {
    rangeId,
    replicaId,
    descriptor: undefined,
    stats: zeroStats,
    floor: uninitialisedFloor,
    hardState: { ...hardState, commit: 0 },
    statsIndex: 0,
  };
}
