import { expect, it } from 'vitest';
import { hasQuorum, majority, quorumIndex, voteResult } from '../../src/raft/quorum.ts';
import { type Configuration } from '../../src/raft/index.ts';

function configuration(voters: number[], votersOutgoing: number[] = []): Configuration {
  return { voters, votersOutgoing, learners: [] };
}

/** All functions from `ids` to `values`. */
function assignments<T>(ids: number[], values: T[]): Map<number, T>[] {
  return ids.reduce<Map<number, T>[]>(
    (maps, id) => maps.flatMap((map) => values.map((value) => new Map([...map, [id, value]]))),
    [new Map()],
  );
}

it('takes more than half for a majority', () => {
  expect([1, 2, 3, 4, 5, 6, 7].map(majority)).toEqual([1, 2, 2, 3, 3, 4, 4]);
});

const cases: Configuration[] = [
  configuration([1]),
  configuration([1, 2]),
  configuration([1, 2, 3]),
  configuration([1, 2, 3, 4]),
  configuration([1, 2], [2, 3, 4]),
  configuration([1, 2, 3], [4]),
];

it('commits exactly the indexes that a quorum holds', () => {
  for (const each of cases) {
    for (const match of assignments([1, 2, 3, 4], [0, 3, 7])) {
      const holds = (index: number): boolean =>
        hasQuorum(each, (id) => (match.get(id) ?? 0) >= index);
      const index = quorumIndex(each, (id) => match.get(id) ?? 0);
      expect(holds(index)).toBe(true);
      expect(holds(index + 1)).toBe(false);
    }
  }
});

it('decides a vote exactly when no missing answer could change it', () => {
  for (const each of cases) {
    for (const answers of assignments<boolean | undefined>(
      [1, 2, 3, 4],
      [true, false, undefined],
    )) {
      const votes = new Map<number, boolean>();
      for (const [id, vote] of answers) if (vote !== undefined) votes.set(id, vote);
      const best = hasQuorum(each, (id) => votes.get(id) !== false);
      const worst = hasQuorum(each, (id) => votes.get(id) === true);
      expect(voteResult(each, votes)).toBe(worst ? 'won' : best ? 'pending' : 'lost');
    }
  }
});

it('does not count votes of strangers', () => {
  const votes = new Map([
    [1, true],
    [8, true],
    [9, true],
  ]);
  expect(voteResult(configuration([1, 2, 3]), votes)).toBe('pending');
});
