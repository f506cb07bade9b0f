/** One cluster of real processes for all tests of a file, on ports of its own. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { LocalCluster } from '../../src/cli/local-cluster.ts';
import { freePorts } from './ports.ts';

export interface TestCluster {
  readonly cluster: LocalCluster;
  readonly ports: readonly number[];
  readonly data: string;
  /** What the runner said: how nodes ended, among others. */
  readonly said: string[];
  stop(): Promise<void>;
}

export async function startTestCluster(
  options: { nodes?: number; restart?: boolean; nodeArguments?: readonly string[] } = {},
): Promise<TestCluster> {
  const nodes = options.nodes ?? 3;
  const root = mkdtempSync(join(tmpdir(), 'skein-test-'));
  const data = join(root, 'cluster');
  const said: string[] = [];
  const sqlPort = await freePorts(nodes * 3);
  const cluster = new LocalCluster({
    nodes,
    data,
    sqlPort,
    rpcPort: sqlPort + nodes,
    httpPort: sqlPort + 2 * nodes,
    fresh: false,
    restart: options.restart ?? false,
    say: (line) => said.push(line),
    nodeArguments: () => ['--log-level=warn', ...(options.nodeArguments ?? [])],
  });
  await cluster.start();
  // The runner says so and goes on; a test that ends nodes must not.
  if (nodes >= 3 && !(await cluster.bearsLossOfOne())) throw new Error(said.join('\n'));
  return {
    cluster,
    ports: Array.from({ length: nodes }, (_, i) => sqlPort + i),
    data,
    said,
    async stop() {
      await cluster.stop();
      rmSync(root, { recursive: true, force: true });
    },
  };
}
