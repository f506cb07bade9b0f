/**
 * Where a replica could go, and which place is best: the fewest violations of the zone's constraints, then the
 * farthest from the others, then the emptiest. Voters are kept apart from voters, non-voters from all replicas.
 *
 * Among stores that are about equally empty the range's id draws lots: when a store dies, many leaseholders look
 * for new places at the same time, and the single emptiest store would get a replica of each.
 */
import { drawn, lotOf } from './lots.ts';
import { hasRoom, type Site, type StoreState } from './store-state.ts';
import { holders, violationsOf, type Situation } from './situation.ts';
import { type ReplicaRole } from './types.ts';

/** Averages of a few fractions: closer than this they are equal. */
const epsilon = 1e-9;

export interface Rank {
  readonly violations: number;
  readonly diversity: number;
}

/** Negative when `a` is the better place. */
export function compareRanks(a: Rank, b: Rank): number {
  if (a.violations !== b.violations) return a.violations - b.violations;
  return compareDiversity(b.diversity, a.diversity);
}

export function compareDiversity(a: number, b: number): number {
  return Math.abs(a - b) < epsilon ? 0 : a - b;
}

/** How far a replica at `site` would be from those of `staying`; 1 when it is alone. */
export function diversityAt(staying: Situation, role: ReplicaRole, site: Site): number {
  const { cluster, voters, nonVoters } = staying;
  let sum = 0;
  for (const each of voters) sum += cluster.distance(site, each.site);
  if (role === 'voter') return voters.length === 0 ? 1 : sum / voters.length;
  for (const each of nonVoters) sum += cluster.distance(site, each.site);
  const others = voters.length + nonVoters.length;
  return others === 0 ? 1 : sum / others;
}

/** How much farther from those of `staying` a replica would be at each site than it is at `from`; by the site's index, valid until the next call. */
export function diversityGains(staying: Situation, role: ReplicaRole, from: Site): Float64Array {
  const { cluster, voters, nonVoters } = staying;
  const others = role === 'voter' ? voters : [...voters, ...nonVoters];
  const gains = cluster.distanceSums(others);
  const before = gains[from.index] ?? 0;
  const count = Math.max(1, others.length);
  for (let i = 0; i < gains.length; i++) gains[i] = ((gains[i] ?? 0) - before) / count;
  return gains;
}

export function rankAt(staying: Situation, role: ReplicaRole, site: Site): Rank {
  const { rules, voters, nonVoters } = staying;
  return {
    violations: rules.violationsWith(role, site, voters, nonVoters),
    diversity: diversityAt(staying, role, site),
  };
}

/**
 * A store that holds nothing of the range, on a node that keeps none of `staying`, and not on the leaseholder's: its
 * replica is there until the new one has taken over.
 */
export function isFree(situation: Situation, staying: Situation, store: StoreState): boolean {
  const { cluster, range, voters, nonVoters } = situation;
  if (voters.includes(store) || nonVoters.includes(store)) return false;
  const { nodeId } = store;
  if (cluster.stores.get(range.leaseholder)?.nodeId === nodeId) return false;
  return (
    !staying.voters.some((each) => each.nodeId === nodeId) &&
    !staying.nonVoters.some((each) => each.nodeId === nodeId)
  );
}

export interface Choice extends Rank {
  readonly store: StoreState;
}

/**
 * The best store for a replica beside `staying`. `violationsMax`: what it may leave violated; without it, what is
 * violated without the replica.
 */
export function bestChoice(
  situation: Situation,
  staying: Situation,
  role: ReplicaRole,
  violationsMax = violationsOf(staying),
): Choice | undefined {
  let best: Rank | undefined;
  let stores: StoreState[] = [];
  for (const site of situation.cluster.sites) {
    if (site.live.length === 0) continue;
    const rank = rankAt(staying, role, site);
    if (rank.violations > violationsMax) continue;
    const order = best === undefined ? -1 : compareRanks(rank, best);
    if (order > 0) continue;
    const free = site.live.filter((each) => hasRoom(each) && isFree(situation, staying, each));
    if (free.length === 0) continue;
    stores = order < 0 ? free : [...stores, ...free];
    best = rank;
  }
  if (best === undefined) return undefined;
  const store = drawEmptiest(situation, stores);
  return store === undefined ? undefined : { ...best, store };
}

function drawEmptiest(situation: Situation, stores: readonly StoreState[]): StoreState | undefined {
  const fewest = Math.min(...stores.map((each) => each.rangeCount));
  const slack = Math.floor(fewest * situation.settings.rangeThreshold);
  return drawn(
    stores.filter((each) => each.rangeCount <= fewest + slack),
    ({ storeId }) => (slack === 0 ? 0 - storeId : lotOf(situation.range.rangeId, storeId)),
  );
}

/** Replicas that could change their role or go, the one the range can best do without first. */
export function leastUseful(situation: Situation, role: ReplicaRole): StoreState[] {
  const { range, rules } = situation;
  const ranked = holders(situation, role).map((store) => {
    const voters = situation.voters.filter((each) => each !== store);
    const nonVoters = situation.nonVoters.filter((each) => each !== store);
    return {
      store,
      violations: rules.violations(voters, nonVoters),
      diversity: diversityAt({ ...situation, voters, nonVoters }, role, store.site),
      isLeaseholder: Number(store.storeId === range.leaseholder),
    };
  });
  ranked.sort(
    (a, b) =>
      a.violations - b.violations ||
      compareDiversity(a.diversity, b.diversity) ||
      Number(hasRoom(a.store)) - Number(hasRoom(b.store)) ||
      b.store.rangeCount - a.store.rangeCount ||
      a.isLeaseholder - b.isLeaseholder ||
      a.store.storeId - b.store.storeId,
  );
  return ranked.map(({ store }) => store);
}
