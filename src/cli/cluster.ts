/**
 * A cluster inside one process, for tests: real SQL sockets, real timers, an in-process network that can
 * be cut, stores in memory or on disk.
 *
 *     const cluster = await Cluster.start({ nodes: 3 });
 *     const client = new pg.Client(cluster.url(0));
 *     cluster.partition([0], [1, 2]);
 *     await cluster.kill(2);
 *     await cluster.restart(2);
 *     await cluster.stop();
 */
import { createServer, type Server, type Socket } from 'node:net';
import { join } from 'node:path';
import { asNodeId } from '../kv/index.ts';
import { LocalNetwork, type LocalTransport } from '../rpc/index.ts';
import { SkeinNode, openSqlFront } from '../server/index.ts';
import { rowProgramCompiler } from '../sql/index.ts';
import { MemoryDisk, SeededRandom } from '../sim/index.ts';
import { LevelEngine, MemoryEngine } from '../storage/index.ts';
import { must, silentLogger, type Env, type Logger } from '../util/index.ts';
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
  /** Locality of a node; default `region=local,zone=a|b|c...`. */
  readonly locality?: (node: number) => readonly (readonly [string, string])[];
}

interface Member {
  readonly index: number;
  readonly disk: MemoryDisk | undefined;
  memory: MemoryEngine;
  /** Fixed at the first start, so that urls stay true over a restart. */
  port: number;
  running: Running | undefined;
}

interface Running {
  readonly node: SkeinNode;
  readonly env: Env & { kill(): void };
  readonly transport: LocalTransport;
  readonly server: Server;
  readonly sockets: Set<Socket>;
  engine: LevelEngine | undefined;
}

const host = '127.0.0.1';

export class Cluster {
  readonly #options: ClusterOptions;
  readonly #realEnv: Env;
  readonly #network: LocalNetwork;
  readonly #members: Member[];
  readonly #cut = new Set<string>();

  private constructor(options: ClusterOptions) {
    this.#options = options;
    this.#realEnv = createRealEnv({ log: options.log ?? silentLogger, checks: true });
    this.#network = new LocalNetwork(this.#realEnv, ({ from, to }) =>
      this.#cut.has(`${this.#indexOf(from)} ${this.#indexOf(to)}`) ? 'drop' : 0,
    );
    this.#members = Array.from({ length: options.nodes ?? 3 }, (_, index) => ({
      index,
      disk:
        options.path === undefined
          ? new MemoryDisk({ random: new SeededRandom(this.#realEnv.random.u32()) })
          : undefined,
      memory: new MemoryEngine(),
      port: 0,
      running: undefined,
    }));
  }

  /** Resolves when every node serves SQL. */
  static async start(options: ClusterOptions = {}): Promise<Cluster> {
    const cluster = new Cluster(options);
    await Promise.all(cluster.#members.map((member) => cluster.#start(member)));
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
    return must(this.#member(index).running, `node ${index} is down`).node;
  }

  /** The node is gone at once: no goodbye, connections break, what was not synced is lost to chance. */
  async kill(index: number): Promise<void> {
    const member = this.#member(index);
    const { running } = member;
    if (running === undefined) return;
    member.running = undefined;
    running.env.kill();
    // The operating system resets a dead process's connections.
    running.transport.close('reset');
    member.disk?.kill();
    member.memory = member.memory.crash(keepAll);
    for (const socket of running.sockets) socket.destroy();
    await closeServer(running.server);
    await running.engine?.close();
  }

  /** Starts a node that was killed or stopped; resolves when it serves again. */
  async restart(index: number): Promise<void> {
    const member = this.#member(index);
    if (member.running === undefined) await this.#start(member);
  }

  /** Cuts all links between the two groups of nodes, in both directions. */
  partition(a: readonly number[], b: readonly number[]): void {
    for (const x of a) {
      for (const y of b) {
        this.#cut.add(`${x} ${y}`);
        this.#cut.add(`${y} ${x}`);
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
    const env = mortalEnv(
      member.disk === undefined ? this.#realEnv : { ...this.#realEnv, disk: member.disk.mount() },
    );
    const address = `n${index}`;
    const transport = this.#network.endpoint(env, address);
    const sockets = new Set<Socket>();
    const server = createServer({ noDelay: true }, (socket) => {
      sockets.add(socket);
      socket.on('close', () => sockets.delete(socket));
      node.serveSql(socket);
    });
    member.port = await listen(server, member.port);
    const node: SkeinNode = new SkeinNode({
      env,
      transport,
      storePath:
        this.#options.path === undefined ? 'store' : join(this.#options.path, `node${index + 1}`),
      openEngine: async (directory, hooks) => {
        if (member.disk !== undefined) return member.memory;
        const files = foreignFiles;
        running.engine = await LevelEngine.open({ env, directory, syncPath, files, ...hooks });
        return running.engine;
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
      onFatal: (error) => {
        env.log.error({ node: index, err: error }, 'the store failed');
        void this.kill(index);
      },
    });
    const running: Running = { node, env, transport, server, sockets, engine: undefined };
    member.running = running;
    try {
      await node.start({ onIdentity: (nodeId) => transport.bind(nodeId) });
    } catch (error) {
      await this.kill(index);
      throw error;
    }
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

/** An Env whose timers stop firing when its node is killed. */
function mortalEnv(env: Env): Env & { kill(): void } {
  let alive = true;
  const guard =
    (fn: () => void): (() => void) =>
    () => {
      if (alive) fn();
    };
  return {
    ...env,
    timers: {
      after: (delayMs, fn) => env.timers.after(delayMs, guard(fn)),
      immediate: (fn) => env.timers.immediate(guard(fn)),
    },
    kill: () => {
      alive = false;
    },
  };
}

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
