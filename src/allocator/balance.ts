/**
 * Replicas that are where they may be and could be better placed: farther from each other, or on emptier stores. Counts
 * are compared among the stores that could hold the replica as well: where a zone has few stores all of them are
 * fuller than the mean of the cluster, and only their own mean says which of them is too full.
 *
 * A move makes the difference smaller, and starts or ends outside a dead band: a replica never goes to and fro.
 */
import { replace } from './actions.ts';
import { compareDiversity, diversities, isFree } from './candidates.ts';
import { drawn, lotEnd, lotOf } from './lots.ts';
import { allKnown, holders, violationsOf, without, type Situation } from './situation.ts';
import { freeShare, hasRoom, hasRoomToBalance, type Site, type StoreState } from './store-state.ts';
import { type PlacementAction, type ReplicaRole } from './types.ts';
import { must } from '../util/index.ts';

/** A store with at most so many ranges more or less than the mean is balanced, whatever the threshold says. */
export const rangeBandMin = 2;

/** Spreads that differ by no more are equally wide. */
const equalRanges = 2;
const storesMax = 2 ** 16;

const roles: readonly ReplicaRole[] = ['voter', 'non-voter'];

interface Move {
  readonly role: ReplicaRole;
  readonly from: StoreState;
  readonly to: StoreState;
}

export function spreadFarther(situation: Situation): PlacementAction | undefined {
  let best: (Move & { readonly gain: number }) | undefined;
  for (const { role, from, staying } of movable(situation)) {
    const diversity = diversities(staying, role);
    const before = diversity[from.site.index] ?? 0;
    const violated = violationsOf(situation);
    for (const site of situation.cluster.sites) {
      const gain = (diversity[site.index] ?? 0) - before;
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

/** A store that is nearly full gives away, however few ranges it has. */
export function leaveFull(situation: Situation): PlacementAction | undefined {
  for (const { role, from, staying } of movable(situation)) {
    if (hasRoom(from)) continue;
    for (const site of equalSites(situation, staying, role, from)) {
      const to = emptiest(situation, staying, site);
      if (to === undefined) continue;
      const reason = `store ${from.storeId} has ${(freeShare(from) * 100).toFixed(0)} % of its space left`;
      return replace(role, { from, to }, 'rebalance', reason);
    }
  }
  return undefined;
}

/**
 * Of the moves that even out about the most one is drawn by lot: always taking the first would send range after range
 * along the same way and leave them on the same few stores, among which leases cannot spread.
 */
export function evenRanges(situation: Situation): PlacementAction | undefined {
  const moves = evening(situation);
  if (moves.length === 0) return undefined;
  const { rangeId, leaseholder } = situation.range;
  const widest = Math.max(...moves.map(spreadOf));
  const best = drawn(
    moves.filter((each) => spreadOf(each) >= widest - equalRanges),
    ({ from, to }) => {
      const lot = lotOf(rangeId, from.storeId * storesMax + to.storeId);
      // A leaseholder's replica moves in more steps than others: these go before it.
      return from.storeId === leaseholder ? lot - lotEnd : lot;
    },
  );
  if (best === undefined) return undefined;
  const { role, from, to } = best;
  const reason = `store ${from.storeId} has ${from.rangeCount} ranges, store ${to.storeId} ${to.rangeCount}`;
  return replace(role, best, 'rebalance', reason);
}

/** Moves from stores beyond the dead band, or to such, that make the difference smaller. */
function evening(situation: Situation): Move[] {
  const moves: Move[] = [];
  const ways = movable(situation).map((each) => ({
    ...each,
    sites: equalSites(situation, each.staying, each.role, each.from),
  }));
  const bands = jointBands(
    situation,
    ways.map(({ sites }) => sites),
  );
  for (const [i, { role, from, staying, sites }] of ways.entries()) {
    const { mean, band } = must(bands[i]);
    // How few ranges a store must have for the move to help.
    const fewerThan = Math.min(
      from.rangeCount - rangeBandMin,
      from.rangeCount > mean + band ? mean : from.rangeCount > mean ? mean - band : 0,
    );
    for (const site of sites) {
      let fewest = Infinity;
      for (const to of site.live) {
        if (to.rangeCount >= fewerThan || to.rangeCount > fewest + equalRanges) break;
        if (!hasRoomToBalance(to) || !isFree(situation, staying, to)) continue;
        fewest = Math.min(fewest, to.rangeCount);
        moves.push({ role, from, to });
      }
    }
  }
  return moves;
}

/**
 * The band for each of some lists of sites: of all sites that can be reached from it over lists with a site in common. Where each
 * node is a site of its own, a replica can only go to a node that has none of its range: all of these nodes
 * together are what is to be even, not each of them with that one.
 */
function jointBands(situation: Situation, lists: readonly (readonly Site[])[]): Band[] {
  const { sites } = situation.cluster;
  /** By the index of a site: the list that named it first, beginning with 1. */
  const namedBy = new Uint8Array(sites.length);
  const joinedTo = lists.map((_, list) => list);
  const headOf = (list: number): number => {
    const next = joinedTo[list] ?? list;
    return next === list ? list : headOf(next);
  };
  for (const [list, named] of lists.entries()) {
    for (const { index } of named) {
      const before = namedBy[index] ?? 0;
      if (before === 0) namedBy[index] = list + 1;
      else joinedTo[headOf(before - 1)] = headOf(list);
    }
  }
  const members = lists.map((): Site[] => []);
  for (const site of sites) {
    const list = namedBy[site.index] ?? 0;
    if (list > 0) members[headOf(list - 1)]?.push(site);
  }
  const bands = members.map((group) => rangeBand(situation, group));
  return lists.map((_, list) => must(bands[headOf(list)]));
}

function spreadOf({ from, to }: Move): number {
  return from.rangeCount - to.rangeCount;
}

/** Sites that are as good for a replica as the one it is at: as far from the others, and nothing more is violated. */
export function equalSites(
  situation: Situation,
  staying: Situation,
  role: ReplicaRole,
  from: StoreState,
): Site[] {
  const diversity = diversities(staying, role);
  const before = diversity[from.site.index] ?? 0;
  const violated = violationsOf(situation);
  const sites: Site[] = [];
  for (const site of situation.cluster.sites) {
    if (site.live.length === 0) continue;
    if (compareDiversity(diversity[site.index] ?? 0, before) < 0) continue;
    if (violationsAt(staying, role, site) <= violated) sites.push(site);
  }
  return sites;
}

export interface Band {
  readonly mean: number;
  readonly band: number;
}

export function rangeBand({ settings }: Situation, sites: readonly Site[]): Band {
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

/**
 * The leaseholder comes last, and only when the range has all its voters: its replica is added elsewhere first and
 * dropped as surplus then.
 */
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
  const { voters, rules } = situation;
  if (last !== undefined && voters.length >= rules.numVoters) found.push(last);
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
