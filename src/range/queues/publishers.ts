/**
 * What the leaseholders of certain keys tell everybody: after a change, when somebody spread something older (who comes
 * later by its clock need not know better), and when all nodes have restarted and gossip is empty.
 */
import {
  allActive,
  decodeMemberships,
  firstRangeIn,
  gossipKeys,
  membershipsKey,
  membershipsToPlain,
} from '../../kv/index.ts';
import { meta1Start } from '../../encoding/index.ts';
import { nextKey } from '../../util/index.ts';
import { type Replica } from '../replica/replica.ts';
import { type Store } from '../store/store.ts';

export function publish(store: Store): void {
  publishFirstRange(store);
  publishMemberships(store);
}

/** Where the range is that holds meta1. */
export function publishFirstRange(store: Store): void {
  const descriptor = ledReplica(store, meta1Start)?.descriptor;
  if (descriptor === undefined) return;
  const { gossip } = store.deps;
  const published = firstRangeIn(gossip);
  if (published !== undefined && published.generation >= descriptor.generation) return;
  gossip.set(gossipKeys.firstRange, descriptor, { ttlMs: 0 });
}

/** Who is not active. */
function publishMemberships(store: Store): void {
  if (ledReplica(store, membershipsKey) === undefined) return;
  const { gossip } = store.deps;
  const plain = membershipsToPlain(decodeMemberships(store.peek(membershipsKey)));
  const published = gossip.get(gossipKeys.memberships) ?? membershipsToPlain(allActive);
  if (JSON.stringify(plain) === JSON.stringify(published)) return;
  gossip.set(gossipKeys.memberships, plain, { ttlMs: 0 });
}

function ledReplica(store: Store, key: Buffer): Replica | undefined {
  const [range] = store.rangesOverlapping(key, nextKey(key));
  const replica = range && store.replicas.get(range.rangeId);
  return replica?.holdsLease === true ? replica : undefined;
}
