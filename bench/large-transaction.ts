/**
 * One transaction of a million rows, committed and rolled back: as one statement, and as statements of a thousand rows each. For comparison
 * the same rows in a thousand transactions, which fill the caches of a new node just as well.
 * Memory is the most that a node held beyond what it held before, from BEGIN until all is settled behind the end (resident without
 * pages of files, sampled five times a second; in brackets with them). The rows are counted afterwards.
 *
 *   --rows=N (default 1,000,000)
 *   --only=one-commit|one-rollback|many-commit|many-rollback|small-commit|small-rollback (default all)
 */
import { setTimeout as pause } from 'node:timers/promises';
import pg from 'pg';
import { startBenchCluster } from './cluster.ts';
import { machineLine, printTable, processUsage, type ProcessUsage } from './process.ts';

const rowsOfStatement = 1_000;
const sampleMs = 200;
/** Until a new cluster has its replicas. */
const restMs = 10_000;
/** Settled: no node has used more than this share of a core for so long. */
const quiet = { share: 0.3, ms: 3_000 } as const;
const settleMsMax = 300_000;
const memoryMaxMb = 300;

interface Way {
  readonly name: string;
  readonly title: string;
  readonly isOneStatement: boolean;
  readonly isOneTransaction: boolean;
  readonly end: 'COMMIT' | 'ROLLBACK';
}

const ways: readonly Way[] = (['COMMIT', 'ROLLBACK'] as const).flatMap((end) => {
  const suffix = end.toLowerCase();
  return [
    {
      name: `one-${suffix}`,
      title: `one statement, ${end}`,
      isOneStatement: true,
      isOneTransaction: true,
      end,
    },
    {
      name: `many-${suffix}`,
      title: `statements of 1,000 rows, ${end}`,
      isOneStatement: false,
      isOneTransaction: true,
      end,
    },
    {
      name: `small-${suffix}`,
      title: `transactions of 1,000 rows, ${end}`,
      isOneStatement: false,
      isOneTransaction: false,
      end,
    },
  ];
});

export async function runLargeTransactionBench(options: readonly string[]): Promise<void> {
  const given = (name: string): string | undefined =>
    options.find((option) => option.startsWith(`--${name}=`))?.split('=')[1];
  const rows = Number(given('rows') ?? 1_000_000);
  const only = given('only');
  const chosen = ways.filter(({ name }) => only === undefined || name === only);
  if (chosen.length === 0) throw new Error(`--only=${only}: ${ways.map(({ name }) => name)}`);
  const table: string[][] = [];
  for (const way of chosen) {
    table.push([way.title, ...(await measure(rows, way))]);
    console.error(table.at(-1)?.join('  '));
  }
  console.log(`\n${machineLine()}; ${rows} rows in one transaction, three nodes\n`);
  printTable(
    [
      'transaction',
      'write s',
      'end s',
      'settled s',
      'MB node 1',
      'MB node 2',
      'MB node 3',
      'wanted',
    ],
    table,
  );
}

/** On nodes that have done nothing else: memory that they got earlier is not given back, and would not show. */
async function measure(
  rows: number,
  { isOneStatement, isOneTransaction, end }: Way,
): Promise<string[]> {
  const perStatement = isOneStatement ? rows : rowsOfStatement;
  const skein = await startBenchCluster({});
  const client = new pg.Client({ connectionString: skein.cluster.url(0) });
  try {
    await client.connect();
    await client.query('CREATE TABLE large (id int8 PRIMARY KEY, grp int4, name text)');
    await pause(restMs);
    const memory = new PeakMemory(skein.ports.map((_, i) => skein.cluster.pid(i) ?? 0));
    await memory.start();
    const startMs = performance.now();
    await client.query('BEGIN');
    for (let from = 1; from <= rows; from += perStatement) {
      if (from > 1 && !isOneTransaction) {
        await client.query(end);
        await client.query('BEGIN');
      }
      const to = Math.min(rows, from + perStatement - 1);
      await client.query(
        `INSERT INTO large SELECT i, i % 1000, 'name-' || i FROM generate_series(${from}, ${to}) i`,
      );
    }
    const writtenMs = performance.now();
    await client.query(end);
    const endedMs = performance.now();
    await memory.settled();
    const extra = await memory.stop();
    const settledMs = performance.now();
    const { rows: counted } = await client.query<{ n: string }>('SELECT count(*) AS n FROM large');
    const wanted = end === 'COMMIT' ? rows : 0;
    if (Number(counted[0]?.n) !== wanted) {
      throw new Error(`${end}: ${counted[0]?.n} rows instead of ${wanted}`);
    }
    return [
      ((writtenMs - startMs) / 1000).toFixed(1),
      ((endedMs - writtenMs) / 1000).toFixed(1),
      ((settledMs - endedMs) / 1000).toFixed(0),
      ...extra,
      isOneTransaction ? `< ${memoryMaxMb}` : '',
    ];
  } finally {
    await client.end();
    await skein.stop();
  }
}

interface Usage extends ProcessUsage {
  readonly ownBytes: number;
}

/** The most memory of each process beyond what it had at the start. */
class PeakMemory {
  readonly #pids: readonly number[];
  #before: Usage[] = [];
  #own: number[] = [];
  #all: number[] = [];
  #stopping = false;
  #sampling: Promise<void> | undefined;

  constructor(pids: readonly number[]) {
    this.#pids = pids;
  }

  async start(): Promise<void> {
    this.#before = await this.#usage();
    this.#own = this.#before.map(({ ownBytes }) => ownBytes);
    this.#all = this.#before.map(({ rssBytes }) => rssBytes);
    this.#sampling = this.#sample();
  }

  async settled(): Promise<void> {
    const giveUpMs = performance.now() + settleMsMax;
    for (let busy = true; busy;) {
      if (performance.now() > giveUpMs) throw new Error('the nodes do not come to rest');
      const before = await this.#usage();
      await pause(quiet.ms);
      const after = await this.#usage();
      busy = after.some(
        ({ cpuSeconds }, i) =>
          (cpuSeconds - (before[i]?.cpuSeconds ?? 0)) * 1000 > quiet.share * quiet.ms,
      );
    }
  }

  /** Megabytes. */
  async stop(): Promise<string[]> {
    this.#stopping = true;
    await this.#sampling;
    return this.#before.map((before, i) => {
      const own = ((this.#own[i] ?? NaN) - before.ownBytes) / 1e6;
      const all = ((this.#all[i] ?? NaN) - before.rssBytes) / 1e6;
      return `${own.toFixed(0)} (${all.toFixed(0)})`;
    });
  }

  async #sample(): Promise<void> {
    while (!this.#stopping) {
      const now = await this.#usage();
      this.#own = this.#own.map((peak, i) => Math.max(peak, now[i]?.ownBytes ?? 0));
      this.#all = this.#all.map((peak, i) => Math.max(peak, now[i]?.rssBytes ?? 0));
      await pause(sampleMs);
    }
  }

  #usage(): Promise<Usage[]> {
    return Promise.all(
      this.#pids.map(async (pid) => {
        const usage = await processUsage(pid);
        if (usage === undefined) throw new Error('a node has ended');
        return { ...usage, ownBytes: usage.rssBytes - usage.fileBytes };
      }),
    );
  }
}
