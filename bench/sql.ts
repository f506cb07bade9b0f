/**
 * sysbench (4 tables of 25,000 rows) and pgbench (TPC-B-like, scale 10) against Skein on three processes
 * and against three PostgreSQL servers with quorum-synchronous replication. Clients are spread over all
 * nodes for Skein; for PostgreSQL reads are spread too, writes go to the primary, the only node that takes
 * them. The systems take turns, so both see the same machine; figures are medians. Before a workload is
 * measured it runs on each system for a while, so that caches are filled and code is compiled.
 *
 *   --seconds=N   length of one measurement (default 10)
 *   --warmup=N    seconds before the first measurement (default 10)
 *   --rounds=N    measurements per figure (default 3)
 *   --only=NAME   one workload (point_select, update_index, write_only, read_write, tpcb, ...)
 *   --no-peer     Skein alone
 *   --profile=DIR write processor profiles of the nodes
 */
import { type BenchCluster, skeinSql, startBenchCluster } from './cluster.ts';
import { startPostgresPeer } from './postgres-peer.ts';
import { findProgram, machineLine, median, mustRun, printTable, run } from './process.ts';

interface Target {
  readonly name: string;
  readonly user: string;
  readonly database: string;
  readonly ports: readonly number[];
  /** Ports that take writes. */
  readonly writePorts: readonly number[];
}

interface Workload {
  readonly name: string;
  readonly clients: number;
  readonly measure: (
    target: Target,
    seconds: number,
  ) => Promise<{ perSecond: number; failed: number }>;
  /** The share of the peer that has to be reached. */
  readonly floor: number | undefined;
}

const tables = ['--tables=4', '--table-size=25000'];
const pgbench = findProgram('pgbench', ['/usr/lib/postgresql/15/bin']) ?? 'pgbench';

const workloads: readonly Workload[] = [
  sysbench('oltp_point_select', { clients: 16, writes: false, floor: 0.4 }),
  sysbench('oltp_point_select', { clients: 1, writes: false, floor: undefined }),
  sysbench('oltp_read_only', { clients: 16, writes: false, floor: undefined }),
  sysbench('oltp_update_index', { clients: 16, writes: true, floor: 0.4 }),
  sysbench('oltp_write_only', { clients: 16, writes: true, floor: 0.25 }),
  sysbench('oltp_read_write', { clients: 16, writes: true, floor: 0.25 }),
  sysbench('oltp_insert', { clients: 16, writes: true, floor: undefined }),
  {
    name: 'tpcb',
    clients: 16,
    floor: 0.2,
    measure: (target, seconds) => tpcb(target, 16, seconds),
  },
  {
    name: 'tpcb',
    clients: 1,
    floor: undefined,
    measure: (target, seconds) => tpcb(target, 1, seconds),
  },
];

export async function runSqlBench(options: readonly string[]): Promise<void> {
  const value = (name: string): string | undefined =>
    options.find((option) => option.startsWith(`--${name}=`))?.split('=')[1];
  const seconds = Number(value('seconds') ?? 10);
  const rounds = Number(value('rounds') ?? 3);
  const warmup = Number(value('warmup') ?? 10);
  const only = value('only');
  const wanted = workloads.filter((workload) => only === undefined || workload.name.endsWith(only));
  const peer = options.includes('--no-peer') ? undefined : await startPostgresPeer(28432);
  let skein: BenchCluster | undefined;
  try {
    skein = await startBenchCluster({ profileDir: value('profile') });
    const targets: Target[] = [
      {
        name: 'Skein',
        user: 'root',
        database: 'bench',
        ports: skein.ports,
        writePorts: skein.ports,
      },
    ];
    await skeinSql(skein.ports[0] ?? 0, 'CREATE DATABASE bench');
    if (peer !== undefined) {
      targets.push({
        name: 'PostgreSQL',
        user: 'postgres',
        database: 'bench',
        ports: peer.ports,
        writePorts: peer.ports.slice(0, 1),
      });
    }
    for (const target of targets) {
      if (wanted.some((workload) => workload.name !== 'tpcb')) {
        await mustRun('sysbench', [...sysbenchArguments('oltp_read_write', target, 0), 'prepare']);
      }
    }
    const rows: string[][] = [];
    let hasPgbench = false;
    for (const workload of wanted) {
      const figures = targets.map((): number[] => []);
      const failures = targets.map(() => 0);
      if (workload.name === 'tpcb' && !hasPgbench) {
        // Its million rows come when the other figures are taken.
        for (const target of targets) await initialise(target);
        hasPgbench = true;
      }
      if (warmup > 0) for (const target of targets) await workload.measure(target, warmup);
      for (let round = 0; round < rounds; round++) {
        for (const [i, target] of targets.entries()) {
          const { perSecond, failed } = await workload.measure(target, seconds);
          figures[i]?.push(perSecond);
          failures[i] = (failures[i] ?? 0) + failed;
        }
      }
      const [ours = NaN, theirs = NaN] = figures.map(median);
      rows.push([
        workload.name,
        String(workload.clients),
        ours.toFixed(0),
        Number.isNaN(theirs) ? '-' : theirs.toFixed(0),
        Number.isNaN(theirs) ? '-' : (ours / theirs).toFixed(2),
        workload.floor === undefined ? '' : workload.floor.toFixed(2),
        failures.join(' / '),
      ]);
      console.error(rows.at(-1)?.join('  '));
    }
    console.log(
      `\n${machineLine()}; medians of ${rounds} runs of ${seconds} s after ${warmup} s of warm-up, transactions per second\n`,
    );
    printTable(
      ['workload', 'clients', 'Skein', 'PostgreSQL x3', 'ratio', 'wanted', 'errors'],
      rows,
    );
  } finally {
    await skein?.stop();
    await peer?.stop();
  }
}

/**
 * The load is one transaction that begins with TRUNCATE; a node that registers anew with the catalog meanwhile
 * makes it fail with 40001. A client repeats it then, and the table says so.
 */
async function initialise(target: Target): Promise<void> {
  const args = ['-i', '-q', '-s', '10', ...pgbenchArguments(target, 0)];
  const first = await run(pgbench, args);
  if (first.status === 0) return;
  console.error(`${target.name}: pgbench -i failed and is repeated: ${first.output.slice(-400)}`);
  await mustRun(pgbench, args);
}

function sysbench(
  script: string,
  options: { clients: number; writes: boolean; floor: number | undefined },
): Workload {
  return {
    name: script,
    clients: options.clients,
    floor: options.floor,
    async measure(target, seconds) {
      const ports = options.writes ? target.writePorts : target.ports;
      const outputs = await Promise.all(
        spread(options.clients, ports).map(({ port, clients }) =>
          mustRun('sysbench', [
            ...sysbenchArguments(script, target, target.ports.indexOf(port)),
            `--threads=${clients}`,
            `--time=${seconds}`,
            '--rand-type=uniform',
            'run',
          ]),
        ),
      );
      return {
        perSecond: sum(
          outputs.map((output) => number(/transactions:\s+\d+\s+\(([\d.]+) per sec/, output)),
        ),
        failed: sum(outputs.map((output) => number(/ignored errors:\s+(\d+)/, output))),
      };
    },
  };
}

async function tpcb(
  target: Target,
  clients: number,
  seconds: number,
): Promise<{ perSecond: number; failed: number }> {
  const outputs = await Promise.all(
    spread(clients, target.writePorts).map(({ port, clients: share }) =>
      mustRun(pgbench, [
        '-n',
        '-M',
        'prepared',
        '-c',
        String(share),
        '-j',
        '1',
        '-T',
        String(seconds),
        '--max-tries=100',
        ...pgbenchArguments(target, target.ports.indexOf(port)),
      ]),
    ),
  );
  return {
    perSecond: sum(outputs.map((output) => number(/tps = ([\d.]+)/, output))),
    failed: sum(outputs.map((output) => number(/number of failed transactions: (\d+)/, output))),
  };
}

function sysbenchArguments(script: string, target: Target, node: number): string[] {
  return [
    script,
    ...tables,
    '--db-driver=pgsql',
    '--pgsql-host=127.0.0.1',
    `--pgsql-port=${target.ports[node]}`,
    `--pgsql-user=${target.user}`,
    `--pgsql-db=${target.database}`,
  ];
}

function pgbenchArguments(target: Target, node: number): string[] {
  return ['-h', '127.0.0.1', '-p', String(target.ports[node]), '-U', target.user, target.database];
}

function spread(
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

function number(pattern: RegExp, text: string): number {
  return Number(pattern.exec(text)?.[1] ?? 0);
}

function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0);
}
