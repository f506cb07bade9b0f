/** What becomes of a range by an action: for those who play decisions through without a cluster. */
import {
  asReplicaId,
  type ReplicaDescriptor,
  type ReplicaKind,
  type StoreId,
} from '../kv/index.ts';
import { type ClusterPicture } from './cluster-picture.ts';
import { type PlacementAction, type RangePicture } from './types.ts';

/** Does it to the range and to the picture. */
export function apply(
  cluster: ClusterPicture,
  range: RangePicture,
  action: PlacementAction,
): RangePicture {
  cluster.note(range, action);
  return applied(range, action);
}

/** The same range once the change of its replicas that is under way is finished. */
export function finished(range: RangePicture): RangePicture {
  const replicas: ReplicaDescriptor[] = [];
  for (const each of range.replicas) {
    if (each.kind === 'learner' || each.kind === 'voter-outgoing') continue;
    replicas.push(each.kind === 'voter-incoming' ? { ...each, kind: 'voter' } : each);
  }
  return { ...range, replicas };
}

function applied(range: RangePicture, action: PlacementAction): RangePicture {
  const { replicas } = range;
  switch (action.kind) {
    case 'add': {
      const { nodeId, storeId } = action.target;
      const replicaId = asReplicaId(Math.max(0, ...replicas.map((each) => each.replicaId)) + 1);
      const added: ReplicaDescriptor = { nodeId, storeId, replicaId, kind: action.role };
      return { ...range, replicas: [...replicas, added] };
    }
    case 'remove': {
      const { storeId } = action.target;
      return { ...range, replicas: replicas.filter((each) => each.storeId !== storeId) };
    }
    case 'replace': {
      const { role, reason, considered } = action;
      const grown = applied(range, { kind: 'add', role, target: action.add, reason, considered });
      return applied(grown, { kind: 'remove', role, target: action.remove, reason, considered });
    }
    case 'promote':
      return withKind(range, action.target.storeId, 'voter');
    case 'demote':
      return withKind(range, action.target.storeId, 'non-voter');
    case 'swap': {
      const promoted = withKind(range, action.promote.storeId, 'voter');
      return withKind(promoted, action.demote.storeId, 'non-voter');
    }
    case 'transfer-lease':
      return { ...range, leaseholder: action.to };
  }
}

function withKind(range: RangePicture, storeId: StoreId, kind: ReplicaKind): RangePicture {
  const replicas = range.replicas.map((each) =>
    each.storeId === storeId ? { ...each, kind } : each,
  );
  return { ...range, replicas };
}
