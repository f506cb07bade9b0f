/**
 * Moves that leave less of the zone's constraints violated. Every pair of a replica and a site is tried; a voter and
 * a non-voter may change roles, which copies nothing. A move that violates as much as it mends is none.
 */
import { replace } from './actions.ts';
import { bestChoice, compareRanks, diversityAt, type Rank } from './candidates.ts';
import { allKnown, holders, target, violationsOf, without, type Situation } from './situation.ts';
import { type StoreState } from './store-state.ts';
import { type PlacementAction, type ReplicaRole } from './types.ts';

interface Move extends Rank {
  readonly from: StoreState;
  readonly action: (reason: string) => PlacementAction;
}

export function satisfyConstraints(situation: Situation): PlacementAction | undefined {
  const { range, rules } = situation;
  if (!allKnown(situation)) return undefined;
  const violated = violationsOf(situation);
  if (violated === 0) return undefined;
  const moves = [...swaps(situation), ...replacements(situation)];
  let best: Move | undefined;
  for (const move of moves) {
    if (move.violations >= violated) continue;
    const order = best === undefined ? -1 : compareRanks(move, best);
    // A leaseholder's replica moves in more steps than others: these go before it.
    const isSimpler =
      best?.from.storeId === range.leaseholder && move.from.storeId !== range.leaseholder;
    if (order < 0 || (order === 0 && isSimpler)) best = move;
  }
  const unmet = unmetText(situation);
  if (best !== undefined) return best.action(`constraint ${unmet} is violated`);
  // What is asked of no replica in particular may be met once there are more of them.
  const isWhole =
    situation.voters.length >= rules.wantedVoters &&
    situation.nonVoters.length >= rules.wantedNonVoters;
  if (isWhole) situation.blocked.push(`constraint ${unmet} is violated: no store would mend it`);
  return undefined;
}

function unmetText({ rules, voters, nonVoters }: Situation): string {
  const all = rules.all.unmet([...voters, ...nonVoters]);
  return [...new Set([...all, ...rules.voters.unmet(voters)])].join(' and ');
}

/** They come first: of two moves that are equally good the one without a copy is taken. */
function* swaps(situation: Situation): Generator<Move> {
  const { rules } = situation;
  for (const from of situation.voters) {
    for (const to of situation.nonVoters) {
      if (to.status !== 'live') continue;
      const voters = [...situation.voters.filter((each) => each !== from), to];
      const nonVoters = [...situation.nonVoters.filter((each) => each !== to), from];
      yield {
        from,
        violations: rules.violations(voters, nonVoters),
        diversity: diversityAt(without(without(situation, from), to), 'voter', to.site),
        action: (reason) => ({
          kind: 'swap',
          promote: target(to),
          demote: target(from),
          reason,
          considered: [],
        }),
      };
    }
  }
}

function* replacements(situation: Situation): Generator<Move> {
  const roles: readonly ReplicaRole[] = ['voter', 'non-voter'];
  for (const role of roles) {
    for (const from of holders(situation, role)) {
      const to = bestChoice(situation, without(situation, from), role, violationsOf(situation) - 1);
      if (to === undefined) continue;
      const { violations, diversity, store } = to;
      yield {
        from,
        violations,
        diversity,
        action: (reason) => replace(role, { from, to: store }, 'rebalance', reason),
      };
    }
  }
}
