/** Where the lease should be: off stores that drain, where the zone prefers it, then evenly spread. */
import { transferLease } from './actions.ts';
import { heirs, peers } from './heirs.ts';
import { wouldFit } from './load.ts';
import { type Situation } from './situation.ts';
import { type StoreState } from './store-state.ts';
import { type PlacementAction } from './types.ts';

/** A store with at most so many leases more or less than the mean is balanced, whatever the threshold says. */
const leaseBandMin = 1;

export function leaveDraining(situation: Situation): PlacementAction | undefined {
  const { cluster, range } = situation;
  if (cluster.stores.get(range.leaseholder)?.status !== 'draining') return undefined;
  const [heir] = heirs(situation);
  return heir === undefined
    ? undefined
    : transferLease(heir, `store ${range.leaseholder} is draining`);
}

export function followPreference(situation: Situation): PlacementAction | undefined {
  const { cluster, range, rules } = situation;
  const own = cluster.stores.get(range.leaseholder);
  const [heir] = heirs(situation);
  if (own === undefined || heir === undefined) return undefined;
  if (rules.preferenceAt(heir.site) >= rules.preferenceAt(own.site)) return undefined;
  const preference = rules.preferenceText(heir.site);
  return transferLease(heir, `store ${heir.storeId} meets the lease preference ${preference}`);
}

/** Counts are compared among the stores that the zone lets hold the lease. */
export function evenLeases(situation: Situation): PlacementAction | undefined {
  const found = peers(situation);
  if (found === undefined) return undefined;
  const { own, others } = found;
  const heir = others.find((each) => wouldFit(situation, own, each));
  if (heir === undefined) return undefined;
  const spread = own.leaseCount - heir.leaseCount;
  if (spread < 2) return undefined;
  const mean = meanLeases(situation, own);
  const band = Math.max(mean * situation.settings.leaseThreshold, leaseBandMin);
  const isOverfull = own.leaseCount > mean + band && heir.leaseCount < mean;
  const isUnderfull = heir.leaseCount < mean - band && own.leaseCount > mean;
  // Only voters can take it: the fullest store and the emptiest may share no range, and others pass leases on.
  const isFarther = spread > 2 * band;
  if (!isOverfull && !isUnderfull && !isFarther) return undefined;
  const reason = `store ${own.storeId} has ${own.leaseCount} leases, store ${heir.storeId} ${heir.leaseCount}`;
  return transferLease(heir, reason);
}

function meanLeases({ cluster, rules }: Situation, own: StoreState): number {
  const preference = rules.preferenceAt(own.site);
  let leases = 0;
  let stores = 0;
  for (const site of cluster.sites) {
    if (!rules.mayVoteAt(site) || rules.preferenceAt(site) !== preference) continue;
    leases += site.liveLeases;
    stores += site.live.length;
  }
  return stores === 0 ? 0 : leases / stores;
}
