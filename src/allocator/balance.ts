/**
 * Replicas that are where they may be and could be better placed: farther from each other, or on emptier stores. Counts
 * are compared among the stores that could hold the replica as well: where a zone has few stores all of them are
 * fuller than the mean of the cluster, and only their own mean says which of them is too full.
 *
 * A move makes the difference smaller, and starts or ends outside a dead band: a replica never goes to and fro.
 */
import { must } from '../util/index.ts';
import { replace } from './actions.ts';
import { compareDiversity, diversityGains, isFree } from './candidates.ts';
import { drawn, lotEnd, lotOf } from './lots.ts';
import { allKnown, holders, violationsOf, without, type Situation } from './situation.ts';
import { freeShare, hasRoom, hasRoomToBalance, type Site, type StoreState } from './store-state.ts';
import { type PlacementAction, type ReplicaRole } from './types.ts';

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

/** Where replicas may go is worked out once for the three: as a rule all is even, and none of them has anything to do. */
export function placeBetter(situation: Situation): PlacementAction | undefined {
  const ways = waysOf(situation);
  return (
    spreadFarther(situation, ways) ?? leaveFull(situation, ways) ?? evenRanges(situation, ways)
  );
}

function spreadFarther(situation: Situation, ways: readonly Way[]): PlacementAction | undefined {
  let best: (Move & { readonly gain: number }) | undefined;
  for (const { role, from, staying, farther } of ways) {
    for (const { site, gain } of farther) {
      if (compareDiversity(gain, best?.gain ?? 0) <= 0) continue;
      const to = emptiest(situation, staying, site);
      if (to !== undefined) best = { role, from, to, gain };
    }
  }
  if (best === undefined) return undefined;
  const { role, to } = best;
  return replace(role, best, 'rebalance', `store ${to.storeId} is farther from the others`);
}

/** A store that is nearly full gives away, however few ranges it has. */
function leaveFull(situation: Situation, ways: readonly Way[]): PlacementAction | undefined {
  for (const { role, from, staying, sites } of ways) {
    if (hasRoom(from)) continue;
    for (const site of sites) {
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
function evenRanges(situation: Situation, ways: readonly Way[]): PlacementAction | undefined {
  const moves = evening(situation, ways);
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
function evening(situation: Situation, ways: readonly Way[]): Move[] {
  // As a rule all is even: then nobody asks for means.
  if (!ways.some((way) => mayHelp(situation, way))) return [];
  const moves: Move[] = [];
  for (const { role, from, staying, sites, mean, band } of withMeans(situation, ways)) {
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

/** Where a replica on a live store may go without loss. */
interface Way {
  readonly role: ReplicaRole;
  readonly from: StoreState;
  /** The situation without the replica. */
  readonly staying: Situation;
  /** At least as far from the others as where it is, and nothing more is violated. */
  readonly sites: readonly Site[];
  /** Those of them that are farther. */
  readonly farther: readonly { readonly site: Site; readonly gain: number }[];
}

/**
 * The leaseholder comes last, and only when the range has all its voters: its replica is added elsewhere first and
 * dropped as surplus then.
 */
function waysOf(situation: Situation): Way[] {
  if (!allKnown(situation)) return [];
  const violated = violationsOf(situation);
  const found: Way[] = [];
  let own: [ReplicaRole, StoreState] | undefined;
  for (const role of roles) {
    for (const from of holders(situation, role)) {
      if (from.status !== 'live') continue;
      if (from.storeId === situation.range.leaseholder) own = [role, from];
      else found.push(wayOf(situation, violated, role, from));
    }
  }
  const { voters, rules } = situation;
  if (own !== undefined && voters.length >= rules.numVoters) {
    found.push(wayOf(situation, violated, ...own));
  }
  return found;
}

function wayOf(situation: Situation, violated: number, role: ReplicaRole, from: StoreState): Way {
  const staying = without(situation, from);
  const gains = diversityGains(staying, role, from.site);
  const sites: Site[] = [];
  const farther: { site: Site; gain: number }[] = [];
  const { rules, voters, nonVoters } = staying;
  for (const site of situation.cluster.sites) {
    if (site.live.length === 0) continue;
    const gain = gains[site.index] ?? 0;
    const order = compareDiversity(gain, 0);
    if (order < 0 || rules.violationsWith(role, site, voters, nonVoters) > violated) continue;
    sites.push(site);
    if (order > 0) farther.push({ site, gain });
  }
  return { role, from, staying, sites, farther };
}

/** Two stores that differ by less are even, whatever the mean is: it is more than the emptier one has. */
function mayHelp({ settings }: Situation, { from, sites }: Way): boolean {
  for (const { live } of sites) {
    const fewest = live[0];
    if (fewest === undefined) continue;
    const band = Math.max(fewest.rangeCount * settings.rangeThreshold, rangeBandMin);
    if (from.rangeCount - fewest.rangeCount > band) return true;
  }
  return false;
}

interface MeasuredWay extends Way {
  /** Ranges per store; `band`: how far from it a store is balanced still. */
  readonly mean: number;
  readonly band: number;
}

export function waysToMove(situation: Situation): MeasuredWay[] {
  return withMeans(situation, waysOf(situation));
}

/**
 * The mean of a way is that of all sites that can be reached from it over ways with a site in common. Where each node is a
 * site of its own, a replica can only go to a node that has none of its range: all of these nodes together are what is to
 * be even, not each of them with that one.
 */
function withMeans({ cluster, settings }: Situation, ways: readonly Way[]): MeasuredWay[] {
  /** By the index of a site: the way that named it first, beginning with 1. */
  const namedBy = new Uint8Array(cluster.sites.length);
  const joinedTo = ways.map((_, way) => way);
  const headOf = (way: number): number => {
    const next = joinedTo[way] ?? way;
    return next === way ? way : headOf(next);
  };
  for (const [way, { sites }] of ways.entries()) {
    for (const { index } of sites) {
      const before = namedBy[index] ?? 0;
      if (before === 0) namedBy[index] = way + 1;
      else joinedTo[headOf(before - 1)] = headOf(way);
    }
  }
  const sums = ways.map(() => ({ ranges: 0, stores: 0 }));
  for (const { index, liveRanges, live } of cluster.sites) {
    const way = namedBy[index] ?? 0;
    if (way === 0) continue;
    const sum = must(sums[headOf(way - 1)]);
    sum.ranges += liveRanges;
    sum.stores += live.length;
  }
  return ways.map((each, way) => {
    const { ranges, stores } = must(sums[headOf(way)]);
    const mean = stores === 0 ? 0 : ranges / stores;
    return { ...each, mean, band: Math.max(mean * settings.rangeThreshold, rangeBandMin) };
  });
}

function spreadOf({ from, to }: Move): number {
  return from.rangeCount - to.rangeCount;
}

function emptiest(situation: Situation, staying: Situation, site: Site): StoreState | undefined {
  for (const store of site.live) {
    if (hasRoomToBalance(store) && isFree(situation, staying, store)) return store;
  }
  return undefined;
}
