/**
 * Explores small models of the core in breadth (`explore.ts`), and plants bugs that this has to find.
 * `npm run explore` goes further and prints what it saw (EXPLORE_STATES: states of each model).
 */
import { afterEach, describe, expect, it, vi } from 'vitest';
import { type Message, type RaftNode } from '../../src/raft/index.ts';
import { LogView } from '../../src/raft/log.ts';
import { quorumIndex } from '../../src/raft/quorum.ts';
import { WriteQueue } from '../../src/raft/write-queue.ts';
import { type Bug, type Exploration, type Model, Explorer, stateOf } from './explore.ts';

const long = process.env['EXPLORE_STATES'];
const limit = Number(long ?? 40_000);

const base = {
  voters: [1, 2, 3],
  termMax: 3,
  indexMax: 3,
  crashes: 0,
  preVotes: 'granted',
} as const;
const instant: Model = { ...base, disk: 'instant' };
const slow: Model = { ...base, disk: 'slow' };
const elected: Model = { ...slow, start: 'elected', termMax: 4, indexMax: 4 };
const members: Model = { ...instant, learners: [4], start: 'elected', indexMax: 5 };

/**
 * The cast of the paper's figure 8 with three replicas, begun by a script (breadth alone is too far from it): 1 led
 * term 2 alone with its entry, 3 leads term 3 alone with another. Then 1 can lead term 4 and bring its
 * old entry to 2, and 3 can lead term 5. 1 and 3 hear of each other's terms only.
 */
const figure8: Model = {
  ...instant,
  termMax: 5,
  indexMax: 2,
  smallAppends: true,
  candidates: { 4: [1], 5: [3] },
  start: [
    '1 campaign',
    '1>2 t2 vote?',
    '2>1 t2 vote yes',
    '1>3 t2 vote?',
    '3 campaign',
    '3>2 t3 vote?',
    '2>3 t3 vote yes',
    '1>2 t2 append',
    '2>1 t3 rejects',
  ],
  delivers: (m) => m.kind === 'vote-request' || m.from + m.to !== 4,
};

/** Three leaders in a row, whose logs differ at 2 and go on behind it. */
const divergent: Model = {
  ...instant,
  termMax: 4,
  indexMax: 2,
  candidates: { 2: [1], 3: [2], 4: [3] },
};

/** From one set of voters to one that shares no majority with it. */
const replaced: Model = { ...members, changes: [{ voters: [4], learners: [] }] };

/** The old leader has gone; 2 of the old voters and 4, the new one, stand for the same term. */
const twoSides: Model = {
  ...replaced,
  candidates: { 3: [2, 4] },
  indexMax: 3,
  delivers: (m) => (m.kind === 'vote-response' ? m.granted : m.kind !== 'timeout-now'),
};

const models: Record<string, Model> = {
  'slow disks, crashes': { ...slow, crashes: 2 },
  'instant disks, terms 2 to 4': { ...instant, termMax: 4 },
  'instant disks, crashes, one entry in an append': { ...instant, crashes: 1, smallAppends: true },
  'real pre-votes, heartbeats': { ...instant, preVotes: 'real', heartbeats: true },
  'a leader, slow disks, crashes, heartbeats': { ...elected, crashes: 1, heartbeats: true },
  'transfers, slow disks': { ...elected, transfers: true, heartbeats: true },
  'a voter replaced (joint)': { ...members, changes: [{ voters: [1, 2, 4], learners: [3] }] },
  'all voters replaced (joint)': replaced,
  'one voter more, then one less': {
    ...members,
    changes: [
      { voters: [1, 2, 3, 4], learners: [] },
      { voters: [1, 2, 4], learners: [] },
    ],
  },
  'five voters': { ...instant, voters: [1, 2, 3, 4, 5] },
  'figure 8': figure8,
  'divergent logs': divergent,
  'two sides of a joint configuration': twoSides,
};

function report(name: string, result: Exploration, ms: number): void {
  const { states, transitions, depth, complete, locals, runs, leaders, commits } = result;
  process.stdout.write(
    `${name}: ${states} states${complete ? ' (all)' : ''}, ${transitions} transitions, depth ${depth}; ` +
      `${locals} states of replicas, ${runs} runs of the core, ${leaders} leaders, ${commits} commits, ${ms} ms\n`,
  );
}

describe('every state of the model is safe', () => {
  it.each(Object.entries(models))(
    '%s',
    (name, model) => {
      const begin = performance.now();
      const result = new Explorer(model).run(limit);
      if (long !== undefined) report(name, result, Math.round(performance.now() - begin));
      expect(result.violation).toBeUndefined();
      // It went somewhere: terms were led and entries committed.
      expect(result.complete || result.states >= limit).toBe(true);
      expect(result.leaders).toBeGreaterThan(0);
    },
    600_000,
  );
});

interface Plant {
  readonly model: Model;
  readonly bug?: Bug;
  /** For bugs inside the core. */
  readonly spy?: () => void;
  readonly finds: RegExp;
}

/** Committed is what a quorum holds, of whichever term (paper 5.4.2). */
function commitByCounting(core: RaftNode): void {
  const { reign, log, configuration, id } = stateOf(core);
  if (reign === undefined) return;
  log.commitTo(
    quorumIndex(configuration, (peer) =>
      peer === id ? log.durableIndex : (reign.peers.get(peer)?.match ?? 0),
    ),
  );
}

/** Whatever the receiver has there will do. */
function anyPrevious(core: RaftNode, m: Message): Message {
  if (m.kind !== 'append') return m;
  return { ...m, previousTerm: stateOf(core).log.term(m.previousIndex) ?? m.previousTerm };
}

const plants: Record<string, Plant> = {
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
    bug: { answersEarly: true },
    finds: /^durable commit/,
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
    bug: { after: commitByCounting },
    finds: /^leader completeness/,
  },
  'an append without the check of the entry before it (5.3)': {
    model: divergent,
    bug: { receives: anyPrevious },
    finds: /^log matching/,
  },
  'an old append that cuts off what came after it (5.3)': {
    model: { ...instant, start: 'elected', indexMax: 4 },
    spy: () =>
      vi.spyOn(LogView.prototype, 'merge').mockImplementation(function (this: LogView, entries) {
        if (entries.length > 0) this.append(entries);
      }),
    finds: /^durable commit/,
  },
  'an acknowledged write that was replaced meanwhile': {
    model: elected,
    spy: () => vi.spyOn(WriteQueue.prototype, 'replaced').mockReturnValue(undefined),
    finds: /./,
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
};

describe('planted bugs are found', () => {
  afterEach(() => {
    vi.restoreAllMocks();
  });

  it.each(Object.entries(plants))('%s', (name, { model, bug, spy, finds }) => {
    const begin = performance.now();
    spy?.();
    const result = new Explorer(bug === undefined ? model : { ...model, bug }).run(400_000);
    if (long !== undefined) {
      report(name, result, Math.round(performance.now() - begin));
      const { property, trace } = result.violation ?? { property: 'nothing found', trace: [] };
      process.stdout.write(`  ${property}\n    ${trace.join('\n    ')}\n`);
    }
    expect(result.violation?.property).toMatch(finds);
  });
});
