/**
 * How long nobody can write when the node that holds the lease of a table goes away: killed, drained or paused. Eight
 * clients upsert single rows through the other nodes; the figure is the longest time between two acknowledgements that
 * follow each other. Afterwards every acknowledged row must be there.
 *
 *   --kills=N    SIGKILL, then a restart (default 20)
 *   --drains=N   SIGTERM, then a restart (default 10)
 *   --pauses=N   SIGSTOP until writes go on, then SIGCONT (default 5)
 */
import pg from 'pg';
import { type BenchCluster, startBenchCluster } from './cluster.ts';
import { machineLine, median, printTable } from './process.ts';
import { loadTable, UpsertLoad } from './upsert-load.ts';

interface Event {
  readonly name: string;
  readonly rounds: number;
  readonly wantedMs: { readonly p50?: number; readonly max?: number };
  readonly strike: (skein: BenchCluster, victim: number) => Promise<void>;
  readonly repair: (skein: BenchCluster, victim: number) => Promise<void>;
}

const clients = 8;
const warmUpMs = 2000;
/** Writes must go on for so long before the gap counts as over. */
const steadyMs = 1500;
const giveUpMs = 60_000;

export async function runFailoverBench(options: readonly string[]): Promise<void> {
  const count = (name: string, otherwise: number): number =>
    Number(options.find((option) => option.startsWith(`--${name}=`))?.split('=')[1] ?? otherwise);
  const events: readonly Event[] = [
    {
      name: 'kill -9',
      rounds: count('kills', 20),
      wantedMs: { p50: 2000, max: 5000 },
      strike: ({ cluster }, victim) => cluster.kill(victim),
      repair: ({ cluster }, victim) => cluster.startNode(victim),
    },
    {
      name: 'drain',
      rounds: count('drains', 10),
      wantedMs: { max: 1000 },
      strike: ({ cluster }, victim) => cluster.kill(victim, 'SIGTERM'),
      repair: ({ cluster }, victim) => cluster.startNode(victim),
    },
    {
      name: 'pause',
      rounds: count('pauses', 5),
      wantedMs: {},
      strike: async ({ cluster }, victim) => cluster.signal(victim, 'SIGSTOP'),
      repair: async ({ cluster }, victim) => cluster.signal(victim, 'SIGCONT'),
    },
  ];
  const skein = await startBenchCluster({});
  try {
    const admin = new pg.Client({ connectionString: skein.cluster.url(0) });
    await admin.connect();
    await admin.query(`CREATE TABLE ${loadTable} (id int4 PRIMARY KEY, v int4)`);
    await admin.query(`ALTER TABLE ${loadTable} SPLIT AT VALUES (0)`);
    await admin.end();
    const rows: string[][] = [];
    for (const event of events) {
      if (event.rounds > 0) rows.push(await measure(skein, event));
    }
    console.log(
      `\n${machineLine()}; ${clients} clients through the surviving nodes, milliseconds without an acknowledged write\n`,
    );
    printTable(
      ['leaseholder', 'rounds', 'p50', 'wanted', 'max', 'wanted', 'failed statements'],
      rows,
    );
  } finally {
    await skein.stop();
  }
}

async function measure(skein: BenchCluster, event: Event): Promise<string[]> {
  const gapsMs: number[] = [];
  const failures = new Map<string, number>();
  const load = new UpsertLoad();
  for (let round = 0; round < event.rounds;) {
    const victim = await leaseholder(skein);
    const urls = skein.ports.map((_, i) => skein.cluster.url(i)).filter((_, i) => i !== victim);
    load.start(clients, urls);
    // Anywhere between two heartbeats.
    await pause(warmUpMs + Math.random() * 500);
    if ((await leaseholder(skein)) !== victim) {
      // The lease was moved for balance meanwhile: that would not be the failure to be measured.
      await load.stop();
      continue;
    }
    round++;
    const struckMs = performance.now();
    const struck = event.strike(skein, victim);
    await untilSteady(load, struckMs);
    await struck;
    await load.stop();
    gapsMs.push(longestGap(load.acknowledgedAtMs, struckMs));
    for (const [code, times] of load.failures) {
      failures.set(code, (failures.get(code) ?? 0) + times);
    }
    console.error(
      `${event.name} ${round}: ${gapsMs.at(-1)?.toFixed(0)} ms  ${failureText(load.failures)}`,
    );
    await event.repair(skein, victim);
    await untilQuiet(skein);
    await load.verify(skein.cluster.url(victim));
  }
  const { p50, max } = event.wantedMs;
  return [
    event.name,
    String(event.rounds),
    median(gapsMs).toFixed(0),
    p50 === undefined ? '' : String(p50),
    Math.max(...gapsMs).toFixed(0),
    max === undefined ? '' : String(max),
    failureText(failures),
  ];
}

function failureText(failures: ReadonlyMap<string, number>): string {
  return [...failures].map(([code, times]) => `${code}: ${times}`).join(', ') || 'none';
}

/** The node (from 0) that holds the lease of the table's last range. */
async function leaseholder(skein: BenchCluster): Promise<number> {
  const client = new pg.Client({ connectionString: skein.cluster.url(0) });
  await client.connect();
  try {
    const { rows } = await client.query<{ lease_holder: string }>(
      `SHOW RANGES FROM TABLE ${loadTable}`,
    );
    const holder = Number(rows.at(-1)?.lease_holder ?? 0);
    if (holder === 0) throw new Error('nobody holds the lease');
    return holder - 1;
  } finally {
    await client.end();
  }
}

/** Writes were acknowledged again, and went on. */
async function untilSteady(load: UpsertLoad, struckMs: number): Promise<void> {
  const deadlineMs = struckMs + giveUpMs;
  for (;;) {
    await pause(steadyMs);
    const nowMs = performance.now();
    const recent = load.acknowledgedAtMs.filter((at) => at > nowMs - steadyMs).length;
    if (nowMs - struckMs > 2 * steadyMs && recent > clients * 10) return;
    if (nowMs > deadlineMs) throw new Error('writes did not go on');
  }
}

function longestGap(acknowledgedAtMs: readonly number[], struckMs: number): number {
  let longest = 0;
  for (let i = 1; i < acknowledgedAtMs.length; i++) {
    const at = acknowledgedAtMs[i] ?? 0;
    if (at > struckMs) longest = Math.max(longest, at - (acknowledgedAtMs[i - 1] ?? 0));
  }
  return longest;
}

/** No replica has anything to do any more: all of them have everything (a leader falls silent only then). */
async function untilQuiet(skein: BenchCluster): Promise<void> {
  const deadlineMs = performance.now() + giveUpMs;
  for (let quiet = 0; quiet < 2;) {
    await pause(200);
    const awake = await Promise.all(skein.httpPorts.map(awakeReplicas));
    quiet = awake.every((replicas) => replicas === 0) ? quiet + 1 : 0;
    if (performance.now() > deadlineMs) {
      throw new Error(`replicas do not catch up: ${awake.join(', ')} have something to do`);
    }
  }
}

async function awakeReplicas(httpPort: number): Promise<number> {
  const response = await fetch(`http://127.0.0.1:${httpPort}/status`);
  const status = (await response.json()) as { store?: { gauges: { awakeReplicas: number } } };
  return status.store?.gauges.awakeReplicas ?? Infinity;
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
