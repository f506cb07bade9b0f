/** What is forgotten of applied commits is said. */
import { expect, it } from 'vitest';
import { asTxnId, compareTimestamps, type Timestamp } from '../../../src/kv/index.ts';
import { AppliedCommits } from '../../../src/range/replica/applied-commits.ts';

const at = (wall: number): Timestamp => ({ wall, logical: 0 });

it('a commit is found unless the transaction began where commits are forgotten', () => {
  const commits = new AppliedCommits(10);
  const last = 1_000;
  for (let wall = 1; wall <= last; wall++) {
    const id = asTxnId(`txn ${wall}`);
    commits.note({ id, timestamp: at(wall + 0.5) }, at(wall));
    expect(commits.find(id)).toEqual(at(wall + 0.5));
    const { forgottenUpTo } = commits;
    for (let earlier = 1; earlier <= wall; earlier++) {
      if (compareTimestamps(at(earlier), forgottenUpTo) <= 0) continue;
      expect(commits.find(asTxnId(`txn ${earlier}`)), `${earlier} at ${wall}`).toBeDefined();
    }
  }
  expect(commits.forgottenUpTo.wall).toBeGreaterThan(last - 25);
  expect(commits.find(asTxnId('txn 1'))).toBeUndefined();
});
