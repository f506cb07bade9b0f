/**
 * Commits on one range, three nodes in three processes, without SQL: shipped stores with real disks and gRPC.
 * The clients are loops in the leader's process. They enter at three heights, so that what each layer costs
 * shows: `proposal` is consensus alone (raft, its log on three disks, the state engine), `batch` puts the
 * executor before it (latches, timestamp cache, MVCC), `transaction` the gateway before that.
 *
 *   --seconds=N per measurement (default 1)   --rounds=N (default 3; medians are printed)
 *   --layers=a,b and --clients=n,m to measure less   --profile=DIR writes V8 processor profiles there
 */
import { fork, type ChildProcess } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { nodeCount } from './nodes.ts';
import { machineLine, median, printTable, processUsage } from './process.ts';

/** Where a commit enters. */
const layers = ['proposal', 'batch', 'transaction'] as const;
export type Layer = (typeof layers)[number];

export type Order =
  | { readonly kind: 'prepare' }
  | {
      readonly kind: 'commit';
      readonly layer: Layer;
      readonly clients: number;
      readonly seconds: number;
    }
  | { readonly kind: 'stop' };

/** What came of an order to commit; zeros for others. */
export interface Report {
  readonly commits: number;
  /** Raft messages that the leader's store sent meanwhile. */
  readonly messages: number;
}

const program = fileURLToPath(new URL('consensus-node.js', import.meta.url));
const firstPort = 27757;
/** Commits per second by consensus alone. */
const wanted = new Map([
  [16, 12_000],
  [64, 20_000],
]);

interface Measured {
  readonly perSecond: number;
  readonly perMessage: number;
  /** Microseconds of processor time per commit: the leader, and one follower. */
  readonly leader: number;
  readonly follower: number;
}

export async function runConsensusBench(options: readonly string[]): Promise<void> {
  const option = (name: string, otherwise: string): string =>
    options.find((o) => o.startsWith(`--${name}=`))?.slice(name.length + 3) ?? otherwise;
  const seconds = Number(option('seconds', '1'));
  const rounds = Number(option('rounds', '3'));
  const names = option('layers', layers.join()).split(',');
  const chosen = layers.filter((layer) => names.includes(layer));
  const clientCounts = option('clients', '1,16,64').split(',').map(Number);
  const profile = option('profile', '');
  const execArgv = profile === '' ? [] : ['--cpu-prof', `--cpu-prof-dir=${profile}`];
  // As `bin/skein.cjs` does.
  const env = { ...process.env, UV_THREADPOOL_SIZE: '16' };
  const root = mkdtempSync(join(tmpdir(), 'skein-consensus-'));
  const nodes: ChildProcess[] = [];
  try {
    for (let i = 0; i < nodeCount; i++) {
      nodes.push(fork(program, [root, String(firstPort), String(i)], { env, execArgv }));
    }
    await Promise.all(nodes.map(report));
    await ask(nodes, { kind: 'prepare' });
    // Code is compiled and caches are filled, for lone commits too.
    for (const clients of [64, 1]) {
      for (const layer of chosen) await ask(nodes, { kind: 'commit', layer, clients, seconds: 2 });
    }
    const table: string[][] = [];
    for (const layer of chosen) {
      for (const clients of clientCounts) {
        const runs: Measured[] = [];
        for (let round = 0; round < rounds; round++) {
          runs.push(await measure(nodes, { kind: 'commit', layer, clients, seconds }));
        }
        const middle = (pick: (run: Measured) => number): string =>
          median(runs.map(pick)).toFixed(0);
        table.push([
          layer,
          String(clients),
          middle((run) => run.perSecond),
          layer === 'proposal' ? String(wanted.get(clients) ?? '') : '',
          middle((run) => run.perMessage),
          middle((run) => run.leader),
          middle((run) => run.follower),
        ]);
      }
    }
    console.log(`\n${machineLine()}; three processes, medians of ${rounds} x ${seconds} s\n`);
    printTable(
      [
        'layer',
        'clients',
        'commits/s',
        'wanted',
        'commits/message',
        'us of cpu, leader',
        'us of cpu, follower',
      ],
      table,
    );
  } finally {
    await Promise.all(nodes.map(stop));
    rmSync(root, { recursive: true, force: true });
  }
}

async function measure(
  nodes: readonly ChildProcess[],
  order: Extract<Order, { kind: 'commit' }>,
): Promise<Measured> {
  const before = await cpuSeconds(nodes);
  const { commits, messages } = await ask(nodes, order);
  const after = await cpuSeconds(nodes);
  const [leader = NaN, ...followers] = after.map(
    (each, i) => ((each - (before[i] ?? NaN)) * 1e6) / commits,
  );
  return {
    perSecond: commits / order.seconds,
    perMessage: (commits * (nodeCount - 1)) / messages,
    leader,
    follower: followers.reduce((sum, each) => sum + each, 0) / followers.length,
  };
}

function cpuSeconds(nodes: readonly ChildProcess[]): Promise<number[]> {
  return Promise.all(
    nodes.map(async ({ pid = 0 }) => (await processUsage(pid))?.cpuSeconds ?? NaN),
  );
}

/** The first node leads and does all the work. */
function ask(nodes: readonly ChildProcess[], order: Order): Promise<Report> {
  const [first] = nodes;
  if (first === undefined) throw new Error('there are no nodes');
  const answer = report(first);
  first.send(order);
  return answer;
}

function report(node: ChildProcess): Promise<Report> {
  return new Promise((resolve, reject) => {
    const ended = (status: number | null): void =>
      reject(new Error(`a node ended with status ${status}`));
    node.once('exit', ended);
    node.once('message', (message: Report) => {
      node.off('exit', ended);
      resolve(message);
    });
  });
}

function stop(node: ChildProcess): Promise<void> {
  if (node.exitCode !== null) return Promise.resolve();
  return new Promise((resolve) => {
    node.once('exit', () => resolve());
    node.send({ kind: 'stop' } satisfies Order);
  });
}
