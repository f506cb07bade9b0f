/**
 * Follower reads, as the gateway sees them: which reads of the past any replica is likely to know all about, and which replica is
 * nearest. A wrong guess costs a round trip: the replica answers as one without a lease.
 */
import {
  gossipKeys,
  kvSettings,
  type ClusterSettings,
  type Gossip,
  type NodeId,
  type NodeInfo,
  type ReplicaDescriptor,
  type Timestamp,
} from '../kv/index.ts';

/** Followers have learnt by `nowWall` (microseconds) that `timestamp` is closed, if all goes well. */
export function isLikelyClosed(
  timestamp: Timestamp,
  nowWall: number,
  settings: ClusterSettings,
): boolean {
  if (!settings.get(kvSettings.followerReads)) return false;
  const targetMs = settings.get(kvSettings.closedTimestampTarget);
  const intervalMs = settings.get(kvSettings.closedTimestampSideTransportInterval);
  return targetMs > 0 && timestamp.wall + (targetMs + intervalMs) * 1000 <= nowWall;
}

/** This node first, then by the tiers of the locality that a replica's node shares with it; learners last. */
export function nearestFirst(
  replicas: readonly ReplicaDescriptor[],
  here: NodeId,
  gossip: Gossip,
): ReplicaDescriptor[] {
  const own = localityOf(here, gossip);
  const rank = ({ nodeId, kind }: ReplicaDescriptor): number => {
    if (kind === 'learner') return 1;
    return nodeId === here ? -Infinity : -sharedTiers(own, localityOf(nodeId, gossip));
  };
  return [...replicas].sort((a, b) => rank(a) - rank(b));
}

function localityOf(nodeId: NodeId, gossip: Gossip): NodeInfo['locality'] {
  const info = gossip.get(gossipKeys.node(nodeId)) as NodeInfo | undefined;
  return info?.locality ?? [];
}

function sharedTiers(a: NodeInfo['locality'], b: NodeInfo['locality']): number {
  const differ = a.findIndex(([key, value], i) => b[i]?.[0] !== key || b[i]?.[1] !== value);
  return differ === -1 ? a.length : differ;
}
