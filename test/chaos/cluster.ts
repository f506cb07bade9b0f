/**
 * Real processes of the shipped program whose network and machines belong to the test: connections between nodes go
 * through proxies, clocks, event loops and fsyncs obey orders (`agent.cjs`). Nodes count from 0.
 */
import { execFile, spawn } from 'node:child_process';
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { LocalCluster } from '../../src/cli/local-cluster.ts';
import { packageRoot } from '../../src/cli/package-root.ts';
import { freePorts } from '../drivers/ports.ts';
import { Network } from './network/network.ts';

/** What a node is told through `agent.cjs`. */
export type Order =
  /** Its wall clock is ahead by so much; only every other period when `strobePeriodMs` is above 0. */
  | { readonly kind: 'clock'; readonly offsetMs: number; readonly strobePeriodMs: number }
  /** Its event loop stands still. */
  | { readonly kind: 'stall'; readonly forMs: number }
  | { readonly kind: 'fsync'; readonly fails: boolean };

export interface ChaosClusterOptions {
  /** That found the cluster. */
  readonly nodes: number;
  /** That may be added later by `start`. */
  readonly spares: number;
  readonly folder: string;
  /** From 0 to 1, for the network. */
  readonly draw: () => number;
}

const agent = join(packageRoot, 'test', 'chaos', 'agent.cjs');

export class ChaosCluster {
  readonly nodes: number;
  readonly spares: number;
  readonly folder: string;
  readonly network: Network;
  /** How nodes ended that were not told to. */
  readonly said: string[] = [];
  readonly #local: LocalCluster;

  private constructor(options: ChaosClusterOptions, network: Network, firstPort: number) {
    this.nodes = options.nodes;
    this.spares = options.spares;
    this.folder = options.folder;
    this.network = network;
    const all = options.nodes + options.spares;
    const rpcPort = firstPort;
    this.#local = new LocalCluster({
      nodes: all,
      initialNodes: options.nodes,
      data: options.folder,
      rpcPort,
      sqlPort: firstPort + all,
      httpPort: firstPort + 2 * all,
      fresh: false,
      restart: false,
      say: (line) => this.said.push(line),
      nodeArguments: () => ['--log-level=warn'],
      execArguments: () => ['--require', agent],
      environment: (from) => ({
        SKEIN_CHAOS_DIAL: JSON.stringify(
          Object.fromEntries(
            Array.from({ length: all }, (_, to) => [rpcPort + to, network.port(from, to)]),
          ),
        ),
      }),
    });
  }

  static async start(options: ChaosClusterOptions): Promise<ChaosCluster> {
    const all = options.nodes + options.spares;
    const firstPort = await freePorts(3 * all);
    const rpcPorts = Array.from({ length: all }, (_, node) => firstPort + node);
    const network = await Network.open(rpcPorts, options.draw);
    const cluster = new ChaosCluster(options, network, firstPort);
    try {
      await cluster.#local.start();
    } catch (error) {
      await cluster.stop();
      cluster.remove();
      throw error;
    }
    return cluster;
  }

  url(node: number): string {
    return this.#local.url(node);
  }

  isUp(node: number): boolean {
    return this.#local.pid(node) !== undefined;
  }

  /** Nodes whose process runs. */
  get up(): number[] {
    return this.#all.filter((node) => this.isUp(node));
  }

  /** SIGKILL, or SIGTERM for an orderly end. Resolves when the process has ended. */
  end(node: number, signal: 'SIGKILL' | 'SIGTERM'): Promise<void> {
    return this.#local.kill(node, signal);
  }

  /** Resolves when it serves. */
  start(node: number): Promise<void> {
    return this.#local.startNode(node);
  }

  /** Its process stands still; goes on by itself, also when this process is gone by then. */
  suspend(node: number, forMs: number): void {
    const pid = this.#local.pid(node);
    if (pid === undefined) return;
    const script = `kill -STOP ${pid}; sleep ${forMs / 1000}; kill -CONT ${pid}`;
    spawn('sh', ['-c', script], { stdio: 'ignore', detached: true }).unref();
  }

  order(node: number, order: Order): void {
    if (this.isUp(node)) this.#local.send(node, { chaos: order });
  }

  /** From now on no file of the node can grow beyond so many bytes: a write ends half-way, as on a full disk. */
  async limitFiles(node: number, bytes: number): Promise<void> {
    const pid = this.#local.pid(node);
    if (pid === undefined) return;
    await promisify(execFile)('prlimit', ['--pid', String(pid), `--fsize=${bytes}:unlimited`]);
  }

  /** Of a node that is not up: it comes back as a new one. */
  wipe(node: number): void {
    rmSync(join(this.folder, `node${node + 1}`), { recursive: true, force: true });
  }

  /** Network, clocks and disks are as they should be, and no process stands still. */
  heal(): void {
    this.network.heal();
    for (const node of this.up) {
      this.#local.signal(node, 'SIGCONT');
      this.order(node, { kind: 'clock', offsetMs: 0, strobePeriodMs: 0 });
      this.order(node, { kind: 'fsync', fails: false });
    }
  }

  async stop(): Promise<void> {
    await this.#local.stop();
    await this.network.close();
  }

  /** At once and without waiting: for the end of this process. */
  abandon(): void {
    for (const node of this.up) {
      const pid = this.#local.pid(node);
      if (pid !== undefined) process.kill(pid, 'SIGKILL');
    }
    this.remove();
  }

  /** Everything on the disk. */
  remove(): void {
    // A process that was just killed may have written meanwhile.
    rmSync(this.folder, { recursive: true, force: true, maxRetries: 5 });
  }

  get #all(): number[] {
    return Array.from({ length: this.nodes + this.spares }, (_, node) => node);
  }
}
