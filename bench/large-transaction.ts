/**
 * One transaction of a million rows, committed and rolled back: as one statement, and as statements of a thousand rows each.
 * Memory is the most that a node held meanwhile beyond what it held before (resident, sampled five times a second).
 *
 *   --rows=N (default 1,000,000)
 */
import pg from 'pg';
import { startBenchCluster } from './cluster.ts';
import { machineLine, printTable, processUsage } from './process.ts';

const rowsOfStatement = 1_000;
const sampleMs = 200;
/** Until no node still removes or flushes what the transaction before left. */
const restMs = 10_000;
const warmUpRows = 20_000;
const memoryMaxMb = 300;

export async function runLargeTransactionBench(options: readonly string[]): Promise<void> {
  const rows = Number(
    options.find((option) => option.startsWith('--rows='))?.split('=')[1] ?? 1_000_000,
  );
  const skein = await startBenchCluster({});
  const client = new pg.Client({ connectionString: skein.cluster.url(0) });
  try {
    await client.connect();
    const pids = skein.ports.map((_, i) => skein.cluster.pid(i) ?? 0);
    const table: string[][] = [];
    const insert = (name: string, from: number, to: number): Promise<unknown> =>
      client.query(
        `INSERT INTO ${name} SELECT i, i % 1000, 'name-' || i FROM generate_series(${from}, ${to}) i`,
      );
    const ways = {
      'one statement': (name: string) => insert(name, 1, rows),
      'statements of 1,000 rows': async (name: string) => {
        for (let from = 1; from <= rows; from += rowsOfStatement) {
          await insert(name, from, Math.min(rows, from + rowsOfStatement - 1));
        }
      },
    };
    await client.query('CREATE TABLE warm (id int8 PRIMARY KEY, grp int4, name text)');
    await insert('warm', 1, warmUpRows);
    let tables = 0;
    for (const [way, write] of Object.entries(ways)) {
      for (const end of ['COMMIT', 'ROLLBACK']) {
        const name = `large_${++tables}`;
        await client.query(`CREATE TABLE ${name} (id int8 PRIMARY KEY, grp int4, name text)`);
        await pause(restMs);
        const memory = new PeakMemory(pids);
        await memory.start();
        const startMs = performance.now();
        await client.query('BEGIN');
        await write(name);
        const writtenMs = performance.now();
        await client.query(end);
        const endedMs = performance.now();
        const { rows: counted } = await client.query<{ n: string }>(
          `SELECT count(*) AS n FROM ${name}`,
        );
        const wanted = end === 'COMMIT' ? rows : 0;
        if (Number(counted[0]?.n) !== wanted) {
          throw new Error(`${way}, ${end}: ${counted[0]?.n} rows instead of ${wanted}`);
        }
        await pause(restMs);
        const extra = await memory.stop();
        table.push([
          `${way}, ${end}`,
          ((writtenMs - startMs) / 1000).toFixed(1),
          ((endedMs - writtenMs) / 1000).toFixed(1),
          ...extra.map((bytes) => (bytes / 1e6).toFixed(0)),
          `< ${memoryMaxMb}`,
        ]);
      }
    }
    console.log(`\n${machineLine()}; ${rows} rows in one transaction, three nodes\n`);
    printTable(
      ['transaction', 'write s', 'end s', 'MB node 1', 'MB node 2', 'MB node 3', 'wanted'],
      table,
    );
  } finally {
    await client.end();
    await skein.stop();
  }
}

/** The most resident memory of each process beyond what it had at the start. */
class PeakMemory {
  readonly #pids: readonly number[];
  #before: number[] = [];
  #peak: number[] = [];
  #stopping = false;
  #sampling: Promise<void> | undefined;

  constructor(pids: readonly number[]) {
    this.#pids = pids;
  }

  async start(): Promise<void> {
    this.#before = await this.#resident();
    this.#peak = [...this.#before];
    this.#sampling = this.#sample();
  }

  /** Bytes. */
  async stop(): Promise<number[]> {
    this.#stopping = true;
    await this.#sampling;
    return this.#peak.map((peak, i) => peak - (this.#before[i] ?? NaN));
  }

  async #sample(): Promise<void> {
    while (!this.#stopping) {
      const now = await this.#resident();
      this.#peak = this.#peak.map((peak, i) => Math.max(peak, now[i] ?? 0));
      await pause(sampleMs);
    }
  }

  #resident(): Promise<number[]> {
    return Promise.all(this.#pids.map(async (pid) => (await processUsage(pid))?.rssBytes ?? NaN));
  }
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
