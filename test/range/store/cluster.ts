/** A cluster of stores in virtual time: memory engines, raft logs on memory disks, the in-process network. */
import {
  defaultZoneConfig,
  type ZoneConfig,
  asNodeId,
  asRangeId,
  asStoreId,
  ClusterSettings,
  containsKey,
  HlcClock,
  KvFailure,
  nodeIdCounterKey,
  storeIdCounterKey,
  type BatchResponse,
  type Gossip,
  type KvRequest,
  type RangeDescriptor,
  type RangeEvent,
  type Sender,
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
import { DiskError, MemoryDisk } from '../../../src/sim/memory-disk.ts';
import { MemoryEngine, SegmentedRaftLog } from '../../../src/storage/index.ts';
import { ClusterDb, Router, serveBatches } from '../../../src/txn/index.ts';
import { DiskWatch, must, watchedDisk, type Random } from '../../../src/util/index.ts';
import { TamperedTransport } from './tampered-transport.ts';
import { VirtualEnv, VirtualTime } from './virtual-time.ts';
import { SeededRandom } from '../../random.ts';

/** The network here loses messages without a trace; a real connection would break. */
const patience = { callTimeoutMs: 5000, commitTimeoutMs: 5000, unavailableAfterMs: 15_000 };

export interface Machine {
  readonly id: number;
  readonly disk: MemoryDisk;
  engine: MemoryEngine;
  env: VirtualEnv;
  clock: HlcClock;
  transport: LocalTransport;
  /** What the store sends through. */
  tampered: TamperedTransport;
  store: Store;
  router: Router;
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
  /** Ends the stall of a machine's disk. */
  readonly #answer = new Map<number, () => void>();
  latencyMs = 1;
  /** What a batch costs a machine. */
  batchCpuMs = 0;
  /** Messages and calls that went over the network. */
  sent = 0;
  /** How fast the connections of a slow cluster carry bulk data. */
  bulkBytesPerSecond = Number.POSITIVE_INFINITY;
  /** One for all machines: the catalog brings them everywhere. */
  readonly settings = new ClusterSettings();
  zone: ZoneConfig;
  /** What leaseholders told of their ranges. */
  readonly events: RangeEvent[] = [];
  /** Where ranges are to end. */
  zoneBoundaries: readonly Buffer[] = [];

  constructor(options: ClusterOptions) {
    this.#options = options;
    this.random = new SeededRandom(options.seed ?? 1);
    this.zone = {
      ...defaultZoneConfig,
      rangeMinBytes: 0,
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
      ({ from, to, traffic, bytes }) => {
        this.sent++;
        if (this.isCut(from, to)) return 'drop';
        const bulkMs = traffic === 'bulk' ? (bytes / this.bulkBytesPerSecond) * 1000 : 0;
        return this.latencyMs + bulkMs;
      },
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
    const disk = new MemoryDisk({ random: new SeededRandom(this.random.u32()) });
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
  ): Promise<
    Pick<Machine, 'engine' | 'env' | 'clock' | 'transport' | 'tampered' | 'store' | 'router'>
  > {
    const bare = new VirtualEnv(this.time, disk, this.random.u32());
    // A machine's clock outlives its processes.
    bare.offsetMs = this.machines[id - 1]?.env.offsetMs ?? 0;
    const diskWatch = new DiskWatch(bare, {
      limitMs: 20_000,
      onStall: (error) => store.fatal(error),
    });
    const env: VirtualEnv = Object.assign(bare, { disk: watchedDisk(disk, diskWatch) });
    const clock = new HlcClock(env.clock, { maxOffsetMicros: 500_000 });
    const transport = this.#network.endpoint(env, `machine-${id}`);
    const nodeId = asNodeId(id);
    const storeId = asStoreId(id);
    transport.bind(nodeId);
    const tampered = new TamperedTransport(transport);
    const raftLog = await SegmentedRaftLog.open({ env, directory: '/log' });
    if (founding) await bootstrapCluster({ engine, raftLog, clock, nodeId, storeId });
    const gossip = this.#gossip();
    let usedCpuMs = 0;
    const local: Sender = {
      send: (batch) => {
        usedCpuMs += this.batchCpuMs;
        return store.send(batch);
      },
    };
    const router = new Router({
      env,
      clock,
      nodeId,
      transport,
      local,
      gossip,
      clusterSettings: this.settings,
      ...patience,
    });
    const db = new ClusterDb({ env, clock, nodeId, router });
    const store: Store = new Store({
      env,
      clock,
      engine,
      raftLog,
      transport: tampered,
      gossip,
      sender: router.keySender,
      db,
      executorFactory: createRangeExecutor,
      rowPrograms: undefined,
      nodeId,
      storeId,
      directory: '/store',
      clockBound: clockBoundOnDisk(env, '/store/clock', {
        isNew: founding || raftLog.rangeIds().length === 0,
      }),
      clusterSettings: this.settings,
      usedCpuMs: () => usedCpuMs,
      peerSilent: (node, isSilent) => router.setSilent(node, isSilent),
      diskWatch,
      zoneConfigFor: () => this.zone,
      zoneBoundariesIn: (start, end) =>
        this.zoneBoundaries.filter((key) => key.compare(start) > 0 && key.compare(end) < 0),
      zonesKnown: () => true,
      rangeEvents: { note: (event) => this.events.push(event) },
      settings: { queueIntervalMs: 0, ...this.#options.settings },
      onFatal: (error) => {
        const machine = this.machine(id);
        machine.fatal = error;
        this.#end(machine);
        machine.disk.kill();
      },
    });
    serveBatches(transport, local);
    return { engine, env, clock, transport, tampered, store, router };
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
    this.#end(machine);
    machine.disk.crash();
  }

  /** The process is gone. */
  #end(machine: Machine): void {
    machine.up = false;
    machine.env.killed = true;
    machine.transport.close();
    machine.engine = machine.engine.crash(this.random);
  }

  /** 'stalls': nothing comes back; 'answers': everything does, late; or a code with which each write and fsync fails. */
  disk(id: number, what: string): void {
    const { disk } = this.machine(id);
    this.#answer.get(id)?.();
    this.#answer.delete(id);
    if (what === 'answers') {
      disk.fault = undefined;
    } else if (what === 'stalls') {
      const answered = new Promise<void>((resolve) => this.#answer.set(id, resolve));
      disk.fault = () => answered;
    } else {
      const isWrite = new Set(['write', 'sync', 'replace', 'sync-dir', 'truncate']);
      disk.fault = ({ kind, path }) =>
        isWrite.has(kind) ? new DiskError(what, `${kind} ${path}`) : undefined;
    }
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
    machine.fatal = undefined;
    const parts = this.#build(id, machine.disk, machine.engine, false);
    Object.assign(machine, await this.time.settleOf(parts));
    machine.up = true;
    await this.time.settleOf(machine.store.start());
  }

  /** The counters of node and store ids go on from these machines, as if they had joined. */
  async knowNodes(): Promise<void> {
    const { db } = this.machine(1).store.deps;
    for (const counter of [nodeIdCounterKey, storeIdCounterKey]) {
      const last = await db.increment(counter, 0n);
      const missing = this.machines.length - Number(last);
      if (missing > 0) await db.increment(counter, BigInt(missing));
    }
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

  client(id: number): Client {
    return new Client(this.machine(id));
  }
}

/** Sends single requests from one node, as its gateway would. */
export class Client {
  readonly #machine: Machine;

  constructor(machine: Machine) {
    this.#machine = machine;
  }

  request(request: KvRequest): Promise<BatchResponse> {
    const { clock, router, id } = this.#machine;
    return router.keySender.send({
      header: {
        rangeId: asRangeId(0),
        generation: 0,
        timestamp: clock.now(),
        txn: undefined,
        gatewayNodeId: asNodeId(id),
        waitPolicy: 'block',
        lockTimeoutMs: 0,
        consistency: 'current',
        canForwardReadTimestamp: true,
      },
      requests: [request],
    });
  }
}

export function values(response: BatchResponse): Extract<BatchResponse, { kind: 'ok' }>['results'] {
  if (response.kind === 'error') throw new KvFailure(response.error);
  return response.results;
}
