/** Changes of the record of node memberships (`kv/node-membership.ts`). */
import {
  decodeMemberships,
  encodeMemberships,
  KvFailure,
  nodeIdCounterKey,
  nodeMembershipsKey,
  refusedStep,
  type Db,
  type NodeId,
  type NodeMembership,
  type NodeMemberships,
  type Txn,
} from '../kv/index.ts';
import { keyMax, keyMin } from '../encoding/index.ts';
import { scanDescriptors } from './range-descriptors.ts';

const namedMax = 10;

export async function readMemberships(db: Db): Promise<NodeMemberships> {
  return decodeMemberships(await db.readCurrent(nodeMembershipsKey));
}

/** One transaction; throws 'invalid-request' when the step is not allowed. */
export function changeMembership(db: Db, nodeId: NodeId, to: NodeMembership): Promise<void> {
  return db.run({ name: `node ${nodeId} is ${to}` }, async (txn) => {
    const record = await txn.get(nodeMembershipsKey, { lock: 'update' });
    const memberships = new Map(decodeMemberships(record));
    const from = memberships.get(nodeId) ?? 'active';
    const refusal =
      (await refuseUnknown(txn, nodeId)) ??
      refusedStep(nodeId, from, to) ??
      (to === 'decommissioned' ? await refuseReplicas(txn, nodeId) : undefined);
    if (refusal !== undefined) throw new KvFailure({ kind: 'invalid-request', reason: refusal });
    if (from === to) return;
    memberships.set(nodeId, to);
    txn.put(nodeMembershipsKey, encodeMemberships(memberships));
  });
}

async function refuseUnknown(txn: Txn, nodeId: NodeId): Promise<string | undefined> {
  const last = (await txn.get(nodeIdCounterKey))?.readBigInt64BE() ?? 0n;
  return nodeId >= 1 && BigInt(nodeId) <= last ? undefined : `node ${nodeId} does not exist`;
}

/** A replica that comes to the node meanwhile changes a descriptor that was read here: one of the two transactions starts anew. */
async function refuseReplicas(txn: Txn, nodeId: NodeId): Promise<string | undefined> {
  const ranges = await scanDescriptors(txn, keyMin, keyMax);
  const held = ranges.filter(({ replicas }) => replicas.some((each) => each.nodeId === nodeId));
  if (held.length === 0) return undefined;
  const named = held.slice(0, namedMax).map(({ rangeId }) => `r${rangeId}`);
  const more = held.length > namedMax ? ', ...' : '';
  return `node ${nodeId} holds replicas of ${held.length} ranges: ${named.join(', ')}${more}`;
}
