/** Who could hold the lease instead. */
import { type Situation } from './situation.ts';
import { type StoreState } from './store-state.ts';

/** Live voters besides the leaseholder: the preferred ones first, then those with the fewest leases. */
export function heirs({ voters, range, rules }: Situation): StoreState[] {
  return voters
    .filter((each) => each.status === 'live' && each.storeId !== range.leaseholder)
    .sort(
      (a, b) =>
        rules.preferenceAt(a.site) - rules.preferenceAt(b.site) ||
        a.leaseCount - b.leaseCount ||
        a.storeId - b.storeId,
    );
}

/** The leaseholder and those who could hold the lease as well by the zone's preferences. */
export function peers(situation: Situation):
  | {
      readonly own: StoreState;
      readonly others: readonly StoreState[];
    }
  | undefined {
  const { cluster, range, rules } = situation;
  const own = cluster.stores.get(range.leaseholder);
  if (own === undefined) return undefined;
  const preference = rules.preferenceAt(own.site);
  const others = heirs(situation).filter((each) => rules.preferenceAt(each.site) === preference);
  return { own, others };
}
