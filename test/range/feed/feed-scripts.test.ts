/**
 * Scripts over feeds of a cluster in virtual time (`test/range/store/cluster.ts`).
 *
 *   cluster nodes=n [checkpointMs=n]      run ms
 *   put key value | delete key            split | merge key      transfer key to=n      change key add=n,.. remove=n,..
 *   clear from to ms=n                    crash | restart n      cut n m | heal         setting name value
 *   write txn key=value ..  [node=n]      lays intents down in an open transaction; `commit`, `rollback txn` end it
 *   fill prefix count=n [node=n]          n keys of 1 kB     checkpoint    snapshots: how many each store has received
 *   feed from to [ms=n] [previous]        at node 1 (`node=n`), of the keys [from, to), from n ms ago on; its name is `from-to`
 *   told name                             what came since it was last asked, and how far the feed is resolved
 *   close name                            feeds: ranges of which stores tell somebody
 */
import {
  addMicros,
  asNodeId,
  asStoreId,
  KvFailure,
  type KvRequest,
  type Txn,
} from '../../../src/kv/index.ts';
import { systemKey } from '../../../src/encoding/index.ts';
import { must } from '../../../src/util/index.ts';
import { runScripts, type ScriptCase } from '../../script.ts';
import { Cluster } from '../store/cluster.ts';
import { Recorder } from './recorder.ts';

const userKey = (name: string): Buffer => systemKey(`user-${name}`);
const nameOf = (key: Buffer): string => key.subarray(6).toString();
const place = (id: string) => ({ nodeId: asNodeId(Number(id)), storeId: asStoreId(Number(id)) });

class Runner {
  #cluster: Cluster | undefined;
  readonly #feeds = new Map<string, { recorder: Recorder; previous: boolean }>();
  readonly #txns = new Map<string, Txn>();
  readonly #settings = new Map<string, string>();

  get #it(): Cluster {
    return must(this.#cluster, 'a script begins with `cluster`');
  }

  async run({ command, args, options }: ScriptCase): Promise<string> {
    const [first = '', second = ''] = args;
    const number = (name: string, otherwise: number): number =>
      Number(options.get(name) ?? otherwise);
    const list = (name: string): string[] => (options.get(name) ?? '').split(',').filter(Boolean);
    const key = userKey(first);
    switch (command) {
      case 'cluster':
        this.#cluster = await Cluster.start({
          nodes: number('nodes', 1),
          settings: { checkpointMs: number('checkpointMs', 60_000), logBytesPerRangeMax: 1000 },
        });
        await this.#it.time.run(1000);
        return '';
      case 'run':
        await this.#it.time.run(Number(first));
        return '';
      case 'put':
        return this.#ask({ kind: 'put', key, value: Buffer.from(second), sequence: 1 });
      case 'fill':
        for (let i = 0; i < number('count', 10); i++) {
          const request = { kind: 'put', key: userKey(`${first}${i}`), sequence: 1 } as const;
          await this.#ask({ ...request, value: Buffer.alloc(1000, 'x') }, number('node', 1));
        }
        return '';
      case 'delete':
        return this.#ask({ kind: 'delete', key, sequence: 1 });
      case 'split':
        return this.#ask({
          kind: 'admin-split',
          splitKey: key,
          expiration: { wall: 0, logical: 0 },
        });
      case 'merge':
        return this.#ask({ kind: 'admin-merge', key });
      case 'transfer':
        return this.#ask({ kind: 'admin-transfer-lease', key, to: asStoreId(number('to', 1)) });
      case 'change':
        return this.#ask({
          kind: 'admin-change-replicas',
          key,
          add: list('add').map(place),
          remove: list('remove').map(place),
        });
      case 'checkpoint':
        for (const { store } of this.#it.live()) {
          await this.#it.time.settleOf(store.checkpointer.runTwice());
        }
        return '';
      case 'snapshots':
        return this.#it
          .live()
          .map(({ id, store }) => `${id}: ${store.metrics().counters.snapshotsReceived}`)
          .join('\n');
      case 'clear':
        return this.#ask({
          kind: 'clear-range',
          start: key,
          end: userKey(second),
          threshold: addMicros(this.#it.machine(1).clock.now(), -number('ms', 0) * 1000),
        });
      case 'crash':
        this.#it.crash(Number(first));
        return '';
      case 'restart':
        await this.#it.restart(Number(first));
        return '';
      case 'cut':
        this.#it.cut.add(`${first}-${second}`);
        return '';
      case 'heal':
        this.#it.cut.clear();
        return '';
      case 'setting':
        this.#settings.set(first, second);
        this.#it.settings.update(new Map(this.#settings));
        return '';
      case 'write':
        return this.#write(first, number('node', 1), options);
      case 'commit':
        return this.#settled(must(this.#txns.get(first)).commit());
      case 'rollback':
        return this.#settled(must(this.#txns.get(first)).rollback());
      case 'feed': {
        const { db } = this.#it.machine(number('node', 1)).store.deps;
        const after = addMicros(db.clock.now(), -number('ms', 0) * 1000);
        const previous = args.includes('previous');
        const spans = [{ start: key, end: userKey(second) }];
        const recorder = new Recorder(db.feed({ spans, after, withPrevious: previous }));
        this.#feeds.set(`${first}-${second}`, { recorder, previous });
        return '';
      }
      case 'told':
        return this.#told(first);
      case 'close':
        must(this.#feeds.get(first)).recorder.close();
        return '';
      case 'feeds':
        return this.#it
          .live()
          .map(({ id, store }) => {
            const fed = [...store.replicas.values()].filter(({ feed }) => feed !== undefined);
            return `${id}: ${fed.map(({ rangeId }) => rangeId).join(' ')}`.trimEnd();
          })
          .join('\n');
      default:
        throw new Error(`unknown command ${command}`);
    }
  }

  async #write(name: string, node: number, options: ReadonlyMap<string, string>): Promise<string> {
    const txn = this.#txns.get(name) ?? this.#it.machine(node).store.deps.db.begin();
    this.#txns.set(name, txn);
    for (const [key, value] of options) {
      if (key !== 'node') txn.put(userKey(key), Buffer.from(value));
    }
    return this.#settled(txn.flush());
  }

  #told(name: string): string {
    const { recorder, previous } = must(this.#feeds.get(name));
    const text = (value: Buffer | undefined): string => value?.toString().slice(0, 9) ?? 'nothing';
    const lines = recorder.news
      .splice(0)
      .map(
        (change) =>
          `${nameOf(change.key)} ${previous ? `${text(change.previous)} -> ` : ''}${text(change.value)}`,
      );
    if (recorder.repeated > 0) lines.push(`${recorder.repeated} again`);
    recorder.repeated = 0;
    if (recorder.failure !== undefined) lines.push(`ended: ${recorder.failure}`);
    else {
      const lag = this.#it.machine(1).clock.now().wall - recorder.resolved.wall;
      lines.push(
        recorder.resolved.wall === 0 ? 'not resolved' : `resolved ${(lag / 1e6).toFixed(0)} s ago`,
      );
    }
    return [...lines, ...recorder.problems].join('\n');
  }

  async #ask(request: KvRequest, node = 1): Promise<string> {
    const answer = await this.#it.time.settleOf(this.#it.client(node).request(request));
    return answer.kind === 'ok' ? 'ok' : answer.error.kind;
  }

  async #settled(work: Promise<unknown>): Promise<string> {
    try {
      await this.#it.time.settleOf(work);
      return 'ok';
    } catch (error) {
      if (error instanceof KvFailure) return error.kvError.kind;
      throw error;
    }
  }
}

runScripts(new URL('testdata', import.meta.url).pathname, () => {
  const runner = new Runner();
  return (step) => runner.run(step);
});
