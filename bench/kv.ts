/**
 * The layers below SQL: commits of one row and of two ranges, and point reads, through Db, three nodes with real disks and
 * gRPC in this one process, so that one processor profile shows the whole way of a write.
 *
 *   --seconds=N (default 5)
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { addMicros } from '../src/kv/index.ts';
import { type SkeinNode } from '../src/server/node.ts';
import { key, replicatedEverywhere, startNodes } from './nodes.ts';
import { machineLine, printTable } from './process.ts';

const rows = 10_000;

export async function runKvBench(options: readonly string[]): Promise<void> {
  const seconds = Number(options.find((o) => o.startsWith('--seconds='))?.split('=')[1] ?? 5);
  const root = mkdtempSync(join(tmpdir(), 'skein-kv-'));
  const nodes = await startNodes({ root, firstPort: 27557 });
  try {
    const first = nodes[0];
    if (first === undefined) return;
    for (let at = 0; at < rows; at += 500) {
      await first.db.run({}, async (txn) => {
        for (let i = at; i < at + 500; i++) txn.put(key(i), Buffer.alloc(100, 1));
      });
    }
    // Two ranges, which are not merged meanwhile.
    await first.db.split(key(rows / 2), { expiration: addMicros(first.clock.now(), 3600e6) });
    // Three replicas everywhere before anything is measured.
    await replicatedEverywhere(first);
    const table: string[][] = [];
    for (const [name, clients, operation] of [
      ['commit one row', 1, commitOne],
      ['commit one row', 16, commitOne],
      ['commit one row', 64, commitOne],
      ['locking read, then commit', 16, readThenCommit],
      ['commit over two ranges', 1, commitTwo],
      ['commit over two ranges', 16, commitTwo],
      ['read one row', 16, readOne],
    ] as const) {
      const cpuBefore = process.cpuUsage();
      const perSecond = await drive(nodes, clients, seconds, operation);
      const cpu = process.cpuUsage(cpuBefore);
      table.push([
        name,
        String(clients),
        perSecond.toFixed(0),
        ((cpu.user + cpu.system) / (perSecond * seconds)).toFixed(0),
      ]);
    }
    console.log(`\n${machineLine()}; three nodes in one process, ${seconds} s each\n`);
    printTable(['operation', 'clients', 'per second', 'us of cpu each'], table);
  } finally {
    for (const node of nodes) await node.stop();
    rmSync(root, { recursive: true, force: true });
  }
  process.exit(0);
}

async function commitOne(node: SkeinNode, i: number): Promise<void> {
  await node.db.run({}, async (txn) => {
    txn.put(key(i), Buffer.alloc(100, 2));
  });
}

async function commitTwo(node: SkeinNode, i: number): Promise<void> {
  await node.db.run({}, async (txn) => {
    txn.put(key(i), Buffer.alloc(100, 4));
    txn.put(key((i + rows / 2) % rows), Buffer.alloc(100, 4));
  });
}

async function readThenCommit(node: SkeinNode, i: number): Promise<void> {
  await node.db.run({}, async (txn) => {
    await txn.get(key(i), { lock: 'update' });
    txn.put(key(i), Buffer.alloc(100, 3));
  });
}

async function readOne(node: SkeinNode, i: number): Promise<void> {
  await node.db.readCurrent(key(i));
}

async function drive(
  nodes: readonly SkeinNode[],
  clients: number,
  seconds: number,
  operation: (node: SkeinNode, i: number) => Promise<void>,
): Promise<number> {
  const endMs = performance.now() + seconds * 1000;
  let done = 0;
  await Promise.all(
    Array.from({ length: clients }, async (_, client) => {
      const node = nodes[client % nodes.length];
      if (node === undefined) return;
      while (performance.now() < endMs) {
        await operation(node, Math.floor(Math.random() * rows));
        done++;
      }
    }),
  );
  return done / seconds;
}
