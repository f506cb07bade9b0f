/**
 * Scripts over placement decisions; stores, zones and replicas are written as `words.ts` says.
 *
 *   set kv.allocator.load_based_rebalancing=off     a cluster setting
 *   decide 1,2,3 lease=1 qps=50             what is due for a range with these replicas
 *   decide 1,2,3 balancing=none             the same when it is not this store's turn to balance
 *   explain 1,2                             the same with what was considered
 */
import {
  allocatorSettings,
  ClusterPicture,
  decide,
  type AllocatorAction,
  type Balancing,
  type StorePicture,
} from '../../src/allocator/index.ts';
import { asRangeId, asStoreId, ClusterSettings } from '../../src/kv/index.ts';
import { runScripts, type ScriptCase } from '../script.ts';
import { parseReplicas, parseStore, parseZone, type Options } from './words.ts';

const directory = new URL('testdata/decide', import.meta.url).pathname;
const levels: readonly Balancing[] = ['none', 'counts', 'counts and load'];

class Runner {
  readonly #stores = new Map<number, StorePicture>();
  readonly #settings = new ClusterSettings();
  #zone = parseZone(new Map());

  run({ command, args, options }: ScriptCase): string {
    switch (command) {
      case 'store':
        for (const id of (args[0] ?? '').split(',').map(Number)) {
          this.#stores.set(id, parseStore(id, options, this.#stores.get(id)));
        }
        return '';
      case 'zone':
        this.#zone = parseZone(options);
        return '';
      case 'set':
        this.#settings.update(
          new Map([...options].map(([name, value]) => [name, value.replaceAll('_', ' ')])),
        );
        return '';
      case 'decide':
        return print(this.#decide(args[0] ?? '', options));
      case 'explain': {
        const action = this.#decide(args[0] ?? '', options);
        const considered = 'considered' in action ? action.considered : [];
        const lines = considered.map(({ storeId, verdict }) => `  store ${storeId}: ${verdict}`);
        return [print(action), ...lines].join('\n');
      }
      default:
        throw new Error(`unknown command ${command}`);
    }
  }

  #decide(text: string, options: Options): AllocatorAction {
    const replicas = parseReplicas(text, this.#stores);
    return decide(
      new ClusterPicture([...this.#stores.values()]),
      {
        rangeId: asRangeId(Number(options.get('range') ?? 1)),
        replicas,
        leaseholder: asStoreId(Number(options.get('lease') ?? replicas[0]?.storeId)),
        sizeBytes: 0,
        qps: Number(options.get('qps') ?? 0),
        balancing:
          levels.find((each) => each === options.get('balancing')?.replaceAll('_', ' ')) ??
          'counts and load',
      },
      this.#zone,
      allocatorSettings(this.#settings),
    );
  }
}

function print(action: AllocatorAction): string {
  switch (action.kind) {
    case 'none':
      return ['none', ...action.blocked.map((each) => `  blocked: ${each}`)].join('\n');
    case 'finish-change':
      return action.kind;
    case 'unavailable':
      return `unavailable: ${action.live} of ${action.needed} alive`;
    case 'add':
    case 'remove':
      return `${action.kind} ${role(action)}${action.target.storeId}: ${action.reason}`;
    case 'replace':
      return `replace ${role(action)}${action.remove.storeId} by ${action.add.storeId}: ${action.reason}`;
    case 'promote':
    case 'demote':
      return `${action.kind} ${action.target.storeId}: ${action.reason}`;
    case 'swap':
      return `swap ${action.demote.storeId} for ${action.promote.storeId}: ${action.reason}`;
    case 'transfer-lease':
      return `transfer to ${action.to}: ${action.reason}`;
  }
}

function role(action: { readonly role: string }): string {
  return action.role === 'voter' ? '' : 'non-voter ';
}

runScripts(directory, () => {
  const runner = new Runner();
  return (step) => runner.run(step);
});
