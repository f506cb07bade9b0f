/**
 * Elections: PreVote (thesis 9.6), votes, and the wait for a leader's support to end.
 *
 * A pre-vote asks whether an election could be won, and changes nothing at anyone. A real election
 * raises the term. The request for a real vote leaves only after the candidate's own term and vote
 * are durable: a candidate that forgot its candidacy in a crash could stand again in the same term
 * with a shorter log and count a vote that was given to the longer one. Its own vote counts from then, too.
 */
import { isVoter, votersOf } from './configuration.ts';
import { voteResult } from './quorum.ts';
import { noVotes, type RaftState } from './state.ts';
import { type HardState, type Message, type RaftId } from './types.ts';

type VoteRequest = Extract<Message, { kind: 'vote-request' }>;
type VoteResponse = Extract<Message, { kind: 'vote-response' }>;

/** One tick of a replica that does not lead. */
export function tickElection(state: RaftState): void {
  if (state.role === 'follower' && state.followsLiveLeader()) {
    state.electionElapsed = 0;
    if (++state.silentTicks >= state.electionTimeout) askLeader(state);
    return;
  }
  if (isAskingLater(state)) return;
  state.electionElapsed++;
  if (state.electionElapsed < state.electionTimeout) return;
  state.drawElectionTimeout();
  campaign(state, false);
}

/** The time of an election begins when voters are asked: else two slow disks could outlast it again and again. */
function isAskingLater(state: RaftState): boolean {
  return state.role === 'candidate' && !state.votes.has(state.id);
}

/** The promise to the leader was the wait: the random part of the timeout is left, which keeps followers apart. */
export function leaderSilent(state: RaftState): void {
  if (state.role !== 'follower' || state.followsLiveLeader()) return;
  state.electionElapsed = Math.max(state.electionElapsed, state.settings.electionTicks - 1);
}

/**
 * Support binds a follower to a store; this asks whether the replica there still leads. A leader
 * takes it for an answer to a heartbeat; one that leads no more answers with `release`.
 */
function askLeader(state: RaftState): void {
  state.silentTicks = 0;
  state.messages.push({
    kind: 'heartbeat-response',
    from: state.id,
    to: state.leader,
    term: state.term,
    round: 0,
  });
}

/**
 * `to` takes this replica for the leader of `term`, which it is not and will not be again. A pre-vote
 * request says so: nobody who leads asks for votes. Needed where the former leader cannot stand for
 * election itself. It names the term behind `term`, no later one: this replica may be a candidate and
 * lead its own term when the request arrives.
 */
export function release(state: RaftState, to: RaftId, term: number): void {
  if (state.role === 'leader' && state.term === term) return;
  const { lastIndex, lastTerm } = state.log;
  state.messages.push({
    kind: 'vote-request',
    from: state.id,
    to,
    term: term + 1,
    pre: true,
    lastIndex,
    lastTerm,
    transfer: false,
  });
}

/**
 * A leader that lost its vote and gave up cannot stand for election, and what it sent last may not have reached those who
 * can: they are bound to its store, and sleep. It releases them at every timeout, until it hears of a later term.
 */
export function isReleasing(state: RaftState): boolean {
  const wasElected = state.vote === state.id && state.leader === 0;
  return wasElected && !isVoter(state.configuration, state.id);
}

/** A learner that hears of no leader: one that is quiescent would not notice it. */
function isSeeking(state: RaftState): boolean {
  return state.configuration.learners.includes(state.id) && !state.followsLiveLeader();
}

/**
 * Stands for election. Refused for leaders, learners, a replica that still supports its leader, and
 * one with a committed configuration change to apply: its quorum would be out of date.
 * `transfer`: the leader ordered it, so support does not bind and PreVote is skipped.
 */
export function campaign(state: RaftState, transfer: boolean): void {
  if (state.role === 'leader') return;
  if (!isVoter(state.configuration, state.id)) {
    // It counts no pre-vote; but asking for them releases followers, and whoever leads answers with a heartbeat.
    if (isReleasing(state) || isSeeking(state)) {
      requestVotes(state, { pre: true, transfer: false });
    }
    return;
  }
  if (state.log.snapshotPending) return;
  if (!transfer && state.followsLiveLeader()) return;
  if (state.log.hasUnappliedConfig()) return;
  if (transfer) startElection(state, true);
  else startPreVote(state);
}

/** The leader of this term stays known: should it win our support back, its lease counts on us. */
function startPreVote(state: RaftState): void {
  state.role = 'pre-candidate';
  state.drawElectionTimeout();
  state.votes = noVotes;
  state.countVote(state.id, true);
  if (voteResult(state.configuration, state.votes) === 'won') {
    startElection(state, false);
    return;
  }
  requestVotes(state, { pre: true, transfer: false });
}

function startElection(state: RaftState, transfer: boolean): void {
  state.becomeFollower(state.term + 1, 0);
  state.role = 'candidate';
  state.vote = state.id;
  requestVotes(state, { pre: false, transfer });
}

function requestVotes(state: RaftState, how: { pre: boolean; transfer: boolean }): void {
  const out = how.pre ? state.messages : state.messagesAfterPersist;
  for (const to of votersOf(state.configuration)) {
    if (to === state.id) continue;
    out.push({
      kind: 'vote-request',
      from: state.id,
      to,
      term: how.pre ? state.term + 1 : state.term,
      pre: how.pre,
      lastIndex: state.log.lastIndex,
      lastTerm: state.log.lastTerm,
      transfer: how.transfer,
    });
  }
}

/**
 * Answers a request of the own term or a later one. A voter votes whatever its own configuration says
 * about the candidate: it may be behind (trap R5).
 *
 * Returns true when the requester should be told that this replica leads.
 */
export function handleVoteRequest(state: RaftState, m: VoteRequest): boolean {
  // A leader that stands for election has stepped down: its followers are free.
  if (m.term > state.term && m.from === state.leader) state.leader = 0;
  if (m.term > state.term && !m.transfer && state.followsLiveLeader()) {
    if (state.role === 'leader') return true;
    askLeader(state);
    return false;
  }
  const upToDate = state.log.isUpToDate(m.lastIndex, m.lastTerm);
  if (m.pre) {
    const granted = m.term > state.term && upToDate;
    answerPreVote(state, m, granted);
    if (granted && isRivalFirst(state, m)) state.becomeFollower(state.term, state.leader);
    return state.role === 'leader';
  }
  if (m.term > state.term) state.becomeFollower(m.term, 0);
  const free = state.vote === m.from || (state.vote === 0 && state.leader === 0);
  const granted = free && upToDate;
  if (granted) {
    state.vote = m.from;
    state.electionElapsed = 0;
  }
  state.messagesAfterPersist.push(voteResponse(state, m, state.term, granted));
  return state.role === 'leader';
}

/**
 * Two that stand at the same time take each other's votes, where only they are left again and again: of two that ask
 * for pre-votes the one with the smaller id goes first.
 */
function isRivalFirst(state: RaftState, { from }: VoteRequest): boolean {
  return state.role === 'pre-candidate' && from < state.id && isVoter(state.configuration, from);
}

/** A granted pre-vote carries the term it is for, a refused one the own term, so that the other learns it. */
function answerPreVote(state: RaftState, m: VoteRequest, granted: boolean): void {
  state.messages.push(voteResponse(state, m, granted ? m.term : state.term, granted));
}

/** A refusal because the request is of an old term. */
export function refuseStaleVote(state: RaftState, m: VoteRequest): void {
  state.messages.push(voteResponse(state, m, state.term, false));
}

/**
 * A refusal names the voter's last committed entry, a leader's the last one that it has handed out. A candidate may be held back by voters that its
 * range has removed since: they refuse because their logs are longer, cannot stand themselves, and
 * only they can tell it that their removal is committed.
 */
function voteResponse(
  state: RaftState,
  m: VoteRequest,
  term: number,
  granted: boolean,
): VoteResponse {
  const head = {
    kind: 'vote-response',
    from: state.id,
    to: m.from,
    term,
    pre: m.pre,
    granted,
  } as const;
  const index = state.role === 'leader' ? state.log.handedOut : state.log.commit;
  const committed = state.log.term(index);
  if (granted || committed === undefined) return head;
  return { ...head, committed: { index, term: committed } };
}

/** What is committed for another replica is committed here when the log has it (log matching). */
export function learnCommitted(state: RaftState, m: VoteResponse): void {
  if (m.committed === undefined || state.role === 'leader') return;
  if (state.log.matches(m.committed.index, m.committed.term)) state.log.commitTo(m.committed.index);
}

/** Returns true when the election is won: the caller makes this replica the leader. */
export function handleVoteResponse(state: RaftState, m: VoteResponse): boolean {
  const answersUs =
    (state.role === 'pre-candidate' &&
      m.pre &&
      m.term === (m.granted ? state.term + 1 : state.term)) ||
    (state.role === 'candidate' && !m.pre && m.term === state.term);
  if (!answersUs || state.votes.has(m.from)) return false;
  state.countVote(m.from, m.granted);
  return tally(state);
}

/** A hard state became durable: the candidate's own vote counts when it is in there. True when that wins. */
export function countOwnVote(state: RaftState, durable: HardState): boolean {
  if (state.role !== 'candidate' || state.votes.has(state.id)) return false;
  if (durable.term !== state.term || durable.vote !== state.id) return false;
  state.countVote(state.id, true);
  return tally(state);
}

function tally(state: RaftState): boolean {
  const result = voteResult(state.configuration, state.votes);
  if (result === 'pending') return false;
  if (state.role === 'candidate' && result === 'won') return true;
  if (state.role === 'pre-candidate' && result === 'won' && !state.followsLiveLeader()) {
    startElection(state, false);
    return false;
  }
  state.becomeFollower(state.term, state.leader);
  return false;
}
