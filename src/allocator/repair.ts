/**
 * Rules for ranges that have fewer or more replicas than they should, or have them on stores that are lost or
 * are to be emptied. A rule that is due but finds no place says so in `blocked` and lets the next one have its turn.
 */
import { add, demote, promote, remove, replace, transferLease } from './actions.ts';
import { bestChoice, compareRanks, leastUseful, rankAt, type Choice } from './candidates.ts';
import { heirs } from './heirs.ts';
import { obstacleEverywhere } from './obstacles.ts';
import {
  holders,
  liveVoters,
  nameOf,
  quorumOf,
  violationsOf,
  without,
  type Situation,
} from './situation.ts';
import { isLost, type StoreState } from './store-state.ts';
import { type PlacementAction, type ReplicaRole } from './types.ts';

const roles: readonly ReplicaRole[] = ['voter', 'non-voter'];
/** A zone that wants at least as many keeps at least as many voters when nodes are taken away in order. */
const votersKept = 3;

export function replaceLost(situation: Situation): PlacementAction | undefined {
  for (const role of roles) {
    const lost = holders(situation, role).find(isLost);
    if (lost === undefined) continue;
    const reason = `store ${lost.storeId} is ${lost.status}`;
    if (holders(situation, role).length > numWanted(situation, role)) {
      return remove(role, lost, reason);
    }
    const staying = without(situation, lost);
    const to = bestChoice(situation, staying, role);
    if (role === 'voter') {
      const voter = promotable(situation, staying, to);
      if (voter !== undefined) return promote(voter, reason);
    }
    if (to !== undefined) {
      return replace(role, { from: lost, to: to.store }, 'recovery', reason);
    }
    // It stays: it may come back, and two of two voters are no better than two of three.
    situation.blocked.push(`${reason}: ${obstacleEverywhere(situation, staying, role)}`);
  }
  return undefined;
}

export function leaveDecommissioning(situation: Situation): PlacementAction | undefined {
  for (const role of roles) {
    const leaving = holders(situation, role).filter((each) => each.status === 'decommissioning');
    // One that cannot go yet may be able to when another one has gone.
    for (const store of leaving) {
      const action = leave(situation, role, store);
      if (action !== undefined) return action;
    }
    const [first] = leaving;
    if (first === undefined) continue;
    const obstacle = obstacleEverywhere(situation, without(situation, first), role);
    situation.blocked.push(`${reasonToLeave(first)}: ${obstacle}`);
  }
  return undefined;
}

/** Undefined: there is no place for the replica, and the range cannot do without it. */
function leave(
  situation: Situation,
  role: ReplicaRole,
  leaving: StoreState,
): PlacementAction | undefined {
  const stores = holders(situation, role);
  const reason = reasonToLeave(leaving);
  const isSpare = role === 'non-voter' || canSpare(situation, leaving);
  if (isSpare && stores.length > numWanted(situation, role)) return remove(role, leaving, reason);
  const staying = without(situation, leaving);
  const to = bestChoice(situation, staying, role, violationsOf(situation));
  if (to !== undefined) {
    return replace(role, { from: leaving, to: to.store }, 'recovery', reason);
  }
  const heir = heirForMove(situation, leaving);
  if (heir !== undefined) return transferLease(heir, reason);
  const least = role === 'voter' ? leastVoters(situation) : situation.rules.wantedNonVoters;
  const isWorse = violationsOf(staying) > violationsOf(situation);
  return isSpare && stores.length > least && !isWorse
    ? remove(role, leaving, `${reason}, nodes are left for ${stores.length - 1}`)
    : undefined;
}

function reasonToLeave({ storeId }: StoreState): string {
  return `store ${storeId} is being decommissioned`;
}

/**
 * The other stores of a leaseholder's node are closed to its replica as long as it leads (`isFree`). Who is to lead
 * instead, if the replica could go to one of them then.
 */
function heirForMove(situation: Situation, leaving: StoreState): StoreState | undefined {
  const { range } = situation;
  if (leaving.storeId !== range.leaseholder) return undefined;
  const [heir] = heirs(situation);
  if (heir === undefined) return undefined;
  const handedOver = { ...situation, range: { ...range, leaseholder: heir.storeId } };
  const staying = without(handedOver, leaving);
  const to = bestChoice(handedOver, staying, 'voter', violationsOf(handedOver));
  return to === undefined ? undefined : heir;
}

/** Two replicas on one node die together: one goes elsewhere, or goes. The leaseholder's stays. */
export function partFromNode(situation: Situation): PlacementAction | undefined {
  const { range, voters, nonVoters } = situation;
  const all = [...voters, ...nonVoters];
  const second = all.find(
    (each) =>
      each.storeId !== range.leaseholder &&
      all.some((other) => other !== each && other.nodeId === each.nodeId),
  );
  if (second === undefined) return undefined;
  const role = voters.includes(second) ? 'voter' : 'non-voter';
  const reason = `node ${second.nodeId} holds two replicas`;
  const to = bestChoice(situation, without(situation, second), role);
  if (to !== undefined) return replace(role, { from: second, to: to.store }, 'recovery', reason);
  return role === 'non-voter' || canSpare(situation, second)
    ? remove(role, second, reason)
    : undefined;
}

/** With how many voters a range makes do when its nodes are taken away: an even number bears no more than one less. */
function leastVoters({ rules, voters }: Situation): number {
  if (voters.length % 2 === 0) return rules.wantedVoters;
  return Math.max(rules.wantedVoters, Math.min(votersKept, rules.numVoters));
}

export function addMissingVoter(situation: Situation): PlacementAction | undefined {
  const { rules, voters, nonVoters } = situation;
  if (voters.length >= rules.numVoters) return undefined;
  const reason = `${voters.length} of ${rules.numVoters} ${nameOf(situation, 'voter')}`;
  if (voters.length >= rules.wantedVoters) return block(situation, 'voter', reason);
  const to = bestChoice(situation, situation, 'voter');
  const isSurplus = nonVoters.length > rules.wantedNonVoters;
  const voter = promotable(situation, situation, isSurplus ? undefined : to);
  if (voter !== undefined) return promote(voter, reason);
  if (to !== undefined) return add('voter', to.store, reason);
  return block(situation, 'voter', reason);
}

export function addMissingNonVoter(situation: Situation): PlacementAction | undefined {
  const { rules, voters, nonVoters } = situation;
  if (nonVoters.length >= rules.numNonVoters) return undefined;
  const reason = `${nonVoters.length} of ${rules.numNonVoters} non-voters`;
  if (nonVoters.length >= rules.wantedNonVoters) return block(situation, 'non-voter', reason);
  if (voters.length > rules.numVoters) {
    const voter = spareVoter(situation);
    return voter === undefined ? undefined : demote(voter, reason);
  }
  const to = bestChoice(situation, situation, 'non-voter');
  if (to !== undefined) return add('non-voter', to.store, reason);
  return block(situation, 'non-voter', reason);
}

function block(situation: Situation, role: ReplicaRole, what: string): undefined {
  situation.blocked.push(`${what}: ${obstacleEverywhere(situation, situation, role)}`);
}

/** A shrinking cluster keeps what it has: only the zone decides what is too much. */
export function dropSurplus(situation: Situation): PlacementAction | undefined {
  const { rules, voters, nonVoters } = situation;
  if (voters.length > rules.numVoters) {
    const voter = spareVoter(situation);
    const what = nameOf(situation, 'voter');
    const reason = `${voters.length} ${what} where ${rules.numVoters} are wanted`;
    if (voter !== undefined) return remove('voter', voter, reason);
  }
  if (nonVoters.length > rules.numNonVoters) {
    const [worst] = leastUseful(situation, 'non-voter');
    const reason = `${nonVoters.length} non-voters where ${rules.numNonVoters} are wanted`;
    if (worst !== undefined) return remove('non-voter', worst, reason);
  }
  return undefined;
}

/** The voter that the range can best do without. */
function spareVoter(situation: Situation): StoreState | undefined {
  const [least] = leastUseful(situation, 'voter');
  return least !== undefined && canSpare(situation, least) ? least : undefined;
}

/** The other voters have a quorum without it. */
function canSpare(situation: Situation, voter: StoreState): boolean {
  const live = liveVoters(situation).filter((each) => each !== voter).length;
  return live >= quorumOf(situation.voters.length - 1);
}

/** A non-voter that makes at least as good a voter as `otherwise`: it need not be copied to. */
function promotable(
  situation: Situation,
  staying: Situation,
  otherwise: Choice | undefined,
): StoreState | undefined {
  const violationsMax = violationsOf(staying);
  let best: Choice | undefined;
  for (const store of situation.nonVoters) {
    if (store.status !== 'live') continue;
    const rank = rankAt(without(staying, store), 'voter', store.site);
    if (rank.violations > violationsMax) continue;
    if (otherwise !== undefined && compareRanks(rank, otherwise) > 0) continue;
    if (best === undefined || compareRanks(rank, best) < 0) best = { ...rank, store };
  }
  return best?.store;
}

function numWanted({ rules }: Situation, role: ReplicaRole): number {
  return role === 'voter' ? rules.numVoters : rules.numNonVoters;
}
