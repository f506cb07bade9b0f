/** Descriptors on the way from one placement to another: pure. What becomes of them is in `store/testdata`. */
import { expect, it } from 'vitest';
import {
  asNodeId,
  asRangeId,
  asReplicaId,
  asStoreId,
  zeroTimestamp,
  type RangeDescriptor,
  type ReplicaKind,
} from '../../../src/kv/index.ts';
import {
  changedPlacement,
  entering,
  finished,
  withLearners,
  type Placement,
} from '../../../src/range/replica/placement.ts';

/** `1.1 2.1n`: replicas on store 1 of node 1 and, without a vote, on store 1 of node 2 (store 21). */
function range(text: string): RangeDescriptor {
  const kinds: Record<string, ReplicaKind> = { '': 'voter', n: 'non-voter', l: 'learner' };
  const replicas = text.split(' ').map((each, at) => {
    const [, node = '', store = '', kind = ''] = /^(\d)\.(\d)(.?)$/.exec(each) ?? [];
    const [nodeId, storeId] = [asNodeId(Number(node)), asStoreId(Number(node + store))];
    return { nodeId, storeId, replicaId: asReplicaId(at + 1), kind: kinds[kind] ?? 'voter' };
  });
  return {
    rangeId: asRangeId(7),
    startKey: Buffer.from('a'),
    endKey: Buffer.from('b'),
    replicas,
    nextReplicaId: asReplicaId(replicas.length + 1),
    generation: 1,
    stickyUntil: zeroTimestamp,
  };
}

function show({ replicas }: Pick<RangeDescriptor, 'replicas'>): string {
  return replicas.map(({ storeId, kind }) => `${storeId}:${kind}`).join(' ');
}

function target(store: number): Placement['voters'][number] {
  return { nodeId: asNodeId(Math.floor(store / 10)), storeId: asStoreId(store) };
}

it('a change goes through learners and a joint configuration', () => {
  const before = range('1.1 2.1 3.1 4.1n');
  const placement = changedPlacement(before, {
    add: [target(51), { ...target(41), role: 'voter' }, { ...target(31), role: 'non-voter' }],
    remove: [target(21)],
    purpose: 'rebalance',
  });
  if (typeof placement === 'string') throw new Error(placement);
  const learning = withLearners(before, placement);
  expect(show(learning)).toBe('11:voter 21:voter 31:voter 41:non-voter 51:learner');
  const joint = entering(learning, placement);
  expect(show(joint)).toBe(
    '11:voter 21:voter-outgoing 31:voter-demoting 41:voter-incoming 51:voter-incoming',
  );
  expect(show(finished(joint))).toBe('11:voter 31:non-voter 41:voter 51:voter');
});

it('learners that nobody wants are gone, non-voters that nothing happens to are the same', () => {
  const before = range('1.1 4.1n 5.1l');
  const after = entering(before, { voters: [target(11)], nonVoters: [target(41)] });
  expect(show(after)).toBe('11:voter 41:non-voter');
  expect(after.replicas[1]).toBe(before.replicas[1]);
});

it('a node holds one replica, but a range moves between its stores', () => {
  const before = range('1.1 2.1 3.1');
  const purpose = 'rebalance';
  expect(changedPlacement(before, { add: [target(12)], remove: [target(21)], purpose })).toBe(
    'node 1 would hold two replicas in range r7: [(n1,s11):1, (n2,s21):2, (n3,s31):3]',
  );
  const moved = changedPlacement(before, { add: [target(12)], remove: [target(11)], purpose });
  expect(moved).toMatchObject({ nonVoters: [] });
});
