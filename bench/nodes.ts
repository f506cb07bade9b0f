/** Nodes without SQL inside this process, with real disks and gRPC. */
import { join } from 'node:path';
import { createRealEnv } from '../src/cli/real-env.ts';
import { syncPath } from '../src/cli/real-disk.ts';
import { foreignFiles } from '../src/cli/start-files.ts';
import { KeyWriter, writeIndexPrefix } from '../src/encoding/index.ts';
import { GrpcTransport } from '../src/rpc/index.ts';
import { SkeinNode } from '../src/server/node.ts';
import { LevelEngine } from '../src/storage/index.ts';
import { silentLogger } from '../src/util/index.ts';

export const nodeCount = 3;

/** Three nodes under `root`, listening from `firstPort` on. */
export async function startNodes(root: string, firstPort: number): Promise<SkeinNode[]> {
  const addresses = Array.from({ length: nodeCount }, (_, i) => `127.0.0.1:${firstPort + i}`);
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
          LevelEngine.open({ env, directory, syncPath, files: foreignFiles, onPoison }),
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

/** A key of a table of its own. */
export function key(i: number): Buffer {
  return writeIndexPrefix(new KeyWriter(), { tableId: 50_000, indexId: 1 }).uint(i).finish();
}
