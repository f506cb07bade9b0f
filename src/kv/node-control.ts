/** What can be asked of a node as a whole, or of one of its stores, from any other one. */
import { type NodeId, type StoreId } from './ids.ts';

/** What still stands in the way of stopping a node that drains. */
export interface DrainProgress {
  readonly leases: number;
  readonly connections: number;
}

/** Ends what a session runs, or the session. */
export interface SessionSignal {
  readonly kind: 'cancel' | 'terminate';
  readonly pid: number;
  /** The role that asks. */
  readonly by: string;
}

/** 'gone': there is no such session. The last two: it was left alone, for `by` is no superuser, or no member of its role. */
export type SignalOutcome = 'sent' | 'gone' | 'not-superuser' | 'not-member';

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
  /** The pid tells the node. 'gone' also when the node cannot be reached. */
  signal(signal: SessionSignal): Promise<SignalOutcome>;
}
