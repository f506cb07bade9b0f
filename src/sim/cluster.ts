/**
 * A whole cluster in a world: shipped nodes (`SkeinNode`), only Env, network and disk are simulated.
 * A machine outlives its processes: it keeps the disk, the engine's durable contents and the clock's skew.
 */
import {
  asNodeId,
  ClusterSettings,
  defaultZoneConfig,
  type NodeId,
  type ZoneConfig,
} from '../kv/index.ts';
import { type StoreSettings } from '../range/index.ts';
import { type Delivery, LocalNetwork } from '../rpc/index.ts';
import { DecommissionedError, openSqlFront, SkeinNode } from '../server/index.ts';
import { rowProgramCompiler } from '../sql/index.ts';
import { AssertionError, must, type Disk, type Logger } from '../util/index.ts';
import { Links } from './links.ts';
import { MachineStore, mountAll } from './machine-store.ts';
import { type SeededRandom } from './random.ts';
import { SimSocket } from './sql-socket.ts';
import { SimTransport } from './transport.ts';
import { type ClockSkew, ProcessEnv, type World } from './world.ts';

export interface SimClusterOptions {
  /** Machines; all of them know each other's addresses, and the first founds the cluster. */
  readonly nodes: number;
  /** Of each machine, how many stores it has; default: one. */
  readonly stores?: readonly number[];
  readonly rangeMaxBytes: number;
  /** Of every range, beside three voters. Default 0. */
  readonly nonVoters?: number;
  readonly rangeMinBytes: number;
  readonly settings?: Partial<StoreSettings>;
  /** Texts of cluster settings by name. */
  readonly clusterSettings: Readonly<Record<string, string>>;
  /** Largest clock difference the nodes are told to expect. */
  readonly maxOffsetMs: number;
  /** Skews are drawn from +- this much. */
  readonly skewMs: number;
  readonly driftPpm: number;
  /** One-way delay: at least `min`, exponential above with this mean. */
  readonly delayMs: { readonly min: number; readonly mean: number };
  /** Probability that a message, call or answer is lost. */
  readonly loss: number;
  readonly diskMs: { readonly min: number; readonly max: number };
  /** Nodes take SQL, too: that costs time, so only where it is needed. The parser must be loaded (`loadParser`). */
  readonly sql?: boolean;
  readonly log?: (node: number, line: string) => void;
  /** Plants a bug in what the nodes get: only tests of the simulation itself do. */
  readonly wrapDisk?: (disk: Disk) => Disk;
}

interface Machine {
  readonly index: number;
  readonly address: string;
  readonly random: SeededRandom;
  readonly stores: readonly MachineStore[];
  readonly skew: ClockSkew;
  running: Run | undefined;
  /** Stores of it are gone for good: it never founds a cluster again. */
  wiped: boolean;
  /** A damaged store is being set aside; the machine starts when that is done. */
  inRepair: boolean;
  /** Its node was decommissioned, and has ended itself for that once. */
  dismissed: boolean;
  /** As this machine has heard of the zone. */
  globalReads: boolean;
  /** When an operation of a disk failed in this run of the node; it must end itself. */
  diskFailedAtMs: number | undefined;
}

/** One process of a node. */
interface Run {
  readonly env: ProcessEnv;
  readonly transport: SimTransport;
  readonly node: SkeinNode;
  /** The clients' ends of the SQL connections to it. */
  readonly sqlClients: Set<SimSocket>;
  readonly gone: Promise<void>;
  readonly markGone: () => void;
  serving: boolean;
}

export interface ServingNode {
  readonly index: number;
  readonly node: SkeinNode;
  /** Settles when its process ends. */
  readonly gone: Promise<void>;
  /** The next turn of its event loop, which may stall: what comes from outside enters there. */
  readonly turn: () => Promise<void>;
}

/** A failed write must end the node at once; the time is for an engine that notices at its next use. */
const stopLimitMs = 1_000;
/** Until somebody starts a decommissioned node again. */
const dismissedMs = 2_000;

export class SimCluster {
  readonly world: World;
  readonly #options: SimClusterOptions;
  readonly #network: LocalNetwork;
  readonly #netRandom: SeededRandom;
  readonly #machines: Machine[];
  readonly #zone: ZoneConfig;
  readonly #globalZone: ZoneConfig;
  readonly links = new Links();
  /** Machines that stay down. */
  readonly #held = new Set<number>();
  #loss: number;
  /** How often a node ended itself for a good reason. */
  stops = 0;
  /** Crashes of machines that had written something without having synced it. */
  lossyCrashes = 0;
  /** Of processes that are no more. */
  readonly #operations = noOperations();
  /** Programmer errors inside nodes: a run with one has failed. */
  readonly failures: string[] = [];

  constructor(world: World, options: SimClusterOptions) {
    this.world = world;
    this.#options = options;
    this.#loss = options.loss;
    const { rangeMinBytes, rangeMaxBytes, nonVoters = 0 } = options;
    this.#zone = {
      ...defaultZoneConfig,
      rangeMinBytes,
      rangeMaxBytes,
      gcTtlSeconds: 600,
      numReplicas: 3 + nonVoters,
      numVoters: 3,
    };
    this.#globalZone = { ...this.#zone, globalReads: true };
    this.#netRandom = world.random.fork();
    this.#network = new LocalNetwork(world, (delivery) => this.#fate(delivery));
    this.#machines = Array.from({ length: options.nodes }, (_, index): Machine => {
      const random = world.random.fork();
      const first = this.#newStore(index, 'store', random.fork());
      const skew = {
        offsetMs: (random.float() * 2 - 1) * options.skewMs,
        driftPpm: (random.float() * 2 - 1) * options.driftPpm,
      };
      const more = Array.from({ length: (options.stores?.[index] ?? 1) - 1 }, (_, i) =>
        this.#newStore(index, `store${i + 2}`, random.fork()),
      );
      return {
        index,
        address: `m${index + 1}`,
        random,
        stores: [first, ...more],
        skew,
        running: undefined,
        wiped: false,
        inRepair: false,
        dismissed: false,
        globalReads: false,
        diskFailedAtMs: undefined,
      };
    });
  }

  #newStore(index: number, path: string, random: SeededRandom): MachineStore {
    const { world } = this;
    return new MachineStore({
      world,
      random,
      path,
      diskMs: this.#options.diskMs,
      // A process that stalls hears of it later.
      tell: (done) => {
        const timers = this.#machines[index]?.running?.env.timers ?? world.timers;
        timers.immediate(done);
      },
      onFailure: () => {
        must(this.#machines[index]).diskFailedAtMs ??= world.nowMs;
      },
      onPoison: (error) => this.#stopped(index, error),
    });
  }

  get size(): number {
    return this.#machines.length;
  }

  /** What stores have counted since the beginning. */
  get operations(): Readonly<CountedOperations> {
    const sum = { ...this.#operations };
    for (const machine of this.#machines) addOperations(sum, machine);
    return sum;
  }

  get hasSql(): boolean {
    return this.#options.sql === true;
  }

  /** Node ids follow the order of joining, so the machine is what a fault names. */
  node(index: number): SkeinNode | undefined {
    return this.#machines[index]?.running?.node;
  }

  isUp(index: number): boolean {
    return this.#machines[index]?.running !== undefined;
  }

  /** A machine hears that the zone of all ranges has changed. */
  setGlobalReads(index: number, globalReads: boolean): void {
    const machine = must(this.#machines[index]);
    machine.globalReads = globalReads;
    for (const store of machine.running?.node.stores ?? []) store.lookAtAll();
  }

  /** One of a machine's stores; `place` in [0, 1). */
  storeOf(index: number, place: number): MachineStore {
    const { stores } = must(this.#machines[index]);
    return must(stores[Math.floor(place * stores.length)]);
  }

  /** True when all machines serve, or those that are named, each with all its stores. */
  areWhole(machines: readonly number[] = this.#machines.map(({ index }) => index)): boolean {
    return machines.every((index) => {
      const { running, stores } = must(this.#machines[index]);
      return running?.serving === true && running.node.stores.length === stores.length;
    });
  }

  /** Nodes that have started and serve. */
  serving(): ServingNode[] {
    return this.#machines.flatMap(({ index, running }) => {
      if (running?.serving !== true) return [];
      const { node, gone, env } = running;
      const turn = (): Promise<void> => new Promise((resolve) => env.timers.immediate(resolve));
      return [{ index, node, gone, turn }];
    });
  }

  start(index: number): void {
    const machine = must(this.#machines[index]);
    if (machine.running !== undefined || machine.inRepair || this.#held.has(index)) return;
    this.#replaceLeft(machine);
    const disk = mountAll(machine.stores);
    const env = new ProcessEnv(this.world, {
      disk: this.#options.wrapDisk?.(disk) ?? disk,
      skew: machine.skew,
      log: this.#logger(index),
      onSpin: () => this.#fail(index, 'the node spins: its event loop stands still'),
    });
    const transport = new SimTransport({
      inner: this.#network.endpoint(env, machine.address),
      timers: this.world.timers,
      isAlive: () => env.alive,
      find: (to) => this.#runAt(to)?.transport,
    });
    let markGone: () => void = () => undefined;
    const gone = new Promise<void>((resolve) => {
      markGone = resolve;
    });
    const node = new SkeinNode({
      env,
      transport,
      stores: machine.stores.map(({ path }) => ({ path })),
      openEngine: async (path) =>
        must(machine.stores.find((store) => path === `${store.path}/engine`)).engine,
      openSql: this.#options.sql === true ? openSqlFront : undefined,
      rowPrograms: this.#options.sql === true ? rowProgramCompiler : undefined,
      rpcAddress: machine.address,
      sqlAddress: '',
      httpAddress: '',
      locality: [['zone', machine.address]],
      join: this.#machines.map((other) => other.address),
      singleNode: index === 0 && !machine.wiped,
      version: 'sim',
      maxOffsetMs: this.#options.maxOffsetMs,
      zoneConfigFor: () => (machine.globalReads ? this.#globalZone : this.#zone),
      ...(this.#options.settings === undefined ? {} : { storeSettings: this.#options.settings }),
      clusterSettings: this.#clusterSettings(),
      // The last words of a process that was killed: its disk is gone under it.
      onFatal: (error) => {
        if (env.alive) this.#stopped(index, error);
      },
    });
    const run: Run = {
      env,
      transport,
      node,
      sqlClients: new Set(),
      gone,
      markGone,
      serving: false,
    };
    machine.running = run;
    this.world.story(`m${index + 1} starts`);
    node.start({ onIdentity: (id) => transport.bind(id) }).then(
      () => {
        if (machine.running !== run) return;
        run.serving = true;
        // What is damaged is found at the start, or was not needed.
        for (const { disk: each } of machine.stores) each.isDamaged = false;
        this.world.story(`m${index + 1} serves as n${node.nodeId}`);
      },
      (error: unknown) => {
        if (machine.running !== run) return;
        this.#stopped(index, asError(error));
      },
    );
  }

  /** A node would leave out a store that was decommissioned; it gets a new disk instead. */
  #replaceLeft(machine: Machine): void {
    for (const store of machine.stores.filter(({ hasLeft }) => hasLeft)) {
      this.world.story(`m${machine.index + 1} gets a new disk for its ${store.path}`);
      store.wipe();
      machine.wiped = true;
    }
  }

  #clusterSettings(): ClusterSettings {
    const settings = new ClusterSettings();
    settings.update(new Map(Object.entries(this.#options.clusterSettings)));
    return settings;
  }

  /** A PostgreSQL client connects to a node; undefined when nothing listens there. */
  dialSql(index: number): SimSocket | undefined {
    const { running } = must(this.#machines[index]);
    if (running?.serving !== true) return undefined;
    const { clock, timers } = this.world;
    const delayMs = (): number => this.#delayMs();
    const { client, server } = SimSocket.pair(
      { timers, clock, delayMs },
      { timers: running.env.timers, clock, delayMs },
    );
    running.sqlClients.add(client);
    client.on('close', () => running.sqlClients.delete(client));
    running.node.serveSql(server);
    return client;
  }

  /** kill -9, or a power failure that loses writes that were not synced. */
  crash(index: number, kind: 'process' | 'power'): void {
    const machine = must(this.#machines[index]);
    if (machine.running === undefined) return;
    this.world.story(`m${index + 1} crashes (${kind})`);
    if (kind === 'power') {
      if (machine.stores.some(({ disk }) => disk.files.hasUnsynced)) this.lossyCrashes++;
      for (const store of machine.stores) store.losePower(machine.random.fork());
    } else {
      for (const store of machine.stores) store.processEnded();
    }
    this.#end(machine, kind);
  }

  /** The process is no more. */
  #end(machine: Machine, kind: 'process' | 'power'): void {
    const { running } = machine;
    addOperations(this.#operations, machine);
    machine.running = undefined;
    machine.diskFailedAtMs = undefined;
    for (const { disk } of machine.stores) disk.processEnded();
    running?.env.kill();
    running?.transport.close(kind);
    for (const client of running?.sqlClients ?? []) client.break(kind);
    running?.markGone();
  }

  /** An orderly shutdown: leases are handed over, everything is made durable. Resolves when the process has ended. */
  async shutdown(index: number): Promise<void> {
    const machine = must(this.#machines[index]);
    const { running } = machine;
    if (running === undefined || !running.serving) return;
    running.serving = false;
    this.world.story(`m${index + 1} shuts down`);
    try {
      await running.node.stop();
    } catch (error) {
      // The program exits when its stop fails; when its store failed it has ended by now.
      if (machine.running === running) this.#stopped(index, asError(error));
      return;
    }
    if (machine.running !== running) return;
    this.world.story(`m${index + 1} has shut down`);
    for (const store of machine.stores) store.processEnded();
    this.#end(machine, 'process');
  }

  /** Everything on a store's disk is lost. Without `lost`, on all of a machine's: the next process is a new node. */
  wipe(index: number, lost?: MachineStore): void {
    const machine = must(this.#machines[index]);
    this.crash(index, 'power');
    for (const store of lost === undefined ? machine.stores : [lost]) {
      this.world.story(`m${index + 1} loses its ${store.path}`);
      store.wipe();
    }
    machine.wiped = true;
    machine.dismissed = false;
  }

  pause(index: number, durationMs: number): void {
    const { running } = must(this.#machines[index]);
    if (running === undefined) return;
    this.world.story(`m${index + 1} stalls for ${Math.round(durationMs)} ms`);
    running.env.pauseUntil(this.world.nowMs + durationMs);
  }

  /** Machines that stay down until they are released. */
  hold(machines: readonly number[]): void {
    for (const index of machines) this.#held.add(index);
  }

  release(): void {
    this.#held.clear();
  }

  /** Nothing is wrong any more with network, disks, clocks and processors; machines that are down stay down. */
  heal(): void {
    this.world.story('all heals');
    this.links.heal();
    for (const machine of this.#machines) {
      for (const { disk } of machine.stores) disk.heal();
      machine.running?.env.pauseUntil(this.world.nowMs);
      this.setClock(machine.index, { offsetMs: 0, driftPpm: 0 });
    }
  }

  /** Nodes that go on although their disk failed; to be called now and then. */
  checkDisks(): string[] {
    return this.#machines.flatMap(({ index, running, diskFailedAtMs }) =>
      running !== undefined &&
      !running.env.isPaused &&
      diskFailedAtMs !== undefined &&
      this.world.nowMs - diskFailedAtMs > stopLimitMs
        ? [`m${index + 1} goes on after its disk failed`]
        : [],
    );
  }

  setLoss(loss: number): void {
    this.#loss = loss;
  }

  /** Sets a machine's wall clock: it stands `offsetMs` beside true time now, and drifts from there. */
  setClock(index: number, { offsetMs, driftPpm }: ClockSkew): void {
    const { skew } = must(this.#machines[index]);
    skew.driftPpm = driftPpm;
    skew.offsetMs = offsetMs - (this.world.nowMs * driftPpm) / 1e6;
  }

  #fate(delivery: Delivery): number | 'drop' | 'reset' {
    const random = this.#netRandom;
    const from = this.#indexOf(delivery.from);
    const to = this.#indexOf(delivery.to);
    this.world.mix(`${delivery.from}>${delivery.to} ${delivery.method} ${delivery.bytes}`);
    let extraMs = 0;
    if (from !== undefined && to !== undefined) {
      const { cut, delayMs: slow, loss } = this.links.state(from, to);
      if (cut) return 'drop';
      if (loss > 0 && random.chance(loss)) return 'reset';
      extraMs = slow;
    }
    if (random.chance(this.#loss)) return 'reset';
    return extraMs + this.#delayMs();
  }

  #delayMs(): number {
    const { min, mean } = this.#options.delayMs;
    return min - Math.log(1 - this.#netRandom.float()) * mean;
  }

  #indexOf(nodeId: NodeId): number | undefined {
    if (nodeId === asNodeId(0)) return undefined;
    return this.#machines.find((machine) => machine.running?.node.nodeId === nodeId)?.index;
  }

  #runAt(to: NodeId | string): Run | undefined {
    return this.#machines.find((machine) =>
      typeof to === 'string' ? machine.address === to : machine.running?.node.nodeId === to,
    )?.running;
  }

  #mayStop({ stores }: Machine): boolean {
    return stores.some(({ disk }) => disk.isTroubled);
  }

  /** A node ended itself: right when its disk failed, a bug without a reason. */
  #stopped(index: number, error: Error): void {
    const machine = must(this.#machines[index]);
    if (machine.running?.env.alive !== true) return;
    if (error instanceof DecommissionedError) {
      this.#dismiss(machine, error);
      return;
    }
    if (!this.#mayStop(machine)) {
      this.#fail(index, `the node ended itself: ${error.stack ?? error.message}`);
      return;
    }
    this.stops++;
    this.world.story(`m${index + 1} ends itself: ${error.message}`);
    // After a failed fsync nobody knows what the disk holds.
    this.crash(index, 'power');
    const downMs = Math.max(...machine.stores.map(({ disk }) => disk.downMs));
    const damaged = machine.stores.find(({ disk }) => disk.isDamaged);
    this.world.after(downMs, () => {
      if (damaged === undefined) this.start(index);
      else this.#repair(machine, damaged);
    });
  }

  /** Somebody has read what the node said of its store, and does what it asked for. */
  #repair(machine: Machine, damaged: MachineStore): void {
    if (machine.running !== undefined || machine.inRepair) return;
    const name = `m${machine.index + 1}`;
    machine.inRepair = true;
    const done = (how: string): void => {
      machine.inRepair = false;
      machine.dismissed = false;
      this.world.story(`the ${damaged.path} of ${name} ${how}`);
      this.start(machine.index);
    };
    damaged.quarantine(String(Math.round(this.world.nowMs))).then(
      (isAside) => done(isAside ? 'is set aside' : 'was not refused'),
      (error: unknown) => done(`cannot be set aside: ${String(error)}`),
    );
  }

  /** A decommissioned node has to end itself once more when somebody starts it again; then the machine gets a new one. */
  #dismiss(machine: Machine, { message }: DecommissionedError): void {
    const { index } = machine;
    this.world.story(`m${index + 1} ends itself: ${message}`);
    if (machine.dismissed) {
      this.wipe(index);
    } else {
      this.crash(index, 'process');
      machine.dismissed = true;
    }
    this.world.after(dismissedMs, () => this.start(index));
  }

  /** What may not happen, whatever fails: the run has failed. */
  noteFailure(what: string): void {
    this.failures.push(what);
    this.world.story(`FAILURE ${what}`);
  }

  #fail(index: number, what: string): void {
    this.noteFailure(`m${index + 1}: ${what}`);
  }

  /** An assertion that failed is a bug, also where the node goes on after it. */
  #logger(index: number): Logger {
    const { log } = this.#options;
    const line =
      (level: string): Logger['info'] =>
      (fields, message) => {
        const text = `${level} ${message} ${JSON.stringify(fields, printable)}`;
        if (text.includes(AssertionError.name)) this.#fail(index, text);
        log?.(index, text);
      };
    const logger: Logger = {
      debug: () => undefined,
      info: log === undefined ? () => undefined : line('info'),
      warn: line('warn'),
      error: line('error'),
      child: () => logger,
    };
    return logger;
  }
}

/** Counters of stores that count range operations. */
const countedOperations = [
  'leaseTransfers',
  'splitsByLoad',
  'leaseMovesByLoad',
  'replicaMovesByLoad',
] as const;

export type CountedOperations = Record<(typeof countedOperations)[number], number>;

function noOperations(): CountedOperations {
  return { leaseTransfers: 0, splitsByLoad: 0, leaseMovesByLoad: 0, replicaMovesByLoad: 0 };
}

function addOperations(sum: CountedOperations, { running }: Machine): void {
  for (const { counters } of running?.node.stores ?? []) {
    for (const name of countedOperations) sum[name] += counters[name];
  }
}

function asError(reason: unknown): Error {
  return reason instanceof Error ? reason : new Error(String(reason));
}

function printable(_key: string, value: unknown): unknown {
  if (value instanceof Error) return value.stack;
  return typeof value === 'bigint' ? String(value) : value;
}
