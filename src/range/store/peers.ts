/** Other stores: which of them this one knows, and which of its replicas wake when support between the two changes. */
import {
  gossipKeys,
  replicaOnStore,
  type Gossip,
  type NodeId,
  type StoreId,
} from '../../kv/index.ts';
import { type Census } from './census.ts';
import { type StoreAddress } from './liveness-driver.ts';
import { type Store } from './store.ts';

/** Stores that share a range with this one or that gossip tells of. */
export class Peers {
  readonly #storeId: StoreId;
  readonly #gossip: Gossip;
  readonly #census: Census;
  #all: readonly StoreAddress[] | undefined;

  constructor(storeId: StoreId, gossip: Gossip, census: Census) {
    this.#storeId = storeId;
    this.#gossip = gossip;
    this.#census = census;
  }

  /** The members of some range, or what gossip knows, may be others than before. */
  changed(): void {
    this.#all = undefined;
  }

  /** By their ids; without this one. */
  get all(): readonly StoreAddress[] {
    this.#all ??= this.#find();
    return this.#all;
  }

  #find(): StoreAddress[] {
    const peers = new Map(this.#census.members);
    for (const [, value] of this.#gossip.list(gossipKeys.storePrefix)) {
      const address = decodeStoreAddress(value);
      if (address !== undefined) peers.set(address.storeId, address);
    }
    peers.delete(this.#storeId);
    return [...peers.values()].sort((a, b) => a.storeId - b.storeId);
  }
}

function decodeStoreAddress(value: unknown): StoreAddress | undefined {
  if (typeof value !== 'object' || value === null) return undefined;
  const nodeId: unknown = Reflect.get(value, 'nodeId');
  const storeId: unknown = Reflect.get(value, 'storeId');
  if (typeof nodeId !== 'number' || typeof storeId !== 'number') return undefined;
  // Both were branded by the store that published them.
  return { nodeId: nodeId as NodeId, storeId: storeId as StoreId };
}

/** What `peer` promised to `store` holds no more, or is another promise than before. */
export function wakeLeadersWith(store: Store, peer: StoreId): void {
  for (const replica of store.replicas.values()) {
    if (!replica.isLeader || !replica.initialised) continue;
    if (replicaOnStore(replica.descriptor, peer) !== undefined) store.activate(replica);
  }
}

/** What `store` has promised to `peer` has run out. */
export function wakeFollowersOf(store: Store, peer: StoreId): void {
  for (const replica of store.replicas.values()) {
    const leader = replica.address(replica.raft.leader);
    if (leader?.storeId !== peer) continue;
    replica.raft.leaderSilent();
    store.activate(replica);
  }
}
