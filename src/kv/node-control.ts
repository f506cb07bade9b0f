/** What can be asked of a node as a whole, from any other one. */
import { type NodeId } from './ids.ts';

/** What still stands in the way of stopping a node that drains. */
export interface DrainProgress {
  readonly leases: number;
  readonly connections: number;
}

export interface NodeControl {
  /**
   * The node takes no new clients, is not ready any more (`/health?ready=1`), and hands its leases over, until it is stopped. To
   * be asked again until nothing is left. Throws KvFailure 'unavailable' when it does not answer.
   */
  drain(nodeId: NodeId): Promise<DrainProgress>;
}
