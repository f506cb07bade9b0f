/**
 * The leaseholder of the record of memberships tells everybody what is in it: after a change, when somebody spread
 * something older, and when all nodes have restarted and gossip is empty.
 */
import {
  allActive,
  decodeMemberships,
  gossipKeys,
  membershipsKey,
  membershipsToPlain,
} from '../../kv/index.ts';
import { nextKey } from '../../util/index.ts';
import { type Store } from '../store/store.ts';

export function publishMemberships(store: Store): void {
  const [range] = store.rangesOverlapping(membershipsKey, nextKey(membershipsKey));
  const replica = range && store.replicas.get(range.rangeId);
  if (replica?.holdsLease !== true) return;
  const { gossip } = store.deps;
  const plain = membershipsToPlain(decodeMemberships(store.peek(membershipsKey)));
  const published = gossip.get(gossipKeys.memberships) ?? membershipsToPlain(allActive);
  if (JSON.stringify(plain) === JSON.stringify(published)) return;
  gossip.set(gossipKeys.memberships, plain, { ttlMs: 0 });
}
