/**
 * The local runner: N nodes of the shipped program as processes of their own on this machine. It
 * starts them, founds the cluster the first time, starts a node again that died, and stops all.
 *
 * The data folder holds `cluster.json` (so a foreign folder is never touched) and one folder per node.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import pg from 'pg';

import { initCluster } from './init.ts';
import { mallocVariables } from './memory.ts';
import { UsageError } from './options.ts';
import { packageRoot } from './package-root.ts';

export interface LocalClusterOptions {
  readonly nodes: number;
  /** So many are started at once, the others by `startNode`; default all. */
  readonly initialNodes?: number;
  readonly data: string;
  /** Ports of the first node; the others count up. */
  readonly sqlPort: number;
  readonly rpcPort: number;
  readonly httpPort: number;
  readonly fresh: boolean;
  readonly say: (line: string) => void;
  /** Start a node again that ended by itself; default true. */
  readonly restart?: boolean;
  /** More arguments for node `index`, and for Node itself. */
  readonly nodeArguments?: (index: number) => readonly string[];
  readonly execArguments?: (index: number) => readonly string[];
  /** Variables that node `index` has besides those of this process. */
  readonly environment?: (index: number) => Readonly<Record<string, string>>;
}

interface LocalNode {
  readonly index: number;
  process: ChildProcess | undefined;
  ready: Promise<void>;
  restarts: number;
  /** The end of what the process wrote to standard error. */
  lastWords: string;
}

const program = join(packageRoot, 'bin', 'skein.cjs');
const host = '127.0.0.1';
/** A node that ends again and again is left alone. */
const restartsMax = 20;
const restartDelayMs = 1000;
const stopTimeoutMs = 15_000;
const replicas = 3;
const replicatedTimeoutMs = 60_000;

export class LocalCluster {
  readonly #options: LocalClusterOptions;
  readonly #nodes: LocalNode[];
  #stopping = false;

  constructor(options: LocalClusterOptions) {
    this.#options = options;
    this.#nodes = Array.from({ length: options.nodes }, (_, index) => ({
      index,
      process: undefined,
      ready: Promise.resolve(),
      restarts: 0,
      lastWords: '',
    }));
  }

  url(index: number): string {
    return `postgresql://root@${host}:${this.#options.sqlPort + index}/defaultdb?sslmode=disable`;
  }

  pid(index: number): number | undefined {
    return this.#nodes[index]?.process?.pid;
  }

  async start(): Promise<void> {
    const isNew = this.#prepareFolder();
    await this.#checkPorts();
    try {
      const initial = this.#nodes.slice(0, this.#options.initialNodes ?? this.#nodes.length);
      for (const node of initial) {
        this.#spawn(node);
        // Joining one after the other gives the processes the node ids 1, 2, 3 in order.
        if (isNew && node.index === 0) this.#options.say(await this.#found());
        if (isNew) await node.ready;
      }
      for (const node of initial) {
        await node.ready;
        this.#options.say(this.#describe(node));
      }
      // Before that the loss of one node could be the loss of a quorum.
      if (isNew && initial.length >= replicas && !(await this.bearsLossOfOne())) {
        this.#options.say(
          'not every range bears the loss of a node yet; the nodes go on making replicas',
        );
      }
    } catch (error) {
      await this.stop();
      throw error;
    }
    this.#writeMarker({ founded: true });
  }

  /**
   * SIGKILL: the node gets no chance to say goodbye; SIGTERM: it drains. Resolves when it is gone and that has been said; it is started
   * again when `restart` is on.
   */
  async kill(index: number, signal: 'SIGKILL' | 'SIGTERM' = 'SIGKILL'): Promise<void> {
    const child = this.#nodes[index]?.process;
    if (child === undefined) return;
    const gone = new Promise<void>((resolve) => child.once('close', () => resolve()));
    child.kill(signal);
    await gone;
  }

  /** SIGSTOP: the node stands still, its connections stay open. SIGCONT: it goes on. */
  signal(index: number, signal: 'SIGSTOP' | 'SIGCONT'): void {
    this.#nodes[index]?.process?.kill(signal);
  }

  /** To what was loaded into the node besides the program (`execArguments`). */
  send(index: number, message: object): void {
    this.#nodes[index]?.process?.send(message);
  }

  /** Starts a node that ended; resolves when it is ready. */
  async startNode(index: number): Promise<void> {
    const node = this.#nodes[index];
    if (node === undefined || node.process !== undefined) return;
    this.#spawn(node);
    await node.ready;
    if (node.process !== undefined) this.#readyNodes.add(node.process);
  }

  /** Drains and stops all nodes. */
  async stop(): Promise<void> {
    this.#stopping = true;
    await Promise.all(
      this.#nodes.map(async ({ process: child }) => {
        if (child === undefined || child.exitCode !== null || child.signalCode !== null) return;
        const ended = new Promise<void>((resolve) => child.once('exit', () => resolve()));
        child.kill('SIGTERM');
        const timer = setTimeout(() => child.kill('SIGKILL'), stopTimeoutMs);
        await ended;
        clearTimeout(timer);
      }),
    );
  }

  #spawn(node: LocalNode): void {
    const { index } = node;
    const { data, sqlPort, rpcPort, httpPort } = this.#options;
    const join_ = this.#nodes.map((other) => `${host}:${rpcPort + other.index}`).join(',');
    const child = spawn(
      process.execPath,
      [
        ...(this.#options.execArguments?.(index) ?? []),
        program,
        'start',
        '--insecure',
        `--store=path=${join(data, `node${index + 1}`)}`,
        `--listen-addr=${host}:${rpcPort + index}`,
        `--sql-addr=${host}:${sqlPort + index}`,
        `--http-addr=${host}:${httpPort + index}`,
        `--join=${join_}`,
        `--locality=region=local,zone=${String.fromCharCode(97 + (index % 26))}`,
        '--ballast-size=0',
        `--log-file=${join(data, `node${index + 1}.log`)}`,
        ...(this.#options.nodeArguments?.(index) ?? []),
      ],
      // A group of its own: Ctrl-C in the terminal reaches the runner alone, which then stops all in order.
      {
        stdio: ['ignore', 'ignore', 'pipe', 'ipc'],
        detached: true,
        env: { ...mallocVariables, ...process.env, ...this.#options.environment?.(index) },
      },
    );
    node.process = child;
    node.lastWords = '';
    let hasExplained = false;
    child.stderr?.on('data', (chunk: Buffer) => {
      if (!hasExplained) node.lastWords = (node.lastWords + chunk.toString('utf8')).slice(-2000);
    });
    node.ready = new Promise<void>((resolve, reject) => {
      child.on('message', (message: { kind: string; message?: string }) => {
        if (message.kind === 'ready') resolve();
        if (message.kind !== 'failed' || message.message === undefined) return;
        hasExplained = true;
        node.lastWords = message.message;
      });
      child.once('close', (code, signal) => {
        reject(
          new UsageError(
            `node ${index + 1} ended (${signal ?? `status ${code}`}): ${node.lastWords.trim() || 'no message'}`,
          ),
        );
      });
    });
    // Whoever waits sees the failure; nobody has to.
    node.ready.catch(() => {});
    child.once('exit', () => {
      if (node.process === child) node.process = undefined;
    });
    // Its last words may come behind its end.
    child.once('close', (code, signal) => this.#ended(node, child, signal ?? `status ${code}`));
  }

  #ended(node: LocalNode, child: ChildProcess, how: string): void {
    const wasReady = this.#readyNodes.has(child);
    if (this.#stopping || !wasReady) return;
    const isAgain = this.#options.restart !== false && node.restarts++ < restartsMax;
    const next = isAgain ? 'it is started again' : 'it is not started again';
    const why = node.lastWords.trim();
    this.#options.say(`node ${node.index + 1} ended (${how}); ${next}${why && `: ${why}`}`);
    if (!isAgain) return;
    setTimeout(() => {
      if (this.#stopping || node.process !== undefined) return;
      this.#spawn(node);
      this.#watchReady(node);
    }, restartDelayMs);
  }

  readonly #readyNodes = new WeakSet<ChildProcess>();

  #watchReady(node: LocalNode): void {
    const child = node.process;
    node.ready.then(
      () => {
        if (child !== undefined) this.#readyNodes.add(child);
        this.#options.say(`${this.#describe(node)}  (again)`);
      },
      (error: unknown) => this.#options.say(error instanceof Error ? error.message : String(error)),
    );
  }

  #describe(node: LocalNode): string {
    const { sqlPort, rpcPort, httpPort } = this.#options;
    if (node.process !== undefined) this.#readyNodes.add(node.process);
    return (
      `node ${node.index + 1}  sql ${host}:${sqlPort + node.index}  rpc ${host}:${rpcPort + node.index}` +
      `  http http://${host}:${httpPort + node.index}  pid ${node.process?.pid ?? 0}`
    );
  }

  /**
   * Waits until every range bears the loss of any one node; three replicas are not enough in the midst of the change that made them.
   * False: not within a minute.
   */
  async bearsLossOfOne(): Promise<boolean> {
    const client = new pg.Client({ connectionString: this.url(0) });
    await client.connect();
    try {
      const deadlineMs = performance.now() + replicatedTimeoutMs;
      for (;;) {
        const { rows } = await client.query<{ is_so: boolean | null }>(
          `SELECT bool_and(is_available AND critical_nodes = '') AS is_so
           FROM skein_internal.replication_conformance`,
        );
        if (rows[0]?.is_so === true) return true;
        if (performance.now() > deadlineMs) return false;
        await new Promise((resolve) => setTimeout(resolve, 200));
      }
    } finally {
      await client.end();
    }
  }

  async #found(): Promise<string> {
    // The node may not listen yet; a refusal is final once it does.
    const deadlineMs = performance.now() + 20_000;
    for (;;) {
      try {
        const { clusterId } = await initCluster(`${host}:${this.#options.rpcPort}`);
        return `cluster ${clusterId} is made`;
      } catch (error) {
        const first = this.#nodes[0];
        if (first?.process === undefined) await first?.ready;
        if (performance.now() > deadlineMs) throw error;
        await new Promise((resolve) => setTimeout(resolve, 100));
      }
    }
  }

  /** True when the cluster has to be founded. */
  #prepareFolder(): boolean {
    const { data, fresh } = this.#options;
    const marker = join(data, 'cluster.json');
    const occupied = existsSync(data) && readdirSync(data).length > 0;
    if (occupied && !existsSync(marker)) {
      throw new UsageError(
        `${data} holds files that are not of a Skein cluster; choose another folder.`,
      );
    }
    if (occupied && fresh) rmSync(data, { recursive: true });
    mkdirSync(data, { recursive: true, mode: 0o700 });
    let founded = false;
    if (existsSync(marker)) {
      const known = JSON.parse(readFileSync(marker, 'utf8')) as { nodes: number; founded: boolean };
      founded = known.founded;
      if (known.nodes > this.#options.nodes) {
        throw new UsageError(
          `${data} holds a cluster of ${known.nodes} nodes; start it with --nodes ${known.nodes}, or remove it with --fresh.`,
        );
      }
    }
    if (!founded) this.#writeMarker({ founded: false });
    return !founded;
  }

  #writeMarker(state: { founded: boolean }): void {
    writeFileSync(
      join(this.#options.data, 'cluster.json'),
      JSON.stringify({ nodes: this.#options.nodes, ...state }) + '\n',
    );
  }

  async #checkPorts(): Promise<void> {
    for (const [flag, first] of [
      ['--sql-port', this.#options.sqlPort],
      ['--rpc-port', this.#options.rpcPort],
      ['--http-port', this.#options.httpPort],
    ] as const) {
      for (const node of this.#nodes) {
        const port = first + node.index;
        if (!(await isFree(port))) {
          throw new UsageError(`port ${port} is in use; choose other ports with ${flag}.`);
        }
      }
    }
  }
}

/** True when nobody listens on the port of the loopback address. */
export function isFree(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const probe = createServer();
    probe.once('error', () => resolve(false));
    probe.listen(port, host, () => probe.close(() => resolve(true)));
  });
}
