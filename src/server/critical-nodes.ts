/** `POST /_status/critical_nodes`: which nodes the cluster cannot lose, and which ranges are not as they should be. */
import {
  collectConformance,
  type ClusterReports,
  type Db,
  type ReportedConformance,
} from '../kv/index.ts';

/** Plain data, as CockroachDB names it. */
export async function criticalNodes(reports: ClusterReports, db: Db): Promise<unknown> {
  const { ranges, missing } = await collectConformance(reports, db);
  const rangesByNode = new Map<number, number[]>();
  for (const { rangeId, criticalNodes: nodes } of ranges) {
    for (const nodeId of nodes) {
      rangesByNode.set(nodeId, [...(rangesByNode.get(nodeId) ?? []), rangeId]);
    }
  }
  const those = (isOne: (each: ReportedConformance) => boolean): unknown[] =>
    ranges.filter(isOne).map(describe);
  return {
    criticalNodes: [...rangesByNode]
      .sort(([a], [b]) => a - b)
      .map(([nodeId, rangeIds]) => ({ nodeId, rangeIds })),
    report: {
      underReplicated: those((each) => each.isUnderReplicated),
      overReplicated: those((each) => each.isOverReplicated),
      violatingConstraints: those(({ violations }) => violations.length > 0),
      unavailable: those((each) => each.isUnavailable),
      unavailableNodeIds: missing,
    },
  };
}

function describe({ range, violations }: ReportedConformance): unknown {
  const { rangeId, startKey, endKey, replicas } = range;
  return {
    rangeDescriptor: {
      rangeId,
      startKey: startKey.toString('base64'),
      endKey: endKey.toString('base64'),
      internalReplicas: replicas,
    },
    violations,
  };
}
