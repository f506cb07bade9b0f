/** Nodes and stores as those who add and remove them look at them. */
import { keyMax, keyMin } from '../../encoding/index.ts';
import {
  asMember,
  gossipKeys,
  isPartOf,
  membershipOf,
  type Member,
  type NodeId,
  type NodeInfo,
  type StoreId,
} from '../../kv/index.ts';
import { type Record_, type Source } from './build.ts';

const shape = 'is_live:bool replicas:int8 is_decommissioning:bool membership:text is_draining:bool';
export const nodeMembershipShape = `node_id:int8 ${shape} clock_problem:text`;
export const storeMembershipShape = `store_id:int8 node_id:int8 ${shape}`;

/** What a store tells of itself; one that was set aside tells less. */
interface StoreFacts {
  readonly storeId: StoreId;
  readonly nodeId: NodeId;
  readonly draining?: boolean;
  readonly isGone?: boolean;
}

export async function nodeMembershipRows(s: Source): Promise<Record_[]> {
  const [rowOf, isLive] = await Promise.all([membershipRows(s), liveness(s)]);
  const stores = storesKnown(s);
  const nodes = s.context.gossip?.list(gossipKeys.nodePrefix) ?? [];
  return nodes.map(([, value]) => {
    const { nodeId, clockProblem } = value as NodeInfo;
    return {
      node_id: BigInt(nodeId),
      is_live: isLive(nodeId),
      is_draining: stores.some((each) => each.nodeId === nodeId && each.draining === true),
      clock_problem: clockProblem ?? null,
      ...rowOf(asMember('node', nodeId)),
    };
  });
}

/** A store that has left is not live, although its node may run it, empty, until its next start. */
export async function storeMembershipRows(s: Source): Promise<Record_[]> {
  const [rowOf, isLive] = await Promise.all([membershipRows(s), liveness(s)]);
  return storesKnown(s).map(({ storeId, nodeId, draining, isGone }) => {
    const row = rowOf(asMember('store', storeId));
    const isThere = isGone !== true && row['membership'] !== 'decommissioned';
    return {
      store_id: BigInt(storeId),
      node_id: BigInt(nodeId),
      is_live: isThere && isLive(nodeId),
      is_draining: draining === true,
      ...row,
    };
  });
}

function storesKnown({ context: { gossip } }: Source): StoreFacts[] {
  const told = gossip?.list(gossipKeys.storePrefix) ?? [];
  return told.map(([, value]) => value as StoreFacts).sort((a, b) => a.storeId - b.storeId);
}

async function membershipRows({ context: { db } }: Source): Promise<(member: Member) => Record_> {
  const [memberships, ranges] = await Promise.all([
    db.memberships(),
    db.rangeDescriptors(keyMin, keyMax),
  ]);
  return (member) => {
    const membership = membershipOf(memberships, member);
    const held = ranges.filter(({ replicas }) => replicas.some((each) => isPartOf(each, member)));
    return {
      replicas: BigInt(held.length),
      is_decommissioning: membership === 'decommissioning',
      membership,
    };
  };
}

/** Null: there is no way to ask. */
async function liveness({ context }: Source): Promise<(nodeId: NodeId) => boolean | null> {
  const report = await context.reports?.collect('ranges');
  return (nodeId) => (report === undefined ? null : !report.missing.includes(nodeId));
}
