/**
 * What ranges cost that nobody uses: a table cut into many ranges, three nodes with real disks and gRPC in
 * this one process. Share of one core per node over 30 quiet seconds, and live heap per replica (JavaScript
 * objects; `outside`: buffers).
 *
 *   --ranges=N (default 10,000)   --seconds=N (default 30)   --heap=FILE writes a heap snapshot at the end
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setFlagsFromString, writeHeapSnapshot } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { KvFailure, maxTimestamp } from '../src/kv/index.ts';
import { type SkeinNode } from '../src/server/node.ts';
import { key, nodeCount, replicatedEverywhere, startNodes } from './nodes.ts';
import { machineLine, printTable } from './process.ts';

const splitsAtOnce = 8;
const settleMs = 15_000;
/** Two checkpoints, after which no log holds anything, and the rest that executors are given. */
const restMs = 80_000;

export async function runQuietBench(options: readonly string[]): Promise<void> {
  const option = (name: string): string | undefined =>
    options.find((o) => o.startsWith(`--${name}=`))?.slice(name.length + 3);
  const ranges = Number(option('ranges') ?? 10_000);
  const seconds = Number(option('seconds') ?? 30);
  const root = mkdtempSync(join(tmpdir(), 'skein-quiet-'));
  const nodes = await startNodes({ root, firstPort: 27657 });
  try {
    const first = nodes[0];
    if (first === undefined) return;
    await replicatedEverywhere(first);
    await sleep(settleMs);
    const heapBefore = liveHeap();
    const replicasBefore = replicasOn(nodes);
    const splitStartMs = performance.now();
    await splitAll(first, ranges);
    const splitSeconds = (performance.now() - splitStartMs) / 1000;
    await sleep(restMs);
    const cpuBefore = process.cpuUsage();
    await sleep(seconds * 1000);
    const cpu = process.cpuUsage(cpuBefore);
    const heapAfter = liveHeap();
    const replicas = replicasOn(nodes) - replicasBefore;
    const share = (cpu.user + cpu.system) / (seconds * 1e6 * nodeCount);
    const perReplica = (after: number, before: number): string =>
      `${((after - before) / replicas).toFixed(0)} B`;
    console.log(
      `\n${machineLine()}; ${replicas / nodeCount} ranges split off in ${splitSeconds.toFixed(0)} s, quiet for ${seconds} s\n`,
    );
    printTable(
      ['what', 'measured', 'wanted'],
      [
        ['processor per node', `${(share * 100).toFixed(2)} %`, '< 3 %'],
        ['heap per replica', perReplica(heapAfter.heapUsed, heapBefore.heapUsed), '< 4096 B'],
        ['outside per replica', perReplica(heapAfter.arrayBuffers, heapBefore.arrayBuffers), ''],
      ],
    );
    const snapshot = option('heap');
    if (snapshot !== undefined) writeHeapSnapshot(snapshot);
  } finally {
    for (const node of nodes) await node.stop();
    rmSync(root, { recursive: true, force: true });
  }
  process.exit(0);
}

/** What is still used after a full collection. */
function liveHeap(): NodeJS.MemoryUsage {
  setFlagsFromString('--expose-gc');
  const collect = runInNewContext('gc') as () => void;
  for (let i = 0; i < 3; i++) collect();
  return process.memoryUsage();
}

/** Halves first, so that no range is cut by everybody at once. */
async function splitAll(node: SkeinNode, ranges: number): Promise<void> {
  let level: [from: number, to: number][] = [[0, ranges]];
  while (level.length > 0) {
    const next: [number, number][] = [];
    const due = [...level];
    await Promise.all(
      Array.from({ length: splitsAtOnce }, async () => {
        for (let span = due.pop(); span !== undefined; span = due.pop()) {
          const [from, to] = span;
          const middle = (from + to) >> 1;
          await split(node, key(middle));
          if (middle > from) next.push([from, middle]);
          if (to > middle + 1) next.push([middle + 1, to]);
        }
      }),
    );
    level = next;
  }
}

/** Again when the outcome is not known: what is split already stays as it is. */
async function split(node: SkeinNode, at: Buffer): Promise<void> {
  for (;;) {
    try {
      await node.db.split(at, { expiration: maxTimestamp });
      return;
    } catch (error) {
      if (!(error instanceof KvFailure)) throw error;
      await sleep(100);
    }
  }
}

function replicasOn(nodes: readonly SkeinNode[]): number {
  return nodes.reduce((sum, { store }) => sum + store.metrics().gauges.ranges, 0);
}

function sleep(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
