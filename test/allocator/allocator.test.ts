/**
 * Scripts over placement decisions.
 *
 *   store 1 ranges=10 leases=3 at=eu/a      adds or changes a store (node = id unless node= is given)
 *   decide 1,2,3 lease=1 replicas=3         what is due for a range with these replicas (2L: learner)
 */
import {
  allocatorSettings,
  decide,
  type StorePicture,
  type StoreStatus,
} from '../../src/allocator/index.ts';
import {
  asNodeId,
  asRangeId,
  asReplicaId,
  asStoreId,
  ClusterSettings,
  defaultZoneConfig,
  type ReplicaDescriptor,
} from '../../src/kv/index.ts';
import { runScripts, type ScriptCase } from '../script.ts';

const directory = new URL('testdata', import.meta.url).pathname;
const tiers = ['region', 'zone', 'rack'];

class Runner {
  readonly #stores = new Map<number, StorePicture>();

  run({ command, args, options }: ScriptCase): string {
    switch (command) {
      case 'store':
        for (const id of (args[0] ?? '').split(',')) this.#set(Number(id), options);
        return '';
      case 'decide':
        return this.#decide(args[0] ?? '', options);
      default:
        throw new Error(`unknown command ${command}`);
    }
  }

  #set(id: number, options: ReadonlyMap<string, string>): void {
    const known = this.#stores.get(id);
    const number = (name: string, otherwise: number | undefined): number =>
      Number(options.get(name) ?? otherwise ?? 0);
    const at = options.get('at');
    this.#stores.set(id, {
      storeId: asStoreId(id),
      nodeId: asNodeId(number('node', known?.nodeId ?? id)),
      status: parseStatus(options.get('status')) ?? known?.status ?? 'live',
      locality:
        at === undefined
          ? (known?.locality ?? [])
          : at.split('/').map((value, tier) => [tiers[tier] ?? '', value] as const),
      attributes: known?.attributes ?? [],
      qps: number('qps', known?.qps),
      cpuMs: number('cpu', known?.cpuMs),
      rangeCount: number('ranges', known?.rangeCount),
      leaseCount: number('leases', known?.leaseCount),
      usedBytes: number('used', known?.usedBytes),
      availableBytes: number('free', known?.availableBytes),
    });
  }

  #decide(text: string, options: ReadonlyMap<string, string>): string {
    const replicas = text.split(',').map((each, at): ReplicaDescriptor => {
      const id = Number.parseInt(each, 10);
      return {
        nodeId: this.#stores.get(id)?.nodeId ?? asNodeId(id),
        storeId: asStoreId(id),
        replicaId: asReplicaId(at + 1),
        kind: each.endsWith('L') ? 'learner' : each.endsWith('O') ? 'voter-outgoing' : 'voter',
      };
    });
    const action = decide(
      [...this.#stores.values()],
      {
        rangeId: asRangeId(1),
        replicas,
        leaseholder: asStoreId(Number(options.get('lease') ?? 1)),
        sizeBytes: 0,
        qps: 0,
        balancing: 'counts and load',
      },
      {
        ...defaultZoneConfig,
        numReplicas: Number(options.get('replicas') ?? 3),
      },
      allocatorSettings(new ClusterSettings()),
    );
    switch (action.kind) {
      case 'promote':
      case 'demote':
      case 'swap':
      case 'none':
      case 'finish-change':
        return action.kind;
      case 'unavailable':
        return `unavailable: ${action.live} of ${action.needed} alive`;
      case 'add':
      case 'remove':
        return `${action.kind} ${action.target.storeId}: ${action.reason}`;
      case 'replace':
        return `replace ${action.remove.storeId} by ${action.add.storeId}: ${action.reason}`;
      case 'transfer-lease':
        return `transfer to ${action.to}: ${action.reason}`;
    }
  }
}

function parseStatus(text: string | undefined): StoreStatus | undefined {
  switch (text) {
    case 'live':
    case 'suspect':
    case 'dead':
    case 'draining':
      return text;
    default:
      return undefined;
  }
}

runScripts(directory, () => {
  const runner = new Runner();
  return (step) => runner.run(step);
});
