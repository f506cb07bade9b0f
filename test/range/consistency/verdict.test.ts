/** Who is right when replicas differ: more than half of all of them, silent ones included. */
import { expect, it } from 'vitest';
import { asNodeId, asReplicaId, asStoreId } from '../../../src/kv/index.ts';
import { judge, type Collected } from '../../../src/range/consistency/verdict.ts';
import { zeroStats } from '../../../src/storage/index.ts';

/** One letter per replica: its checksum, or '-' for one that has not answered. */
function verdict(answers: string): string {
  const collected = answers.split('').map((checksum, at): Collected => ({
    replica: {
      nodeId: asNodeId(at + 1),
      storeId: asStoreId(at + 1),
      replicaId: asReplicaId(at + 1),
      kind: 'voter',
    },
    answer: checksum === '-' ? undefined : { checksum, recorded: zeroStats, found: undefined },
  }));
  const found = judge(collected);
  if (found.kind !== 'minority') return found.kind;
  return `${found.minority.map(({ storeId }) => storeId).join()} against ${found.checksum}`;
}

it.each([
  ['a', 'equal'],
  ['aaa', 'equal'],
  ['aa-', 'equal'],
  ['a--', 'alone'],
  ['---', 'alone'],
  ['aab', '3 against a'],
  ['baa', '1 against a'],
  ['ab', 'undecided'],
  ['ab-', 'undecided'],
  ['abc', 'undecided'],
  // Two of three that answered are no majority of five.
  ['aab--', 'undecided'],
  ['aaab-', '4 against a'],
  ['aaabc', '4,5 against a'],
  ['aabb', 'undecided'],
])('%s: %s', (answers, expected) => {
  expect(verdict(answers)).toBe(expected);
});
