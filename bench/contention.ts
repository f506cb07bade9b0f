/**
 * Transactions that want the same rows: pgbench's TPC-B-like load at scale 10 (ten branches) with 16 clients, at each
 * isolation level, each on a new cluster: in a small table that was written to before, PostgreSQL looks for rows by an index and no longer
 * refuses whoever reads another row of it. Counts what clients notice: transactions they have to begin again (`--max-tries=100`) or give up.
 *
 *   --seconds=N   length of one measurement (default 10)
 *   --rounds=N    measurements per figure (default 3); the systems take turns
 *   --no-peer     Skein alone
 *   --profile=DIR write processor profiles of the nodes
 */
import { makeTpcbTables, runTpcb, type TpcbFigures } from './pgbench.ts';
import { machineLine, median, printTable } from './process.ts';
import { startTargets, sum, type Target } from './targets.ts';

const clients = 16;
const levels = ['read committed', 'repeatable read', 'serializable'] as const;
/** The share of PostgreSQL's throughput that is wanted. */
const floors: Record<(typeof levels)[number], string> = {
  'read committed': '0.40',
  'repeatable read': '',
  serializable: '1.00',
};

export async function runContentionBench(options: readonly string[]): Promise<void> {
  const value = (name: string): string | undefined =>
    options.find((option) => option.startsWith(`--${name}=`))?.split('=')[1];
  const seconds = Number(value('seconds') ?? 10);
  const rounds = Number(value('rounds') ?? 3);
  const withPeer = !options.includes('--no-peer');
  const rows: string[][] = [];
  for (const isolation of levels) {
    const targets = await startTargets({ withPeer, profileDir: value('profile') });
    try {
      for (const target of targets.all) {
        await makeTpcbTables(target, 10);
        await runTpcb(target, { clients, seconds, isolation });
      }
      const figures = new Map<Target, TpcbFigures[]>(targets.all.map((target) => [target, []]));
      for (let round = 0; round < rounds; round++) {
        for (const [target, found] of figures) {
          found.push(await runTpcb(target, { clients, seconds, isolation }));
        }
      }
      rows.push(rowOf(isolation, [...figures.values()]));
      console.error(rows.at(-1)?.join('  '));
    } finally {
      await targets.stop();
    }
  }
  const how = `medians of ${rounds} runs of ${seconds} s after one to warm up`;
  console.log(
    `\n${machineLine()}; TPC-B-like, scale 10, ${clients} clients, ${how}; transactions per second\n`,
  );
  const noticed = ['retried', 'failed'];
  const head = ['level', 'Skein', ...noticed, 'PostgreSQL x3', ...noticed, 'ratio', 'wanted'];
  printTable(head, rows);
}

function rowOf(level: (typeof levels)[number], [ours = [], theirs]: TpcbFigures[][]): string[] {
  const tps = (figures: TpcbFigures[]): number => median(figures.map(({ perSecond }) => perSecond));
  const of = (figures: TpcbFigures[] | undefined): string[] =>
    figures === undefined
      ? ['-', '-', '-']
      : [tps(figures).toFixed(0), share(figures, 'retried'), share(figures, 'failed')];
  const ratio = theirs === undefined ? '-' : (tps(ours) / tps(theirs)).toFixed(2);
  return [level, ...of(ours), ...of(theirs), ratio, floors[level]];
}

function share(figures: readonly TpcbFigures[], what: 'retried' | 'failed'): string {
  const all = sum(figures.map(({ committed, failed }) => committed + failed));
  return `${((100 * sum(figures.map((each) => each[what]))) / all).toFixed(2)} %`;
}
