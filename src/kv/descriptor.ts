/** Range descriptors: who holds which keys. Stored under the range's own key and in meta1/meta2. */
import { compareBytes } from '../util/index.ts';
import { type Timestamp } from './hlc.ts';
import { type NodeId, type RangeId, type ReplicaId, type StoreId } from './ids.ts';

/**
 * `non-voter` receives the log, has no vote and stays so: it serves reads of the past. `learner` is on its way to becoming
 * one of the others. The `voter-*` states exist only inside a joint configuration (Raft thesis 4.3): `voter-incoming` becomes
 * a voter, `voter-demoting` a non-voter, `voter-outgoing` leaves the range.
 */
export type ReplicaKind =
  | 'voter'
  | 'non-voter'
  | 'learner'
  | 'voter-incoming'
  | 'voter-outgoing'
  | 'voter-demoting';

export interface ReplicaDescriptor {
  readonly nodeId: NodeId;
  readonly storeId: StoreId;
  readonly replicaId: ReplicaId;
  readonly kind: ReplicaKind;
}

/**
 * INVARIANT 1: startKey < endKey; the range holds [startKey, endKey).
 * INVARIANT 2: every change (split, merge, replicas) raises `generation`; of two descriptors for one
 *   key the one with the larger generation is newer (trap T8).
 * INVARIANT 3: nextReplicaId is larger than every replicaId ever used in this range.
 * INVARIANT 4: before `stickyUntil` the range is not merged with its left neighbour (SPLIT AT ... WITH EXPIRATION);
 *   zero: nobody asked for the split, `maxTimestamp`: it is for good.
 */
export interface RangeDescriptor {
  readonly rangeId: RangeId;
  readonly startKey: Buffer;
  readonly endKey: Buffer;
  readonly replicas: readonly ReplicaDescriptor[];
  readonly nextReplicaId: ReplicaId;
  readonly generation: number;
  readonly stickyUntil: Timestamp;
}

export function containsKey(
  range: Pick<RangeDescriptor, 'startKey' | 'endKey'>,
  key: Buffer,
): boolean {
  return compareBytes(key, range.startKey) >= 0 && compareBytes(key, range.endKey) < 0;
}

/** True when [start, end) lies inside the range. */
export function containsSpan(range: RangeDescriptor, start: Buffer, end: Buffer): boolean {
  return compareBytes(start, range.startKey) >= 0 && compareBytes(end, range.endKey) <= 0;
}

/** A change of its replicas is under way, or was left half-way. */
export function isChanging(range: Pick<RangeDescriptor, 'replicas'>): boolean {
  return range.replicas.some(({ kind }) => kind !== 'voter' && kind !== 'non-voter');
}

export function replicaById(range: RangeDescriptor, id: number): ReplicaDescriptor | undefined {
  for (const replica of range.replicas) if (replica.replicaId === id) return replica;
  return undefined;
}

export function replicaOnStore(
  range: RangeDescriptor,
  storeId: StoreId,
): ReplicaDescriptor | undefined {
  return range.replicas.find((replica) => replica.storeId === storeId);
}

/** As errors name a range: `in range r70: [(n7,s7):1, (n8,s8):2 non-voter]`. */
export function inRange({ rangeId, replicas }: RangeDescriptor): string {
  const named = replicas.map(
    ({ nodeId, storeId, replicaId, kind }) =>
      `(n${nodeId},s${storeId}):${replicaId}${kind === 'voter' ? '' : ` ${kind}`}`,
  );
  return `in range r${rangeId}: [${named.join(', ')}]`;
}
