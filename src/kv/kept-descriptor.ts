/**
 * Descriptors that are kept for long: a store keeps one for each of its replicas, a gateway one for each range that
 * it knows. What ranges have in common is one object: neighbours a bound, relatives their list of replicas.
 */
import { equalBytes } from '../util/index.ts';
import { type RangeDescriptor, type ReplicaDescriptor } from './descriptor.ts';
import { zeroTimestamp, type Timestamp } from './hlc.ts';
import { KeptBytes } from './kept-bytes.ts';

/** Bounded: beyond it the collection begins anew, and some equal lists are two objects for a while. */
const sharedMax = 4096;
const shared = new Map<string, readonly ReplicaDescriptor[]>();
const bounds = new KeptBytes();

/** A copy to keep, apart from the message or page that `range` was read from; `known`: what it may have bounds from. */
export function keepDescriptor(
  range: RangeDescriptor,
  ...known: readonly (RangeDescriptor | undefined)[]
): RangeDescriptor {
  return {
    rangeId: range.rangeId,
    startKey: keepKey(range.startKey, known),
    endKey: keepKey(range.endKey, known),
    replicas: sharedReplicas(range.replicas),
    nextReplicaId: range.nextReplicaId,
    generation: range.generation,
    stickyUntil: isZero(range.stickyUntil) ? zeroTimestamp : range.stickyUntil,
  };
}

function isZero({ wall, logical }: Timestamp): boolean {
  return wall === 0 && logical === 0;
}

function keepKey(key: Buffer, known: readonly (RangeDescriptor | undefined)[]): Buffer {
  for (const range of known) {
    if (range === undefined) continue;
    if (equalBytes(range.startKey, key)) return range.startKey;
    if (equalBytes(range.endKey, key)) return range.endKey;
  }
  return bounds.keep(key);
}

function sharedReplicas(replicas: readonly ReplicaDescriptor[]): readonly ReplicaDescriptor[] {
  let name = '';
  for (const { nodeId, storeId, replicaId, kind } of replicas) {
    name += `${nodeId},${storeId},${replicaId},${kind};`;
  }
  const known = shared.get(name);
  if (known !== undefined) return known;
  if (shared.size >= sharedMax) shared.clear();
  shared.set(name, replicas);
  return replicas;
}
