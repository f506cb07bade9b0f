/** What a store reports about the ranges it answers for: are they as their zones want them, and which nodes can they not lose? */
import { conformance, type RangeOutline, type StorePicture } from '../../allocator/index.ts';
import {
  type NodeId,
  type RangeConformance,
  type RangeDescriptor,
  type RangeId,
  type ReportedConformance,
} from '../../kv/index.ts';
import { storePictures } from '../queues/cluster-view.ts';
import { type Replica } from '../replica/replica.ts';
import { type Store } from './store.ts';

interface Outline extends RangeOutline {
  readonly range: RangeDescriptor;
  readonly isLed: boolean;
}

/** A range without a leader is reported by each of its replicas that notices: nobody else can. */
export function reportConformance(store: Store): ReportedConformance[] {
  if (!store.deps.zonesKnown()) return [];
  const stores = storePictures(store);
  const outlines = [...store.replicas.values()].flatMap(outlineOf);
  const assess = (
    pictures: readonly StorePicture[],
    some: readonly Outline[],
  ): RangeConformance[] => [
    ...conformance(pictures, some, ({ range }) => store.deps.zoneConfigFor(range.startKey)),
  ];

  const critical = new Map<RangeId, NodeId[]>();
  for (const nodeId of new Set(stores.map((each) => each.nodeId))) {
    const without = stores.map((each): StorePicture =>
      each.nodeId === nodeId ? { ...each, status: 'dead' } : each,
    );
    const touched = outlines.filter(({ replicas }) => replicas.some((r) => r.nodeId === nodeId));
    for (const { rangeId, isUnavailable } of assess(without, touched)) {
      if (isUnavailable) critical.set(rangeId, [...(critical.get(rangeId) ?? []), nodeId]);
    }
  }
  const found = new Map(assess(stores, outlines).map((each) => [each.rangeId, each]));
  return outlines.flatMap(({ rangeId, range, isLed }) => {
    const each = found.get(rangeId);
    if (each === undefined) return [];
    const criticalNodes = each.isUnavailable ? [] : (critical.get(rangeId) ?? []);
    return [{ ...each, range, isLed, criticalNodes }];
  });
}

function outlineOf(replica: Replica): Outline[] {
  if (!replica.initialised || replica.destroyed) return [];
  const isLed = replica.holdsLease;
  if (!isLed && replica.lease.holder() !== undefined && replica.supports(replica.raft.leader)) {
    return [];
  }
  const { rangeId, descriptor } = replica;
  const { replicas } = descriptor;
  return [{ rangeId, replicas, sizeBytes: replica.stats.sizeBytes, range: descriptor, isLed }];
}
