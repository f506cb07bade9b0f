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
import { makeTpcbTables, runTpcb } from './pgbench.ts';
import { machineLine, median, mustRun, printTable } from './process.ts';
import { figure, spread, startTargets, sum, type Target } from './targets.ts';

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
    measure: (target, seconds) => runTpcb(target, { clients: 16, seconds }),
  },
  {
    name: 'tpcb',
    clients: 1,
    floor: undefined,
    measure: (target, seconds) => runTpcb(target, { clients: 1, seconds }),
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
  const withPeer = !options.includes('--no-peer');
  const started = await startTargets({ withPeer, profileDir: value('profile') });
  const targets = started.all;
  try {
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
        for (const target of targets) await makeTpcbTables(target, 10);
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
    await started.stop();
  }
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
          outputs.map((output) => figure(/transactions:\s+\d+\s+\(([\d.]+) per sec/, output)),
        ),
        failed: sum(outputs.map((output) => figure(/ignored errors:\s+(\d+)/, output))),
      };
    },
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
