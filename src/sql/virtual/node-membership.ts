/** Nodes as those who add and remove them look at them. */
import { keyMax, keyMin } from '../../encoding/index.ts';
import { gossipKeys, type NodeInfo } from '../../kv/index.ts';
import { type Record_, type Source } from './build.ts';

export const nodeMembershipShape =
  'node_id:int8 is_live:bool replicas:int8 is_decommissioning:bool membership:text is_draining:bool';

export async function nodeMembershipRows(s: Source): Promise<Record_[]> {
  const { db, gossip, reports } = s.context;
  if (gossip === undefined) return [];
  const [memberships, ranges, report] = await Promise.all([
    db.nodeMemberships(),
    db.rangeDescriptors(keyMin, keyMax),
    reports?.collect('ranges'),
  ]);
  const draining = new Set(
    gossip
      .list(gossipKeys.storePrefix)
      .filter(([, store]) => Reflect.get(Object(store), 'draining') === true)
      .map(([, store]): unknown => Reflect.get(Object(store), 'nodeId')),
  );
  return gossip.list(gossipKeys.nodePrefix).map(([, value]) => {
    const { nodeId } = value as NodeInfo;
    const membership = memberships.get(nodeId) ?? 'active';
    return {
      node_id: BigInt(nodeId),
      is_live: report === undefined ? null : !report.missing.includes(nodeId),
      replicas: BigInt(
        ranges.filter(({ replicas }) => replicas.some((each) => each.nodeId === nodeId)).length,
      ),
      is_decommissioning: membership === 'decommissioning',
      membership,
      is_draining: draining.has(nodeId),
    };
  });
}
