/** Asks nodes, and answers for this one, what concerns a whole node or a store of it (`kv/node-control.ts`). */
import {
  asStoreId,
  KvFailure,
  TransportFailure,
  type DrainProgress,
  type NodeControl,
  type NodeId,
  type StoreId,
  type Transport,
} from '../kv/index.ts';

const methods = {
  drain: 'drain-node',
  drainStore: 'drain-store',
  undrainStore: 'undrain-store',
} as const;
/** A round of lease transfers ends by itself. */
const timeoutMs = 30_000;

export interface ControlledNode {
  drain(): Promise<DrainProgress>;
  /** Leases that are left; undefined: it has no such store. */
  drainStore(storeId: StoreId): Promise<number | undefined>;
  /** False: it has no such store. */
  undrainStore(storeId: StoreId): boolean;
}

export function serveNodeControl(transport: Transport, node: ControlledNode): void {
  const storeOf = (payload: unknown): StoreId =>
    asStoreId(Number(Reflect.get(Object(payload), 'storeId')));
  transport.onCall(methods.drain, () => node.drain());
  transport.onCall(methods.drainStore, async (payload) => ({
    leases: await node.drainStore(storeOf(payload)),
  }));
  transport.onCall(methods.undrainStore, async (payload) => node.undrainStore(storeOf(payload)));
}

export function nodeControl(transport: Transport): NodeControl {
  const ask = async (nodeId: NodeId, method: string, payload: unknown): Promise<unknown> => {
    try {
      return await transport.call(nodeId, method, payload, { timeoutMs, traffic: 'system' });
    } catch (error) {
      if (!(error instanceof TransportFailure)) throw error;
      throw new KvFailure({ kind: 'unavailable', reason: `node ${nodeId} does not answer` });
    }
  };
  return {
    async drain(nodeId) {
      return decodeProgress(await ask(nodeId, methods.drain, {}));
    },
    async drainStore(nodeId, storeId) {
      const answer = await ask(nodeId, methods.drainStore, { storeId });
      const leases: unknown = Reflect.get(Object(answer), 'leases');
      if (typeof leases !== 'number') throw noSuchStore(nodeId, storeId);
      return leases;
    },
    async undrainStore(nodeId, storeId) {
      const isDone = await ask(nodeId, methods.undrainStore, { storeId });
      if (isDone !== true) throw noSuchStore(nodeId, storeId);
    },
  };
}

function noSuchStore(nodeId: NodeId, storeId: StoreId): KvFailure {
  return new KvFailure({
    kind: 'invalid-request',
    reason: `node ${nodeId} does not run store ${storeId}`,
  });
}

function decodeProgress(answer: unknown): DrainProgress {
  const count = (name: keyof DrainProgress): number => {
    const value: unknown = Reflect.get(Object(answer), name);
    if (typeof value !== 'number') throw new TypeError('malformed answer to a drain');
    return value;
  };
  return { leases: count('leases'), connections: count('connections') };
}
