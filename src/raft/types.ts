/**
 * The vocabulary of the consensus core. Everything here is plain data: the core neither sends, nor
 * writes, nor waits. Ids are replica ids of one range; 0 means none.
 *
 * The duties of the driver (the replica that owns a RaftNode), in this order, for each `Ready`:
 *   1. send `messages` at once (appends of a leader need not wait for its own disk: thesis 10.2.1);
 *   2. persist `hardState` and `entries` in one durable write (or install `snapshot` first);
 *   3. after the write is durable: send `messagesAfterPersist`, then call `persisted(...)`;
 *   4. apply `committed` in order, then call `applied(index)`.
 * Several Readys may be in flight on the disk, in order. Nothing that promises durability (a vote, an
 * append response, the leader's own acknowledgement) leaves before step 3. A commit index alone makes
 * no write: `hardState` carries it along with the next one.
 */

export type RaftId = number;

/** 'config': data is an encoded ConfigChange, or empty to leave a joint configuration. */
export type EntryKind = 'normal' | 'config';

export interface Entry {
  readonly term: number;
  readonly index: number;
  readonly kind: EntryKind;
  /** Empty for the entry that a new leader appends. */
  readonly data: Buffer;
}

/** INVARIANT: term never decreases; vote changes only with term (or from 0); commit never decreases. */
export interface HardState {
  readonly term: number;
  readonly vote: RaftId;
  readonly commit: number;
}

/** `votersOutgoing` is not empty inside a joint configuration (thesis 4.3): both majorities decide. */
export interface Configuration {
  readonly voters: readonly RaftId[];
  readonly votersOutgoing: readonly RaftId[];
  readonly learners: readonly RaftId[];
}

/** A change names the target configuration; the core enters joint consensus when voters differ by more than one. */
export interface ConfigChange {
  readonly voters: readonly RaftId[];
  readonly learners: readonly RaftId[];
}

export interface SnapshotMeta {
  readonly index: number;
  readonly term: number;
  readonly configuration: Configuration;
}

interface MessageBase {
  readonly from: RaftId;
  readonly to: RaftId;
  readonly term: number;
}

export type Message =
  | (MessageBase & {
      readonly kind: 'vote-request';
      readonly pre: boolean;
      readonly lastIndex: number;
      readonly lastTerm: number;
      /** Ordered by the leader itself: voters do not wait for their support of it to run out. */
      readonly transfer: boolean;
    })
  | (MessageBase & {
      readonly kind: 'vote-response';
      readonly pre: boolean;
      readonly granted: boolean;
      /** Refusals: an entry that the voter knows to be committed; it is committed for whoever has it, too. */
      readonly committed?: { readonly index: number; readonly term: number };
    })
  | (MessageBase & {
      readonly kind: 'append';
      readonly previousIndex: number;
      readonly previousTerm: number;
      readonly entries: readonly Entry[];
      readonly commit: number;
    })
  | (MessageBase & {
      readonly kind: 'append-response';
      /** Accepted: the last durable index that matches. Rejected: the previousIndex that was refused. */
      readonly index: number;
      readonly rejected: boolean;
      /** Rejected: the receiver's best guess where the logs may agree, and its term there. */
      readonly hintIndex: number;
      readonly hintTerm: number;
    })
  | (MessageBase & {
      readonly kind: 'heartbeat';
      readonly commit: number;
      /** The read round under way, which the answer confirms; 0: none is. */
      readonly round: number;
    })
  /** `round`: that of the heartbeat; 0 for an answer to none. */
  | (MessageBase & { readonly kind: 'heartbeat-response'; readonly round: number })
  /** Only the metadata: the driver streams the state itself and steps this message in at the receiver when all of it is there. */
  | (MessageBase & { readonly kind: 'snapshot'; readonly snapshot: SnapshotMeta })
  | (MessageBase & { readonly kind: 'timeout-now' });

export interface Ready {
  readonly hardState: HardState | undefined;
  /** To be appended; an index that exists already replaces it and everything behind it. */
  readonly entries: readonly Entry[];
  /** A snapshot this replica accepted: install it before `entries`. */
  readonly snapshot: SnapshotMeta | undefined;
  readonly messages: readonly Message[];
  readonly messagesAfterPersist: readonly Message[];
  readonly committed: readonly Entry[];
  /** Followers that need the state itself (their next entry is compacted away): the driver streams it and reports `snapshotSent`. */
  readonly snapshotsWanted: readonly RaftId[];
  /** Reads of `readIndex` that may be answered now. */
  readonly readable: ReadState | undefined;
  /** Set when the role, the term or the known leader changed in this Ready. */
  readonly status: RaftStatus | undefined;
}

export type Role = 'follower' | 'pre-candidate' | 'candidate' | 'leader';

export interface RaftStatus {
  readonly role: Role;
  readonly term: number;
  readonly leader: RaftId;
}

/** Synchronous view of the durable log; entries stay readable until they are compacted. */
export interface LogReader {
  /** First index that is still there; `firstIndex - 1` and its term are known too. */
  readonly firstIndex: number;
  readonly lastIndex: number;
  /** For firstIndex-1 <= index <= lastIndex; undefined when compacted or beyond the end. */
  term(index: number): number | undefined;
  /** [from, to), at least one entry, then as many as fit `maxBytes`. */
  entries(from: number, to: number, maxBytes: number): Entry[];
}

/** Times and limits; one object for all replicas of a store. */
export interface RaftSettings {
  /** Ticks without a live leader before an election; the actual timeout is drawn from [n, 2n). */
  readonly electionTicks: number;
  /** Ticks between heartbeats of a leader that is not quiescent. */
  readonly heartbeatTicks: number;
  /** Bytes of entries in one append message. */
  readonly appendBytesMax: number;
  /** Unacknowledged bytes and messages to one follower. */
  readonly inflightBytesMax: number;
  readonly inflightMessagesMax: number;
  /** Proposals that are not committed yet; beyond it `propose` refuses. */
  readonly uncommittedBytesMax: number;
  /** When followers are told of a commit: in a message of its own (default), or by the next append or heartbeat. */
  readonly announceCommits?: 'at-once' | 'with-traffic';
  /**
   * Entries of fewer bytes than this (and than `appendBytesMax`) are held back while an append to the same
   * follower is unanswered, until the answer or `releaseHeld` (Nagle's algorithm, RFC 896). Default 0: none are.
   */
  readonly holdBytesMax?: number;
}

/** What the core asks of its driver. */
export interface RaftHost {
  /** Uniform in [0,1): draws election timeouts. */
  random(): number;
  /**
   * True while this replica's store promises its support to the store of replica `leader`: as long as it
   * does, this replica neither campaigns nor votes (except in a transfer). Replaces "heard from a
   * leader within an election timeout" (thesis 4.2.3) for PreVote and CheckQuorum.
   */
  supports(leader: RaftId): boolean;
  /** Leader only: true while replica `peer`'s store supports this store. A leader without a supporting quorum steps down (CheckQuorum). */
  supportedBy(peer: RaftId): boolean;
}

export interface RaftConfig {
  readonly id: RaftId;
  readonly log: LogReader;
  readonly hardState: HardState;
  /** Of the term in `hardState`, when this replica follows it already; 0: none that it knows. */
  readonly leader?: RaftId;
  readonly configuration: Configuration;
  /** Last applied index: committed entries up to it are not handed out again. */
  readonly applied: number;
  readonly settings: RaftSettings;
  readonly host: RaftHost;
}

export type ProposeResult =
  | { readonly kind: 'accepted'; readonly term: number; readonly index: number }
  | { readonly kind: 'not-leader' }
  /** Uncommitted bytes at the limit, a transfer in progress, or a config change still in flight. */
  | { readonly kind: 'busy'; readonly reason: 'backlog' | 'transfer' | 'config-change' };

export type ReadResult =
  | { readonly kind: 'accepted'; readonly round: number }
  | { readonly kind: 'not-leader' }
  /** No entry of this leader's term is committed: it does not know yet what was committed before it. */
  | { readonly kind: 'nothing-committed' };

/** Reads that were accepted for `round` or an earlier one may be answered by a state that has applied `index`. */
export interface ReadState {
  readonly round: number;
  readonly index: number;
}

/** Progress of one follower, for status pages and allocator decisions. */
export interface FollowerProgress {
  readonly id: RaftId;
  readonly match: number;
  readonly next: number;
  readonly state: 'probe' | 'replicate' | 'snapshot';
  readonly active: boolean;
}

/**
 * The core. Every method is synchronous and total: bad input is refused or ignored as the algorithm
 * says; a broken invariant asserts.
 */
export interface RaftCore {
  readonly id: RaftId;
  readonly role: Role;
  readonly term: number;
  readonly leader: RaftId;
  readonly commitIndex: number;
  readonly appliedIndex: number;
  readonly lastIndex: number;
  readonly configuration: Configuration;
  readonly transferTarget: RaftId;
  /** Leads, or is bound to the leader that it knows: it neither campaigns nor votes for another one, except in a transfer. */
  readonly followsLiveLeader: boolean;

  tick(): void;
  step(message: Message): void;
  /**
   * Leader: asks for an index whose state shows everything committed by now (thesis 6.4). The answer is a
   * `Ready.readable` of this round or a later one; a leader that steps down first never gives it.
   */
  readIndex(): ReadResult;
  /** Starts an election now (PreVote first). */
  campaign(): void;
  /**
   * The promise to this follower's leader has run out, after a silence longer than an election timeout: of its own
   * timeout only the random part is left, which keeps followers apart.
   */
  leaderSilent(): void;
  propose(data: Buffer): ProposeResult;
  proposeConfigChange(change: ConfigChange): ProposeResult;
  /** The driver applied the entry of a config change: switches to it; leaves joint configurations on its own. */
  applyConfigChange(entry: Entry): Configuration;
  /** Stops accepting proposals, catches `to` up and orders it to campaign. */
  transferLeadership(to: RaftId): void;
  /** Leader: tells followers of the commit index now, for a command that others wait to see applied. */
  announceCommit(): void;
  /**
   * Leader: entries are held back for the answer of a follower that could be sent more. The core has no
   * clock: the driver looks after every Ready, and calls `releaseHeld` when they have waited long enough.
   */
  readonly holdsEntries: boolean;
  /** The next Ready has appends with everything that is held back. */
  releaseHeld(): void;
  hasReady(): boolean;
  ready(): Ready;
  /**
   * A write of `ready().entries` (last one: term, index) and its hardState became durable (trap R15: both
   * are checked). A Ready with a snapshot and no entries: the snapshot's term and index; one with a hard
   * state alone: undefined. Once for every Ready that had any of these; it may make a new Ready.
   */
  persisted(last: { readonly term: number; readonly index: number } | undefined): void;
  applied(index: number): void;
  /** The state was streamed to `to` up to `index` (ok), or that failed and is tried again later. */
  snapshotSent(to: RaftId, result: { readonly ok: boolean; readonly index: number }): void;
  /** The transport lost messages to `to`: go back to probing. */
  reportUnreachable(to: RaftId): void;
  /** Leader only; sorted by id. */
  progress(): FollowerProgress[];
  /** True when nothing is unacknowledged, unapplied or in transfer: this leader may fall silent. */
  canQuiesce(): boolean;
}
