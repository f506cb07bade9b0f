/**
 * The layers below SQL: single-row commits and point reads through Db, three nodes with real disks and
 * gRPC in this one process, so that one processor profile shows the whole way of a write.
 *
 *   --seconds=N (default 5)
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createRealEnv } from '../src/cli/real-env.ts';
import { syncPath } from '../src/cli/real-disk.ts';
import { KeyWriter, writeIndexPrefix } from '../src/encoding/index.ts';
import { GrpcTransport } from '../src/rpc/index.ts';
import { SkeinNode } from '../src/server/node.ts';
import { LevelEngine } from '../src/storage/index.ts';
import { silentLogger } from '../src/util/index.ts';
import { machineLine, printTable } from './process.ts';

const rows = 10_000;

export async function runKvBench(options: readonly string[]): Promise<void> {
  const seconds = Number(options.find((o) => o.startsWith('--seconds='))?.split('=')[1] ?? 5);
  const root = mkdtempSync(join(tmpdir(), 'skein-kv-'));
  const nodes = await startNodes(root);
  try {
    const first = nodes[0];
    if (first === undefined) return;
    for (let at = 0; at < rows; at += 500) {
      await first.db.run({}, async (txn) => {
        for (let i = at; i < at + 500; i++) txn.put(key(i), Buffer.alloc(100, 1));
      });
    }
    // Three replicas everywhere before anything is measured.
    for (;;) {
      const ranges = await first.db.ranges(Buffer.from([2]), Buffer.from([255]));
      if (ranges.every((info) => info.range.replicas.length === 3)) break;
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
    const table: string[][] = [];
    for (const [name, clients, operation] of [
      ['commit one row', 1, commitOne],
      ['commit one row', 16, commitOne],
      ['commit one row', 64, commitOne],
      ['locking read, then commit', 16, readThenCommit],
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

async function startNodes(root: string): Promise<SkeinNode[]> {
  const addresses = [0, 1, 2].map((i) => `127.0.0.1:${27557 + i}`);
  const nodes = await Promise.all(
    addresses.map(async (address, i) => {
      const env = createRealEnv({ log: silentLogger });
      const transport: GrpcTransport = new GrpcTransport({
        env,
        nodeId: () => node.nodeId,
        clusterId: () => node.clusterId,
        resolve: (id) => node.addressOf(id),
        queueBytesMax: 64 << 20,
        frameBytesMax: 128 << 20,
      });
      await transport.listen(address);
      const node: SkeinNode = new SkeinNode({
        env,
        transport,
        storePath: join(root, `node${i}`),
        openEngine: (directory, onPoison) =>
          LevelEngine.open({ env, directory, syncPath, onPoison }),
        openSql: undefined,
        rowPrograms: undefined,
        rpcAddress: address,
        sqlAddress: '',
        httpAddress: '',
        locality: [],
        join: addresses,
        singleNode: i === 0,
        version: 'bench',
        maxOffsetMs: 500,
        onFatal: (error) => {
          throw error;
        },
      });
      return node;
    }),
  );
  await Promise.all(nodes.map((node) => node.start()));
  return nodes;
}

function key(i: number): Buffer {
  return writeIndexPrefix(new KeyWriter(), { tableId: 50_000, indexId: 1 }).uint(i).finish();
}
