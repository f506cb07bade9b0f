/**
 * A whole cluster in a world: shipped nodes (`SkeinNode`), only Env, network and disk are simulated.
 * A machine outlives its processes: it keeps the disk, the engine's durable contents and the clock's skew.
 */
import { asNodeId, type NodeId } from '../kv/index.ts';
import { type StoreSettings } from '../range/index.ts';
import { type Delivery, LocalNetwork } from '../rpc/index.ts';
import { openSqlFront, SkeinNode } from '../server/index.ts';
import { rowProgramCompiler } from '../sql/index.ts';
import { MemoryEngine } from '../storage/index.ts';
import { must, silentLogger, type Disk, type Logger } from '../util/index.ts';
import { DiskError, MemoryDisk, type DiskOperation } from './memory-disk.ts';
import { type SeededRandom } from './random.ts';
import { SimSocket } from './sql-socket.ts';
import { SimTransport } from './transport.ts';
import { type ClockSkew, ProcessEnv, type World } from './world.ts';

export interface SimClusterOptions {
  /** Machines; all of them know each other's addresses, and the first founds the cluster. */
  readonly nodes: number;
  readonly rangeMaxBytes: number;
  readonly settings?: Partial<StoreSettings>;
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
  readonly disk: MemoryDisk;
  readonly skew: ClockSkew;
  engine: MemoryEngine;
  running: Run | undefined;
  /** When an operation of the disk failed in this run of the node; it must stop itself. */
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

export class SimCluster {
  readonly world: World;
  readonly #options: SimClusterOptions;
  readonly #network: LocalNetwork;
  readonly #netRandom: SeededRandom;
  readonly #machines: Machine[];
  /** Directed links that are cut: "from to" as machine indexes. */
  readonly #cut = new Set<string>();
  readonly #onStop = new Map<number, () => void>();
  #loss: number;
  /** How often a node stopped itself because of its disk. */
  diskStops = 0;
  /** Programmer errors inside nodes: a run with one has failed. */
  readonly failures: string[] = [];

  constructor(world: World, options: SimClusterOptions) {
    this.world = world;
    this.#options = options;
    this.#loss = options.loss;
    this.#netRandom = world.random.fork();
    this.#network = new LocalNetwork(world, (delivery) => this.#fate(delivery));
    this.#machines = Array.from({ length: options.nodes }, (_, index): Machine => {
      const random = world.random.fork();
      const disk = new MemoryDisk({
        random: world.random.fork(),
        delay: (operation) =>
          operation.kind === 'read' || operation.kind === 'list'
            ? Promise.resolve()
            : new Promise((resolve) => {
                const { min, max } = options.diskMs;
                world.after(min + random.float() * (max - min), () => {
                  // A process that stalls hears of it later.
                  const timers = this.#machines[index]?.running?.env.timers ?? world.timers;
                  timers.immediate(resolve);
                });
              }),
      });
      return {
        index,
        address: `m${index + 1}`,
        disk,
        skew: {
          offsetMs: (random.float() * 2 - 1) * options.skewMs,
          driftPpm: (random.float() * 2 - 1) * options.driftPpm,
        },
        engine: new MemoryEngine({
          barrierDelay: async () => {
            const fault = disk.fault?.({ kind: 'sync', path: 'store/engine' });
            if (fault instanceof Error) throw fault;
            await fault;
          },
          onPoison: (error) => this.#stopped(index, error),
        }),
        running: undefined,
        diskFailedAtMs: undefined,
      };
    });
  }

  get size(): number {
    return this.#machines.length;
  }

  /** Node ids follow the order of joining, so the machine is what a fault names. */
  node(index: number): SkeinNode | undefined {
    return this.#machines[index]?.running?.node;
  }

  isUp(index: number): boolean {
    return this.#machines[index]?.running !== undefined;
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
    if (machine.running !== undefined) return;
    const env = new ProcessEnv(this.world, {
      disk: this.#options.wrapDisk?.(machine.disk.mount()) ?? machine.disk.mount(),
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
      storePath: 'store',
      openEngine: async () => machine.engine,
      openSql: this.#options.sql === true ? openSqlFront : undefined,
      rowPrograms: this.#options.sql === true ? rowProgramCompiler : undefined,
      rpcAddress: machine.address,
      sqlAddress: '',
      httpAddress: '',
      locality: [['zone', machine.address]],
      join: this.#machines.map((other) => other.address),
      singleNode: index === 0,
      version: 'sim',
      maxOffsetMs: this.#options.maxOffsetMs,
      zoneConfigFor: () => ({
        rangeMinBytes: 0,
        rangeMaxBytes: this.#options.rangeMaxBytes,
        numReplicas: 3,
        gcTtlSeconds: 600,
      }),
      ...(this.#options.settings === undefined ? {} : { storeSettings: this.#options.settings }),
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
        this.world.story(`m${index + 1} serves as n${node.nodeId}`);
      },
      (error: unknown) => {
        if (machine.running !== run) return;
        this.#stopped(index, error instanceof Error ? error : new Error(String(error)));
      },
    );
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
    const { running } = machine;
    if (running === undefined) return;
    this.world.story(`m${index + 1} crashes (${kind})`);
    machine.running = undefined;
    machine.diskFailedAtMs = undefined;
    machine.disk.fault = undefined;
    running.env.kill();
    running.transport.close(kind);
    for (const client of running.sqlClients) client.break(kind);
    if (kind === 'power') machine.disk.crash();
    else machine.disk.kill();
    // LevelDB's own writes are in the page cache: they survive the process, not the machine.
    machine.engine = machine.engine.crash(kind === 'power' ? this.world.random.fork() : keepAll);
    running.markGone();
  }

  pause(index: number, durationMs: number): void {
    const { running } = must(this.#machines[index]);
    if (running === undefined) return;
    this.world.story(`m${index + 1} stalls for ${Math.round(durationMs)} ms`);
    running.env.pauseUntil(this.world.nowMs + durationMs);
  }

  /**
   * From the next write or fsync on, `code` is all that the disk of a machine answers, until its process ends.
   * The node has to stop itself; `onStop` is called then.
   */
  failDisk(index: number, code: 'EIO' | 'ENOSPC', onStop: () => void): void {
    const machine = must(this.#machines[index]);
    if (machine.running === undefined || machine.disk.fault !== undefined) return;
    this.world.story(`m${index + 1} disk will fail with ${code}`);
    this.#onStop.set(index, onStop);
    machine.disk.fault = (operation) => {
      if (!failsWith(code, operation)) return undefined;
      machine.diskFailedAtMs ??= this.world.nowMs;
      return new DiskError(code, `${operation.kind} ${operation.path}`);
    };
  }

  /** Disks whose failure nobody has met yet will not fail. */
  healDisks(): void {
    for (const machine of this.#machines) {
      if (machine.diskFailedAtMs === undefined) machine.disk.fault = undefined;
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

  /** Cuts all links between the two groups, or only those from the first to the second. */
  partition(a: readonly number[], b: readonly number[], direction: 'both' | 'one-way'): void {
    const names = (group: readonly number[]): string => group.map((i) => `m${i + 1}`).join(' ');
    this.world.story(`partition (${direction}): ${names(a)} | ${names(b)}`);
    for (const x of a) {
      for (const y of b) {
        this.#cut.add(`${x} ${y}`);
        if (direction === 'both') this.#cut.add(`${y} ${x}`);
      }
    }
  }

  heal(): void {
    if (this.#cut.size > 0) this.world.story('partitions heal');
    this.#cut.clear();
  }

  setLoss(loss: number): void {
    this.#loss = loss;
  }

  /** Moves a machine's wall clock. */
  skew(index: number, offsetMs: number): void {
    this.world.story(`m${index + 1} clock offset ${Math.round(offsetMs)} ms`);
    must(this.#machines[index]).skew.offsetMs = offsetMs;
  }

  #fate(delivery: Delivery): number | 'drop' | 'reset' {
    const random = this.#netRandom;
    const from = this.#indexOf(delivery.from);
    const to = this.#indexOf(delivery.to);
    this.world.mix(`${delivery.from}>${delivery.to} ${delivery.method} ${delivery.bytes}`);
    if (from !== undefined && to !== undefined && this.#cut.has(`${from} ${to}`)) return 'drop';
    if (random.chance(this.#loss)) return 'reset';
    return this.#delayMs();
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

  /** A node ended itself: right when its disk failed, a bug otherwise. */
  #stopped(index: number, error: Error): void {
    const machine = must(this.#machines[index]);
    if (machine.running?.env.alive !== true) return;
    if (machine.diskFailedAtMs === undefined) {
      this.#fail(index, `the node ended itself: ${error.stack ?? error.message}`);
      return;
    }
    this.diskStops++;
    this.world.story(`m${index + 1} stops itself: ${error.message}`);
    // After a failed fsync nobody knows what the disk holds.
    this.crash(index, 'power');
    this.#onStop.get(index)?.();
  }

  #fail(index: number, what: string): void {
    this.failures.push(`m${index + 1}: ${what}`);
    this.world.story(`FAILURE m${index + 1}: ${what}`);
  }

  #logger(index: number): Logger {
    const { log } = this.#options;
    if (log === undefined) return silentLogger;
    const line =
      (level: string): Logger['info'] =>
      (fields, message) =>
        log(index, `${level} ${message} ${JSON.stringify(fields, printable)}`);
    const logger: Logger = {
      debug: () => undefined,
      info: line('info'),
      warn: line('warn'),
      error: line('error'),
      child: () => logger,
    };
    return logger;
  }
}

function failsWith(code: 'EIO' | 'ENOSPC', { kind }: DiskOperation): boolean {
  if (kind === 'write' || kind === 'replace') return true;
  return code === 'EIO' && (kind === 'sync' || kind === 'sync-dir' || kind === 'truncate');
}

/** As a Random for MemoryEngine.crash: everything survives. */
const keepAll = { u32: () => 3, float: () => 0, bytes: (length: number) => Buffer.alloc(length) };

function printable(_key: string, value: unknown): unknown {
  if (value instanceof Error) return value.stack;
  return typeof value === 'bigint' ? String(value) : value;
}
