/**
 * Whether ranges are as their zones want them, and how much they can bear: the replication reports. A range is
 * compared with what the cluster could give it if all its nodes were well: a zone that wants five replicas on four
 * nodes is content with three.
 */
import {
  type ConstraintViolation,
  type RangeConformance,
  type ReplicaDescriptor,
  type ZoneConfig,
} from '../kv/index.ts';
import { ClusterPicture } from './cluster-picture.ts';
import { type Locality } from './diversity.ts';
import { quorumOf } from './situation.ts';
import { isAlive, type StoreState } from './store-state.ts';
import { type RangeOutline, type StorePicture } from './types.ts';
import { oddVoters, type ZoneRules } from './zone-rules.ts';

/** A zone that wants at least as many voters is not content with fewer for want of nodes. */
const votersMin = 3;

/** One entry per range, in their order. */
export function* conformance<R extends RangeOutline>(
  stores: readonly StorePicture[],
  ranges: Iterable<R>,
  zoneOf: (range: R) => ZoneConfig,
): Generator<RangeConformance> {
  const cluster = new ClusterPicture(stores);
  const nodes = new Set(
    stores.filter((each) => !each.status.startsWith('decommission')).map((each) => each.nodeId),
  ).size;
  for (const range of ranges) {
    yield conformanceOf(cluster, nodes, range, cluster.rulesOf(zoneOf(range)));
  }
}

function conformanceOf(
  cluster: ClusterPicture,
  nodes: number,
  range: RangeOutline,
  rules: ZoneRules,
): RangeConformance {
  const { rangeId, replicas } = range;
  const kept = replicas.filter(({ kind }) => kind !== 'learner' && kind !== 'voter-outgoing');
  const [nonVoters, voters] = storesBy(cluster, kept, (each) => each.kind === 'non-voter');
  const votersDue = Math.max(
    oddVoters(rules.numVoters, nodes),
    Math.min(votersMin, rules.numVoters),
  );
  const nonVotersDue = Math.min(rules.numNonVoters, Math.max(0, nodes - votersDue));
  const isUnavailable = !isAvailable(cluster, replicas, isAlive);
  return {
    rangeId,
    isUnavailable,
    isUnderReplicated:
      voters.filter(isAlive).length < votersDue || nonVoters.filter(isAlive).length < nonVotersDue,
    isOverReplicated: voters.length > rules.numVoters || nonVoters.length > rules.numNonVoters,
    violations: [
      ...rules.all.unmet([...voters, ...nonVoters]).map((constraint): ConstraintViolation => ({
        type: 'constraint',
        constraint,
      })),
      ...rules.voters.unmet(voters).map((constraint): ConstraintViolation => ({
        type: 'voter_constraint',
        constraint,
      })),
    ],
    criticalLocalities: isUnavailable ? [] : criticalLocalities(cluster, replicas, voters),
  };
}

function storesBy(
  cluster: ClusterPicture,
  replicas: readonly ReplicaDescriptor[],
  isFirst: (replica: ReplicaDescriptor) => boolean,
): [StoreState[], StoreState[]] {
  const first: StoreState[] = [];
  const second: StoreState[] = [];
  for (const each of replicas) (isFirst(each) ? first : second).push(cluster.storeOf(each));
  return [first, second];
}

/** In the midst of a change both sets of voters need their quorum. */
function isAvailable(
  cluster: ClusterPicture,
  replicas: readonly ReplicaDescriptor[],
  isThere: (store: StoreState) => boolean,
): boolean {
  return (['voter-outgoing', 'voter-incoming'] as const).every((kind) => {
    const voters = replicas.filter((each) => each.kind === 'voter' || each.kind === kind);
    const there = voters.filter((each) => isThere(cluster.storeOf(each))).length;
    return there >= quorumOf(voters.length);
  });
}

function criticalLocalities(
  cluster: ClusterPicture,
  replicas: readonly ReplicaDescriptor[],
  voters: readonly StoreState[],
): string[] {
  const critical: string[] = [];
  const seen = new Set<string>();
  for (const { site } of voters) {
    for (let tiers = 1; tiers <= site.locality.length; tiers++) {
      const locality = localityText(site.locality, tiers);
      if (seen.has(locality)) continue;
      seen.add(locality);
      const isOutside = (store: StoreState): boolean =>
        isAlive(store) && localityText(store.site.locality, tiers) !== locality;
      if (!isAvailable(cluster, replicas, isOutside)) critical.push(locality);
    }
  }
  return critical.sort();
}

function localityText(locality: Locality, tiers: number): string {
  return locality
    .slice(0, tiers)
    .map(([tier, value]) => `${tier}=${value}`)
    .join(',');
}
