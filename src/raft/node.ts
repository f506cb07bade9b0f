/**
 * RaftNode: the doors of the core. Each method finds the role that is concerned; `step` holds the
 * rules about terms, `ready` and `persisted` those about durability.
 *
 * Whose message raises the term? A leader's always; a vote request that is not refused; an answer
 * only at a replica that waits for answers (candidate, leader, former leader that releases its followers) and
 * only from a member. A replica bound to a leader is thus moved by nothing but a new leader or a transfer, not
 * even if it asked for pre-votes before it was bound again; and a removed replica disturbs nobody.
 */
import { assert, isCount, unreachable } from '../util/index.ts';
import { isMember, isVoter, sharedConfiguration } from './configuration.ts';
import {
  campaign,
  countOwnVote,
  handleVoteRequest,
  handleVoteResponse,
  isReleasing,
  leaderSilent,
  learnCommitted,
  refuseStaleVote,
  release,
  tickElection,
} from './election.ts';
import {
  follow,
  handleAppend,
  handleHeartbeat,
  handleSnapshot,
  isWellFormedAppend,
} from './follower.ts';
import {
  becomeLeader,
  configurationAfter,
  configurationChanged,
  entryApplied,
  greet,
  isSettled,
  propose,
  proposeConfigChange,
  tickLeader,
  transferLeadership,
} from './leader.ts';
import { countReadAnswer, hasReads, readIndex, takeReadable } from './read-index.ts';
import {
  announceCommit,
  handleAppendResponse,
  handleHeartbeatResponse,
  handOut,
  hasAppendsDue,
  holdsEntries,
  ownWriteDurable,
  takeAppends,
} from './replication.ts';
import { RaftState } from './state.ts';
import {
  type ConfigChange,
  type Configuration,
  type Entry,
  type FollowerProgress,
  type HardState,
  type Message,
  type ProposeResult,
  type RaftConfig,
  type RaftCore,
  type RaftId,
  type RaftStatus,
  type ReadResult,
  type Ready,
  type Role,
} from './types.ts';

/** Entries handed out for applying in one Ready. */
const committedBytesMax = 4 << 20;

export class RaftNode implements RaftCore {
  private readonly state: RaftState;
  private writtenHardState: HardState;
  private reportedStatus: RaftStatus;

  /** Starts as a follower. `config.configuration` is the one at `config.applied`. */
  constructor(config: RaftConfig) {
    this.state = new RaftState(config);
    this.writtenHardState = config.hardState;
    this.reportedStatus = this.status();
  }

  get id(): RaftId {
    return this.state.id;
  }

  get role(): Role {
    return this.state.role;
  }

  get term(): number {
    return this.state.term;
  }

  get leader(): RaftId {
    return this.state.leader;
  }

  get commitIndex(): number {
    return this.state.log.commit;
  }

  get appliedIndex(): number {
    return this.state.log.applied;
  }

  get lastIndex(): number {
    return this.state.log.lastIndex;
  }

  get configuration(): Configuration {
    return this.state.configuration;
  }

  get transferTarget(): RaftId {
    return this.state.reign?.transfer?.to ?? 0;
  }

  get followsLiveLeader(): boolean {
    return this.state.followsLiveLeader();
  }

  tick(): void {
    const { state } = this;
    if (state.reign === undefined) tickElection(state);
    else if (tickLeader(state, state.reign)) campaign(state, false);
  }

  campaign(): void {
    campaign(this.state, false);
  }

  leaderSilent(): void {
    leaderSilent(this.state);
  }

  step(m: Message): void {
    const { state } = this;
    if (!isWellFormed(m, state.id)) return;
    if (m.term < state.term) {
      this.answerStale(m);
      return;
    }
    switch (m.kind) {
      case 'vote-request':
        if (handleVoteRequest(state, m)) greet(state, m.from);
        return;
      case 'vote-response':
        learnCommitted(state, m);
        if (!(m.pre && m.granted) && !this.reachTerm(m)) return;
        if (handleVoteResponse(state, m)) becomeLeader(state);
        return;
      case 'append':
        if (follow(state, m)) handleAppend(state, m);
        return;
      case 'heartbeat':
        if (follow(state, m)) handleHeartbeat(state, m);
        return;
      case 'snapshot':
        if (follow(state, m)) handleSnapshot(state, m);
        return;
      case 'timeout-now':
        if (follow(state, m)) campaign(state, true);
        return;
      case 'append-response':
        if (this.reachTerm(m) && state.reign) handleAppendResponse(state, state.reign, m);
        return;
      case 'heartbeat-response':
        if (!this.reachTerm(m)) return;
        if (state.reign) {
          handleHeartbeatResponse(state, state.reign, m.from);
          countReadAnswer(state, state.reign, m.from, m.round);
        } else release(state, m.from, m.term);
        return;
      default:
        unreachable(m);
    }
  }

  /** An answer of a later term ends a candidacy or a reign. True when `m` is of the own term and may be handled. */
  private reachTerm(m: Message): boolean {
    const { state } = this;
    if (m.term === state.term) return true;
    const waits =
      state.role === 'leader' ||
      isReleasing(state) ||
      (state.role !== 'follower' && !state.followsLiveLeader());
    if (waits && isMember(state.configuration, m.from)) state.becomeFollower(m.term, 0);
    return false;
  }

  /** Tells the sender of an old term that there is a newer one. */
  private answerStale(m: Message): void {
    const { state } = this;
    switch (m.kind) {
      case 'vote-request':
        refuseStaleVote(state, m);
        if (state.role === 'leader') greet(state, m.from);
        return;
      case 'append':
      case 'heartbeat':
      case 'snapshot':
        state.messages.push({
          kind: 'append-response',
          from: state.id,
          to: m.from,
          term: state.term,
          index: 0,
          rejected: true,
          hintIndex: 0,
          hintTerm: 0,
        });
        return;
      case 'heartbeat-response':
        release(state, m.from, m.term);
        return;
      case 'vote-response':
      case 'append-response':
      case 'timeout-now':
        return;
      default:
        unreachable(m);
    }
  }

  readIndex(): ReadResult {
    return readIndex(this.state);
  }

  /** The buffer belongs to the core from here on. */
  propose(data: Buffer): ProposeResult {
    return propose(this.state, data);
  }

  /** Asserts that the change is valid: at least one voter, no id twice. */
  proposeConfigChange(change: ConfigChange): ProposeResult {
    return proposeConfigChange(this.state, change);
  }

  applyConfigChange(entry: Entry): Configuration {
    const { state } = this;
    assert(entry.kind === 'config', 'an entry with a configuration change');
    assert(entry.index > state.log.applied, 'a configuration change is applied once');
    state.configuration = sharedConfiguration(configurationAfter(state.configuration, entry));
    if (state.reign !== undefined) {
      configurationChanged(state, state.reign);
    } else if (state.role !== 'follower' && !isVoter(state.configuration, state.id)) {
      state.becomeFollower(state.term, state.leader);
    }
    return state.configuration;
  }

  transferLeadership(to: RaftId): void {
    transferLeadership(this.state, to);
  }

  announceCommit(): void {
    const { state } = this;
    if (state.reign !== undefined) announceCommit(state.reign);
  }

  get holdsEntries(): boolean {
    const { state } = this;
    return state.reign !== undefined && holdsEntries(state, state.reign);
  }

  releaseHeld(): void {
    const { reign } = this.state;
    if (reign !== undefined && this.holdsEntries) reign.urgent = true;
  }

  hasReady(): boolean {
    const { state } = this;
    return (
      state.messages.length > 0 ||
      (state.reign !== undefined && (hasAppendsDue(state, state.reign) || hasReads(state.reign))) ||
      state.snapshotsWanted.length > 0 ||
      state.log.hasCommitted ||
      this.hasWrite() ||
      (state.messagesAfterPersist.length > 0 && state.log.writes.empty) ||
      this.statusChanged()
    );
  }

  /**
   * A commit index alone is not worth a write: it goes along with the next one. Answers that wait for
   * durability are handed out with a write, or when none is under way.
   */
  ready(): Ready {
    const { state } = this;
    const { log } = state;
    const writes = this.hasWrite();
    const write = writes
      ? this.takeWrite()
      : { hardState: undefined, entries: [], snapshot: undefined };
    const committed =
      state.reign === undefined
        ? log.takeCommitted(committedBytesMax)
        : handOut(state, state.reign, committedBytesMax);
    const readable = state.reign === undefined ? undefined : takeReadable(state, state.reign);
    // Appends first: an order to campaign comes behind what its receiver should hold.
    const appends = state.reign === undefined ? [] : takeAppends(state, state.reign);
    const messages = appends.length === 0 ? state.messages : appends.concat(state.messages);
    state.messages = [];
    const snapshotsWanted = state.snapshotsWanted;
    state.snapshotsWanted = [];
    let messagesAfterPersist: Message[] = [];
    if (writes || log.writes.empty) {
      messagesAfterPersist = state.messagesAfterPersist;
      state.messagesAfterPersist = [];
    }
    const status = this.statusChanged() ? this.status() : undefined;
    if (status !== undefined) this.reportedStatus = status;
    return {
      ...write,
      messages,
      messagesAfterPersist,
      committed,
      snapshotsWanted,
      readable,
      status,
    };
  }

  private hasWrite(): boolean {
    const { state, writtenHardState } = this;
    return (
      state.log.hasWrite ||
      state.term !== writtenHardState.term ||
      state.vote !== writtenHardState.vote
    );
  }

  private takeWrite(): Pick<Ready, 'hardState' | 'entries' | 'snapshot'> {
    const before = this.writtenHardState;
    const hardState = this.state.hardState;
    const changed =
      hardState.term !== before.term ||
      hardState.vote !== before.vote ||
      hardState.commit !== before.commit;
    this.writtenHardState = hardState;
    const { entries, snapshot } = this.state.log.takeWrite(hardState);
    return { hardState: changed ? hardState : undefined, entries, snapshot };
  }

  persisted(last: { readonly term: number; readonly index: number } | undefined): void {
    const { state } = this;
    for (const write of state.log.writes.acknowledge(last)) {
      state.log.written(write);
      if (countOwnVote(state, write.hardState)) becomeLeader(state);
    }
    ownWriteDurable(state);
  }

  applied(index: number): void {
    const { state } = this;
    state.log.appliedTo(index);
    if (entryApplied(state)) campaign(state, false);
  }

  snapshotSent(to: RaftId, result: { readonly ok: boolean; readonly index: number }): void {
    const { state } = this;
    const peer = state.reign?.peers.get(to);
    if (peer === undefined || peer.state !== 'snapshot') return;
    peer.snapshotSent(result.ok, Math.min(result.index, state.log.lastIndex));
    peer.wantsAppend = true;
  }

  reportUnreachable(to: RaftId): void {
    this.state.reign?.peers.get(to)?.unreachable();
  }

  progress(): FollowerProgress[] {
    const peers = [...(this.state.reign?.peers.values() ?? [])];
    return peers.map((peer) => peer.view()).sort((a, b) => a.id - b.id);
  }

  canQuiesce(): boolean {
    return isSettled(this.state) && !this.hasReady();
  }

  private status(): RaftStatus {
    const { role, term, leader } = this.state;
    return { role, term, leader };
  }

  private statusChanged(): boolean {
    const { state, reportedStatus } = this;
    return (
      state.role !== reportedStatus.role ||
      state.term !== reportedStatus.term ||
      state.leader !== reportedStatus.leader
    );
  }
}

/** For this replica, from another one, with numbers that can be true. What is not is ignored. */
function isWellFormed(m: Message, id: RaftId): boolean {
  if (m.to !== id || m.from === id || !isCount(m.from) || m.from === 0 || !isCount(m.term)) {
    return false;
  }
  switch (m.kind) {
    case 'vote-request':
      return isCount(m.lastIndex) && isCount(m.lastTerm) && m.lastTerm <= m.term;
    case 'append':
      return (
        isCount(m.previousIndex) &&
        isCount(m.previousTerm) &&
        isCount(m.commit) &&
        isWellFormedAppend(m)
      );
    case 'append-response':
      return isCount(m.index) && isCount(m.hintIndex) && isCount(m.hintTerm);
    case 'heartbeat':
      return isCount(m.commit) && isCount(m.round);
    case 'snapshot':
      return isCount(m.snapshot.index) && isCount(m.snapshot.term) && m.snapshot.term <= m.term;
    case 'vote-response':
      return m.committed === undefined || isCount(m.committed.index);
    case 'heartbeat-response':
      return isCount(m.round);
    case 'timeout-now':
      return true;
    default:
      return unreachable(m);
  }
}
