/** Properties of one node that the scripts cannot show: the order of acknowledgements, and bad input. */
import { expect, it } from 'vitest';
import {
  RaftNode,
  decodeConfigChange,
  encodeConfigChange,
  type Entry,
  type Message,
} from '../../src/raft/index.ts';
import { smallSettings } from './harness.ts';
import { MemoryLog } from './memory-log.ts';

function follower(log = new MemoryLog()): RaftNode {
  return new RaftNode({
    id: 3,
    log,
    hardState: { term: log.lastIndex > 0 ? 1 : 0, vote: 0, commit: 0 },
    configuration: { voters: [1, 2, 3], votersOutgoing: [], learners: [] },
    applied: 0,
    settings: smallSettings,
    host: { random: () => 0, supports: () => false, supportedBy: () => true },
  });
}

function entry(term: number, index: number): Entry {
  return { term, index, kind: 'normal', data: Buffer.from(`${index}@${term}`) };
}

function append(from: number, term: number, entries: Entry[], commit = 0): Message {
  const head = { kind: 'append', from, to: 3, term } as const;
  return { ...head, previousIndex: 0, previousTerm: 0, entries, commit };
}

it('does not take an old acknowledgement for a later write of the same entry (trap R15)', () => {
  const node = follower();
  node.step(append(1, 1, [entry(1, 1)]));
  expect(node.ready().entries).toEqual([entry(1, 1)]);
  node.step(append(2, 2, [entry(2, 1)]));
  expect(node.ready().entries).toEqual([entry(2, 1)]);
  node.step(append(1, 3, [entry(1, 1)], 1));
  expect(node.ready().entries).toEqual([entry(1, 1)]);
  expect(node.commitIndex).toBe(1);
  // The first write is durable, but the second will overwrite it.
  node.persisted({ term: 1, index: 1 });
  expect(node.ready().committed).toEqual([]);
  node.persisted({ term: 2, index: 1 });
  expect(node.ready().committed).toEqual([]);
});

it('applies only what is in its own durable log', () => {
  const node = follower();
  node.step(append(1, 1, [entry(1, 1), entry(1, 2)], 2));
  expect(node.ready().committed).toEqual([]);
  expect(node.hasReady()).toBe(false);
  // An acknowledgement that belongs to no write is ignored.
  node.persisted({ term: 7, index: 2 });
  expect(node.hasReady()).toBe(false);
});

it('holds answers back while an earlier write is under way', () => {
  const node = follower();
  node.step(append(1, 1, [entry(1, 1)]));
  expect(node.ready().messagesAfterPersist).toHaveLength(1);
  node.step(append(1, 1, [entry(1, 1)]));
  expect(node.hasReady()).toBe(false);
});

it('ignores messages that cannot be true and keeps its state', () => {
  const bad: Message[] = [
    append(1, 1, [entry(1, 2)]),
    append(1, 1, [entry(1, 1), entry(1, 3)]),
    append(1, 1, [entry(2, 1)]),
    append(3, 1, [entry(1, 1)]),
    append(0, 1, [entry(1, 1)]),
    append(1, 1.5, [entry(1, 1)]),
    { ...append(1, 1, []), to: 2 },
    { kind: 'heartbeat', from: 1, to: 3, term: 1, commit: -1, round: 0 },
    { kind: 'heartbeat', from: 1, to: 3, term: 1, commit: 0, round: -1 },
    { kind: 'timeout-now', from: 1, to: 3, term: Number.NaN },
  ];
  for (const message of bad) {
    const node = follower();
    node.step(message);
    expect(node.hasReady(), JSON.stringify(message)).toBe(false);
    expect(node.term).toBe(0);
  }
});

it('encodes configuration changes', () => {
  const change = { voters: [1, 2 ** 40, 7], learners: [4] };
  const data = encodeConfigChange(change);
  expect(decodeConfigChange(data)).toEqual(change);
  expect(() => decodeConfigChange(data.subarray(0, -1))).toThrow(/length/);
  expect(() => encodeConfigChange({ voters: [1], learners: [1] })).toThrow(/valid/);
  expect(() => encodeConfigChange({ voters: [], learners: [1] })).toThrow(/valid/);
});

it('only moves the commit index for a snapshot that the log covers, and starts anew for another', () => {
  const configuration = { voters: [1, 2, 3, 4], votersOutgoing: [], learners: [] };
  const snapshot = (index: number, term: number): Message => {
    return { kind: 'snapshot', from: 1, to: 3, term: 1, snapshot: { index, term, configuration } };
  };
  const log = new MemoryLog();
  const node = follower(log);
  node.step(append(1, 1, [entry(1, 1), entry(1, 2)]));
  node.step(snapshot(2, 1));
  expect(node.commitIndex).toBe(2);
  const covered = node.ready();
  expect(covered.snapshot).toBe(undefined);
  log.append(covered.entries);
  node.persisted({ term: 1, index: 2 });
  expect(node.ready().committed).toHaveLength(2);
  node.applied(2);

  node.step(snapshot(9, 1));
  const ready = node.ready();
  expect(ready.snapshot?.index).toBe(9);
  expect(ready.hardState?.commit).toBe(9);
  expect(ready.messagesAfterPersist).toMatchObject([{ kind: 'append-response', index: 9 }]);
  expect(node.configuration).toEqual(configuration);
  expect(node.appliedIndex).toBe(2);
  log.reset({ index: 9, term: 1, configuration });
  node.persisted({ term: 1, index: 9 });
  expect(node.appliedIndex).toBe(9);
  expect(node.lastIndex).toBe(9);
});

it('refuses a vote to a log that is behind, even when the vote is free', () => {
  const log = new MemoryLog();
  log.append([entry(1, 1), entry(1, 2)]);
  const request = (term: number, lastIndex: number, lastTerm: number): Message => {
    const head = { kind: 'vote-request', from: 1, to: 3, term } as const;
    return { ...head, pre: false, lastIndex, lastTerm, transfer: false };
  };
  const node = follower(log);
  for (const [message, granted] of [
    [request(2, 1, 1), false],
    [request(2, 2, 1), true],
    [request(3, 9, 0), false],
    [request(3, 1, 2), true],
  ] as const) {
    node.step(message);
    const { messagesAfterPersist } = node.ready();
    expect(messagesAfterPersist).toMatchObject([{ kind: 'vote-response', granted }]);
    node.persisted(undefined);
  }
});

it('commits entries of an earlier term only with one of its own (paper 5.4.2)', () => {
  const log = new MemoryLog();
  log.append([entry(1, 1)]);
  const node = follower(log);
  const from1 = { from: 1, to: 3, hintIndex: 0, hintTerm: 0, rejected: false } as const;
  node.campaign();
  node.step({ kind: 'vote-response', from: 1, to: 3, term: 2, pre: true, granted: true });
  node.ready();
  node.persisted(undefined);
  node.step({ kind: 'vote-response', from: 1, to: 3, term: 2, pre: false, granted: true });
  expect(node.role).toBe('leader');
  log.append(node.ready().entries);
  node.persisted({ term: 2, index: 2 });
  node.step({ ...from1, kind: 'append-response', term: 2, index: 1 });
  expect(node.commitIndex).toBe(0);
  node.step({ ...from1, kind: 'append-response', term: 2, index: 2 });
  expect(node.commitIndex).toBe(2);
});

it('keeps to the leader that it begins with, as long as it supports that one', () => {
  for (const leader of [0, 1]) {
    let isSupported = true;
    const log = new MemoryLog();
    log.append([entry(1, 1)]);
    const node = new RaftNode({
      id: 3,
      log,
      hardState: { term: 1, vote: 1, commit: 0 },
      leader,
      configuration: { voters: [1, 2, 3], votersOutgoing: [], learners: [] },
      applied: 0,
      settings: smallSettings,
      host: { random: () => 0, supports: () => isSupported, supportedBy: () => true },
    });
    const ask = (): unknown => {
      node.step({
        kind: 'vote-request',
        from: 2,
        to: 3,
        term: 2,
        pre: true,
        transfer: false,
        lastIndex: 1,
        lastTerm: 1,
      });
      const { messages, messagesAfterPersist } = node.ready();
      const all = [...messages, ...messagesAfterPersist];
      return all.findLast(({ kind }) => kind === 'vote-response');
    };
    const first = ask();
    if (leader === 0) expect(first).toMatchObject({ granted: true });
    else expect(first).toBe(undefined);
    isSupported = false;
    expect(ask()).toMatchObject({ granted: true });
  }
});
