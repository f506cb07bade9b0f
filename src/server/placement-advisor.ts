/** Advice on placement from the real allocator over a store's picture of the cluster; a node without a store asks another. */
import { allocatorSettings, whatIf } from '../allocator/index.ts';
import {
  asNodeId,
  defaultZoneConfig,
  gossipKeys,
  KvFailure,
  TransportFailure,
  type AdvisedRange,
  type ClusterSettings,
  type Gossip,
  type NodeId,
  type PlacementAdvice,
  type PlacementAdvisor,
  type PlacementQuestion,
  type Transport,
  type ZoneConfig,
} from '../kv/index.ts';
import { storePictures } from '../range/index.ts';
import { type NodeStores } from './node-stores.ts';

const method = 'advise-placement';
const timeoutMs = 10_000;

export class NodePlacementAdvisor implements PlacementAdvisor {
  readonly #transport: Transport;
  readonly #gossip: Gossip;
  readonly #stores: NodeStores;
  readonly #settings: ClusterSettings;

  constructor(parts: {
    readonly transport: Transport;
    readonly gossip: Gossip;
    readonly stores: NodeStores;
    readonly clusterSettings: ClusterSettings;
  }) {
    this.#transport = parts.transport;
    this.#gossip = parts.gossip;
    this.#stores = parts.stores;
    this.#settings = parts.clusterSettings;
  }

  /** From now on this node answers others. */
  serve(): void {
    this.#transport.onCall(method, async (payload) => {
      // Made by `advise` on a node of the same version of the wire format.
      const answer = this.#here(payload as PlacementQuestion);
      if (answer === undefined) throw new Error('this node has no store');
      return answer;
    });
  }

  async advise(question: PlacementQuestion): Promise<PlacementAdvice> {
    const own = this.#here(question);
    if (own !== undefined) return own;
    for (const nodeId of this.#nodesWithStores()) {
      try {
        const answer = await this.#transport.call(nodeId, method, question, {
          timeoutMs,
          traffic: 'system',
        });
        return answer as PlacementAdvice;
      } catch (error) {
        if (!(error instanceof TransportFailure)) throw error;
      }
    }
    throw new KvFailure({ kind: 'unavailable', reason: 'no node with a store answers' });
  }

  /** Undefined: this node has no store, and so no picture of the others. */
  #here({ ranges, leaving, strict }: PlacementQuestion): PlacementAdvice | undefined {
    const [store] = this.#stores.all;
    if (store === undefined) return undefined;
    const zones = new Map<string, ZoneConfig>();
    const zoneOf = ({ zone }: AdvisedRange): ZoneConfig => {
      // The allocator works out the rules of a configuration once, if it is one object.
      const key = JSON.stringify(zone);
      const known = zones.get(key);
      if (known === undefined) zones.set(key, zone);
      return known ?? zone;
    };
    const state = {
      stores: storePictures(store),
      ranges,
      settings: allocatorSettings(this.#settings),
    };
    return leaving.length > 0
      ? whatIf({ ...state, zoneOf }, { kind: 'decommission', members: leaving, strict })
      : whatIf({ ...state, zoneOf: () => defaultZoneConfig }, { kind: 'zones', zoneOf });
  }

  #nodesWithStores(): Set<NodeId> {
    const nodes = new Set<NodeId>();
    for (const [, value] of this.#gossip.list(gossipKeys.storePrefix)) {
      const nodeId: unknown =
        typeof value === 'object' && value !== null ? Reflect.get(value, 'nodeId') : undefined;
      if (typeof nodeId === 'number') nodes.add(asNodeId(nodeId));
    }
    return nodes;
  }
}
