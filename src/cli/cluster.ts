/**
 * A cluster inside one process, for tests: real SQL sockets, an in-process network that can be cut, stores in
 * memory or on disk, and a clock that can be put forward. docs/SIMULATION.md shows how tests use it.
 */
import { createServer, type Server, type Socket } from 'node:net';
import { join } from 'node:path';
import { asNodeId, gossipKeys } from '../kv/index.ts';
import { LocalNetwork, type LocalTransport } from '../rpc/index.ts';
import { SkeinNode, openSqlFront } from '../server/index.ts';
import { rowProgramCompiler } from '../sql/index.ts';
import { DiskError, MemoryDisk, SeededRandom } from '../sim/index.ts';
import { LevelEngine, MemoryEngine } from '../storage/index.ts';
import { assert, must, silentLogger, sleep, type Env, type Logger } from '../util/index.ts';
import { ClusterClock } from './cluster-clock.ts';
import { createNodeEnv, type NodeEnv } from './node-env.ts';
import { createRealEnv } from './real-env.ts';
import { syncPath } from './real-disk.ts';
import { foreignFiles } from './start-files.ts';
import { version } from './version.ts';

export interface ClusterOptions {
  /** Default 3. */
  readonly nodes?: number;
  /** A folder for stores on disk; absent = in memory. */
  readonly path?: string;
  /** Where nodes log; default nowhere. */
  readonly log?: Logger;
  /** How many stores a node has, asked at each of its starts; 0: it serves SQL only. Default 1. */
  readonly stores?: (node: number) => number;
  /** Locality of a node; default `region=local,zone=a|b|c...`. */
  readonly locality?: (node: number) => readonly (readonly [string, string])[];
}

interface Member {
  readonly index: number;
  readonly disk: MemoryDisk | undefined;
  /** By their folders. */
  memory: ReadonlyMap<string, MemoryEngine>;
  /** What its disk answers to writes from now on. */
  diskError: Error | undefined;
  /** Called when the node has ended itself. */
  onEnd: () => void;
  /** Fixed at the first start, so that urls stay true over a restart. */
  port: number;
  running: Running | undefined;
}

interface Running {
  readonly node: SkeinNode;
  readonly env: NodeEnv;
  readonly transport: LocalTransport;
  readonly server: Server;
  readonly sockets: Set<Socket>;
  readonly engines: LevelEngine[];
}

/** Operations of a disk that go well when writes fail. */
const readsOnly: ReadonlySet<string> = new Set(['mkdir', 'list', 'open', 'read']);

const host = '127.0.0.1';

export class Cluster {
  readonly #options: ClusterOptions;
  readonly #env: Env;
  readonly #time: ClusterClock;
  readonly #network: LocalNetwork;
  readonly #members: Member[];
  readonly #cut = new Set<string>();

  private constructor(options: ClusterOptions) {
    this.#options = options;
    const real = createRealEnv({ log: options.log ?? silentLogger, checks: true });
    const isDiskBusy = (): boolean =>
      this.#members.some(({ running }) => running?.node.isDiskBusy === true);
    this.#time = new ClusterClock(real, isDiskBusy);
    this.#env = { ...real, clock: this.#time.clock, timers: this.#time.timers };
    this.#network = new LocalNetwork(this.#env, ({ from, to }) =>
      this.#cut.has(`${this.#indexOf(from)} ${this.#indexOf(to)}`) ? 'drop' : 0,
    );
    this.#members = Array.from({ length: options.nodes ?? 3 }, (_, index) => {
      const random = new SeededRandom(real.random.u32());
      const disk = options.path === undefined ? new MemoryDisk({ random }) : undefined;
      const member: Member = {
        index,
        disk,
        memory: new Map(),
        diskError: undefined,
        onEnd: () => undefined,
        port: 0,
        running: undefined,
      };
      if (disk !== undefined) {
        disk.fault = ({ kind }) => (readsOnly.has(kind) ? undefined : member.diskError);
      }
      return member;
    });
  }

  /** Resolves when every node serves SQL and knows all others: whoever asks them all gets all answers. */
  static async start(options: ClusterOptions = {}): Promise<Cluster> {
    const cluster = new Cluster(options);
    const members = cluster.#members;
    await Promise.all(members.map((member) => cluster.#start(member)));
    const knowsAll = ({ running }: Member): boolean =>
      running === undefined ||
      running.node.gossip.list(gossipKeys.nodePrefix).length >= members.length;
    while (!members.every(knowsAll)) await sleep(cluster.#env, 10);
    return cluster;
  }

  get size(): number {
    return this.#members.length;
  }

  /** Connection string of node `index` (from 0). */
  url(index: number, database = 'defaultdb'): string {
    return `postgresql://root@${host}:${this.#member(index).port}/${database}?sslmode=disable`;
  }

  /** The node itself, for tests of the inside. Throws when it is down. */
  node(index: number): SkeinNode {
    return this.#running(index).node;
  }

  /** The clocks of the nodes; those of the test and of its clients are the machine's. */
  readonly clock = {
    /** What `now()` in SQL would say, as `Date.now()`. */
    now: (): number => Math.floor(this.#time.clock.wallMicros() / 1000),
    /**
     * Time passes: for all nodes the clocks move and timers come due, as on machines that idle for so long;
     * resolves when that has happened. With `node`: only the wall clock of that machine jumps (back, when `ms` is
     * below 0), as when somebody sets it. A node that is more than 400 ms from most others serves nobody until it
     * agrees with them again.
     */
    advance: async (ms: number, node?: number): Promise<void> => {
      if (node === undefined) await this.#time.advance(Math.round(ms));
      else this.#running(node).env.moveWallClock(Math.round(ms));
    },
  };

  /**
   * kill -9: the node is gone at once, without a goodbye, and its connections break. 'power': its machine is, so what
   * was not synced is lost or torn, as chance has it (stores in memory only).
   */
  async crash(index: number, kind: 'process' | 'power' = 'process'): Promise<void> {
    const member = this.#member(index);
    const { running } = member;
    if (running === undefined) return;
    assert(kind === 'process' || member.disk !== undefined, 'a store on disk keeps its power');
    member.running = undefined;
    member.diskError = undefined;
    running.env.kill();
    // The operating system resets a dead process's connections.
    running.transport.close(kind === 'process' ? 'reset' : 'silent');
    if (kind === 'power') member.disk?.crash();
    else member.disk?.kill();
    const chance = kind === 'power' ? this.#env.random : keepAll;
    member.memory = new Map(
      [...member.memory].map(([path, engine]) => [path, engine.crash(chance)]),
    );
    for (const socket of running.sockets) socket.destroy();
    await closeServer(running.server);
    for (const engine of running.engines) await engine.close();
  }

  /** The event loop of a node stands still for so long, as in a long garbage collection or after SIGSTOP. */
  pause(index: number, ms: number): void {
    const { env, sockets } = this.#running(index);
    env.stall(ms);
    for (const socket of sockets) socket.pause();
    env.timers.immediate(() => {
      for (const socket of sockets) socket.resume();
    });
  }

  /**
   * From now on the disk of a node answers every write and fsync with this error (stores in memory only). Resolves when
   * the node has ended itself because of that, as it must; `restart` finds the disk healthy again.
   */
  failDisk(index: number, code: 'EIO' | 'ENOSPC'): Promise<void> {
    const member = this.#member(index);
    assert(member.disk !== undefined, 'only a disk in memory fails on demand');
    must(member.running, `node ${index} is down`);
    member.diskError = new DiskError(code, 'write');
    return new Promise((resolve) => {
      member.onEnd = resolve;
    });
  }

  /** Starts a node that has ended; resolves when it serves again. */
  async restart(index: number): Promise<void> {
    const member = this.#member(index);
    if (member.running === undefined) await this.#start(member);
  }

  /** Cuts all links between the two groups of nodes, or only those from the first to the second. */
  partition(
    a: readonly number[],
    b: readonly number[],
    direction: 'both' | 'one-way' = 'both',
  ): void {
    for (const x of a) {
      for (const y of b) {
        this.#cut.add(`${x} ${y}`);
        if (direction === 'both') this.#cut.add(`${y} ${x}`);
      }
    }
  }

  /** Mends all links. */
  heal(): void {
    this.#cut.clear();
  }

  /** Drains and stops all nodes; nothing is left behind in the process. */
  async stop(): Promise<void> {
    this.heal();
    await Promise.all(
      this.#members.map(async (member) => {
        const { running } = member;
        if (running === undefined) return;
        member.running = undefined;
        await running.node.stop();
        for (const socket of running.sockets) socket.destroy();
        await closeServer(running.server);
        running.transport.close();
        running.env.kill();
      }),
    );
  }

  async #start(member: Member): Promise<void> {
    const { index } = member;
    const env = createNodeEnv(
      member.disk === undefined ? this.#env : { ...this.#env, disk: member.disk.mount() },
    );
    const address = `n${index}`;
    const transport = this.#network.endpoint(env, address);
    const sockets = new Set<Socket>();
    const server = createServer({ noDelay: true }, (socket) => {
      sockets.add(socket);
      socket.on('close', () => sockets.delete(socket));
      // A client may go before a node that stalls has looked at it.
      socket.on('error', () => undefined);
      env.timers.immediate(() => node.serveSql(socket));
    });
    member.port = await listen(server, member.port);
    const node: SkeinNode = new SkeinNode({
      env,
      transport,
      stores: this.#storePaths(index).map((path) => ({ path })),
      openEngine: async (directory, hooks) => {
        if (member.disk !== undefined) return this.#memoryEngine(member, directory);
        const files = foreignFiles;
        const engine = await LevelEngine.open({ env, directory, syncPath, files, ...hooks });
        running.engines.push(engine);
        return engine;
      },
      openSql: openSqlFront,
      rowPrograms: rowProgramCompiler,
      rpcAddress: address,
      sqlAddress: `${host}:${member.port}`,
      httpAddress: '',
      locality: this.#options.locality?.(index) ?? [
        ['region', 'local'],
        ['zone', String.fromCharCode(97 + (index % 26))],
      ],
      join: this.#members.map((other) => `n${other.index}`),
      singleNode: index === 0,
      version,
      maxOffsetMs: 500,
      onFatal: (error) => this.#ended(member, error),
    });
    const running: Running = { node, env, transport, server, sockets, engines: [] };
    member.running = running;
    try {
      await node.start({ onIdentity: (nodeId) => transport.bind(nodeId) });
    } catch (error) {
      await this.crash(index);
      throw error;
    }
  }

  #storePaths(index: number): string[] {
    const { path, stores } = this.#options;
    const first = path === undefined ? 'store' : join(path, `node${index + 1}`);
    return Array.from({ length: stores?.(index) ?? 1 }, (_, at) =>
      at === 0 ? first : `${first}-${at + 1}`,
    );
  }

  #memoryEngine(member: Member, path: string): MemoryEngine {
    const known = member.memory.get(path);
    if (known !== undefined) return known;
    const engine = new MemoryEngine({
      barrierDelay: async () => {
        if (member.diskError !== undefined) throw member.diskError;
      },
      onPoison: (error) => this.#ended(member, error),
    });
    member.memory = new Map(member.memory).set(path, engine);
    return engine;
  }

  /** A node ended itself. */
  #ended(member: Member, error: Error): void {
    if (member.running === undefined) return;
    this.#env.log.error({ node: member.index, err: error }, 'the store failed');
    void this.crash(member.index, member.disk === undefined ? 'process' : 'power').then(
      member.onEnd,
    );
  }

  #running(index: number): Running {
    return must(this.#member(index).running, `node ${index} is down`);
  }

  #member(index: number): Member {
    return must(this.#members[index], `there is no node ${index}`);
  }

  #indexOf(nodeId: number): number {
    return this.#members.findIndex(
      (member) => nodeId !== 0 && member.running?.node.nodeId === asNodeId(nodeId),
    );
  }
}

/** As a Random for MemoryEngine.crash: the page cache survives a process. */
const keepAll = { u32: () => 3, float: () => 0, bytes: (length: number) => Buffer.alloc(length) };

function listen(server: Server, port: number): Promise<number> {
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen(port, host, () => {
      const address = server.address();
      resolve(typeof address === 'object' && address !== null ? address.port : port);
    });
  });
}

function closeServer(server: Server): Promise<void> {
  return new Promise((resolve) => server.close(() => resolve()));
}
