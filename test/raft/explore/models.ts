/** The models that are explored. Each is about a few things; together they have everything the core can do. */
import { type Model } from './model.ts';

const base = {
  voters: [1, 2, 3],
  termMax: 3,
  indexMax: 3,
  crashes: 0,
  preVotes: 'granted',
} as const;
export const instant: Model = { ...base, disk: 'instant' };
export const slow: Model = { ...base, disk: 'slow' };
export const elected: Model = { ...slow, start: ['elected'], termMax: 4, indexMax: 4 };
const members: Model = { ...instant, learners: [4], start: ['elected'], indexMax: 5 };

/**
 * The cast of the paper's figure 8 with three replicas, begun by a script (breadth alone is too far from it): 1 led
 * term 2 alone with its entry, 3 leads term 3 alone with another. Then 1 can lead term 4 and bring its
 * old entry to 2, and 3 can lead term 5. 1 and 3 hear of each other's terms only.
 */
export const figure8: Model = {
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
export const divergent: Model = {
  ...instant,
  termMax: 4,
  indexMax: 2,
  candidates: { 2: [1], 3: [2], 4: [3] },
};

/** From one set of voters to one that shares no majority with it. */
const replaced: Model = { ...members, changes: [{ voters: [4], learners: [] }] };

/** The old leader has gone; 2 of the old voters and 4, the new one, stand for the same term. */
export const twoSides: Model = {
  ...replaced,
  candidates: { 3: [2, 4] },
  indexMax: 3,
  delivers: (m) => (m.kind === 'vote-response' ? m.granted : m.kind !== 'timeout-now'),
};

/** Two removals in a row: without a pause between them, a majority of the first set shares nothing with the last. */
export const shrinking: Model = {
  ...instant,
  start: ['elected'],
  indexMax: 5,
  changes: [
    { voters: [1, 2], learners: [] },
    { voters: [1], learners: [] },
  ],
};

/** 3 missed an entry that 1 committed with 2 and then forgot: only a snapshot helps. */
export const snapshots: Model = {
  ...elected,
  heartbeats: true,
  compacts: [1],
  crashes: 1,
  start: [
    'elected',
    '1 propose',
    '1 persist',
    '1>2 t2 append',
    '2 persist',
    '2>1 t2 holds',
    '1 compact',
  ],
};

/**
 * From 1, 2, 3 to 1, 4, 5: both changes are committed, and 3 knows it, but has applied neither; 2 has not heard of the
 * second. 1 goes on with 4.
 */
export const unapplied: Model = {
  ...instant,
  slowApply: true,
  learners: [4, 5],
  indexMax: 5,
  changes: [{ voters: [1, 4, 5], learners: [] }],
  start: [
    'elected',
    '1 change 0',
    '1>2 t2 append',
    '1>3 t2 append',
    '2>1 t2 holds',
    '1 apply',
    '1>3 t2 append 3@2+',
    '3>1 t2 holds 4',
    '1>4 t2 append 2@2',
    '1>4 t2 append 3@2+',
    '4>1 t2 holds 4',
    '1 apply',
    '1>3 t2 append 4@2',
  ],
};

/** 3 is sent a snapshot up to 3@2; 3@2 and 4@2 are on their way to it, too. */
export const lateSnapshot: Model = {
  ...instant,
  indexMax: 4,
  start: [
    'elected',
    '1 propose',
    '1 propose',
    '1>2 t2 append',
    '2>1 t2 holds',
    '1 compact',
    '1 heartbeat',
    '1>3 t2 heartbeat',
    '3>1 t2 alive',
    '1>3 t2 append 4@2',
    '3>1 t2 rejects',
  ],
  heartbeats: true,
  compacts: [1],
};

/** 1 led term 2 alone with an entry; 2 leads term 3 and has committed another at its place with 3. */
export const overtaken: Model = {
  ...instant,
  heartbeats: true,
  start: [
    'elected',
    '1 propose',
    '2 campaign',
    '2>3 t3 vote?',
    '3>2 t3 vote yes',
    '2>3 t3 append',
    '3>2 t3 holds',
  ],
};

export const reads: Model = {
  ...instant,
  start: ['elected'],
  indexMax: 4,
  reads: 2,
  heartbeats: true,
};

/** 3@2 is committed by 1 and 2; 1 knows it, and 2 may lead next. */
export const readAfterElection: Model = {
  ...reads,
  start: ['elected', '1 propose', '1>2 t2 append', '2>1 t2 holds'],
};

/** The promises to the leader end and are made again. */
export const support: Model = {
  ...instant,
  start: ['elected'],
  preVotes: 'real',
  promises: [
    [2, 1],
    [3, 1],
  ],
};

/** 2 and 3 asked for pre-votes; 2 stands in term 3 with that of 3, which supports the leader again. */
export const boundAgain: Model = {
  ...support,
  start: [
    'elected',
    '2 promise 1',
    '2 campaign',
    '3 promise 1',
    '3 campaign',
    '2>3 t3 pre-vote?',
    '3>2 t3 pre-vote yes',
    '3>2 t3 pre-vote?',
    '3 promise 1',
  ],
};

/**
 * 1 leads term 2; 2 has its last entry and has not written it; 1 and 3 have committed it.
 */
export const unwritten: Model = {
  ...slow,
  crashes: 1,
  indexMax: 3,
  candidates: { 3: [2] },
  start: [
    'elected',
    '1 propose',
    '1>2 t2 append',
    '1>3 t2 append',
    '1 persist',
    '3 persist',
    '3>1 t2 holds',
  ],
};

/** A learner, and two voters that must both hold what is committed. */
export const learning: Model = { ...slow, voters: [1, 2], learners: [3] };

export const models: Readonly<Record<string, Model>> = {
  'slow disks, crashes': { ...slow, crashes: 2 },
  'instant disks, terms 2 to 4': { ...instant, termMax: 4 },
  'instant disks, crashes, one entry in an append': { ...instant, crashes: 1, smallAppends: true },
  'real pre-votes, heartbeats': { ...instant, preVotes: 'real', heartbeats: true },
  'a leader, slow disks, crashes, heartbeats': { ...elected, crashes: 1, heartbeats: true },
  'unwritten entries, crashes': unwritten,
  'transfers, slow disks': { ...elected, transfers: true, heartbeats: true },
  'a learner': { ...learning, crashes: 1, heartbeats: true },
  'a voter replaced (joint)': { ...members, changes: [{ voters: [1, 2, 4], learners: [3] }] },
  'a voter removed that lives on, crashes': {
    ...members,
    crashes: 1,
    changes: [{ voters: [1, 2, 4], learners: [] }],
  },
  'the leader removed, and lives on': {
    ...members,
    changes: [{ voters: [2, 3, 4], learners: [] }],
  },
  'all voters replaced (joint)': replaced,
  'one voter more, then one less': {
    ...members,
    changes: [
      { voters: [1, 2, 3, 4], learners: [] },
      { voters: [1, 2, 4], learners: [] },
    ],
  },
  'two removals': shrinking,
  'changes that are applied late': {
    ...members,
    slowApply: true,
    changes: [{ voters: [1, 2, 4], learners: [] }],
  },
  'changes that one voter has not applied': unapplied,
  'five voters': { ...instant, voters: [1, 2, 3, 4, 5] },
  'figure 8': figure8,
  'divergent logs': divergent,
  'two sides of a joint configuration': twoSides,
  'snapshots, slow disks, crashes': snapshots,
  'a snapshot that is late': { ...lateSnapshot, crashes: 1 },
  'a leader that was overtaken, crashes': { ...overtaken, termMax: 4, crashes: 1 },
  'snapshots, everybody compacts': {
    ...instant,
    start: ['elected'],
    indexMax: 4,
    heartbeats: true,
    compacts: [1, 2, 3],
  },
  'snapshots for the voters of a joint configuration': {
    ...instant,
    voters: [1, 2],
    spares: [3, 4],
    indexMax: 5,
    start: ['elected'],
    changes: [{ voters: [1, 3, 4], learners: [] }],
  },
  'entries held back': { ...elected, indexMax: 6, holds: true, heartbeats: true },
  'entries held back, transfers, a change': {
    ...members,
    holds: true,
    transfers: true,
    changes: [{ voters: [1, 2, 3, 4], learners: [] }],
  },
  'read index': reads,
  'read index after an election, crashes': { ...readAfterElection, crashes: 1 },
  'read index, a joint configuration, applied late': {
    ...members,
    reads: 1,
    slowApply: true,
    changes: [{ voters: [1, 2, 4], learners: [] }],
  },
  'read index, transfers': { ...reads, transfers: true, reads: 1 },
  'support of stores': support,
  'support of stores, made again': boundAgain,
  'support of stores, transfers, crashes': {
    ...support,
    transfers: true,
    crashes: 1,
    preVotes: 'granted',
  },
  'support of stores, deserted leaders': {
    ...support,
    desertions: true,
    heartbeats: true,
    promises: [
      [2, 1],
      [3, 1],
      [1, 2],
      [3, 2],
    ],
  },
  'support of stores, the leader removed, applied late': {
    ...members,
    slowApply: true,
    promises: [
      [2, 1],
      [3, 1],
      [4, 1],
    ],
    changes: [{ voters: [2, 3, 4], learners: [] }],
  },
  'support of stores, two removals, transfers, applied late': {
    ...shrinking,
    slowApply: true,
    transfers: true,
    promises: [
      [2, 1],
      [1, 2],
    ],
  },
  'one voter becomes two, and another one; reads, applied late': {
    ...instant,
    voters: [1],
    learners: [2, 3],
    start: ['elected'],
    indexMax: 6,
    slowApply: true,
    reads: 1,
    changes: [
      { voters: [1, 2], learners: [3] },
      { voters: [2], learners: [] },
      { voters: [2, 3], learners: [1] },
    ],
  },
  'everything at once': {
    ...members,
    disk: 'slow',
    slowApply: true,
    preVotes: 'real',
    crashes: 1,
    heartbeats: true,
    transfers: true,
    compacts: [1, 2, 3],
    holds: true,
    reads: 1,
    promises: [[2, 1]],
    desertions: true,
    changes: [{ voters: [1, 2, 4], learners: [] }],
  },
};
