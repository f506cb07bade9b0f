/**
 * The follower's side of replication: it accepts what a leader of its term sends, and acknowledges
 * only what is durable (such answers wait for the write).
 */
import { sharedConfiguration } from './configuration.ts';
import { type RaftState } from './state.ts';
import { type Entry, type Message } from './types.ts';

type Append = Extract<Message, { kind: 'append' }>;
type Heartbeat = Extract<Message, { kind: 'heartbeat' }>;
type SnapshotMessage = Extract<Message, { kind: 'snapshot' }>;

/**
 * Follows the sender of a leader's message. False when the message cannot be from a leader of this
 * term (there is another one): it is ignored.
 */
export function follow(state: RaftState, m: { from: number; term: number }): boolean {
  const otherLeader =
    m.term === state.term &&
    (state.role === 'leader' || (state.leader !== 0 && state.leader !== m.from));
  if (otherLeader) return false;
  if (m.term > state.term || state.role !== 'follower') state.becomeFollower(m.term, m.from);
  state.leader = m.from;
  state.electionElapsed = 0;
  state.silentTicks = 0;
  return true;
}

export function handleAppend(state: RaftState, m: Append): void {
  const { log } = state;
  if (m.previousIndex < log.commit) {
    // What is committed is the same everywhere: the leader may go on behind it.
    accept(state, m.from, log.commit);
    return;
  }
  if (!log.matches(m.previousIndex, m.previousTerm)) {
    const hint = log.agreement(m.previousIndex, m.previousTerm);
    state.messages.push({
      kind: 'append-response',
      from: state.id,
      to: m.from,
      term: state.term,
      index: m.previousIndex,
      rejected: true,
      hintIndex: hint.index,
      hintTerm: hint.term,
    });
    return;
  }
  log.merge(m.entries);
  const last = m.previousIndex + m.entries.length;
  log.commitTo(Math.min(m.commit, last));
  accept(state, m.from, last);
}

export function handleHeartbeat(state: RaftState, m: Heartbeat): void {
  // The leader names only what it knows this log to hold; a log that lost it would be a broken disk.
  state.log.commitTo(Math.min(m.commit, state.log.lastIndex));
  state.messages.push({
    kind: 'heartbeat-response',
    from: state.id,
    to: m.from,
    term: state.term,
    round: m.round,
  });
}

/** A snapshot replaces the log, unless the log has its index already: then only the commit index moves. */
export function handleSnapshot(state: RaftState, m: SnapshotMessage): void {
  const { log } = state;
  const { snapshot } = m;
  if (snapshot.index > log.commit) {
    if (log.matches(snapshot.index, snapshot.term)) {
      log.commitTo(snapshot.index);
    } else {
      log.restore(snapshot);
      state.configuration = sharedConfiguration(snapshot.configuration);
    }
  }
  accept(state, m.from, log.commit);
}

function accept(state: RaftState, to: number, index: number): void {
  state.messagesAfterPersist.push({
    kind: 'append-response',
    from: state.id,
    to,
    term: state.term,
    index,
    rejected: false,
    hintIndex: 0,
    hintTerm: 0,
  });
}

/** Entries follow `previousIndex` without a gap; their terms never decrease and end at the leader's. */
export function isWellFormedAppend(m: Append): boolean {
  let index = m.previousIndex;
  let term = m.previousTerm;
  for (const entry of m.entries satisfies readonly Entry[]) {
    index++;
    if (entry.index !== index || entry.term < term) return false;
    term = entry.term;
  }
  return term <= m.term;
}
