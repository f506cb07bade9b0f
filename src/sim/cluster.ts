/**
 * A whole cluster in a world: shipped nodes (`SkeinNode`), only Env, network and disk are simulated.
 * A machine outlives its processes: it keeps the disk, the engine's durable contents and the clock's skew.
 */
import { asNodeId, type NodeId } from '../kv/index.ts';
import { type Delivery, LocalNetwork, type LocalTransport } from '../rpc/index.ts';
import { SkeinNode } from '../server/index.ts';
import { MemoryEngine } from '../storage/index.ts';
import { must, silentLogger, type Logger } from '../util/index.ts';
import { MemoryDisk } from './memory-disk.ts';
import { type SeededRandom } from './random.ts';
import { type ClockSkew, ProcessEnv, type World } from './world.ts';

export interface SimClusterOptions {
  readonly nodes: number;
  readonly rangeMaxBytes: number;
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
  readonly log?: (node: number, line: string) => void;
}

interface Machine {
  readonly index: number;
  readonly address: string;
  readonly disk: MemoryDisk;
  readonly skew: ClockSkew;
  engine: MemoryEngine;
  process: Process | undefined;
}

interface Process {
  readonly env: ProcessEnv;
  readonly transport: LocalTransport;
  readonly node: SkeinNode;
  readonly gone: Promise<void>;
  readonly markGone: () => void;
  serving: boolean;
}

export class SimCluster {
  readonly world: World;
  readonly #options: SimClusterOptions;
  readonly #network: LocalNetwork;
  readonly #netRandom: SeededRandom;
  readonly #machines: Machine[];
  /** Directed links that are cut: "from to" as machine indexes. */
  readonly #cut = new Set<string>();
  #loss: number;
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
                world.after(min + random.float() * (max - min), resolve);
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
        engine: new MemoryEngine(),
        process: undefined,
      };
    });
  }

  get size(): number {
    return this.#machines.length;
  }

  /** Node ids follow the order of joining, so the machine is what a fault names. */
  node(index: number): SkeinNode | undefined {
    return this.#machines[index]?.process?.node;
  }

  isUp(index: number): boolean {
    return this.#machines[index]?.process !== undefined;
  }

  /** Nodes that have started and serve, with the promise of their end. */
  serving(): { readonly index: number; readonly node: SkeinNode; readonly gone: Promise<void> }[] {
    return this.#machines.flatMap(({ index, process }) =>
      process?.serving === true ? [{ index, node: process.node, gone: process.gone }] : [],
    );
  }

  start(index: number): void {
    const machine = must(this.#machines[index]);
    if (machine.process !== undefined) return;
    const env = new ProcessEnv(this.world, {
      disk: machine.disk.mount(),
      skew: machine.skew,
      log: this.#logger(index),
    });
    const transport = this.#network.endpoint(env, machine.address);
    let markGone: () => void = () => undefined;
    const gone = new Promise<void>((resolve) => {
      markGone = resolve;
    });
    const node = new SkeinNode({
      env,
      transport,
      storePath: 'store',
      openEngine: async (_path, onPoison) => {
        void onPoison;
        return machine.engine;
      },
      openSql: undefined,
      rowPrograms: undefined,
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
      // The last words of a process that was killed: its disk is gone under it.
      onFatal: (error) => {
        if (env.alive) this.#fail(index, `the store failed: ${error.stack ?? error.message}`);
      },
    });
    const process: Process = { env, transport, node, gone, markGone, serving: false };
    machine.process = process;
    this.world.story(`m${index + 1} starts`);
    node.start({ onIdentity: (id) => transport.bind(id) }).then(
      () => {
        if (machine.process !== process) return;
        process.serving = true;
        this.world.story(`m${index + 1} serves as n${node.nodeId}`);
      },
      (error: unknown) => {
        if (machine.process !== process) return;
        this.#fail(index, `the start failed: ${error instanceof Error ? error.stack : error}`);
      },
    );
  }

  /** kill -9, or a power failure that loses writes that were not synced. */
  crash(index: number, kind: 'process' | 'power'): void {
    const machine = must(this.#machines[index]);
    const { process } = machine;
    if (process === undefined) return;
    this.world.story(`m${index + 1} crashes (${kind})`);
    machine.process = undefined;
    process.env.kill();
    process.transport.close();
    if (kind === 'power') machine.disk.crash();
    else machine.disk.kill();
    // LevelDB's own writes are in the page cache: they survive the process, not the machine.
    machine.engine = machine.engine.crash(kind === 'power' ? this.world.random.fork() : keepAll);
    process.markGone();
  }

  pause(index: number, durationMs: number): void {
    const { process } = must(this.#machines[index]);
    if (process === undefined) return;
    this.world.story(`m${index + 1} stalls for ${Math.round(durationMs)} ms`);
    process.env.pauseUntil(this.world.nowMs + durationMs);
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
    const { min, mean } = this.#options.delayMs;
    return min - Math.log(1 - random.float()) * mean;
  }

  #indexOf(nodeId: NodeId): number | undefined {
    if (nodeId === asNodeId(0)) return undefined;
    return this.#machines.find((machine) => machine.process?.node.nodeId === nodeId)?.index;
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

/** As a Random for MemoryEngine.crash: everything survives. */
const keepAll = { u32: () => 3, float: () => 0, bytes: (length: number) => Buffer.alloc(length) };

function printable(_key: string, value: unknown): unknown {
  if (value instanceof Error) return value.stack;
  return typeof value === 'bigint' ? String(value) : value;
}
