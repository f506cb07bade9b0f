/**
 * A small model: a few replicas, and bounds on what may happen to them. Within the bounds everything happens in
 * every order (`search.ts`).
 */
import {
  type ConfigChange,
  type HardState,
  type Message,
  type RaftId,
  type RaftNode,
  type ReadResult,
} from '../../../src/raft/index.ts';

export interface Model {
  readonly voters: readonly RaftId[];
  readonly learners?: readonly RaftId[];
  /** Replicas without state, which are no members yet. */
  readonly spares?: readonly RaftId[];
  /** Nobody stands for a later term than this; the first is 2. */
  readonly termMax: number;
  /** Nobody proposes behind this index; the first free one is 2. */
  readonly indexMax: number;
  /** Crashes of all replicas together; each is followed by a restart at once (staying down is receiving nothing). */
  readonly crashes: number;
  /** 'slow': a write becomes durable some time after it was handed out. 'instant': in the same step. */
  readonly disk: 'slow' | 'instant';
  /** Committed entries are applied some time after they were handed out; else in the same step. */
  readonly slowApply?: boolean;
  /** 'granted': whoever campaigns has its pre-votes, which allows more than the core does and costs fewer states. */
  readonly preVotes: 'real' | 'granted';
  /**
   * What happens first, as in a trace; of a message its beginning is enough. 'elected': 1 leads term 2, its first
   * entry is applied everywhere, and nothing of that is under way any more.
   */
  readonly start?: readonly string[];
  /** One entry in an append; else everything there is. */
  readonly smallAppends?: boolean;
  readonly heartbeats?: boolean;
  readonly transfers?: boolean;
  /** Leaders may propose these. */
  readonly changes?: readonly ConfigChange[];
  /** These may drop the log that they have applied, and then send snapshots. */
  readonly compacts?: readonly RaftId[];
  /** Leaders hold entries back while an append is unanswered, as long as they like. */
  readonly holds?: boolean;
  /** Rounds of read indexes in one life of a replica. */
  readonly reads?: number;
  /** All stores promise their support to each other; these promises [of, to] end and are made again. */
  readonly promises?: readonly (readonly [RaftId, RaftId])[];
  /** Leaders find that no quorum supports them (CheckQuorum). */
  readonly desertions?: boolean;
  /** Who may stand for a term; everybody for those that are not named. */
  readonly candidates?: Readonly<Record<number, readonly RaftId[]>>;
  /** What the network can deliver; everything unless this says no. */
  readonly delivers?: (message: Message) => boolean;
  readonly bug?: Bug;
}

/** Planted in the driver or around the core, to test the explorer. */
export interface Bug {
  /** What should wait for a write and does not. */
  readonly early?: (message: Message) => boolean;
  /** What a write keeps of term and vote. */
  readonly writesHardState?: (hardState: HardState) => HardState;
  /** What the core sees instead of a message. */
  readonly receives?: (core: RaftNode, message: Message) => Message;
  readonly sends?: (core: RaftNode, message: Message) => Message;
  readonly reads?: (core: RaftNode) => ReadResult;
  /** After every event, before its Ready is taken. */
  readonly after?: (core: RaftNode) => void;
}

export function membersOf(model: Model): readonly RaftId[] {
  return [...model.voters, ...(model.learners ?? []), ...(model.spares ?? [])];
}
