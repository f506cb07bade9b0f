/**
 * Reads by index (thesis 6.4): the leader notes its commit index, asks a quorum whether it still leads, and
 * may answer from a state that has applied that index. No clock is part of it.
 *
 * Why that is enough: a later leader needs the vote of somebody who answered, given after the answer. So
 * whatever another leader commits was committed after the read was asked. And a leader that has committed in
 * its own term knows of everything that was committed before it.
 *
 * The question is a number in heartbeats, which their answers repeat. One round is under way at a time; what
 * is asked meanwhile shares the next. The heartbeats of later ticks repeat a question that was lost.
 */
import { isVoter } from './configuration.ts';
import { hasQuorum } from './quorum.ts';
import { sendHeartbeat } from './replication.ts';
import { type RaftState, type Reign } from './state.ts';
import { type RaftId, type ReadResult, type ReadState } from './types.ts';

export function readIndex(state: RaftState): ReadResult {
  const { reign, log } = state;
  if (reign === undefined) return { kind: 'not-leader' };
  if (!log.matches(log.commit, state.term)) return { kind: 'nothing-committed' };
  reign.readsWait = true;
  return { kind: 'accepted', round: state.readRounds + 1 };
}

/** A round is to begin, or its result to be handed out. */
export function hasReads(reign: Reign): boolean {
  return reign.readable !== undefined || (reign.readsWait && reign.readRound === undefined);
}

/** For a Ready: begins the round that reads wait for, and takes the result of one that is over. */
export function takeReadable(state: RaftState, reign: Reign): ReadState | undefined {
  if (reign.readsWait && reign.readRound === undefined) {
    reign.readsWait = false;
    reign.readRound = { round: ++state.readRounds, index: state.log.commit };
    for (const peer of reign.peers.values()) {
      if (isVoter(state.configuration, peer.id)) sendHeartbeat(state, reign, peer);
    }
    confirmReads(state, reign);
  }
  const { readable } = reign;
  reign.readable = undefined;
  return readable;
}

/** `from` answered a heartbeat that asked in `round`. An answer to an earlier one says nothing of this one. */
export function countReadAnswer(state: RaftState, reign: Reign, from: RaftId, round: number): void {
  const peer = reign.peers.get(from);
  if (peer === undefined || reign.readRound?.round !== round) return;
  peer.readRound = round;
  confirmReads(state, reign);
}

/** Ends the round under way when a quorum has answered: of both sets of voters inside a joint configuration. */
export function confirmReads(state: RaftState, reign: Reign): void {
  const { readRound } = reign;
  if (readRound === undefined) return;
  const answered = (id: RaftId): boolean =>
    id === state.id || reign.peers.get(id)?.readRound === readRound.round;
  if (!hasQuorum(state.configuration, answered)) return;
  reign.readable = readRound;
  reign.readRound = undefined;
}
