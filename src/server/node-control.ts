/** Asks nodes, and answers for this one, what concerns a whole node or a store of it (`kv/node-control.ts`). */
import {
  asNodeId,
  asStoreId,
  KvFailure,
  TransportFailure,
  type DrainProgress,
  type NodeControl,
  type NodeId,
  type SessionSignal,
  type SignalOutcome,
  type StoreId,
  type Transport,
} from '../kv/index.ts';
import { nodeOfBackend } from '../sql/index.ts';

const methods = {
  drain: 'drain-node',
  drainStore: 'drain-store',
  undrainStore: 'undrain-store',
  signal: 'signal-session',
} as const;
/** A round of lease transfers ends by itself. */
const timeoutMs = 30_000;
const outcomes: readonly SignalOutcome[] = ['sent', 'gone', 'not-superuser', 'not-member'];

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

/** Sessions are no part of what the node itself controls. */
export function serveSignals(
  transport: Transport,
  signal: (signal: SessionSignal) => SignalOutcome,
): void {
  transport.onCall(methods.signal, async (payload) => {
    const kind: unknown = Reflect.get(Object(payload), 'kind');
    const pid: unknown = Reflect.get(Object(payload), 'pid');
    const by: unknown = Reflect.get(Object(payload), 'by');
    const isKnown = kind === 'cancel' || kind === 'terminate';
    if (!isKnown || typeof pid !== 'number' || typeof by !== 'string')
      throw new TypeError('malformed signal to a session');
    return signal({ kind, pid, by });
  });
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
    async signal(signal) {
      const nodeId = asNodeId(nodeOfBackend(signal.pid));
      const options = { timeoutMs, traffic: 'system' } as const;
      try {
        const answer = await transport.call(nodeId, methods.signal, signal, options);
        const outcome = outcomes.find((known) => known === answer);
        if (outcome === undefined) throw new TypeError('malformed answer to a signal');
        return outcome;
      } catch (error) {
        if (!(error instanceof TransportFailure)) throw error;
        if (!error.sent) return 'gone';
        throw new KvFailure({ kind: 'unavailable', reason: `node ${nodeId} does not answer` });
      }
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
