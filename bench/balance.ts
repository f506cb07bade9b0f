/**
 * How a cluster spreads load and data, on real processes under load:
 *
 *   spread   point reads of one hot table, all served by one node at first: time until the busiest node serves less than
 *            1.3 times the mean, and throughput before and after. Where it may, it gives each node a part of a core
 *            only: on a machine with fewer cores than nodes one node alone is as fast as all of them
 *   join     a fourth node starts: time until range counts are within 5 % of the mean, and the longest time with less
 *            than 70 % of the throughput before
 *   spikes   single-row writes while ranges are split and merged, and leases and replicas move: p99 and the longest
 *
 *   --clients=N (default 48), --only=spread|join|spikes, --share=F of a core for each node (default 0.4, and 0.3 for join, so that two cores
 *   have room for four nodes and the clients; 0: no limit),
 *   --threshold=N requests per second above which a range is split (default: the setting's own): three nodes share evenly what makes more
 *   than four ranges, which a slow machine does not serve enough reads for
 */
import pg from 'pg';
import { type BenchCluster, startBenchCluster } from './cluster.ts';
import { machineLine, median, printTable } from './process.ts';
import { limitProcessor } from './processor-share.ts';
import { loadTable, UpsertLoad } from './upsert-load.ts';

const rows = 20_000;
const warmUpMs = 40_000;
const spreadMaxMs = 120_000;
const joinMaxMs = 300_000;
/** Of the mean. */
const busiestMax = 1.3;
const rangesOff = 0.05;
const throughputMin = 0.7;
const splitsOfJoin = 200;
const roundsOfSpikes = 10;

export async function runBalanceBench(options: readonly string[]): Promise<void> {
  const given = (name: string): string | undefined =>
    options.find((option) => option.startsWith(`--${name}=`))?.split('=')[1];
  const clients = Number(given('clients') ?? 48);
  const only = given('only');
  const shareOf = (usual: number): number => Number(given('share') ?? usual);
  const threshold = given('threshold') ?? 'DEFAULT';
  const skein = await startBenchCluster({ nodes: 4, initialNodes: 3 });
  try {
    const admin = new pg.Client({ connectionString: skein.cluster.url(0) });
    await admin.connect();
    await admin.query(`SET CLUSTER SETTING kv.range_split.load_qps_threshold = ${threshold}`);
    await admin.query('CREATE TABLE hot (id int4 PRIMARY KEY, v text)');
    await admin.query(
      `INSERT INTO hot SELECT i, repeat('x', 50) FROM generate_series(1, ${rows}) i`,
    );
    console.log(`\n${machineLine()}; ${clients} clients\n`);
    const table: string[][] = [];
    const head = ['what', 'measured', 'wanted'];
    if (only === undefined || only === 'spread') {
      const limit = new ProcessorLimit(skein, shareOf(0.4));
      limit.add([0, 1, 2]);
      table.push(
        ['spread: cores per node', limit.text, ''],
        ['spread: requests per second above which a range is split', threshold, ''],
        ...(await spread(skein, admin, clients)),
      );
      limit.lift();
    }
    if (only === undefined || only === 'join') {
      const limit = new ProcessorLimit(skein, shareOf(0.3));
      limit.add([0, 1, 2]);
      table.push(
        ['join: cores per node', limit.text, ''],
        ...(await join(skein, admin, clients, limit)),
      );
      limit.lift();
    }
    if (table.length > 0) printTable(head, table);
    if (only === undefined || only === 'spikes') {
      const { rows: nodes } = await admin.query('SELECT 1 FROM skein_internal.nodes');
      if (nodes.length < 4) await skein.cluster.startNode(3);
      printTable(
        ['writes during', 'rounds', 'writes', 'p50 ms', 'p99 ms', 'longest', 'wanted p99'],
        await spikes(skein, admin),
      );
    }
    await admin.end();
  } finally {
    await skein.stop();
  }
}

/** Gives nodes a part of a core each, where this is allowed. */
class ProcessorLimit {
  readonly #skein: BenchCluster;
  readonly #share: number;
  readonly #lifts: (() => void)[] = [];

  constructor(skein: BenchCluster, share: number) {
    this.#skein = skein;
    this.#share = share;
  }

  get text(): string {
    return this.#lifts.length === 0 ? 'no limit' : String(this.#share);
  }

  add(nodes: readonly number[]): void {
    if (this.#share === 0) return;
    const pids = nodes.flatMap((index) => this.#skein.cluster.pid(index) ?? []);
    const lift = limitProcessor(pids, this.#share);
    if (lift !== undefined) this.#lifts.push(lift);
  }

  lift(): void {
    for (const lift of this.#lifts.splice(0)) lift();
  }
}

// Reads.

class PointReads {
  /** Answers by second, from the first one on. */
  readonly perSecond: number[] = [];
  failures = 0;
  #running: Promise<void>[] = [];
  #stopping = false;

  start(clients: number, urls: readonly string[]): void {
    const startedMs = performance.now();
    this.#running = Array.from({ length: clients }, (_, i) =>
      this.#client(urls[i % urls.length] ?? '', startedMs),
    );
  }

  async stop(): Promise<void> {
    this.#stopping = true;
    await Promise.all(this.#running);
  }

  /** Mean of the last `seconds` complete seconds. */
  rate(seconds: number): number {
    const complete = this.perSecond.slice(0, -1).slice(-seconds);
    return complete.reduce((sum, count) => sum + count, 0) / Math.max(1, complete.length);
  }

  async #client(url: string, startedMs: number): Promise<void> {
    const client = new pg.Client({ connectionString: url });
    client.on('error', () => {});
    await client.connect();
    while (!this.#stopping) {
      const id = 1 + Math.floor(Math.random() * rows);
      try {
        await client.query({ name: 'read', text: 'SELECT v FROM hot WHERE id = $1', values: [id] });
        const second = Math.floor((performance.now() - startedMs) / 1000);
        while (this.perSecond.length <= second) this.perSecond.push(0);
        this.perSecond[second] = (this.perSecond[second] ?? 0) + 1;
      } catch {
        this.failures++;
      }
    }
    await client.end();
  }
}

function urlsOf(skein: BenchCluster, nodes: number): string[] {
  return Array.from({ length: nodes }, (_, i) => skein.cluster.url(i));
}

/** Requests per second at the leaseholders of each node. */
async function loads(skein: BenchCluster, nodes: number): Promise<number[]> {
  return Promise.all(
    skein.httpPorts.slice(0, nodes).map(async (port) => {
      const response = await fetch(`http://127.0.0.1:${port}/status`);
      const status = (await response.json()) as {
        store?: { gauges: { queriesPerSecond: number } };
      };
      return status.store?.gauges.queriesPerSecond ?? 0;
    }),
  );
}

async function spread(skein: BenchCluster, admin: pg.Client, clients: number): Promise<string[][]> {
  const load = new PointReads();
  // All in one place until everybody is warm.
  await admin.query('SET CLUSTER SETTING kv.range_split.by_load_enabled = false');
  load.start(clients, urlsOf(skein, 3));
  await pause(warmUpMs);
  const before = load.rate(10);
  await admin.query('RESET CLUSTER SETTING kv.range_split.by_load_enabled');
  const beganMs = performance.now();
  const busiest = async (): Promise<number> => {
    const each = await loads(skein, 3);
    const mean = each.reduce((sum, qps) => sum + qps, 0) / each.length;
    return Math.max(...each) / Math.max(1, mean);
  };
  const first = await busiest();
  let spreadAtMs: number | undefined;
  let share = first;
  for (let even = 0; performance.now() - beganMs < spreadMaxMs && even < 10;) {
    await pause(1_000);
    share = await busiest();
    even = share < busiestMax ? even + 1 : 0;
    if (even === 1) spreadAtMs = performance.now() - beganMs;
    if (even === 0) spreadAtMs = undefined;
  }
  await pause(12_000);
  const after = load.rate(10);
  await load.stop();
  const { rows: ranges } = await admin.query('SELECT 1 FROM [SHOW RANGES FROM TABLE hot]');
  return [
    ['spread: busiest node at first, times the mean', first.toFixed(2), ''],
    ['spread: busiest node at the end', share.toFixed(2), `< ${busiestMax}`],
    [
      'spread: seconds until then',
      spreadAtMs === undefined ? 'not reached' : (spreadAtMs / 1000).toFixed(0),
      `<= ${spreadMaxMs / 1000}`,
    ],
    ['spread: ranges of the table', String(ranges.length), ''],
    ['spread: reads/s at first, mean of 10 s', before.toFixed(0), ''],
    ['spread: reads/s at the end, mean of 10 s', after.toFixed(0), 'more'],
    ['spread: failed reads', String(load.failures), '0'],
  ];
}

// A node more.

async function join(
  skein: BenchCluster,
  admin: pg.Client,
  clients: number,
  limit: ProcessorLimit,
): Promise<string[][]> {
  for (let from = 1; from < splitsOfJoin; from += 50) {
    const keys = Array.from({ length: 50 }, (_, i) => `(${(from + i) * (rows / splitsOfJoin)})`);
    await admin.query(`ALTER TABLE hot SPLIT AT VALUES ${keys.join()}`);
  }
  const load = new PointReads();
  load.start(clients, urlsOf(skein, 3));
  await pause(25_000);
  const usual = median(load.perSecond.slice(4, -1));
  const from = load.perSecond.length;
  const beganMs = performance.now();
  await skein.cluster.startNode(3);
  limit.add([3]);
  let evenAtMs: number | undefined;
  let off = Infinity;
  while (performance.now() - beganMs < joinMaxMs && evenAtMs === undefined) {
    await pause(1_000);
    off = await rangesOffMean(admin);
    if (off <= rangesOff) evenAtMs = performance.now() - beganMs;
  }
  await pause(5_000);
  await load.stop();
  const during = load.perSecond.slice(from, -1);
  let longest = 0;
  let low = 0;
  for (const count of during) {
    low = count < usual * throughputMin ? low + 1 : 0;
    longest = Math.max(longest, low);
  }
  return [
    [
      'join: largest distance of a range count from the mean',
      `${(off * 100).toFixed(1)} %`,
      '<= 5 %',
    ],
    [
      'join: seconds until then',
      evenAtMs === undefined ? 'not reached' : (evenAtMs / 1000).toFixed(0),
      '',
    ],
    ['join: reads/s before, median', usual.toFixed(0), ''],
    ['join: reads/s meanwhile, median', median(during).toFixed(0), ''],
    ['join: seconds on end below 70 % of it', String(longest), '<= 5'],
    ['join: failed reads', String(load.failures), '0'],
  ];
}

async function rangesOffMean(admin: pg.Client): Promise<number> {
  const { rows: counts } = await admin.query<{ n: number }>(
    `SELECT count(*)::int AS n FROM (SELECT unnest(replicas) AS node FROM skein_internal.ranges_no_leases) r GROUP BY node`,
  );
  if (counts.length < 4) return Infinity;
  const mean = counts.reduce((sum, { n }) => sum + n, 0) / counts.length;
  return Math.max(...counts.map(({ n }) => Math.abs(n - mean))) / mean;
}

// What writers notice.

interface Disturbance {
  readonly name: string;
  /** One round; resolves when it is over. */
  readonly run: (round: number) => Promise<unknown>;
}

async function spikes(skein: BenchCluster, admin: pg.Client): Promise<string[][]> {
  await admin.query(`CREATE TABLE ${loadTable} (id int4 PRIMARY KEY, v int4)`);
  await admin.query(`ALTER TABLE ${loadTable} SPLIT AT VALUES (0)`);
  await replicated(admin);
  const range = async (): Promise<{ id: string; stores: number[]; lease: number }> => {
    const { rows: found } = await admin.query<{
      range_id: string;
      replicas: string[];
      lease_holder: string;
    }>(`SELECT range_id, replicas, lease_holder FROM [SHOW RANGES FROM TABLE ${loadTable}]`);
    const last = found.at(-1);
    if (last === undefined) throw new Error('the table has no range');
    return {
      id: last.range_id,
      stores: last.replicas.map(Number),
      lease: Number(last.lease_holder),
    };
  };
  const ask = async (statement: string): Promise<void> => {
    const { rows: results } = await admin.query<{ result?: string }>(statement);
    for (const { result } of results) {
      if (result !== undefined && result !== 'ok') throw new Error(`${statement}: ${result}`);
    }
  };
  const count = async (): Promise<number> =>
    (await admin.query(`SELECT 1 FROM [SHOW RANGES FROM TABLE ${loadTable}]`)).rows.length;
  const disturbances: readonly Disturbance[] = [
    { name: 'nothing', run: () => pause(2_000) },
    {
      name: 'splits',
      run: (round) => ask(`ALTER TABLE ${loadTable} SPLIT AT VALUES (${(round + 1) * 15})`),
    },
    {
      name: 'merges',
      run: async (round) => {
        const before = await count();
        await ask(`ALTER TABLE ${loadTable} UNSPLIT AT VALUES (${(round + 1) * 15})`);
        for (let waited = 0; (await count()) >= before && waited < 100; waited++) await pause(200);
      },
    },
    {
      name: 'lease transfers',
      run: async () => {
        const { id, stores, lease } = await range();
        const to = stores.find((store) => store !== lease) ?? lease;
        await ask(`ALTER RANGE ${id} RELOCATE LEASE TO ${to}`);
      },
    },
    {
      name: 'replica moves',
      run: async () => {
        const { id, stores, lease } = await range();
        const from = stores.find((store) => store !== lease);
        const to = [1, 2, 3, 4].find((store) => !stores.includes(store));
        await ask(`ALTER RANGE ${id} RELOCATE VOTERS FROM ${from} TO ${to}`);
      },
    },
  ];
  const results: string[][] = [];
  for (const { name, run } of disturbances) {
    const load = new UpsertLoad();
    load.start(8, urlsOf(skein, 3));
    await pause(2_000);
    const latencies: number[] = [];
    let rounds = 0;
    for (; rounds < roundsOfSpikes; rounds++) {
      const fromMs = performance.now();
      await run(rounds);
      await pause(300);
      const toMs = performance.now();
      for (const { atMs, tookMs } of load.writes) {
        if (atMs >= fromMs && atMs - tookMs <= toMs) latencies.push(tookMs);
      }
      await pause(700);
    }
    await load.stop();
    latencies.sort((a, b) => a - b);
    const at = (share: number): string =>
      (latencies[Math.floor((latencies.length - 1) * share)] ?? NaN).toFixed(1);
    results.push([
      name,
      String(rounds),
      String(latencies.length),
      at(0.5),
      at(0.99),
      at(1),
      name === 'nothing' ? '' : '<= 250',
    ]);
    await load.verify(skein.cluster.url(0));
  }
  return results;
}

async function replicated(admin: pg.Client): Promise<void> {
  for (let waited = 0; waited < 200; waited++) {
    const { rows: found } = await admin.query<{ replicas: unknown[] }>(
      `SHOW RANGES FROM TABLE ${loadTable}`,
    );
    if (found.every(({ replicas }) => replicas.length === 3)) return;
    await pause(200);
  }
  throw new Error('the table was not replicated');
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
