/**
 * The leader's side of replication: what to send to whom, what the answers mean, and what is
 * committed. An entry is committed when a quorum holds it durably and it is of the leader's own term
 * (paper 5.4.2); the leader counts itself by its durable log like everybody else.
 *
 * Proposals and answers only change the log and what is known of the peers. The appends are made when the
 * Ready is taken, so that everything of one turn goes in one append to each peer. And little that is new
 * waits while an append is unanswered (Nagle's algorithm, RFC 896): the answer, or the driver's
 * `releaseHeld`, sends what has come together. A write with nothing under way leaves at once.
 */
import { must } from '../util/index.ts';
import { entryBytes } from './log.ts';
import { type Progress } from './progress.ts';
import { quorumIndex } from './quorum.ts';
import { type RaftState, type Reign } from './state.ts';
import { type Entry, type Message, type RaftId } from './types.ts';

type AppendResponse = Extract<Message, { kind: 'append-response' }>;

/** There are entries for this peer, and room for them. */
function canTakeEntries(state: RaftState, peer: Progress): boolean {
  return peer.next <= state.log.lastIndex && !peer.paused(state.settings);
}

/** Changes of members and transfers are not held back: others wait for them. */
function isHeldBack(state: RaftState, reign: Reign, peer: Progress): boolean {
  if (reign.urgent || reign.transfer !== undefined) return false;
  const { holdBytesMax = 0, appendBytesMax } = state.settings;
  return peer.holdsBack(reign.loggedBytes, Math.min(holdBytesMax, appendBytesMax));
}

function isDue(state: RaftState, reign: Reign, peer: Progress): boolean {
  if (peer.wantsAppend) return peer.state === 'replicate' || !peer.paused(state.settings);
  return canTakeEntries(state, peer) && !isHeldBack(state, reign, peer);
}

/** An append goes out with the next Ready. */
export function hasAppendsDue(state: RaftState, reign: Reign): boolean {
  for (const peer of reign.peers.values()) if (isDue(state, reign, peer)) return true;
  return false;
}

/** Some peer could be sent more, but the answer to what is under way is waited for. */
export function holdsEntries(state: RaftState, reign: Reign): boolean {
  for (const peer of reign.peers.values()) {
    if (canTakeEntries(state, peer) && !isDue(state, reign, peer)) return true;
  }
  return false;
}

/** Makes the appends of a Ready. What leaves for a peer leaves whole, as far as the window has room. */
export function takeAppends(state: RaftState, reign: Reign): Message[] {
  const appends: Message[] = [];
  for (const peer of reign.peers.values()) {
    if (!isDue(state, reign, peer)) continue;
    do sendAppend(state, reign, peer, appends);
    while (canTakeEntries(state, peer));
  }
  reign.urgent = false;
  return appends;
}

/** One append with the next entries, if there are any and room for them; or a snapshot is wanted. */
function sendAppend(state: RaftState, reign: Reign, peer: Progress, appends: Message[]): void {
  const { log, settings } = state;
  const previousIndex = peer.next - 1;
  const previousTerm = log.term(previousIndex);
  if (previousTerm === undefined) {
    // Only for a peer that answers: streaming to a dead one would be waste.
    if (!peer.active) {
      peer.awaitSign();
      return;
    }
    peer.needsSnapshot();
    state.snapshotsWanted.push(peer.id);
    return;
  }
  const entries = peer.paused(settings)
    ? []
    : log.entries(peer.next, log.lastIndex + 1, settings.appendBytesMax);
  appends.push({
    kind: 'append',
    from: state.id,
    to: peer.id,
    term: state.term,
    previousIndex,
    previousTerm,
    entries,
    commit: log.handedOut,
  });
  peer.sent(entries.length, sizeOf(entries));
  if (peer.next > log.lastIndex) peer.sentAll(reign.loggedBytes);
}

function sizeOf(entries: readonly Entry[]): number {
  let bytes = 0;
  for (const entry of entries) bytes += entryBytes(entry);
  return bytes;
}

/** Everybody is told the commit index with the next Ready, with new entries or without. */
export function announceCommit(reign: Reign): void {
  for (const peer of reign.peers.values()) peer.wantsAppend = true;
}

export function sendHeartbeat(state: RaftState, reign: Reign, peer: Progress): void {
  // Never more than the peer is known to hold: its log may end differently behind that.
  const commit = Math.min(peer.match, state.log.handedOut);
  peer.heartbeatSent(commit);
  const round = reign.readRound?.round ?? 0;
  const head = { kind: 'heartbeat', from: state.id, to: peer.id, term: state.term } as const;
  state.messages.push({ ...head, commit, round });
}

export function handleHeartbeatResponse(state: RaftState, reign: Reign, from: RaftId): void {
  const peer = reign.peers.get(from);
  if (peer === undefined) return;
  peer.heartbeatAnswered();
  if (peer.match < state.log.lastIndex || peer.state === 'probe') peer.wantsAppend = true;
  orderCampaign(state, reign, peer);
}

export function handleAppendResponse(state: RaftState, reign: Reign, m: AppendResponse): void {
  const { log } = state;
  const peer = reign.peers.get(m.from);
  if (peer === undefined || m.index > log.lastIndex) return;
  if (m.rejected) {
    const agree = log.agreement(m.hintIndex, m.hintTerm);
    if (peer.rejected(m.index, agree.index)) peer.wantsAppend = true;
    return;
  }
  const wasPaused = peer.paused(state.settings);
  if (!peer.accepted(m.index, log.firstIndex)) {
    orderCampaign(state, reign, peer);
    return;
  }
  if (wasPaused) peer.wantsAppend = true;
  advanceCommit(state, reign);
  orderCampaign(state, reign, peer);
}

/** Moves the commit index to what a quorum holds. */
export function advanceCommit(state: RaftState, reign: Reign): void {
  const { log } = state;
  const index = quorumIndex(state.configuration, (id) =>
    id === state.id ? log.durableIndex : (reign.peers.get(id)?.match ?? 0),
  );
  if (index <= log.commit || !log.matches(index, state.term)) return;
  log.commitTo(index);
  reign.uncommitted.release(index);
}

/** In a transfer: the target campaigns as soon as it holds the whole log. Repeated until it does. */
export function orderCampaign(state: RaftState, reign: Reign, peer: Progress): void {
  if (reign.transfer?.to !== peer.id || peer.match !== state.log.lastIndex) return;
  state.messages.push({ kind: 'timeout-now', from: state.id, to: peer.id, term: state.term });
}

/** The leader's own write became durable: that may commit entries. */
export function ownWriteDurable(state: RaftState): void {
  if (state.role !== 'leader') return;
  advanceCommit(state, must(state.reign, 'a leader reigns'));
}

/**
 * The next committed entries for this leader to apply. Followers are told of a commit from then on, not
 * before: a leader that waits for its own disk does not fall behind what they have applied.
 */
export function handOut(state: RaftState, reign: Reign, maxBytes: number): Entry[] {
  const before = state.log.handedOut;
  const entries = state.log.takeCommitted(maxBytes);
  if (entries.length > 0 && isUrgent(state, reign, before)) announceCommit(reign);
  return entries;
}

/**
 * With `announceCommits: 'with-traffic'` followers learn the commit index from the next append or
 * heartbeat, which halves the messages of a lone write. A first commit of the term and a change of
 * members are told at once: others wait for them.
 */
function isUrgent(state: RaftState, reign: Reign, before: number): boolean {
  if (state.settings.announceCommits !== 'with-traffic') return true;
  const { log, term } = state;
  const isChange = before < reign.pendingConfigIndex && reign.pendingConfigIndex <= log.handedOut;
  return isChange || log.term(before) !== term;
}
