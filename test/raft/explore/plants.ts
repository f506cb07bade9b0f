/** Bugs that break one rule each; the explorer has to find every one. Spies reach into the core, the others stay outside. */
import { vi } from 'vitest';
import { type Message, type RaftNode } from '../../../src/raft/index.ts';
import { LogView } from '../../../src/raft/log.ts';
import { quorumIndex } from '../../../src/raft/quorum.ts';
import { RaftState } from '../../../src/raft/state.ts';
import { WriteQueue } from '../../../src/raft/write-queue.ts';
import { type Bug, type Model } from './model.ts';
import {
  boundAgain,
  divergent,
  elected,
  figure8,
  instant,
  lateSnapshot,
  learning,
  overtaken,
  readAfterElection,
  reads,
  shrinking,
  slow,
  snapshots,
  support,
  twoSides,
  unapplied,
  unwritten,
} from './models.ts';
import { stateOf } from './replica.ts';

export interface Plant {
  readonly model: Model;
  readonly bug?: Bug;
  readonly spy?: () => void;
  readonly finds: RegExp;
}

/** Commits what a quorum of `counted` holds; `ownTerm` only what is of the own term. */
function commitByCounting(core: RaftNode, counted: 'voters' | 'members', ownTerm: boolean): void {
  const { reign, log, configuration, id, term } = stateOf(core);
  if (reign === undefined) return;
  const { voters, learners } = configuration;
  const all = counted === 'voters' ? voters : [...voters, ...learners];
  const index = quorumIndex({ voters: all, votersOutgoing: [], learners: [] }, (peer) =>
    peer === id ? log.durableIndex : (reign.peers.get(peer)?.match ?? 0),
  );
  if (!ownTerm || log.term(index) === term) log.commitTo(index);
}

/** Whatever the receiver has there will do. */
function anyPrevious(core: RaftNode, m: Message): Message {
  if (m.kind !== 'append') return m;
  return { ...m, previousTerm: stateOf(core).log.term(m.previousIndex) ?? m.previousTerm };
}

export const plants: Readonly<Record<string, Plant>> = {
  'a vote for a log that is behind (5.4.1)': {
    model: instant,
    spy: () => vi.spyOn(LogView.prototype, 'isUpToDate').mockReturnValue(true),
    finds: /^leader completeness/,
  },
  'two votes in a term (5.2)': {
    model: instant,
    bug: {
      receives: (core, m) => {
        if (m.kind === 'vote-request') stateOf(core).vote = 0;
        return m;
      },
    },
    finds: /^election safety/,
  },
  'a vote that a crash forgets (figure 2, persistent state)': {
    model: { ...slow, crashes: 1 },
    bug: { writesHardState: (hardState) => ({ ...hardState, vote: 0 }) },
    finds: /^election safety/,
  },
  'a term that a crash forgets (figure 2, persistent state)': {
    model: { ...slow, crashes: 1 },
    bug: { writesHardState: (hardState) => ({ ...hardState, term: 1, vote: 0 }) },
    finds: /^election safety/,
  },
  'answers before the write (figure 2: before responding to RPCs)': {
    model: { ...slow, crashes: 1 },
    bug: { early: () => true },
    finds: /^durable commit/,
  },
  'a request for votes before the write (a candidate that forgot its term stands in it again)': {
    model: unwritten,
    bug: { early: (m) => m.kind === 'vote-request' },
    finds: /^leader completeness/,
  },
  'a leader that counts its own log before it is durable': {
    model: slow,
    spy: () =>
      vi.spyOn(LogView.prototype, 'durableIndex', 'get').mockImplementation(function (
        this: LogView,
      ) {
        return this.lastIndex;
      }),
    finds: /^what is applied is durable|^durable commit/,
  },
  'entries of older terms committed by counting (5.4.2, figure 8)': {
    model: figure8,
    bug: {
      after: (core) => {
        commitByCounting(core, 'voters', false);
      },
    },
    finds: /^leader completeness/,
  },
  'an append of an old term that is accepted (AppendEntries 1)': {
    model: { ...overtaken, crashes: 1 },
    bug: {
      receives: (core, m) =>
        m.kind === 'append' && m.term < core.term ? { ...m, term: core.term } : m,
    },
    finds: /^durable commit/,
  },
  'an append without the check of the entry before it (AppendEntries 2)': {
    model: divergent,
    bug: { receives: anyPrevious },
    finds: /^log matching/,
  },
  'an old append that cuts off what came after it (AppendEntries 3)': {
    model: { ...instant, start: ['elected'], indexMax: 4 },
    spy: () =>
      vi.spyOn(LogView.prototype, 'merge').mockImplementation(function (this: LogView, entries) {
        if (entries.length > 0) this.append(entries);
      }),
    finds: /^durable commit/,
  },
  'a commit of what the append did not speak of (AppendEntries 5)': {
    model: overtaken,
    bug: {
      receives: (core, m) => {
        const { log } = stateOf(core);
        const follows = m.kind === 'append' && m.term >= core.term;
        if (follows && log.term(m.previousIndex) === m.previousTerm) {
          log.commitTo(Math.min(m.commit, log.lastIndex));
        }
        return m;
      },
    },
    finds: /^state machine safety|^committed entries are not replaced/,
  },
  'a heartbeat that commits what the follower was not sent': {
    model: overtaken,
    bug: {
      sends: (core, m) => (m.kind === 'heartbeat' ? { ...m, commit: core.commitIndex } : m),
    },
    finds: /^state machine safety/,
  },
  'an acknowledged write that was replaced meanwhile': {
    model: elected,
    spy: () => vi.spyOn(WriteQueue.prototype, 'replaced').mockReturnValue(undefined),
    finds: /./,
  },
  'a learner that counts (thesis 4.2.1)': {
    model: learning,
    bug: {
      after: (core) => {
        commitByCounting(core, 'members', true);
      },
    },
    finds: /^durable commit/,
  },
  'two changes of members in flight (thesis 4.1)': {
    model: { ...shrinking, start: ['elected', '1 change 0', '1 change 1'] },
    bug: {
      after: (core) => {
        const { reign } = stateOf(core);
        if (reign !== undefined) reign.pendingConfigIndex = 0;
      },
    },
    finds: /^leader completeness/,
  },
  'a candidate with a change to apply (4.1: the configuration in force is the last one)': {
    model: unapplied,
    spy: () => vi.spyOn(LogView.prototype, 'hasUnappliedConfig').mockReturnValue(false),
    finds: /^leader completeness/,
  },
  'no joint configuration (thesis 4.3)': {
    model: twoSides,
    bug: {
      after: (core) => {
        const state = stateOf(core);
        state.configuration = { ...state.configuration, votersOutgoing: [] };
      },
    },
    finds: /^election safety/,
  },
  'a snapshot that drops what the log has behind it (paper 7)': {
    model: lateSnapshot,
    bug: {
      receives: (core, m) => {
        const { log } = stateOf(core);
        if (m.kind === 'snapshot' && m.snapshot.index > log.commit) log.restore(m.snapshot);
        return m;
      },
    },
    finds: /^durable commit/,
  },
  'a snapshot that is acknowledged before it is installed (paper 7)': {
    model: snapshots,
    bug: { early: (m) => m.kind === 'append-response' },
    finds: /^durable commit/,
  },
  'a vote against a promise of support (thesis 4.2.3)': {
    model: support,
    spy: () => vi.spyOn(RaftState.prototype, 'followsLiveLeader').mockReturnValue(false),
    finds: /^support/,
  },
  'an answer that takes a pre-candidate from the leader it supports again': {
    model: boundAgain,
    bug: {
      receives: (core, m) => {
        const { role, term } = core;
        const refused = m.kind === 'vote-response' && !m.granted && m.term > term;
        if (refused && role === 'pre-candidate') stateOf(core).leader = 0;
        return m;
      },
    },
    finds: /^support/,
  },
  'a leader that serves in a transfer (thesis 3.10)': {
    model: { ...support, transfers: true },
    bug: {
      after: (core) => {
        const { reign } = stateOf(core);
        if (reign !== undefined) reign.transfer = undefined;
      },
    },
    finds: /^support/,
  },
  'a read that asks nobody (thesis 6.4)': {
    model: reads,
    bug: {
      after: (core) => {
        const { reign, readRounds } = stateOf(core);
        for (const peer of reign?.peers.values() ?? []) peer.readRound = readRounds + 1;
      },
    },
    finds: /^read index/,
  },
  'a read that an older answer confirms (thesis 6.4)': {
    model: reads,
    bug: {
      receives: (core, m) => {
        const round = stateOf(core).reign?.readRound?.round;
        return m.kind === 'heartbeat-response' && round !== undefined ? { ...m, round } : m;
      },
    },
    finds: /^read index/,
  },
  'a read before an entry of the own term is committed (thesis 6.4)': {
    model: readAfterElection,
    bug: {
      reads: (core) => {
        const state = stateOf(core);
        if (state.reign === undefined) return { kind: 'not-leader' };
        state.reign.readsWait = true;
        return { kind: 'accepted', round: state.readRounds + 1 };
      },
    },
    finds: /^read index/,
  },
};
