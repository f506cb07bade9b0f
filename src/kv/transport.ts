/**
 * Messages between nodes. Implemented by `rpc` over gRPC and by `sim` in virtual time; one
 * compliance suite runs on both. Payloads are plain data (objects, arrays, Buffers, bigints);
 * the receiver owns what it gets.
 */
import { type NodeId, type StoreId } from './ids.ts';
import { type Member } from './membership.ts';

/** Each class is a connection of its own, so bulk data never delays a heartbeat (trap N7). */
export type TrafficClass = 'system' | 'raft' | 'batch' | 'bulk';

export interface CallOptions {
  readonly timeoutMs: number;
  readonly traffic: TrafficClass;
}

/** Why a call has no answer. `sent` false: the peer never saw it, so it had no effect. */
export class TransportFailure extends Error {
  override readonly name = 'TransportFailure';
  readonly sent: boolean;

  constructor(message: string, options: { sent: boolean }) {
    super(message);
    this.sent = options.sent;
  }
}

export type CallHandler = (payload: unknown, from: NodeId) => Promise<unknown>;
export type MessageHandler = (payload: unknown, from: NodeId) => void;

export interface Transport {
  /** One request, one answer. Rejects with TransportFailure. Calls to this node itself are served too. */
  call(to: NodeId, method: string, payload: unknown, options: CallOptions): Promise<unknown>;
  /**
   * Fire and forget: messages of one class to one node arrive in order or not at all, none twice.
   * Messages of one turn of the event loop share a frame, but those of class 'raft' leave at once (a turn of
   * the raft scheduler is one message). Dropped when the peer is away or its queue (bounded in bytes) is full.
   */
  send(to: NodeId, method: string, payload: unknown, traffic: TrafficClass): void;
  /** One handler per method; registering twice is an error. A handler that throws answers the call with a failure. */
  onCall(method: string, handler: CallHandler): void;
  onMessage(method: string, handler: MessageHandler): void;
}

/** The method `method` as one store of a node serves it: a node has a transport, and may have several stores. */
export function storeMethod(method: string, storeId: StoreId): string {
  return `${method}@${storeId}`;
}

/** Where to reach nodes and what they are; kept by gossip, read by everyone. */
export interface NodeInfo {
  readonly nodeId: NodeId;
  readonly rpcAddress: string;
  readonly sqlAddress: string;
  readonly httpAddress: string;
  /** Ordered tiers, most general first: [['region','eu'],['zone','a']]. */
  readonly locality: readonly (readonly [string, string])[];
  readonly version: string;
  readonly startedAtMicros: number;
  /** Why the node serves nobody by its clock; absent while it does. */
  readonly clockProblem?: string;
}

/**
 * Cluster-wide facts that spread without consensus: node and store descriptors, the first range.
 * Every key has one writer at a time; the larger version wins. Values are JSON-like.
 */
export interface Gossip {
  get(key: string): unknown;
  /** All entries whose key starts with `prefix`, sorted by key. */
  list(prefix: string): readonly (readonly [string, unknown])[];
  /** Publishes under a version of this node's clock, or just above what it replaces. `ttlMs` 0 = keep. */
  set(key: string, value: unknown, options: { ttlMs: number }): void;
  /** Calls `fn` for each change of a key with this prefix, from now on; returns the way to stop. */
  watch(prefix: string, fn: (key: string, value: unknown) => void): () => void;
}

/** Gossip keys. */
export const gossipKeys = {
  node: (nodeId: NodeId): string => `node:${nodeId}`,
  nodePrefix: 'node:',
  store: (storeId: number): string => `store:${storeId}`,
  storePrefix: 'store:',
  /** `node` or `store` of it. */
  member: ({ kind, id }: Member): string => `${kind}:${id}`,
  /** Value: the RangeDescriptor of the range that holds meta1. */
  firstRange: 'first-range',
  clusterId: 'cluster-id',
  /** Value: who is not active (`membershipsToPlain`); written by the leaseholder of the record alone. */
  memberships: 'memberships',
} as const;
