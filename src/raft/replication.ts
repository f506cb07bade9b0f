/**
 * The leader's side of replication: what to send to whom, what the answers mean, and what is
 * committed. An entry is committed when a quorum holds it durably and it is of the leader's own term
 * (paper 5.4.2); the leader counts itself by its durable log like everybody else.
 */
import { must } from '../util/index.ts';
import { entryBytes } from './log.ts';
import { type Progress } from './progress.ts';
import { quorumIndex } from './quorum.ts';
import { type RaftState, type Reign } from './state.ts';
import { type Entry, type Message, type RaftId } from './types.ts';

type AppendResponse = Extract<Message, { kind: 'append-response' }>;

/**
 * Sends the next entries to a peer, or remembers that it wants a snapshot. `evenEmpty` sends an append
 * without entries when there are none to send or no room for them (it carries the commit index and
 * shows whether earlier appends were lost). True when an append was sent.
 */
export function sendAppend(state: RaftState, peer: Progress, evenEmpty: boolean): boolean {
  const { log, config } = state;
  const paused = peer.paused(config);
  if (paused && (!evenEmpty || peer.state !== 'replicate')) return false;
  const previousIndex = peer.next - 1;
  const previousTerm = log.term(previousIndex);
  if (previousTerm === undefined) {
    // Only for a peer that answers: streaming to a dead one would be waste.
    if (peer.active) {
      peer.needsSnapshot();
      state.snapshotsWanted.push(peer.id);
    }
    return false;
  }
  const entries = paused ? [] : log.entries(peer.next, log.lastIndex + 1, config.appendBytesMax);
  if (entries.length === 0 && !evenEmpty) return false;
  state.messages.push({
    kind: 'append',
    from: state.id,
    to: peer.id,
    term: state.term,
    previousIndex,
    previousTerm,
    entries,
    commit: log.commit,
  });
  peer.sent(entries.length, sizeOf(entries));
  return true;
}

function sizeOf(entries: readonly Entry[]): number {
  let bytes = 0;
  for (const entry of entries) bytes += entryBytes(entry);
  return bytes;
}

/** New entries (`evenEmpty` false) or a new commit index for everybody. */
export function broadcastAppend(state: RaftState, reign: Reign, evenEmpty: boolean): void {
  for (const peer of reign.peers.values()) sendAppend(state, peer, evenEmpty);
}

export function sendHeartbeat(state: RaftState, peer: Progress): void {
  // Never more than the peer is known to hold: its log may end differently behind that.
  const commit = Math.min(peer.match, state.log.commit);
  peer.heartbeatSent(commit);
  state.messages.push({ kind: 'heartbeat', from: state.id, to: peer.id, term: state.term, commit });
}

export function handleHeartbeatResponse(state: RaftState, reign: Reign, from: RaftId): void {
  const peer = reign.peers.get(from);
  if (peer === undefined) return;
  peer.heartbeatAnswered();
  if (peer.match < state.log.lastIndex || peer.state === 'probe') sendAppend(state, peer, true);
  orderCampaign(state, reign, peer);
}

export function handleAppendResponse(state: RaftState, reign: Reign, m: AppendResponse): void {
  const { log } = state;
  const peer = reign.peers.get(m.from);
  if (peer === undefined || m.index > log.lastIndex) return;
  if (m.rejected) {
    const agree = log.agreement(m.hintIndex, m.hintTerm);
    if (peer.rejected(m.index, agree.index)) sendAppend(state, peer, true);
    return;
  }
  const wasPaused = peer.paused(state.config);
  if (!peer.accepted(m.index, log.firstIndex)) {
    orderCampaign(state, reign, peer);
    return;
  }
  const before = state.log.commit;
  if (advanceCommit(state, reign) && isUrgent(state, reign, before)) {
    broadcastAppend(state, reign, true);
  } else if (wasPaused) sendAppend(state, peer, true);
  // The window may have room for several more; it bounds the loop.
  while (sendAppend(state, peer, false));
  orderCampaign(state, reign, peer);
}

/** Moves the commit index to what a quorum holds. True when it moved. */
export function advanceCommit(state: RaftState, reign: Reign): boolean {
  const { log } = state;
  const index = quorumIndex(state.configuration, (id) =>
    id === state.id ? log.durableIndex : (reign.peers.get(id)?.match ?? 0),
  );
  if (index <= log.commit || !log.matches(index, state.term)) return false;
  log.commitTo(index);
  reign.uncommitted.release(index);
  return true;
}

/** In a transfer: the target campaigns as soon as it holds the whole log. Repeated until it does. */
export function orderCampaign(state: RaftState, reign: Reign, peer: Progress): void {
  if (reign.transfer?.to !== peer.id || peer.match !== state.log.lastIndex) return;
  state.messages.push({ kind: 'timeout-now', from: state.id, to: peer.id, term: state.term });
}

/** The leader's own write became durable: that may commit entries. */
export function ownWriteDurable(state: RaftState): void {
  if (state.role !== 'leader') return;
  const reign = must(state.reign, 'a leader reigns');
  const before = state.log.commit;
  if (advanceCommit(state, reign) && isUrgent(state, reign, before)) {
    broadcastAppend(state, reign, true);
  }
}

/**
 * With `announceCommits: 'with-traffic'` followers learn the commit index from the next append or
 * heartbeat, which halves the messages of a lone write. A first commit of the term and a change of
 * members are told at once: others wait for them.
 */
function isUrgent(state: RaftState, reign: Reign, before: number): boolean {
  if (state.config.announceCommits !== 'with-traffic') return true;
  const { log, term } = state;
  const isChange = before < reign.pendingConfigIndex && reign.pendingConfigIndex <= log.commit;
  return isChange || log.term(before) !== term;
}
