/**
 * Load: a store that serves much more than the mean gives leases away to voters that serve less; where no voter can
 * take one, a replica is moved to a store that can, and the lease follows. Load is where the lease is.
 *
 * Nothing is moved that would make its new store too busy, and counts of ranges stay within their band, so that
 * what this rule does is not undone by the others. The lease counts' rule in turn moves only leases that fit. Few hot ranges
 * fit nowhere: their lease goes to a store that is less busy with it than its own is without it.
 */
import { replace, transferLease } from './actions.ts';
import { waysToMove } from './balance.ts';
import { isFree } from './candidates.ts';
import { peers } from './heirs.ts';
import { type Situation } from './situation.ts';
import { hasRoomToBalance, loadOf, loadOfRange, type StoreState } from './store-state.ts';
import { type LoadObjective, type PlacementAction } from './types.ts';

/** A range with less than this share of its store's load per lease is not worth a move. */
const shareMin = 0.1;

const unit: Record<LoadObjective, string> = { qps: 'requests/s', cpu: 'ms/s of processor time' };

export function evenLoad(situation: Situation): PlacementAction | undefined {
  const { cluster, range, settings } = situation;
  const objective = settings.loadObjective;
  const found = peers(situation);
  if (settings.loadMoves === 'nothing' || found === undefined) return undefined;
  const { own, others } = found;
  const load = loadOf(own, objective);
  if (load <= loadMax(situation)) return undefined;
  const share = loadOfRange(range, own, objective);
  if (share <= 0 || share < (load / own.leaseCount) * shareMin) return undefined;
  const heir = leastLoaded(
    others.filter((each) => wouldFit(situation, own, each)),
    objective,
  );
  const mean = cluster.meanLoad(objective).toFixed(0);
  const reason = `store ${own.storeId} serves ${load.toFixed(0)} ${unit[objective]}, the mean is ${mean}`;
  const lease = (to: StoreState): PlacementAction => ({
    ...transferLease(to, reason),
    isForLoad: true,
  });
  if (heir !== undefined) return lease(heir);
  const room =
    settings.loadMoves === 'leases' ? undefined : makeRoomForLease(situation, own, reason);
  if (room !== undefined) return room;
  const relief = leastLoaded(
    others.filter((each) => loadOf(each, objective) + share <= load - share),
    objective,
  );
  return relief === undefined ? undefined : lease(relief);
}

/** The store can take the range's lease over from `own` without becoming too busy. */
export function wouldFit(situation: Situation, own: StoreState, store: StoreState): boolean {
  const { range, settings } = situation;
  if (settings.loadMoves === 'nothing') return true;
  const objective = settings.loadObjective;
  const after = loadOf(store, objective) + loadOfRange(range, own, objective);
  return after <= loadMax(situation);
}

function loadMax({ cluster, settings }: Situation): number {
  const { loadObjective, loadThreshold, loadBandMin } = settings;
  const mean = cluster.meanLoad(loadObjective);
  return mean + Math.max(mean * loadThreshold, loadBandMin[loadObjective]);
}

function makeRoomForLease(
  situation: Situation,
  own: StoreState,
  reason: string,
): PlacementAction | undefined {
  const { rules, settings } = situation;
  let best: { readonly from: StoreState; readonly to: StoreState } | undefined;
  for (const { role, from, staying, sites, mean, band } of waysToMove(situation)) {
    if (role !== 'voter' || from === own) continue;
    if (from.rangeCount - 1 < mean - band) continue;
    for (const site of sites) {
      if (rules.preferenceAt(site) > rules.preferenceAt(own.site)) continue;
      const able = site.live.filter(
        (each) =>
          each.rangeCount + 1 <= mean + band &&
          wouldFit(situation, own, each) &&
          hasRoomToBalance(each) &&
          isFree(situation, staying, each),
      );
      const to = leastLoaded(
        best === undefined ? able : [best.to, ...able],
        settings.loadObjective,
      );
      if (to !== undefined && to !== best?.to) best = { from, to };
    }
  }
  if (best === undefined) return undefined;
  return { ...replace('voter', best, 'rebalance', reason), isForLoad: true };
}

function leastLoaded(
  stores: readonly StoreState[],
  objective: LoadObjective,
): StoreState | undefined {
  let least: StoreState | undefined;
  for (const store of stores) {
    if (least === undefined || loadOf(store, objective) < loadOf(least, objective)) least = store;
  }
  return least;
}
