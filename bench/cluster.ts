/** A cluster of the shipped program for a benchmark: fresh data, ports of its own, gone afterwards. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { LocalCluster } from '../src/cli/local-cluster.ts';
import { mustRun } from './process.ts';

export interface BenchCluster {
  readonly cluster: LocalCluster;
  /** SQL, one per node. */
  readonly ports: readonly number[];
  readonly httpPorts: readonly number[];
  stop(): Promise<void>;
}

export async function startBenchCluster(options: {
  readonly nodes?: number;
  /** So many are started at once, the others by `cluster.startNode`. */
  readonly initialNodes?: number;
  /** Write one V8 processor profile per node into this folder. */
  readonly profileDir?: string | undefined;
}): Promise<BenchCluster> {
  const nodes = options.nodes ?? 3;
  const data = mkdtempSync(join(tmpdir(), 'skein-bench-'));
  const sqlPort = 27257;
  const httpPort = 27457;
  const cluster = new LocalCluster({
    nodes,
    initialNodes: options.initialNodes ?? nodes,
    data: join(data, 'cluster'),
    sqlPort,
    rpcPort: 27357,
    httpPort,
    fresh: false,
    restart: false,
    say: () => {},
    nodeArguments: () => ['--log-level=warn'],
    execArguments: () =>
      options.profileDir === undefined
        ? []
        : ['--cpu-prof', `--cpu-prof-dir=${options.profileDir}`],
  });
  await cluster.start();
  return {
    cluster,
    ports: Array.from({ length: nodes }, (_, i) => sqlPort + i),
    httpPorts: Array.from({ length: nodes }, (_, i) => httpPort + i),
    async stop() {
      await cluster.stop();
      rmSync(data, { recursive: true, force: true });
    },
  };
}

export function skeinSql(port: number, sql: string, database = 'defaultdb'): Promise<string> {
  return mustRun('psql', [
    '-h',
    '127.0.0.1',
    '-p',
    String(port),
    '-U',
    'root',
    '-d',
    database,
    '-v',
    'ON_ERROR_STOP=1',
    '-X',
    '-q',
    '-A',
    '-t',
    '-c',
    sql,
  ]);
}
