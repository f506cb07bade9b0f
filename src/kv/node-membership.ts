/**
 * Which nodes are to leave the cluster, and which have left it for good. One durable record says it for all nodes that are
 * not simply active; the leaseholder of the record tells everybody by gossip (`gossipKeys.memberships`).
 *
 *     active <-> decommissioning -> decommissioned
 */
import { systemKey } from '../encoding/index.ts';
import { asNodeId, type NodeId } from './ids.ts';

/**
 * 'decommissioning': serves, but its replicas are to leave. 'decommissioned': holds nothing any more, and is refused when it
 * comes back.
 */
export type NodeMembership = 'active' | 'decommissioning' | 'decommissioned';

/** Nodes that are not named are active. */
export type NodeMemberships = ReadonlyMap<NodeId, NodeMembership>;

export const nodeMembershipsKey: Buffer = systemKey('node-memberships');
/** The counter (`Db.increment`) from which node ids are drawn; it holds the last one that was given out. */
export const nodeIdCounterKey: Buffer = systemKey('node-id');

/** Why this step is not made; undefined when it is. */
export function refusedStep(
  nodeId: NodeId,
  from: NodeMembership,
  to: NodeMembership,
): string | undefined {
  if (from === to) return undefined;
  if (from === 'decommissioned') return `node ${nodeId} is decommissioned for good`;
  if (from === 'active' && to === 'decommissioned') {
    return `node ${nodeId} is active; it has to be decommissioning first`;
  }
  return undefined;
}

/** The record and what gossip carries: plain data by node id. */
export function membershipsToPlain(memberships: NodeMemberships): Record<string, NodeMembership> {
  const named = [...memberships].filter(([, membership]) => membership !== 'active');
  return Object.fromEntries(named.sort(([a], [b]) => a - b));
}

/** Throws a RangeError on anything that `membershipsToPlain` does not make; undefined is a cluster of active nodes. */
export function membershipsFromPlain(plain: unknown): NodeMemberships {
  if (plain === undefined) return new Map();
  if (typeof plain !== 'object' || plain === null) throw new RangeError('no node memberships');
  return new Map(
    Object.entries(plain).map(([id, membership]: [string, unknown]) => {
      const nodeId = Number(id);
      const isKnown = membership === 'decommissioning' || membership === 'decommissioned';
      if (!Number.isSafeInteger(nodeId) || !isKnown) {
        throw new RangeError(`node memberships name "${id}" as ${String(membership)}`);
      }
      return [asNodeId(nodeId), membership];
    }),
  );
}

export function encodeMemberships(memberships: NodeMemberships): Buffer {
  return Buffer.from(JSON.stringify({ format: 1, nodes: membershipsToPlain(memberships) }));
}

/** Throws a RangeError (or a SyntaxError) on bytes that `encodeMemberships` does not make. */
export function decodeMemberships(encoded: Buffer | undefined): NodeMemberships {
  if (encoded === undefined) return new Map();
  const stored: unknown = JSON.parse(encoded.toString('utf8'));
  if (typeof stored !== 'object' || stored === null || Reflect.get(stored, 'format') !== 1) {
    throw new RangeError('node memberships of an unknown format');
  }
  return membershipsFromPlain(Reflect.get(stored, 'nodes'));
}
