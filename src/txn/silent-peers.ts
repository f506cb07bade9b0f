/**
 * Nodes that stand still: their machine is gone or stopped, and nothing says so. A connection to one finds out by its own
 * keepalive, seconds later than the stores, whose heartbeats never pause. From then until the node is heard of
 * again, calls to it fail: those under way as if the connection had broken, new ones unsent, so that the router asks
 * the other replicas.
 */
import { TransportFailure, type NodeId } from '../kv/index.ts';

export class SilentPeers {
  readonly #silent = new Set<NodeId>();
  /** Ends of the calls under way. */
  readonly #underWay = new Map<NodeId, Set<() => void>>();

  set(node: NodeId, isSilent: boolean): void {
    if (!isSilent) {
      this.#silent.delete(node);
      return;
    }
    this.#silent.add(node);
    for (const giveUp of this.#underWay.get(node) ?? []) giveUp();
  }

  /** What `call` answers, unless the node falls silent first. */
  guard(node: NodeId, call: () => Promise<unknown>): Promise<unknown> {
    if (this.#silent.has(node)) {
      return Promise.reject(new TransportFailure(`node ${node} is silent`, { sent: false }));
    }
    let calls = this.#underWay.get(node);
    if (calls === undefined) this.#underWay.set(node, (calls = new Set()));
    const ends = calls;
    return new Promise((resolve, reject) => {
      const giveUp = (): void => {
        reject(new TransportFailure(`node ${node} fell silent`, { sent: true }));
      };
      ends.add(giveUp);
      call().then(
        (answer) => {
          ends.delete(giveUp);
          resolve(answer);
        },
        (error: unknown) => {
          ends.delete(giveUp);
          reject(error);
        },
      );
    });
  }
}
