/** Asks nodes, and answers for this one, what concerns a whole node (`kv/node-control.ts`). */
import {
  KvFailure,
  TransportFailure,
  type DrainProgress,
  type NodeControl,
  type NodeId,
  type Transport,
} from '../kv/index.ts';

const drainMethod = 'drain-node';
/** A round of lease transfers ends by itself. */
const timeoutMs = 30_000;

export function serveNodeControl(
  transport: Transport,
  node: { readonly drain: () => Promise<DrainProgress> },
): void {
  transport.onCall(drainMethod, () => node.drain());
}

export function nodeControl(transport: Transport): NodeControl {
  return {
    async drain(nodeId: NodeId) {
      try {
        const answer = await transport.call(
          nodeId,
          drainMethod,
          {},
          { timeoutMs, traffic: 'system' },
        );
        return decodeProgress(answer);
      } catch (error) {
        if (!(error instanceof TransportFailure)) throw error;
        throw new KvFailure({ kind: 'unavailable', reason: `node ${nodeId} does not answer` });
      }
    },
  };
}

function decodeProgress(answer: unknown): DrainProgress {
  const count = (name: keyof DrainProgress): number => {
    const value: unknown = Reflect.get(Object(answer), name);
    if (typeof value !== 'number') throw new TypeError('malformed answer to a drain');
    return value;
  };
  return { leases: count('leases'), connections: count('connections') };
}
