/**
 * Majority maths of a configuration, without any state. Inside a joint configuration every decision
 * needs a majority of both voter sets (thesis 4.3). An empty set agrees with everything, so a simple
 * configuration is the special case of an empty outgoing set.
 */
import { type Configuration, type RaftId } from './types.ts';

/** The smallest number of `count` voters that is more than half of them. */
export function majority(count: number): number {
  return Math.floor(count / 2) + 1;
}

export type VoteResult = 'won' | 'lost' | 'pending';

/** What the votes so far decide; votes of ids that are no voters do not count. */
export function voteResult(
  configuration: Configuration,
  votes: ReadonlyMap<RaftId, boolean>,
): VoteResult {
  const incoming = majorityVotes(configuration.voters, votes);
  const outgoing = majorityVotes(configuration.votersOutgoing, votes);
  if (incoming === 'lost' || outgoing === 'lost') return 'lost';
  return incoming === 'won' && outgoing === 'won' ? 'won' : 'pending';
}

function majorityVotes(voters: readonly RaftId[], votes: ReadonlyMap<RaftId, boolean>): VoteResult {
  if (voters.length === 0) return 'won';
  let granted = 0;
  let missing = 0;
  for (const id of voters) {
    const vote = votes.get(id);
    if (vote === true) granted++;
    else if (vote === undefined) missing++;
  }
  const need = majority(voters.length);
  if (granted >= need) return 'won';
  return granted + missing >= need ? 'pending' : 'lost';
}

/** The largest index that a quorum holds, when voter `id` holds everything up to `matchOf(id)`. */
export function quorumIndex(configuration: Configuration, matchOf: (id: RaftId) => number): number {
  return Math.min(
    majorityIndex(configuration.voters, matchOf),
    majorityIndex(configuration.votersOutgoing, matchOf),
  );
}

function majorityIndex(voters: readonly RaftId[], matchOf: (id: RaftId) => number): number {
  if (voters.length === 0) return Number.MAX_SAFE_INTEGER;
  const descending = voters.map(matchOf).sort((a, b) => b - a);
  return descending[majority(voters.length) - 1] ?? 0;
}

/** True when `holds` is true for a quorum. */
export function hasQuorum(configuration: Configuration, holds: (id: RaftId) => boolean): boolean {
  return (
    majorityHolds(configuration.voters, holds) && majorityHolds(configuration.votersOutgoing, holds)
  );
}

function majorityHolds(voters: readonly RaftId[], holds: (id: RaftId) => boolean): boolean {
  if (voters.length === 0) return true;
  let count = 0;
  for (const id of voters) if (holds(id)) count++;
  return count >= majority(voters.length);
}
