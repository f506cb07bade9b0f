/**
 * What a leader does besides replicating: it takes proposals, changes the configuration, checks that
 * a quorum supports it, and hands leadership over.
 *
 * Taking its own vote away is a transfer: with the entry that removes it the leader stops accepting
 * proposals (and serving) and orders another voter to campaign. So nobody serves under a
 * configuration that followers may have left already, and followers bound to the leader's store do
 * not wait for a replica that is gone.
 */
import { assert, emptyBytes } from '../util/index.ts';
import { ByteWindow } from './byte-window.ts';
import {
  decodeConfigChange,
  encodeConfigChange,
  enterChange,
  isJoint,
  isValidChange,
  isVoter,
  leaveJoint,
  membersOf,
} from './configuration.ts';
import { entryBytes } from './log.ts';
import { Progress } from './progress.ts';
import { hasQuorum } from './quorum.ts';
import { confirmReads, hasReads } from './read-index.ts';
import { advanceCommit, orderCampaign, sendHeartbeat } from './replication.ts';
import { noVotes, type RaftState, type Reign } from './state.ts';
import {
  type ConfigChange,
  type Configuration,
  type Entry,
  type EntryKind,
  type ProposeResult,
  type RaftId,
} from './types.ts';

/** The election of this term is won. The empty entry lets the leader commit what it inherited (paper 8). */
export function becomeLeader(state: RaftState): void {
  assert(state.role === 'candidate', 'a leader was a candidate before');
  const { log } = state;
  state.role = 'leader';
  state.leader = state.id;
  state.votes = noVotes;
  const reign: Reign = {
    peers: new Map(),
    uncommitted: new ByteWindow(),
    // What is not committed may hold a change.
    pendingConfigIndex: log.lastIndex,
    transfer: undefined,
    loggedBytes: 0,
    readsWait: false,
    readRound: undefined,
    readable: undefined,
    urgent: false,
    heartbeatTicks: 0,
    unsupportedTicks: 0,
  };
  state.reign = reign;
  syncPeers(state, reign);
  appendEntry(state, reign, 'normal', emptyBytes);
  retire(state, reign);
}

/** One tick. True when this replica gave up leading and should stand for election again at once. */
export function tickLeader(state: RaftState, reign: Reign): boolean {
  if (reign.transfer !== undefined && ++reign.transfer.ticks >= state.settings.electionTicks) {
    // Nobody took over. The order to campaign may still arrive somewhere, so this reign is over.
    return stepDown(state);
  }
  const supported = hasQuorum(
    state.configuration,
    (id) => id === state.id || state.host.supportedBy(id),
  );
  reign.unsupportedTicks = supported ? 0 : reign.unsupportedTicks + 1;
  if (reign.unsupportedTicks >= state.settings.electionTicks) {
    state.becomeFollower(state.term, 0);
    return false;
  }
  if (++reign.heartbeatTicks >= state.settings.heartbeatTicks) {
    reign.heartbeatTicks = 0;
    for (const peer of reign.peers.values()) sendHeartbeat(state, reign, peer);
  }
  return false;
}

function stepDown(state: RaftState): boolean {
  state.becomeFollower(state.term, 0);
  return true;
}

/** A member asked for votes: it does not know that there is a leader. */
export function greet(state: RaftState, to: RaftId): void {
  const { reign } = state;
  const peer = reign?.peers.get(to);
  if (reign !== undefined && peer !== undefined) sendHeartbeat(state, reign, peer);
}

export function propose(state: RaftState, data: Buffer): ProposeResult {
  const { reign } = state;
  if (reign === undefined) return { kind: 'not-leader' };
  if (reign.transfer !== undefined) return { kind: 'busy', reason: 'transfer' };
  const backlog = reign.uncommitted.bytes;
  // One proposal is always let through, however large.
  if (backlog > 0 && backlog + data.length > state.settings.uncommittedBytesMax) {
    return { kind: 'busy', reason: 'backlog' };
  }
  const index = appendEntry(state, reign, 'normal', data);
  return { kind: 'accepted', term: state.term, index };
}

/**
 * Refused while another change is in flight, and before an entry of this term is committed: a new
 * leader does not know yet which configuration is the latest (trap R4).
 */
export function proposeConfigChange(state: RaftState, change: ConfigChange): ProposeResult {
  assert(isValidChange(change), 'a valid configuration change');
  const { reign, log } = state;
  if (reign === undefined) return { kind: 'not-leader' };
  if (reign.transfer !== undefined) return { kind: 'busy', reason: 'transfer' };
  const inFlight = reign.pendingConfigIndex > log.applied || isJoint(state.configuration);
  if (inFlight || !log.matches(log.commit, state.term)) {
    return { kind: 'busy', reason: 'config-change' };
  }
  const index = appendEntry(state, reign, 'config', encodeConfigChange(change));
  reign.pendingConfigIndex = index;
  retire(state, reign);
  return { kind: 'accepted', term: state.term, index };
}

/**
 * An entry was applied. True when this replica gave up leading and should stand for election again at once: the target
 * of its transfer is no voter any more, but may still have got the order to campaign.
 */
export function entryApplied(state: RaftState): boolean {
  const { reign } = state;
  if (reign === undefined) return false;
  if (reign.transfer === undefined) maybeLeaveJoint(state, reign);
  else if (!isVoter(state.configuration, reign.transfer.to)) return stepDown(state);
  return false;
}

/** Proposes to leave a joint configuration once the entry that entered it is applied. */
function maybeLeaveJoint(state: RaftState, reign: Reign): void {
  const { log } = state;
  if (!isJoint(state.configuration) || reign.pendingConfigIndex > log.applied) return;
  if (!log.matches(log.commit, state.term)) return;
  reign.pendingConfigIndex = appendEntry(state, reign, 'config', emptyBytes);
  retire(state, reign);
}

/** The configuration once every entry of the log is applied. */
function finalConfiguration(state: RaftState): Configuration {
  const { log } = state;
  let { configuration } = state;
  for (let from = log.applied + 1; from <= log.lastIndex;) {
    const page = log.entries(from, log.lastIndex + 1, scanBytes);
    for (const entry of page) {
      if (entry.kind === 'config') configuration = configurationAfter(configuration, entry);
    }
    from += page.length;
  }
  return configuration;
}

const scanBytes = 1 << 20;

/**
 * Hands over when the configuration at the end of the log has no vote for this leader; to the voter
 * that is furthest. Called whenever the log gains such an entry, or a new leader inherits one: before
 * a follower can apply it.
 */
function retire(state: RaftState, reign: Reign): void {
  const final = finalConfiguration(state);
  if (isVoter(final, state.id) || reign.transfer !== undefined) return;
  let heir: Progress | undefined;
  for (const id of final.voters) {
    const peer = reign.peers.get(id);
    if (peer !== undefined && (heir === undefined || peer.match > heir.match)) heir = peer;
  }
  if (heir !== undefined) transferLeadership(state, heir.id);
}

/** The configuration behind a committed entry; the same at every replica. */
export function configurationAfter(current: Configuration, entry: Entry): Configuration {
  if (entry.data.length === 0) return leaveJoint(current);
  return enterChange(current, decodeConfigChange(entry.data));
}

/** The configuration changed under this leader. */
export function configurationChanged(state: RaftState, reign: Reign): void {
  syncPeers(state, reign);
  // A smaller quorum may hold more; new members get their first append.
  advanceCommit(state, reign);
  confirmReads(state, reign);
  for (const peer of reign.peers.values()) if (!peer.active) peer.wantsAppend = true;
}

function syncPeers(state: RaftState, reign: Reign): void {
  const members = membersOf(state.configuration);
  for (const id of reign.peers.keys()) if (!members.includes(id)) reign.peers.delete(id);
  for (const id of members) {
    if (id === state.id || reign.peers.has(id)) continue;
    reign.peers.set(id, new Progress(id, state.log.lastIndex + 1));
  }
}

/** Ignored for anyone who cannot lead. Another target may replace one that does not come up. */
export function transferLeadership(state: RaftState, to: RaftId): void {
  const { reign } = state;
  const peer = reign?.peers.get(to);
  if (reign === undefined || peer === undefined) return;
  if (!isVoter(state.configuration, to) || reign.transfer?.to === to) return;
  reign.transfer = { to, ticks: 0 };
  orderCampaign(state, reign, peer);
}

/** Nothing is unacknowledged, unapplied, unknown to a follower, asked or in transfer. */
export function isSettled(state: RaftState): boolean {
  const { reign, log } = state;
  if (reign === undefined || reign.transfer !== undefined || isJoint(state.configuration)) {
    return false;
  }
  if (reign.readRound !== undefined || hasReads(reign)) return false;
  const end = log.lastIndex;
  if (log.durableIndex !== end || log.commit !== end || log.applied !== end) return false;
  for (const peer of reign.peers.values()) {
    if (peer.state !== 'replicate' || peer.match !== end || peer.commitKnown !== end) return false;
  }
  return true;
}

/** Appends it go out when the Ready is taken; those of a change of members at once. */
function appendEntry(state: RaftState, reign: Reign, kind: EntryKind, data: Buffer): number {
  const index = state.log.lastIndex + 1;
  const entry: Entry = { term: state.term, index, kind, data };
  state.log.append([entry]);
  reign.uncommitted.push(index, data.length);
  reign.loggedBytes += entryBytes(entry);
  if (kind === 'config') reign.urgent = true;
  return index;
}
