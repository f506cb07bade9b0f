/** A cluster of stores in virtual time: memory engines, raft logs on memory disks, the in-process network. */
import {
  asNodeId,
  asRangeId,
  asStoreId,
  asTxnId,
  containsKey,
  HlcClock,
  KvFailure,
  requestSpan,
  TransportFailure,
  type BatchHeader,
  type BatchRequest,
  type BatchResponse,
  type Db,
  type Gossip,
  type KvRequest,
  type NodeId,
  type RangeDescriptor,
  type RangeInfo,
  type Sender,
  type Timestamp,
  type Txn,
  type TxnMeta,
} from '../../../src/kv/index.ts';
import {
  bootstrapCluster,
  clockBoundOnDisk,
  createRangeExecutor,
  Store,
  type StoreSettings,
} from '../../../src/range/index.ts';
import { type Replica } from '../../../src/range/replica/replica.ts';
import { LocalNetwork, type LocalTransport } from '../../../src/rpc/index.ts';
import { MemoryDisk } from '../../../src/sim/memory-disk.ts';
import { MemoryEngine, SegmentedRaftLog } from '../../../src/storage/index.ts';
import { type ZoneConfig } from '../../../src/allocator/index.ts';
import { must, type Random } from '../../../src/util/index.ts';
import { seededRandom, VirtualEnv, VirtualTime } from './virtual-time.ts';

export interface Machine {
  readonly id: number;
  readonly disk: MemoryDisk;
  engine: MemoryEngine;
  env: VirtualEnv;
  clock: HlcClock;
  transport: LocalTransport;
  store: Store;
  up: boolean;
  fatal: unknown;
}

export interface ClusterOptions {
  readonly seed?: number;
  readonly nodes: number;
  readonly settings?: Partial<StoreSettings>;
  readonly zone?: Partial<ZoneConfig>;
}

export class Cluster {
  readonly time = new VirtualTime();
  readonly random: Random;
  readonly machines: Machine[] = [];
  readonly #options: ClusterOptions;
  readonly #network: LocalNetwork;
  readonly #facts = new Map<string, unknown>();
  readonly #watchers = new Set<{ prefix: string; fn: (key: string, value: unknown) => void }>();
  /** Pairs of nodes that cannot hear each other: "1-2". */
  readonly cut = new Set<string>();
  latencyMs = 1;
  zone: ZoneConfig;

  constructor(options: ClusterOptions) {
    this.#options = options;
    this.random = seededRandom(options.seed ?? 1);
    this.zone = {
      rangeMaxBytes: 512 << 20,
      rangeMinBytes: 0,
      numReplicas: 3,
      gcTtlSeconds: 3600,
      ...options.zone,
    };
    const time = this.time;
    this.#network = new LocalNetwork(
      {
        clock: { wallMicros: () => 0, monotonicMs: () => time.nowMs },
        timers: {
          after: (ms, fn) => time.after(ms, fn),
          immediate: (fn) => {
            time.after(0, fn);
          },
        },
      },
      ({ from, to }) => (this.isCut(from, to) ? 'drop' : this.latencyMs),
    );
  }

  static async start(options: ClusterOptions): Promise<Cluster> {
    const cluster = new Cluster(options);
    for (let id = 1; id <= options.nodes; id++) await cluster.add();
    return cluster;
  }

  isCut(a: number, b: number): boolean {
    return this.cut.has(`${Math.min(a, b)}-${Math.max(a, b)}`);
  }

  isolate(id: number): void {
    for (const { id: other } of this.machines) {
      if (other !== id) this.cut.add(`${Math.min(id, other)}-${Math.max(id, other)}`);
    }
  }

  machine(id: number): Machine {
    return must(this.machines[id - 1], `machine ${id}`);
  }

  async add(): Promise<Machine> {
    const id = this.machines.length + 1;
    const disk = new MemoryDisk({ random: seededRandom(this.random.u32()) });
    const founding = id === 1;
    const parts = await this.time.settleOf(this.#build(id, disk, new MemoryEngine(), founding));
    const machine: Machine = { id, disk, ...parts, up: true, fatal: undefined };
    this.machines.push(machine);
    await this.time.settleOf(machine.store.start());
    return machine;
  }

  async #build(
    id: number,
    disk: MemoryDisk,
    engine: MemoryEngine,
    founding: boolean,
  ): Promise<Pick<Machine, 'engine' | 'env' | 'clock' | 'transport' | 'store'>> {
    const env = new VirtualEnv(this.time, disk, this.random.u32());
    const clock = new HlcClock(env.clock, { maxOffsetMicros: 500_000 });
    const transport = this.#network.endpoint(env, `machine-${id}`);
    const nodeId = asNodeId(id);
    const storeId = asStoreId(id);
    transport.bind(nodeId);
    const raftLog = await SegmentedRaftLog.open({ env, directory: '/log' });
    if (founding) await bootstrapCluster({ engine, raftLog, clock, nodeId, storeId });
    const sender = new TestSender(this, id);
    const store = new Store({
      env,
      clock,
      engine,
      raftLog,
      transport,
      gossip: this.#gossip(),
      sender,
      db: new TestDb(sender, clock, nodeId),
      executorFactory: createRangeExecutor,
      rowPrograms: undefined,
      nodeId,
      storeId,
      directory: '/store',
      clockBound: clockBoundOnDisk(env, '/store/clock'),
      zoneConfigFor: () => this.zone,
      settings: { queueIntervalMs: 0, ...this.#options.settings },
      onFatal: (error) => {
        this.machine(id).fatal = error;
      },
    });
    transport.onCall('batch', (payload) => store.send(payload as BatchRequest));
    return { engine, env, clock, transport, store };
  }

  #gossip(): Gossip {
    const watchers = this.#watchers;
    return {
      get: (key) => this.#facts.get(key),
      list: (prefix) =>
        [...this.#facts]
          .filter(([key]) => key.startsWith(prefix))
          .sort(([a], [b]) => (a < b ? -1 : 1)),
      set: (key, value) => {
        this.#facts.set(key, value);
        for (const each of watchers) if (key.startsWith(each.prefix)) each.fn(key, value);
      },
      watch: (prefix, fn) => {
        const watcher = { prefix, fn };
        watchers.add(watcher);
        return () => watchers.delete(watcher);
      },
    };
  }

  /** The power goes: only what was synced is sure to be there. */
  crash(id: number): void {
    const machine = this.machine(id);
    machine.up = false;
    machine.env.killed = true;
    machine.transport.close();
    machine.engine = machine.engine.crash(this.random);
    machine.disk.crash();
  }

  async stop(id: number, drain: boolean): Promise<void> {
    const machine = this.machine(id);
    await this.time.settleOf(machine.store.stop({ drain }));
    machine.up = false;
    machine.env.killed = true;
    machine.transport.close();
  }

  async restart(id: number): Promise<void> {
    const machine = this.machine(id);
    const parts = this.#build(id, machine.disk, machine.engine, false);
    Object.assign(machine, await this.time.settleOf(parts));
    machine.up = true;
    await this.time.settleOf(machine.store.start());
  }

  live(): Machine[] {
    return this.machines.filter((each) => each.up);
  }

  /** Replicas of all live stores, by range and store. */
  replicas(rangeId: number): { machine: Machine; replica: Replica }[] {
    return this.live().flatMap((machine) => {
      const replica = machine.store.replicas.get(asRangeId(rangeId));
      return replica === undefined ? [] : [{ machine, replica }];
    });
  }

  /** The newest descriptors anywhere, in key order. */
  ranges(): RangeDescriptor[] {
    const newest = new Map<number, RangeDescriptor>();
    for (const { store } of this.live()) {
      for (const replica of store.replicas.values()) {
        if (!replica.initialised) continue;
        const known = newest.get(replica.rangeId);
        if (known === undefined || known.generation < replica.descriptor.generation) {
          newest.set(replica.rangeId, replica.descriptor);
        }
      }
    }
    return [...newest.values()].sort((a, b) => a.startKey.compare(b.startKey));
  }

  rangeOf(key: Buffer): RangeDescriptor | undefined {
    let best: RangeDescriptor | undefined;
    for (const range of this.ranges()) {
      if (!containsKey(range, key)) continue;
      if (best === undefined || range.generation > best.generation) best = range;
    }
    return best;
  }

  /** Nodes that would serve a read of this range at this very moment. */
  serving(rangeId: number): number[] {
    return this.replicas(rangeId)
      .filter(({ machine, replica }) => {
        if (machine.env.pausedUntilMs > this.time.nowMs) return false;
        return replica.checkLease(machine.clock.now()) === undefined;
      })
      .map(({ machine }) => machine.id);
  }

  client(id: number): TestSender {
    return new TestSender(this, id);
  }
}

let nextTxn = 1;

function header(
  clock: HlcClock,
  txn: TxnMeta | undefined,
): Omit<BatchHeader, 'rangeId' | 'generation'> {
  return {
    timestamp: clock.now(),
    txn,
    gatewayNodeId: asNodeId(1),
    waitPolicy: 'block',
    lockTimeoutMs: 0,
    consistency: txn === undefined ? 'current' : 'txn',
    canForwardReadTimestamp: true,
  };
}

/** Routes by the harness's knowledge of the cluster, asks over the network, follows hints. */
export class TestSender implements Sender {
  readonly #cluster: Cluster;
  readonly #id: number;

  constructor(cluster: Cluster, id: number) {
    this.#cluster = cluster;
    this.#id = id;
  }

  async send(batch: BatchRequest): Promise<BatchResponse> {
    const cluster = this.#cluster;
    const { env, transport, clock } = cluster.machine(this.#id);
    const deadline = env.clock.monotonicMs() + 20_000;
    const key = requestSpan(must(batch.requests[0])).start;
    let hint: NodeId | undefined;
    for (let attempt = 0; env.clock.monotonicMs() < deadline; attempt++) {
      const range = cluster.rangeOf(key);
      const nodes = range?.replicas.map((each) => each.nodeId) ?? [];
      const to = hint ?? nodes[attempt % Math.max(1, nodes.length)];
      hint = undefined;
      if (range !== undefined && to !== undefined) {
        const { rangeId, generation } = range;
        const request = { ...batch, header: { ...batch.header, rangeId, generation } };
        try {
          const answer = (await transport.call(to, 'batch', request, {
            timeoutMs: 5000,
            traffic: 'batch',
          })) as BatchResponse;
          if (answer.kind === 'ok' || !isRouting(answer.error.kind)) return answer;
          if (answer.error.kind === 'not-leaseholder') hint = answer.error.leaseholder?.nodeId;
        } catch (error) {
          const sent = !(error instanceof TransportFailure) || error.sent;
          if (sent && batch.requests.some((each) => each.kind !== 'get')) {
            return this.#fail({ kind: 'ambiguous-result', reason: 'no answer' }, clock.now());
          }
        }
      }
      await new Promise<void>((resolve) => env.timers.after(50, resolve));
    }
    return this.#fail({ kind: 'unavailable', reason: 'no leaseholder' }, clock.now());
  }

  rangeOf(key: Buffer): RangeDescriptor | undefined {
    return this.#cluster.rangeOf(requestAddress(key));
  }

  #fail(error: KvFailure['kvError'], now: Timestamp): BatchResponse {
    return { kind: 'error', now, error, index: undefined };
  }

  async request(request: KvRequest): Promise<BatchResponse> {
    const { clock } = this.#cluster.machine(this.#id);
    const partial = { ...header(clock, undefined), rangeId: asRangeId(0), generation: 0 };
    return this.send({ header: partial, requests: [request] });
  }
}

function isRouting(kind: string): boolean {
  return kind === 'not-leaseholder' || kind === 'range-not-found' || kind === 'range-key-mismatch';
}

/** As much of Db as the range layer uses. Commits are atomic within the range of the anchor. */
export class TestDb implements Db {
  readonly clock: HlcClock;
  readonly nodeId: NodeId;
  readonly #sender: TestSender;

  constructor(sender: TestSender, clock: HlcClock, nodeId: NodeId) {
    this.#sender = sender;
    this.clock = clock;
    this.nodeId = nodeId;
  }

  begin(): Txn {
    const clock = this.clock;
    const sender = this.#sender;
    const now = clock.now();
    const meta: TxnMeta = {
      id: asTxnId((nextTxn++).toString(16).padStart(32, '0')),
      anchor: undefined,
      epoch: 0,
      isolation: 'serializable',
      priority: 1,
      readTimestamp: now,
      writeTimestamp: now,
      minTimestamp: now,
      uncertaintyLimit: now,
      sequence: 0,
      ignoredSequences: [],
    };
    const puts: { key: Buffer; value: Buffer }[] = [];
    /** What was read: it must still be there at the commit. */
    const read = new Map<string, Buffer | undefined>();
    let status: Txn['status'] = 'open';
    const unused = (): never => {
      throw new Error('not used by the range layer');
    };
    return {
      meta,
      get status() {
        return status;
      },
      async get(key) {
        const result = must(values(await sender.request({ kind: 'get', key, lock: 'none' }))[0]);
        const value = result.kind === 'get' ? result.value : undefined;
        read.set(key.toString('hex'), value);
        return value;
      },
      put(key, value) {
        puts.push({ key, value });
      },
      async commit(options) {
        const anchor = must(puts[0]).key;
        const first = must(sender.rangeOf(anchor));
        const inside = puts.filter(({ key }) => containsKey(first, requestAddress(key)));
        for (const { key, value } of puts) {
          if (inside.some((each) => each.key.equals(key))) continue;
          values(await sender.request({ kind: 'put', key, value, sequence: 1 }));
        }
        let sequence = 0;
        const requests: KvRequest[] = inside.map(({ key, value }) => {
          const name = key.toString('hex');
          return read.has(name)
            ? { kind: 'conditional-put', key, value, expected: read.get(name), sequence: ++sequence }
            : { kind: 'put', key, value, sequence: ++sequence };
        });
        requests.push({
          kind: 'end-txn',
          anchor,
          commit: true,
          lockSpans: [],
          onePhase: true,
          inFlightWrites: [],
          trigger: options?.trigger,
        });
        const txn = { ...meta, anchor, sequence };
        const rangeId = asRangeId(0);
        values(
          await sender.send({
            header: { ...header(clock, txn), rangeId, generation: 0 },
            requests,
          }),
        );
        status = 'committed';
        return clock.now();
      },
      async rollback() {
        status = 'aborted';
      },
      getMany: unused,
      scan: unused,
      delete: unused,
      insert: unused,
      checkInserts: unused,
      flushIfLarge: unused,
      savepoint: unused,
      rollbackTo: unused,
      beginStatement: unused,
      cancel: unused,
      fixedTimestamp: unused,
    };
  }

  run<T>(): Promise<T> {
    return Promise.reject(new Error('not used by the range layer'));
  }

  async readCurrent(key: Buffer): Promise<Buffer | undefined> {
    const result = must(values(await this.#sender.request({ kind: 'get', key, lock: 'none' }))[0]);
    return result.kind === 'get' ? result.value : undefined;
  }

  async increment(key: Buffer, by: bigint): Promise<bigint> {
    const result = must(values(await this.#sender.request({ kind: 'increment', key, by }))[0]);
    return result.kind === 'increment' ? result.value : 0n;
  }

  ranges(): Promise<RangeInfo[]> {
    return Promise.resolve([]);
  }

  async split(splitKey: Buffer): Promise<void> {
    const expiration = this.clock.now();
    values(await this.#sender.request({ kind: 'admin-split', splitKey, expiration }));
  }

  transferLease(): Promise<void> {
    return Promise.resolve();
  }

  changeReplicas(): Promise<void> {
    return Promise.resolve();
  }

  clearRange(): Promise<void> {
    return Promise.resolve();
  }
}

export function values(response: BatchResponse): Extract<BatchResponse, { kind: 'ok' }>['results'] {
  if (response.kind === 'error') throw new KvFailure(response.error);
  return response.results;
}

function requestAddress(key: Buffer): Buffer {
  return requestSpan({ kind: 'get', key, lock: 'none' }).start;
}
