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

export function encodeMemberships(memberships: NodeMemberships): Buffer {
  return Buffer.from(JSON.stringify({ format: 1, nodes: membershipsToPlain(memberships) }));
}

/** Throws a RangeError (or a SyntaxError) on bytes that `encodeMemberships` does not make; undefined: all are active. */
export function decodeMemberships(encoded: Buffer | undefined): NodeMemberships {
  if (encoded === undefined) return new Map();
  const stored: unknown = JSON.parse(encoded.toString('utf8'));
  const isKnown = typeof stored === 'object' && stored !== null;
  const nodes: unknown = isKnown ? Reflect.get(stored, 'nodes') : undefined;
  if (
    !isKnown ||
    Reflect.get(stored, 'format') !== 1 ||
    typeof nodes !== 'object' ||
    nodes === null
  ) {
    throw new RangeError('node memberships of an unknown format');
  }
  return new Map(
    Object.entries(nodes).map(([id, membership]: [string, unknown]) => {
      if (membership !== 'decommissioning' && membership !== 'decommissioned') {
        throw new RangeError(`node ${id} has an unknown membership`);
      }
      return [asNodeId(Number(id)), membership];
    }),
  );
}
