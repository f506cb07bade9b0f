/** `skein init`: tells one of the waiting nodes to found the cluster. */
import { asNodeId } from '../kv/index.ts';
import { GrpcTransport } from '../rpc/index.ts';
import { silentLogger } from '../util/index.ts';
import { formatAddress, parseAddress, Settings, UsageError } from './options.ts';
import { createRealEnv } from './real-env.ts';

export async function runInit(flags: Record<string, unknown>): Promise<void> {
  const settings = new Settings(flags);
  const address = formatAddress(
    parseAddress(settings.text('host') ?? '', { host: '127.0.0.1', port: 26357 }),
  );
  const { clusterId, existed } = await initCluster(address);
  if (existed && !settings.flag('if-needed')) {
    throw new UsageError(`the node at ${address} belongs to cluster ${clusterId} already.`);
  }
  console.log(existed ? `cluster ${clusterId} is there` : `cluster ${clusterId} is made`);
}

/** Throws UsageError when the node cannot be reached or refuses. */
export async function initCluster(
  address: string,
): Promise<{ clusterId: string; existed: boolean }> {
  const transport = new GrpcTransport({
    env: createRealEnv({ log: silentLogger }),
    nodeId: () => asNodeId(0),
    clusterId: () => undefined,
    resolve: () => undefined,
    queueBytesMax: 1 << 20,
    frameBytesMax: 1 << 20,
  });
  try {
    return (await transport.callAddress(
      address,
      'init',
      {},
      { timeoutMs: 10_000, traffic: 'system' },
    )) as { clusterId: string; existed: boolean };
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    throw new UsageError(`the node at ${address} did not make a cluster: ${reason}`);
  } finally {
    await transport.stop();
  }
}
