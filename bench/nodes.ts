/** Nodes without SQL inside this process, with real disks and gRPC. */
import { join } from 'node:path';
import { createRealEnv } from '../src/cli/real-env.ts';
import { syncPath } from '../src/cli/real-disk.ts';
import { foreignFiles } from '../src/cli/start-files.ts';
import { KeyWriter, writeIndexPrefix } from '../src/encoding/index.ts';
import { GrpcTransport } from '../src/rpc/index.ts';
import { SkeinNode, type NodeParts } from '../src/server/node.ts';
import { LevelEngine } from '../src/storage/index.ts';
import { silentLogger } from '../src/util/index.ts';

export const nodeCount = 3;

export interface NodePlace {
  readonly root: string;
  /** Nodes listen from this port on. */
  readonly firstPort: number;
}

/** Three nodes in this process. */
export function startNodes(place: NodePlace): Promise<SkeinNode[]> {
  return Promise.all(Array.from({ length: nodeCount }, (_, i) => startNode(place, i)));
}

/** One of three nodes: 0 founds the cluster, the others join it. Resolves when it serves. */
export async function startNode(
  { root, firstPort }: NodePlace,
  i: number,
  storeSettings: NonNullable<NodeParts['storeSettings']> = {},
): Promise<SkeinNode> {
  const addresses = Array.from({ length: nodeCount }, (_, at) => `127.0.0.1:${firstPort + at}`);
  const address = `127.0.0.1:${firstPort + i}`;
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
    stores: [{ path: join(root, `node${i}`) }],
    openEngine: (directory, hooks) =>
      LevelEngine.open({ env, directory, syncPath, files: foreignFiles, ...hooks }),
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
    storeSettings,
    onFatal: (error) => {
      throw error;
    },
  });
  await node.start();
  return node;
}

/** Resolves when every range has a replica on every node. */
export async function replicatedEverywhere(node: SkeinNode): Promise<void> {
  for (;;) {
    const ranges = await node.db.ranges(Buffer.from([2]), Buffer.from([255]));
    if (ranges.every((info) => info.range.replicas.length === nodeCount)) return;
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
}

/** A key of a table of its own. */
export function key(i: number): Buffer {
  return writeIndexPrefix(new KeyWriter(), { tableId: 50_000, indexId: 1 }).uint(i).finish();
}
