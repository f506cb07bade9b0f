/**
 * Which nodes and stores are to leave the cluster, and which have left it for good. One durable record says it for all
 * that are not simply active; the leaseholder of the record tells everybody by gossip (`gossipKeys.memberships`).
 *
 *     active <-> decommissioning -> decommissioned
 *
 * A store leaves with its node, or alone.
 */
import { systemKey } from '../encoding/index.ts';
import { asNodeId, asStoreId, type NodeId, type StoreId } from './ids.ts';

/**
 * 'decommissioning': serves, but its replicas are to leave. 'decommissioned': holds nothing any more, and is not taken back
 * when it comes back.
 */
export type Membership = 'active' | 'decommissioning' | 'decommissioned';

/** Who can leave. */
export type Member =
  | { readonly kind: 'node'; readonly id: NodeId }
  | { readonly kind: 'store'; readonly id: StoreId };

/** Where a replica stands. */
interface Place {
  readonly nodeId: NodeId;
  readonly storeId: StoreId;
}

/** Who is not named is active. */
export interface Memberships {
  readonly nodes: ReadonlyMap<NodeId, Membership>;
  readonly stores: ReadonlyMap<StoreId, Membership>;
}

export const membershipsKey: Buffer = systemKey('node-memberships');
/** The counter (`Db.increment`) from which node ids are drawn; it holds the last one that was given out. */
export const nodeIdCounterKey: Buffer = systemKey('node-id');
/** The same for store ids. */
export const storeIdCounterKey: Buffer = systemKey('store-id');

export const allActive: Memberships = { nodes: new Map(), stores: new Map() };

export function asMember(kind: Member['kind'], id: number): Member {
  return kind === 'node' ? { kind, id: asNodeId(id) } : { kind, id: asStoreId(id) };
}

/** As messages name it: `node 3`. */
export function memberName({ kind, id }: Member): string {
  return `${kind} ${id}`;
}

/** What is there goes with the member. */
export function isPartOf({ nodeId, storeId }: Place, member: Member): boolean {
  return member.kind === 'node' ? nodeId === member.id : storeId === member.id;
}

export function membershipOf({ nodes, stores }: Memberships, member: Member): Membership {
  const found = member.kind === 'node' ? nodes.get(member.id) : stores.get(member.id);
  return found ?? 'active';
}

/** Who of node and store is farther on its way out, and how far; undefined when both are active. */
export function leavingAt(
  { nodeId, storeId }: Place,
  membership: (member: Member) => Membership,
): { readonly member: Member; readonly membership: Membership } | undefined {
  const members = [asMember('node', nodeId), asMember('store', storeId)].map((member) => ({
    member,
    membership: membership(member),
  }));
  return (
    members.find((each) => each.membership === 'decommissioned') ??
    members.find((each) => each.membership === 'decommissioning')
  );
}

export function withMembership(
  memberships: Memberships,
  member: Member,
  to: Membership,
): Memberships {
  const { nodes, stores } = memberships;
  return member.kind === 'node'
    ? { nodes: new Map(nodes).set(member.id, to), stores }
    : { nodes, stores: new Map(stores).set(member.id, to) };
}

/** Why this step is not made; undefined when it is. */
export function refusedStep(member: Member, from: Membership, to: Membership): string | undefined {
  if (from === to) return undefined;
  const name = memberName(member);
  if (from === 'decommissioned') return `${name} is decommissioned for good`;
  if (from === 'active' && to === 'decommissioned') {
    return `${name} is active; it has to be decommissioning first`;
  }
  return undefined;
}

/** What gossip carries: plain data by id. */
export function membershipsToPlain({ nodes, stores }: Memberships): {
  readonly nodes: Record<string, Membership>;
  readonly stores: Record<string, Membership>;
} {
  return { nodes: named(nodes), stores: named(stores) };
}

function named(memberships: ReadonlyMap<number, Membership>): Record<string, Membership> {
  const leaving = [...memberships].filter(([, membership]) => membership !== 'active');
  return Object.fromEntries(leaving.sort(([a], [b]) => a - b));
}

export function encodeMemberships(memberships: Memberships): Buffer {
  return Buffer.from(JSON.stringify({ format: 1, ...membershipsToPlain(memberships) }));
}

/** Throws a RangeError (or a SyntaxError) on bytes that `encodeMemberships` does not make; undefined: all are active. */
export function decodeMemberships(encoded: Buffer | undefined): Memberships {
  if (encoded === undefined) return allActive;
  const stored: unknown = JSON.parse(encoded.toString('utf8'));
  if (Reflect.get(Object(stored), 'format') !== 1) {
    throw new RangeError('memberships of an unknown format');
  }
  return {
    nodes: decodePart(Reflect.get(Object(stored), 'nodes'), asNodeId),
    stores: decodePart(Reflect.get(Object(stored), 'stores'), asStoreId),
  };
}

/** A part that is missing names nobody. */
function decodePart<Id>(part: unknown, asId: (id: number) => Id): ReadonlyMap<Id, Membership> {
  return new Map(
    Object.entries(Object(part ?? {})).map(([id, membership]: [string, unknown]) => {
      if (membership !== 'decommissioning' && membership !== 'decommissioned') {
        throw new RangeError(`${id} has an unknown membership`);
      }
      return [asId(Number(id)), membership];
    }),
  );
}
