/** What SQL benchmarks measure: Skein on three processes and, where it is installed, PostgreSQL on three servers. */
import { type BenchCluster, skeinSql, startBenchCluster } from './cluster.ts';
import { type PostgresPeer, startPostgresPeer } from './postgres-peer.ts';

export interface Target {
  readonly name: 'Skein' | 'PostgreSQL';
  readonly user: string;
  readonly database: string;
  readonly ports: readonly number[];
  /** Ports that take writes. */
  readonly writePorts: readonly number[];
}

export interface Targets {
  /** Skein first; each has an empty database. */
  readonly all: readonly Target[];
  stop(): Promise<void>;
}

export async function startTargets(options: {
  readonly withPeer: boolean;
  readonly profileDir: string | undefined;
}): Promise<Targets> {
  const database = 'bench';
  const all: Target[] = [];
  let peer: PostgresPeer | undefined;
  let skein: BenchCluster | undefined;
  const stop = async (): Promise<void> => {
    await skein?.stop();
    await peer?.stop();
  };
  try {
    peer = options.withPeer ? await startPostgresPeer(28432) : undefined;
    skein = await startBenchCluster({ profileDir: options.profileDir });
    const { ports } = skein;
    all.push({ name: 'Skein', user: 'root', database, ports, writePorts: ports });
    await skeinSql(ports[0] ?? 0, `CREATE DATABASE ${database}`);
  } catch (error) {
    await stop();
    throw error;
  }
  if (peer !== undefined) {
    const { ports } = peer;
    const writePorts = ports.slice(0, 1);
    all.push({ name: 'PostgreSQL', user: 'postgres', database, ports, writePorts });
  }
  return { all, stop };
}

/** So many clients, as evenly as possible over the ports. */
export function spread(
  clients: number,
  ports: readonly number[],
): { readonly port: number; readonly clients: number }[] {
  return ports
    .map((port, i) => ({
      port,
      clients: Math.floor(clients / ports.length) + (i < clients % ports.length ? 1 : 0),
    }))
    .filter((share) => share.clients > 0);
}

/** The first group of `pattern` as a number; 0 when `text` does not match. */
export function figure(pattern: RegExp, text: string): number {
  return Number(pattern.exec(text)?.[1] ?? 0);
}

export function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0);
}
