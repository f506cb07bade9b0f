/**
 * Placement decisions: the next thing to do for one range, given a picture of the cluster. Pure; every
 * decision can be replayed from its input. The order of the rules is their priority.
 */
import { isChanging, type ZoneConfig } from '../kv/index.ts';
import { placeBetter } from './balance.ts';
import { type ClusterPicture } from './cluster-picture.ts';
import { withConsidered } from './considered.ts';
import { satisfyConstraints } from './constraint-moves.ts';
import { firstStep } from './handover.ts';
import { evenLeases, followPreference, leaveDraining } from './leases.ts';
import { evenLoad } from './load.ts';
import {
  addMissingNonVoter,
  addMissingVoter,
  dropSurplus,
  leaveDecommissioning,
  partFromNode,
  replaceLost,
} from './repair.ts';
import { liveVoters, quorumOf, situationOf, type Situation } from './situation.ts';
import {
  type AllocatorAction,
  type AllocatorSettings,
  type Balancing,
  type PlacementAction,
  type RangePicture,
} from './types.ts';

type Rule = (situation: Situation) => PlacementAction | undefined;

const repairs: readonly Rule[] = [
  replaceLost,
  leaveDecommissioning,
  partFromNode,
  addMissingVoter,
  addMissingNonVoter,
  // Before the constraints: what is out of place is better dropped than moved.
  dropSurplus,
];
const needed: readonly Rule[] = [...repairs, satisfyConstraints, leaveDraining, followPreference];
const byCounts: readonly Rule[] = [...needed, placeBetter, evenLeases];
const rules: Record<Balancing, readonly Rule[]> = {
  none: needed,
  counts: byCounts,
  'counts and load': [...byCounts, evenLoad],
};

const nothingToDo: AllocatorAction = { kind: 'none', blocked: [] };

export function decide(
  cluster: ClusterPicture,
  range: RangePicture,
  zone: ZoneConfig,
  settings: AllocatorSettings,
): AllocatorAction {
  const situation = situationOf(cluster, range, zone, settings);
  const live = liveVoters(situation).length;
  const quorum = quorumOf(situation.voters.length);
  if (live < quorum) return { kind: 'unavailable', live, needed: quorum };
  if (isChanging(range)) return { kind: 'finish-change' };
  for (const rule of rules[range.balancing]) {
    const action = rule(situation);
    if (action !== undefined) return withConsidered(situation, firstStep(situation, action));
  }
  const { blocked } = situation;
  return blocked.length === 0 ? nothingToDo : { kind: 'none', blocked };
}

/** What is wrong with the number of replicas or the stores they are on, in words; undefined when nothing is. */
export function repairDue(
  cluster: ClusterPicture,
  range: RangePicture,
  zone: ZoneConfig,
  settings: AllocatorSettings,
): string | undefined {
  if (isChanging(range)) return 'a change of its replicas is under way';
  const situation = situationOf(cluster, range, zone, settings);
  const { rules, voters, nonVoters, blocked } = situation;
  const moved = replaceLost(situation) ?? leaveDecommissioning(situation);
  // As many as there are nodes for are enough.
  const isWhole = voters.length >= rules.wantedVoters && nonVoters.length >= rules.wantedNonVoters;
  const added = isWhole ? undefined : (addMissingVoter(situation) ?? addMissingNonVoter(situation));
  return (moved ?? added)?.reason ?? blocked[0] ?? dropSurplus(situation)?.reason;
}
