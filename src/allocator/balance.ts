/**
 * Replicas that are where they may be and could be better placed: farther from each other, or on emptier stores. Counts
 * are compared among the stores that could hold the replica as well: where a zone has few stores all of them are
 * fuller than the mean of the cluster, and only their own mean says which of them is too full.
 *
 * A move makes the difference smaller, and starts or ends outside a dead band: a replica never goes to and fro.
 */
import { replace } from './actions.ts';
import { compareDiversity, diversityAt, isFree } from './candidates.ts';
import { allKnown, holders, violationsOf, without, type Situation } from './situation.ts';
import { freeShare, hasRoom, hasRoomToBalance, type Site, type StoreState } from './store-state.ts';
import { type PlacementAction, type ReplicaRole } from './types.ts';

/** A store with at most so many ranges more or less than the mean is balanced, whatever the threshold says. */
export const rangeBandMin = 2;

const roles: readonly ReplicaRole[] = ['voter', 'non-voter'];

interface Move {
  readonly role: ReplicaRole;
  readonly from: StoreState;
  readonly to: StoreState;
}

export function spreadFarther(situation: Situation): PlacementAction | undefined {
  let best: (Move & { readonly gain: number }) | undefined;
  for (const { role, from, staying } of movable(situation)) {
    const before = diversityAt(staying, role, from.site);
    const violated = violationsOf(situation);
    for (const site of situation.cluster.sites) {
      const gain = diversityAt(staying, role, site) - before;
      if (compareDiversity(gain, best?.gain ?? 0) <= 0) continue;
      if (violationsAt(staying, role, site) > violated) continue;
      const to = emptiest(situation, staying, site);
      if (to !== undefined) best = { role, from, to, gain };
    }
  }
  if (best === undefined) return undefined;
  const { role, to } = best;
  return replace(role, best, 'rebalance', `store ${to.storeId} is farther from the others`);
}

export function evenRanges(situation: Situation): PlacementAction | undefined {
  let best: Move | undefined;
  let widest = 0;
  for (const { role, from, staying } of movable(situation)) {
    const sites = equalSites(situation, staying, role, from);
    const { mean, band } = rangeBand(situation, sites);
    for (const site of sites) {
      const to = emptiest(situation, staying, site);
      if (to === undefined) continue;
      const spread = from.rangeCount - to.rangeCount;
      if (!hasRoom(from)) {
        const reason = `store ${from.storeId} has ${(freeShare(from) * 100).toFixed(0)} % of its space left`;
        return replace(role, { from, to }, 'rebalance', reason);
      }
      if (spread <= Math.max(rangeBandMin, widest)) continue;
      const isOverfull = from.rangeCount > mean + band && to.rangeCount < mean;
      const isUnderfull = to.rangeCount < mean - band && from.rangeCount > mean;
      if (!isOverfull && !isUnderfull) continue;
      best = { role, from, to };
      widest = spread;
    }
  }
  if (best === undefined) return undefined;
  const { role, from, to } = best;
  const reason = `store ${from.storeId} has ${from.rangeCount} ranges, store ${to.storeId} ${to.rangeCount}`;
  return replace(role, best, 'rebalance', reason);
}

/** Sites that are as good for a replica as the one it is at: as far from the others, and nothing more is violated. */
export function equalSites(
  situation: Situation,
  staying: Situation,
  role: ReplicaRole,
  from: StoreState,
): Site[] {
  const before = diversityAt(staying, role, from.site);
  const violated = violationsOf(situation);
  return situation.cluster.sites.filter(
    (site) =>
      site.live.length > 0 &&
      compareDiversity(diversityAt(staying, role, site), before) >= 0 &&
      violationsAt(staying, role, site) <= violated,
  );
}

export function rangeBand(
  { settings }: Situation,
  sites: readonly Site[],
): { readonly mean: number; readonly band: number } {
  let ranges = 0;
  let stores = 0;
  for (const site of sites) {
    ranges += site.liveRanges;
    stores += site.live.length;
  }
  const mean = stores === 0 ? 0 : ranges / stores;
  return { mean, band: Math.max(mean * settings.rangeThreshold, rangeBandMin) };
}

/** A replica on a live store, and the situation without it. */
interface Movable {
  readonly role: ReplicaRole;
  readonly from: StoreState;
  readonly staying: Situation;
}

/** The leaseholder comes last: it hands over before it leaves, which takes a second voter. */
export function movable(situation: Situation): Movable[] {
  if (!allKnown(situation)) return [];
  const found: Movable[] = [];
  let last: Movable | undefined;
  for (const role of roles) {
    for (const from of holders(situation, role)) {
      if (from.status !== 'live') continue;
      const each = { role, from, staying: without(situation, from) };
      if (from.storeId === situation.range.leaseholder) last = each;
      else found.push(each);
    }
  }
  if (last !== undefined && situation.voters.length > 1) found.push(last);
  return found;
}

function violationsAt(
  { rules, voters, nonVoters }: Situation,
  role: ReplicaRole,
  site: Site,
): number {
  return rules.violationsWith(role, site, voters, nonVoters);
}

function emptiest(situation: Situation, staying: Situation, site: Site): StoreState | undefined {
  for (const store of site.live) {
    if (hasRoomToBalance(store) && isFree(situation, staying, store)) return store;
  }
  return undefined;
}
