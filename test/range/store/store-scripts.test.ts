/** Scripts over a cluster of stores: see `cluster.ts` for what is real and what is not. */
import { keyMax, keyMin, systemKey, tableKeyPrefix } from '../../../src/encoding/index.ts';
import {
  addMicros,
  asMember,
  asNodeId,
  asRangeId,
  asStoreId,
  compareTimestamps,
  equalTimestamps,
  KvFailure,
  type KvRequest,
  type KvResult,
  type Membership,
  type Timestamp,
} from '../../../src/kv/index.ts';
import {
  addStats,
  computeStats,
  keySpans,
  rangeSpans,
  subtractStats,
  zeroStats,
} from '../../../src/storage/index.ts';
import { must } from '../../../src/util/index.ts';
import { runScripts, type ScriptCase } from '../../script.ts';
import { Cluster, values } from './cluster.ts';
import { flipNewestValue, showChecks, showConformance } from './consistency-commands.ts';
import { closedEverywhere, readPast, writeLate } from './past-commands.ts';
import { readNow, setGlobalReads, writeNow } from './global-commands.ts';
import { type Tampering } from './tampered-transport.ts';
import { OpenTxns, remains } from './txn-commands.ts';

const directory = new URL('testdata', import.meta.url).pathname;

const table = tableKeyPrefix(100);

/** Keys of scripts live between the system counters and the end of the keyspace; `@a` is one of a table. */
function userKey(name: string): Buffer {
  if (name.startsWith('@')) return Buffer.concat([table, Buffer.from(name.slice(1))]);
  return systemKey(`user-${name}`);
}

function nameOf(key: Buffer): string {
  if (key.subarray(0, table.length).equals(table))
    return `@${key.subarray(table.length).toString()}`;
  const text = key.subarray(1).toString('utf8');
  if (key[0] === 0x04 && text.startsWith('user-')) return text.slice(5);
  return key[0] === 0xff ? 'max' : key[0] === 0x02 ? 'min' : key.toString('hex');
}

class Runner {
  cluster: Cluster | undefined;
  background = false;
  #appended = 0;
  /** The leaseholder's clock, and how far it might serve, when `lease` was last asked. */
  before:
    | { readonly start: Timestamp; readonly served: Timestamp; readonly promised: number }
    | undefined;
  readonly settings = new Map<string, string>();
  readonly txns = new OpenTxns();

  get it(): Cluster {
    if (this.cluster === undefined) throw new Error('a script begins with `cluster`');
    return this.cluster;
  }

  async run(step: ScriptCase): Promise<string> {
    const { command, args, options } = step;
    if (command === 'async') {
      // What becomes of it is seen in what follows.
      const [inner = '', ...rest] = args;
      this.background = true;
      try {
        return await this.run({ ...step, command: inner, args: rest });
      } finally {
        this.background = false;
      }
    }
    const number = (name: string, otherwise: number): number =>
      Number(options.get(name) ?? otherwise);
    switch (command) {
      case 'cluster': {
        const settings: Record<string, number> = {};
        const zone: Record<string, number> = {};
        for (const [name, value] of options) {
          if (name.startsWith('zone.')) zone[name.slice(5)] = Number(value);
          else if (name !== 'nodes' && name !== 'seed') settings[name] = Number(value);
        }
        this.cluster = await Cluster.start({
          nodes: number('nodes', 1),
          seed: number('seed', 1),
          settings,
          zone,
        });
        return '';
      }
      case 'run': {
        await this.it.time.run(Number(args[0]));
        return this.fatal();
      }
      case 'put':
        return this.ask(number('node', 1), {
          kind: 'put',
          key: userKey(args[0] ?? ''),
          value: Buffer.from(args[1] ?? ''),
          sequence: 1,
        });
      case 'fill': {
        const size = number('bytes', 100);
        for (let i = 0; i < number('count', 10); i++) {
          const key = userKey(`${args[0]}${String(i).padStart(4, '0')}`);
          const value = Buffer.alloc(size, 120);
          await this.ask(number('node', 1), { kind: 'put', key, value, sequence: 1 });
        }
        return '';
      }
      case 'load':
        return this.load(args[0] ?? '', {
          kind: options.get('kind') ?? 'get',
          keys: number('keys', 1),
          perSecond: number('qps', 100),
          seconds: number('seconds', 1),
          bytes: number('bytes', 10),
          node: number('node', 1),
        });
      case 'splits':
        return this.it
          .live()
          .flatMap(({ store }) => store.reports['split-decisions']())
          .map(({ rangeId, cause, key, reason }) => {
            const at = key === undefined ? 'not split' : `split at ${nameOf(key)}`;
            return `${rangeId} ${cause}: ${at}: ${reason}`;
          })
          .join('\n');
      case 'merges':
        return this.it
          .live()
          .flatMap(({ store }) => store.reports['merge-decisions']())
          .sort((a, b) => a.rangeId - b.rangeId || a.at - b.at)
          .map(({ rangeId, rightRangeId, isMerged, reason }) => {
            const pair = rightRangeId === undefined ? `${rangeId}` : `${rangeId} + ${rightRangeId}`;
            return `${pair}: ${isMerged ? 'merged' : 'not merged'}: ${reason}`;
          })
          .join('\n');
      case 'get':
        return this.ask(number('node', 1), {
          kind: 'get',
          key: userKey(args[0] ?? ''),
          lock: 'none',
        });
      case 'clear':
        return this.ask(number('node', 1), {
          kind: 'clear-range',
          start: userKey(args[0] ?? ''),
          end: userKey(args[1] ?? ''),
          threshold: addMicros(this.it.machine(1).clock.now(), -number('ms', 0) * 1000),
        });
      case 'split':
        return this.ask(number('node', 1), {
          kind: 'admin-split',
          splitKey: userKey(args[0] ?? ''),
          expiration: addMicros(this.it.machine(1).clock.now(), number('stickyMs', 0) * 1000),
        });
      case 'unsplit':
        return this.ask(number('node', 1), {
          kind: 'admin-unsplit',
          key: userKey(args[0] ?? ''),
        });
      case 'sticky':
        return this.sticky();
      case 'until':
        return this.until(args[0] ?? '', Number(args[1]));
      case 'merge':
        return this.ask(number('node', 1), { kind: 'admin-merge', key: userKey(args[0] ?? '') });
      case 'transfer':
        return this.ask(number('node', 1), {
          kind: 'admin-transfer-lease',
          key: userKey(args[0] ?? ''),
          to: asStoreId(number('to', 1)),
        });
      case 'change': {
        const targets = (
          text: string | undefined,
        ): {
          nodeId: ReturnType<typeof asNodeId>;
          storeId: ReturnType<typeof asStoreId>;
          role: 'voter' | 'non-voter';
        }[] =>
          (text ?? '')
            .split(',')
            .filter((each) => each !== '')
            .map((each) => {
              const id = parseInt(each, 10);
              const role = each.endsWith('n') ? ('non-voter' as const) : ('voter' as const);
              return { nodeId: asNodeId(id), storeId: asStoreId(id), role };
            });
        return this.ask(number('node', 1), {
          kind: 'admin-change-replicas',
          key: userKey(args[0] ?? ''),
          add: targets(options.get('add')),
          remove: targets(options.get('remove')),
        });
      }
      case 'relocate': {
        const stores = (text: string | undefined): ReturnType<typeof asStoreId>[] | undefined =>
          text
            ?.split(',')
            .filter((each) => each !== '')
            .map((each) => asStoreId(Number(each)));
        return this.ask(number('node', 1), {
          kind: 'admin-relocate',
          key: userKey(args[0] ?? ''),
          voters: stores(options.get('voters')),
          nonVoters: stores(options.get('non-voters')),
          leaseholder: stores(options.get('lease'))?.[0],
        });
      }
      case 'scatter': {
        const { db } = this.it.machine(number('node', 1)).store.deps;
        return this.outcome(db.scatter(keyMin, keyMax));
      }
      case 'spread': {
        const holders = new Set(
          this.it.ranges().flatMap(({ replicas }) => replicas.map((r) => r.storeId)),
        );
        const leaders = new Set(
          this.it.ranges().flatMap(({ rangeId }) => this.it.serving(rangeId)),
        );
        const isWide = holders.size >= number('replicas', 0) && leaders.size >= number('leases', 0);
        return isWide ? 'yes' : `replicas on ${holders.size} stores, leases on ${leaders.size}`;
      }
      case 'membership': {
        // `4` is node 4, `s4` store 4.
        const [name = '', to = 'active'] = args;
        const member = asMember(
          name.startsWith('s') ? 'store' : 'node',
          parseInt(name.replace('s', ''), 10),
        );
        const { db } = this.it.machine(number('node', 1)).store.deps;
        return this.outcome(
          this.it.knowNodes().then(() => db.setMembership(member, to as Membership)),
        );
      }
      case 'info':
        return this.ask(number('node', 1), { kind: 'range-info', key: userKey(args[0] ?? '') });
      case 'queues':
        for (const machine of this.it.live())
          await this.it.time.settleOf(machine.store.runQueues());
        return this.ranges();
      case 'decisions':
        return this.it
          .machine(Number(args[0]))
          .store.reports['allocator-decisions']()
          .map(
            ({ rangeId, action, reason, outcome }) =>
              `${rangeId} ${action} (${reason}): ${outcome}`,
          )
          .join('\n');
      case 'ranges':
        return this.ranges();
      case 'replicas':
        return this.replicas(Number(args[0]));
      case 'serving':
        return this.it.serving(Number(args[0] ?? 1)).join(',');
      case 'complaints':
        return this.it
          .live()
          .map(({ id, clock }) => `${id}: ${clock.complaint() ?? 'none'}`)
          .join('\n');
      case 'isolate':
        this.it.isolate(Number(args[0]));
        return '';
      case 'setting': {
        const [name = '', value = ''] = args;
        this.settings.set(name, value);
        this.it.settings.update(new Map(this.settings));
        return '';
      }
      case 'tamper': {
        const how = args[1] as Tampering['how'];
        this.it.machine(Number(args[0])).tampered.next = { how, at: number('at', 1) };
        return '';
      }
      case 'tampered':
        return this.it.machines.every(({ tampered }) => tampered.next === undefined) ? 'yes' : 'no';
      case 'slow':
        this.it.bulkBytesPerSecond = Number(args[0]);
        return '';
      case 'cpu':
        this.it.batchCpuMs = Number(args[0]);
        return '';
      case 'latency':
        this.it.latencyMs = Number(args[0]);
        return '';
      case 'heal':
        this.it.cut.clear();
        return '';
      case 'crash':
        this.it.crash(Number(args[0]));
        return '';
      case 'pause':
        this.it.machine(Number(args[0])).env.pausedUntilMs =
          this.it.time.nowMs + number('ms', 1000);
        return '';
      case 'clock':
        this.it.machine(Number(args[0])).env.offsetMs = number('ms', 0);
        return '';
      case 'stop':
        await this.it.stop(Number(args[0]), options.get('drain') === 'true');
        return '';
      case 'disk':
        this.it.disk(Number(args[0]), args[1] ?? '');
        return '';
      case 'drain': {
        const before = this.it.time.nowMs;
        await this.it.time.settleOf(this.it.machine(Number(args[0])).store.drain());
        const took = this.it.time.nowMs - before;
        return took <= 1000 ? 'within a second' : `${took} ms`;
      }
      case 'restart':
        await this.it.restart(Number(args[0]));
        return this.fatal();
      case 'checkpoint':
        for (const machine of this.it.live()) {
          await this.it.time.settleOf(machine.store.checkpointer.runTwice());
        }
        return '';
      case 'awake':
        return this.it
          .live()
          .map(({ id, store }) => `${id}: ${store.metrics().gauges.awakeReplicas}`)
          .join('\n');
      case 'exclusive':
        return this.exclusive(Number(args[0] ?? 1), number('ms', 10_000));
      case 'lease':
        return this.lease(Number(args[0] ?? 1));
      case 'counters':
        return this.it
          .live()
          .map(({ id, store }) => {
            const { counters } = store.metrics();
            return `${id}: ${args.map((name) => `${name}=${Reflect.get(counters, name)}`).join(' ')}`;
          })
          .join('\n');
      case 'closed':
        return closedEverywhere(this.it, Number(args[0]));
      case 'past':
        return readPast(this.it, number('node', 1), userKey(args[0] ?? ''), number('ms', 0));
      case 'late':
        return writeLate(this.it, number('node', 1), userKey(args[0] ?? ''), number('ms', 0));
      case 'global':
        setGlobalReads(this.it, args[0] === 'on');
        return '';
      case 'read':
        return this.outcome(readNow(this.it, number('node', 1), args.map(userKey)));
      case 'write':
        return this.outcome(
          writeNow(this.it, number('node', 1), args.map(userKey), {
            value: options.get('value') ?? '',
            read: (options.get('read') ?? '').split(',').filter(Boolean).map(userKey),
          }),
        );
      case 'begin': {
        const how = { node: number('node', 1), priority: options.get('priority') };
        this.txns.begin(this.it, args[0] ?? '', how);
        return '';
      }
      case 'lock':
        return this.txns.lock(this.it, args[0] ?? '', userKey(args[1] ?? ''));
      case 'waited':
        return this.txns.waited(this.it, args[0] ?? '', number('ms', 0));
      case 'lay':
        return this.txns.lay(this.it, args[0] ?? '', userKey(args[1] ?? ''), args[2] ?? '');
      case 'commit':
        return this.outcome(this.txns.commit(args[0] ?? ''));
      case 'remains':
        return remains(this.it);
      case 'rollback':
        return this.txns.rollback(this.it, args[0] ?? '');
      case 'equal':
        return this.equal(Number(args[0] ?? 1));
      case 'discard': {
        // As when a split is replayed whose right side has been removed since.
        const { store } = this.it.machine(Number(args[0]));
        const span = { startKey: userKey(args[2] ?? ''), endKey: Buffer.from([0xff]) };
        store.remover.resume(asRangeId(Number(args[1])), { span, removeLog: false });
        return '';
      }
      case 'check': {
        const { db } = this.it.machine(number('node', 1)).store.deps;
        const mode = options.get('mode') === 'stats' ? 'stats' : 'data';
        return this.outcome(db.checkConsistency(keyMin, keyMax, mode).then(showChecks));
      }
      case 'flip':
        flipNewestValue(this.it, Number(args[0]), userKey(args[1] ?? ''));
        return '';
      case 'misremember': {
        const replica = must(this.it.machine(Number(args[0])).store.replicas.get(asRangeId(1)));
        const { stats } = replica.applier;
        replica.applier.stats = { ...stats, liveCount: stats.liveCount + Number(args[1]) };
        return '';
      }
      case 'conformance':
        return showConformance(this.it);
      case 'events':
        return this.it.events
          .splice(0)
          .map(({ kind, rangeId, otherRangeId, info }) => {
            const { storeId } = info;
            const about = [otherRangeId, typeof storeId === 'number' ? `s${storeId}` : undefined];
            return `${kind} ${[rangeId, ...about].filter((each) => each !== undefined).join(' ')}`;
          })
          .join('\n');
      case 'drift':
        return this.drift(number('node', 1));
      default:
        throw new Error(`unknown command ${command}`);
    }
  }

  /** Who holds the lease, and where it begins against what was last seen of the one before it. */
  lease(rangeId: number): string {
    const [node] = this.it.serving(rangeId);
    const held = this.it.replicas(rangeId).find(({ machine }) => machine.id === node);
    if (held === undefined) return 'nobody';
    const { machine, replica } = held;
    const before = this.before;
    const { leaseStart: start } = replica;
    this.before = { start, served: machine.clock.now(), promised: replica.lease.expiration() };
    if (before === undefined) return `node ${machine.id}`;
    if (equalTimestamps(before.start, start)) return `node ${machine.id}, as before`;
    const afterServed = compareTimestamps(start, before.served) > 0;
    const afterPromised = start.wall > before.promised;
    return `node ${machine.id}, begins after ${afterPromised ? 'all that was promised' : afterServed ? 'all that was served' : 'NOTHING'}`;
  }

  /** What nodes failed of since it was last asked. */
  fatal(): string {
    const lines: string[] = [];
    for (const machine of this.it.machines) {
      const { id, fatal } = machine;
      if (fatal === undefined) continue;
      lines.push(
        `node ${id} failed: ${fatal instanceof Error ? `${fatal.name}: ${fatal.message}` : JSON.stringify(fatal)}`,
      );
      machine.fatal = undefined;
    }
    return lines.join('\n');
  }

  async ask(node: number, request: KvRequest): Promise<string> {
    const answer = this.it.client(node).request(request).then(values);
    return this.outcome(answer.then(([result]) => show(result)));
  }

  async outcome(promise: Promise<string | void>): Promise<string> {
    if (this.background) {
      promise.catch(() => undefined);
      return 'begun';
    }
    try {
      const result = await this.it.time.settleOf(promise);
      const failed = this.fatal();
      return failed === '' ? (result ?? 'ok') : failed;
    } catch (error) {
      if (error instanceof KvFailure) return error.message;
      throw error;
    }
  }

  /** Requests at an even rate: for keys drawn from `keys` of them (get, put), or for ever greater ones (append). */
  async load(
    prefix: string,
    how: {
      readonly kind: string;
      readonly keys: number;
      readonly perSecond: number;
      readonly seconds: number;
      readonly bytes: number;
      readonly node: number;
    },
  ): Promise<string> {
    const { kind, keys, perSecond, seconds, bytes, node } = how;
    const keyOf = (at: number): Buffer => userKey(`${prefix}${String(at).padStart(5, '0')}`);
    for (let second = 0; second < seconds; second++) {
      for (let i = 0; i < perSecond; i++) {
        const at = kind === 'append' ? this.#appended++ : Math.floor(this.it.random.float() * keys);
        const key = keyOf(at);
        const request: KvRequest =
          kind === 'get'
            ? { kind: 'get', key, lock: 'none' }
            : { kind: 'put', key, value: Buffer.alloc(bytes, 120), sequence: 1 };
        await this.ask(node, request);
      }
      await this.it.time.run(1000 - (this.it.time.nowMs % 1000));
    }
    return this.fatal();
  }

  ranges(): string {
    return this.it
      .ranges()
      .map((range) => {
        const replicas = range.replicas
          .map((each) => `${each.storeId}${each.kind === 'voter' ? '' : `(${each.kind})`}`)
          .join(',');
        const span = `[${nameOf(range.startKey)}, ${nameOf(range.endKey)})`;
        const serving = this.it.serving(range.rangeId).join(',');
        return `${range.rangeId} ${span} replicas ${replicas} lease ${serving || 'nobody'}`;
      })
      .join('\n');
  }

  /** Goes on, millisecond by millisecond, until a merge has come so far. */
  async until(phase: string, rangeId: number): Promise<string> {
    const isSo = (): boolean =>
      this.it.replicas(rangeId).some(({ replica }) => {
        if (phase === 'frozen') return replica.mergeWatch.isFrozen;
        return replica.proposals.commands().some(({ trigger }) => trigger?.kind === phase);
      });
    for (let ms = 0; ms < 5_000; ms++) {
      if (isSo()) return '';
      await this.it.time.run(1);
    }
    return 'it does not come to that';
  }

  /** For how long ranges are kept apart from their left neighbours, in seconds. */
  sticky(): string {
    const now = this.it.machine(1).clock.now().wall;
    return this.it
      .ranges()
      .map(({ rangeId, stickyUntil: { wall } }) => {
        const seconds = Math.ceil((wall - now) / 1e6);
        return `${rangeId}: ${wall === 0 ? 'may be merged' : `apart for ${Math.max(0, seconds)} s`}`;
      })
      .join('\n');
  }

  replicas(rangeId: number): string {
    return this.it
      .replicas(rangeId)
      .map(({ machine, replica }) => {
        const keys = replica.initialised
          ? `[${nameOf(replica.descriptor.startKey)}, ${nameOf(replica.descriptor.endKey)})`
          : 'uninitialised';
        const { liveCount, liveBytes } = replica.stats;
        return `${machine.id}: replica ${replica.replicaId} ${keys} ${liveCount} keys, ${liveBytes} bytes`;
      })
      .join('\n');
  }

  /** Whether all replicas hold the same entries. */
  async equal(rangeId: number): Promise<string> {
    const contents = new Set<string>();
    const replicas = this.it.replicas(rangeId).filter(({ replica }) => replica.initialised);
    for (const { machine, replica } of replicas) {
      const entries: string[] = [];
      for (const span of rangeSpans(replica.descriptor)) {
        const iterator = machine.engine.iterate(span);
        for (
          let rows = await iterator.next(100);
          rows.length > 0;
          rows = await iterator.next(100)
        ) {
          for (const row of rows) entries.push(row.map((each) => each.toString('hex')).join('='));
        }
        await iterator.close();
      }
      contents.add(entries.join('\n'));
    }
    return contents.size === 1 ? `${replicas.length} equal replicas` : 'they differ';
  }

  /** Where recorded sizes differ from what a scan finds. */
  async drift(id: number): Promise<string> {
    const { store, engine } = this.it.machine(id);
    const lines: string[] = [];
    for (const replica of store.replicas.values()) {
      if (!replica.initialised) continue;
      let found = zeroStats;
      for (const { start, end } of keySpans(replica.descriptor)) {
        found = addStats(found, await computeStats(engine, start, end));
      }
      const difference = subtractStats(replica.stats, found);
      if (Object.values(difference).every((each) => each === 0)) continue;
      lines.push(`${replica.rangeId}: ${JSON.stringify(difference)}`);
    }
    return lines.join('\n') || 'none';
  }

  /** Watches who would serve, step by step: never two at once. */
  async exclusive(rangeId: number, ms: number): Promise<string> {
    const story: string[] = [];
    let last = '';
    const until = this.it.time.nowMs + ms;
    while (this.it.time.nowMs < until) {
      await this.it.time.run(10);
      const serving = this.it.serving(rangeId);
      if (serving.length > 1) return `TWO AT ONCE: ${serving.join(',')}`;
      const now = serving.length === 0 ? 'nobody' : `node ${serving[0]}`;
      if (now !== last) story.push(now);
      last = now;
    }
    return story.join('\n');
  }
}

function show(result: KvResult | undefined): string {
  switch (result?.kind) {
    case 'get':
      return result.value?.toString('utf8') ?? 'nothing';
    case 'write':
      return 'ok';
    case 'admin':
      return `range ${result.range.rangeId} generation ${result.range.generation}`;
    case 'range-info': {
      const { range, leaseholder, liveCount } = result.info;
      return `range ${range.rangeId} lease ${leaseholder?.storeId} keys ${liveCount}`;
    }
    default:
      return result?.kind ?? 'no result';
  }
}

runScripts(directory, () => {
  const runner = new Runner();
  return (step) => runner.run(step);
});
