/**
 * Where the replicas of a range are, where they should be, and the descriptors on the way from the one to the other.
 * Pure. `change-replicas.ts` walks the way.
 *
 *                       withLearners          entering                finished
 *   new voter           -> learner            -> voter-incoming       -> voter
 *   new non-voter       -> learner            -> non-voter
 *   promoted non-voter     non-voter          -> voter-incoming       -> voter
 *   demoted voter          voter              -> voter-demoting       -> non-voter
 *   removed voter          voter              -> voter-outgoing       -> gone
 *   removed non-voter      non-voter          -> gone
 */
import { type AllocatorTarget, type ChangePurpose } from '../../allocator/index.ts';
import {
  asReplicaId,
  inRange,
  replicaOnStore,
  type RangeDescriptor,
  type ReplicaDescriptor,
  type StoreId,
} from '../../kv/index.ts';
import { assert, unreachable } from '../../util/index.ts';

export type ReplicaRole = 'voter' | 'non-voter';

/** INVARIANT: no store stands in it twice. */
export interface Placement {
  readonly voters: readonly AllocatorTarget[];
  readonly nonVoters: readonly AllocatorTarget[];
}

/** `add` on a store that has a replica of the other role changes that one's role: nothing is copied. */
export interface ReplicaChange {
  readonly add: readonly (AllocatorTarget & { readonly role?: ReplicaRole | undefined })[];
  readonly remove: readonly AllocatorTarget[];
  readonly purpose: ChangePurpose;
}

/** What the range has, or is on its way to. Learners that nobody has promoted are not in it. */
export function placementOf(range: Pick<RangeDescriptor, 'replicas'>): Placement {
  const voters: AllocatorTarget[] = [];
  const nonVoters: AllocatorTarget[] = [];
  for (const { nodeId, storeId, kind } of range.replicas) {
    if (kind === 'voter' || kind === 'voter-incoming') voters.push({ nodeId, storeId });
    if (kind === 'non-voter' || kind === 'voter-demoting') nonVoters.push({ nodeId, storeId });
  }
  return { voters, nonVoters };
}

/** The placement after `change`, or why there is none. */
export function changedPlacement(
  range: RangeDescriptor,
  change: ReplicaChange,
): Placement | string {
  const { add, remove } = change;
  if (add.length + remove.length === 0) return `no replica to add or to remove ${inRange(range)}`;
  const twice = namedTwice([...add, ...remove].map(({ storeId }) => storeId));
  if (twice !== undefined) return `store ${twice} is named twice ${inRange(range)}`;
  const roles = new Map<StoreId, { readonly target: AllocatorTarget; role: ReplicaRole }>();
  const { voters, nonVoters } = placementOf(range);
  for (const target of voters) roles.set(target.storeId, { target, role: 'voter' });
  for (const target of nonVoters) roles.set(target.storeId, { target, role: 'non-voter' });
  for (const { storeId } of remove) {
    if (replicaOnStore(range, storeId) === undefined) {
      return `unable to find store ${storeId} ${inRange(range)}`;
    }
    roles.delete(storeId);
  }
  for (const { nodeId, storeId, role = 'voter' } of add) {
    if (roles.get(storeId)?.role === role) {
      return `unable to add store ${storeId} (it has a ${role} already) ${inRange(range)}`;
    }
    roles.set(storeId, { target: { nodeId, storeId }, role });
  }
  const all = [...roles.values()];
  const withRole = (role: ReplicaRole): AllocatorTarget[] =>
    all.filter((each) => each.role === role).map(({ target }) => target);
  const placement = { voters: withRole('voter'), nonVoters: withRole('non-voter') };
  return refusalOf(range, placement) ?? placement;
}

/** Why no range may be placed like this. */
export function refusalOf(range: RangeDescriptor, placement: Placement): string | undefined {
  const { voters, nonVoters } = placement;
  if (voters.length === 0) return `at least one voter stays ${inRange(range)}`;
  const all = [...voters, ...nonVoters];
  const store = namedTwice(all.map(({ storeId }) => storeId));
  if (store !== undefined) return `store ${store} is named twice ${inRange(range)}`;
  const second = all.find(
    ({ nodeId, storeId }) =>
      replicaOnStore(range, storeId) === undefined &&
      all.some((other) => other.nodeId === nodeId && other.storeId !== storeId),
  );
  if (second === undefined) return undefined;
  return `node ${second.nodeId} would hold two replicas ${inRange(range)}`;
}

/** A learner on every store of the placement that has no replica yet. */
export function withLearners(range: RangeDescriptor, placement: Placement): RangeDescriptor {
  let { nextReplicaId } = range;
  const replicas = [...range.replicas];
  for (const { nodeId, storeId } of [...placement.voters, ...placement.nonVoters]) {
    if (replicaOnStore(range, storeId) !== undefined) continue;
    replicas.push({ nodeId, storeId, replicaId: nextReplicaId, kind: 'learner' });
    nextReplicaId = asReplicaId(nextReplicaId + 1);
  }
  return { ...range, replicas, nextReplicaId };
}

/** Everybody on the way to the role that the placement gives. `range` is at rest but for its learners. */
export function entering(range: RangeDescriptor, placement: Placement): RangeDescriptor {
  const isIn = (targets: readonly AllocatorTarget[], { storeId }: ReplicaDescriptor): boolean =>
    targets.some((target) => target.storeId === storeId);
  const replicas: ReplicaDescriptor[] = [];
  for (const replica of range.replicas) {
    const { kind } = replica;
    const votes = isIn(placement.voters, replica);
    const stays = votes || isIn(placement.nonVoters, replica);
    switch (kind) {
      case 'voter':
        if (votes) replicas.push(replica);
        else replicas.push({ ...replica, kind: stays ? 'voter-demoting' : 'voter-outgoing' });
        break;
      case 'non-voter':
        if (stays) replicas.push(votes ? { ...replica, kind: 'voter-incoming' } : replica);
        break;
      case 'learner':
        if (stays) replicas.push({ ...replica, kind: votes ? 'voter-incoming' : 'non-voter' });
        break;
      case 'voter-incoming':
      case 'voter-outgoing':
      case 'voter-demoting':
        assert(false, 'one change of voters at a time');
        break;
      default:
        unreachable(kind);
    }
  }
  return { ...range, replicas };
}

/** Raft has left the joint configuration: everybody has arrived, or is gone. */
export function finished(range: RangeDescriptor): RangeDescriptor {
  const replicas: ReplicaDescriptor[] = [];
  for (const replica of range.replicas) {
    const { kind } = replica;
    if (kind === 'voter-outgoing') continue;
    if (kind === 'voter-incoming') replicas.push({ ...replica, kind: 'voter' });
    else if (kind === 'voter-demoting') replicas.push({ ...replica, kind: 'non-voter' });
    else replicas.push(replica);
  }
  return { ...range, replicas };
}

function namedTwice<Id extends number>(ids: readonly Id[]): Id | undefined {
  return ids.find((id, at) => ids.indexOf(id) !== at);
}
