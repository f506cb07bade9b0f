/**
 * How a node becomes part of a cluster. A node with an empty store asks the nodes it was told of
 * until one admits it; one of the waiting nodes is told to found the cluster (`skein init`).
 *
 *   init   {} -> {clusterId, existed}              at a waiting node (or one that has a cluster already)
 *   join   {rpcAddress} -> {clusterId, nodeId, storeId, gossip}     at a member; fails elsewhere
 */
import { type NodeId, type StoreId, type Transport, asNodeId, asStoreId } from '../kv/index.ts';
import { sleep, type Env } from '../util/index.ts';
import { type StoreIdentity } from './identity.ts';

/** A Transport that can also reach a node whose id is not known yet. */
export interface NodeTransport extends Transport {
  callAddress(
    address: string,
    method: string,
    payload: unknown,
    options: { readonly timeoutMs: number; readonly traffic: 'system' },
  ): Promise<unknown>;
}

export interface Admission {
  readonly identity: StoreIdentity;
  /** What the member knows (GossipNode.exportAll); undefined for the founder. */
  readonly gossip: unknown;
  readonly founded: boolean;
}

const joinRetryMs = 200;
const callTimeoutMs = 5_000;

export interface MembershipOptions {
  readonly env: Env;
  readonly transport: NodeTransport;
  readonly join: readonly string[];
  readonly ownAddress: string;
}

export class Membership {
  readonly #options: MembershipOptions;
  #member: { clusterId: string; admit: (address: string) => Promise<unknown> } | undefined;
  #found: ((identity: StoreIdentity) => void) | undefined;
  #founding: StoreIdentity | undefined;
  #stopped = false;

  constructor(options: MembershipOptions) {
    this.#options = options;
    options.transport.onCall('init', async () => this.#init());
    options.transport.onCall('join', async (payload) => {
      const member = this.#member;
      if (member === undefined) throw new Error('this node waits for a cluster itself');
      const address = (payload as { rpcAddress?: unknown }).rpcAddress;
      if (typeof address !== 'string') throw new Error('a join names the address of the node');
      return member.admit(address);
    });
  }

  /** From now on this node admits others: `admit` allocates the ids. */
  become(
    clusterId: string,
    admit: (address: string) => Promise<{ nodeId: NodeId; storeId: StoreId; gossip: unknown }>,
  ): void {
    this.#member = {
      clusterId,
      admit: async (address) => ({ clusterId, ...(await admit(address)) }),
    };
  }

  /** A new cluster of which this node is the first. */
  foundNow(): Admission {
    const identity = this.#newCluster();
    return { identity, gossip: undefined, founded: true };
  }

  /** Resolves once some member admitted this node, or, if it may, it was told to found the cluster. */
  async wait({ mayFound }: { readonly mayFound: boolean }): Promise<Admission> {
    if (!mayFound) return this.#askAround();
    const told = new Promise<Admission>((resolve) => {
      this.#found = (identity) => resolve({ identity, gossip: undefined, founded: true });
    });
    const admitted = this.#askAround();
    return Promise.race([told, admitted]);
  }

  stop(): void {
    this.#stopped = true;
  }

  #init(): { clusterId: string; existed: boolean } {
    if (this.#member !== undefined) return { clusterId: this.#member.clusterId, existed: true };
    if (this.#founding !== undefined) {
      return { clusterId: this.#founding.clusterId, existed: true };
    }
    if (this.#found === undefined) {
      throw new Error('this node is still starting, or replaces a node of a cluster that exists');
    }
    const identity = this.#newCluster();
    this.#found(identity);
    return { clusterId: identity.clusterId, existed: false };
  }

  #newCluster(): StoreIdentity {
    const hex = this.#options.env.random.bytes(16).toString('hex');
    const clusterId = hex.replace(/^(.{8})(.{4})(.{4})(.{4})/, '$1-$2-$3-$4-');
    this.#founding = { clusterId, nodeId: asNodeId(1), storeId: asStoreId(1) };
    return this.#founding;
  }

  async #askAround(): Promise<Admission> {
    const { env, transport, join, ownAddress } = this.#options;
    for (;;) {
      for (const address of join) {
        if (address === ownAddress) continue;
        if (this.#founding !== undefined || this.#stopped) return new Promise(() => {});
        try {
          const answer = decodeAnswer(
            await transport.callAddress(
              address,
              'join',
              { rpcAddress: ownAddress },
              { timeoutMs: callTimeoutMs, traffic: 'system' },
            ),
          );
          // Told to found a cluster while the answer was under way: two clusters now claim this node.
          if (this.#founding !== undefined) return new Promise(() => {});
          return answer;
        } catch (error) {
          env.log.debug({ address, err: error }, 'not admitted yet');
        }
      }
      await sleep(env, joinRetryMs);
    }
  }
}

function decodeAnswer(answer: unknown): Admission {
  if (
    typeof answer !== 'object' ||
    answer === null ||
    !('clusterId' in answer && typeof answer.clusterId === 'string') ||
    !('nodeId' in answer && typeof answer.nodeId === 'number') ||
    !('storeId' in answer && typeof answer.storeId === 'number')
  ) {
    throw new Error('malformed answer to a join');
  }
  return {
    identity: {
      clusterId: answer.clusterId,
      nodeId: asNodeId(answer.nodeId),
      storeId: asStoreId(answer.storeId),
    },
    gossip: 'gossip' in answer ? answer.gossip : undefined,
    founded: false,
  };
}
