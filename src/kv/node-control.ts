/** What can be asked of a node as a whole, or of one of its stores, from any other one. */
import { type NodeId, type StoreId } from './ids.ts';

/** What still stands in the way of stopping a node that drains. */
export interface DrainProgress {
  readonly leases: number;
  readonly connections: number;
}

/** Each throws KvFailure: 'unavailable' when the node does not answer, 'invalid-request' when it has no such store. */
export interface NodeControl {
  /**
   * The node takes no new clients, is not ready any more (`/health?ready=1`), and hands its leases over, until it is stopped. To
   * be asked again until nothing is left.
   */
  drain(nodeId: NodeId): Promise<DrainProgress>;
  /**
   * The store hands its leases over and takes none, until `undrainStore` or its node's next start. To be asked again until
   * no leases are left, of which it tells the number.
   */
  drainStore(nodeId: NodeId, storeId: StoreId): Promise<number>;
  undrainStore(nodeId: NodeId, storeId: StoreId): Promise<void>;
}
