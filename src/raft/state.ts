/**
 * The state of one replica that the roles share, and the changes every role may make: messages to
 * send, becoming a follower, whom it follows. What each role does is in `election.ts`, `follower.ts`,
 * `leader.ts` and `replication.ts`; `node.ts` decides which of them a call reaches.
 *
 * INVARIANT: `term` never decreases; `vote` changes only with it or from 0.
 * INVARIANT: `leader` is a leader of `term` or 0; `reign` is there exactly when the role is 'leader'.
 */
import { assert } from '../util/index.ts';
import { type ByteWindow } from './byte-window.ts';
import { isVoter, sharedConfiguration } from './configuration.ts';
import { LogView } from './log.ts';
import { type Progress } from './progress.ts';
import {
  type Configuration,
  type HardState,
  type Message,
  type RaftConfig,
  type RaftHost,
  type RaftId,
  type RaftSettings,
  type ReadState,
  type Role,
} from './types.ts';

/** What only a leader has; gone when it steps down. */
export interface Reign {
  /** Every member but the leader itself. */
  readonly peers: Map<RaftId, Progress>;
  /** Proposals that are not committed. */
  readonly uncommitted: ByteWindow;
  /** No configuration change is proposed before this index is applied. */
  pendingConfigIndex: number;
  transfer: { readonly to: RaftId; ticks: number } | undefined;
  /** Bytes of entries appended in this reign. */
  loggedBytes: number;
  /** Reads wait for the next round (`read-index.ts`). */
  readsWait: boolean;
  /** The round under way. */
  readRound: ReadState | undefined;
  /** The last round, when it is over and was not handed out. */
  readable: ReadState | undefined;
  /** The next Ready holds nothing back. */
  urgent: boolean;
  heartbeatTicks: number;
  /** Ticks in a row without a supporting quorum. */
  unsupportedTicks: number;
}

/** Shared by all that do not stand for election. */
export const noVotes: ReadonlyMap<RaftId, boolean> = new Map();

export class RaftState {
  readonly settings: RaftSettings;
  readonly host: RaftHost;
  readonly id: RaftId;
  readonly log: LogView;
  term: number;
  vote: RaftId;
  role: Role = 'follower';
  leader: RaftId = 0;
  configuration: Configuration;
  reign: Reign | undefined;
  /** (Pre-)candidates: the answers so far, own vote included once it counts. */
  votes: ReadonlyMap<RaftId, boolean> = noVotes;
  /** Ticks without a live leader. */
  electionElapsed = 0;
  electionTimeout = 0;
  /** Ticks since the leader was heard of. */
  silentTicks = 0;
  /** Go out at once. */
  messages: Message[] = [];
  /** Go out when everything decided so far is durable. */
  messagesAfterPersist: Message[] = [];
  snapshotsWanted: RaftId[] = [];
  /** Read rounds that began. They outnumber reigns: a round of an earlier one is never mistaken for a new one. */
  readRounds = 0;

  constructor(config: RaftConfig) {
    assert(config.id > 0, 'a replica id is positive');
    const { settings } = config;
    assert(
      settings.electionTicks > settings.heartbeatTicks,
      'heartbeats come more often than elections',
    );
    assert(settings.heartbeatTicks > 0, 'heartbeatTicks is positive');
    assert(settings.inflightMessagesMax > 0, 'inflightMessagesMax is positive');
    this.settings = settings;
    this.host = config.host;
    this.id = config.id;
    this.log = new LogView(config.log, config.hardState.commit, config.applied);
    this.term = config.hardState.term;
    this.vote = config.hardState.vote;
    this.leader = config.leader ?? 0;
    this.configuration = sharedConfiguration(config.configuration);
    this.drawElectionTimeout();
  }

  get hardState(): HardState {
    return { term: this.term, vote: this.vote, commit: this.log.commit };
  }

  drawElectionTimeout(): void {
    const ticks = this.settings.electionTicks;
    this.electionElapsed = 0;
    this.electionTimeout = ticks + Math.floor(this.host.random() * ticks);
  }

  countVote(from: RaftId, granted: boolean): void {
    this.votes = new Map(this.votes).set(from, granted);
  }

  becomeFollower(term: number, leader: RaftId): void {
    assert(term >= this.term, 'the term never decreases');
    if (term > this.term) this.vote = 0;
    this.term = term;
    this.role = 'follower';
    this.leader = leader;
    this.reign = undefined;
    this.votes = noVotes;
    this.snapshotsWanted = [];
    this.silentTicks = 0;
    this.drawElectionTimeout();
  }

  /**
   * True while this replica is bound to the leader it knows: it neither campaigns nor votes for
   * another (except in a transfer), because the leader may be serving reads on its support.
   *
   * A leader that was removed is nobody to wait for, though its store lives on. It counts as removed
   * when the configuration lacks it and an entry of its own term is applied: before that, the
   * configuration may be older than the leader. It stopped serving before (`retire`).
   */
  followsLiveLeader(): boolean {
    if (this.role === 'leader') return true;
    if (this.leader === 0) return false;
    if (
      !isVoter(this.configuration, this.leader) &&
      this.log.term(this.log.applied) === this.term
    ) {
      return false;
    }
    return this.host.supports(this.leader);
  }
}
