/** One run: a fresh cluster, clients, faults, healing, and what is wrong with all that was seen. */
import { setTimeout as pause } from 'node:timers/promises';
import { mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { SeededRandom } from '../../src/sim/random.ts';
import {
  type CheckedWorkloadName,
  type IsolationLevel,
  type Verdict,
  type WorkloadRun,
  startWorkload,
} from '../../src/sim/workloads/sql/index.ts';
import { availabilityOf, type Availability } from './availability.ts';
import { type Attempt, Clients } from './clients.ts';
import { ChaosCluster } from './cluster.ts';
import { Connection } from './connection.ts';
import { planFaults } from './faults/index.ts';
import { type Target } from './faults/fault.ts';
import { splitTable } from './faults/ranges.ts';
import { type JournalEntry, Nemesis } from './nemesis.ts';
import { alarms, settle } from './settle.ts';
import { vacuities } from './vacuity.ts';

export interface RunOptions {
  readonly workload: CheckedWorkloadName;
  readonly isolation: IsolationLevel;
  /** See `planFaults`. */
  readonly nemesis: string;
  /** Under faults. */
  readonly seconds: number;
  readonly nodes: number;
  readonly seed: number;
}

export interface RunResult {
  readonly options: RunOptions;
  readonly verdict: Verdict;
  /** Why the run failed, besides anomalies. */
  readonly findings: readonly string[];
  /** Why it proves little. */
  readonly vacuous: readonly string[];
  readonly attempts: readonly Attempt[];
  readonly journal: readonly JournalEntry[];
  readonly availability: Availability;
  /** When the clients ended, on the clock of the run. */
  readonly endMs: number;
  readonly workload: WorkloadRun;
}

const clientsPerNode = 2;
/** Before the first fault, and behind the last one. */
const calmMs = 3_000;
const recoveryMs = 6_000;
const healDeadlineMs = 60_000;

export function passed(result: RunResult): boolean {
  return result.verdict.valid === true && complaints(result).length === 0;
}

/** One line each. */
export function complaints({ verdict, findings, vacuous }: RunResult): string[] {
  return [
    ...verdict.anomalies.map(({ anomaly, text }) => `${anomaly}: ${text}`),
    ...findings,
    ...vacuous.map((reason) => `proves little: ${reason}`),
  ];
}

/** `watch.ended` is called before the files of the cluster are removed. */
export async function runChaos(
  options: RunOptions,
  watch: {
    readonly started: (cluster: ChaosCluster) => void;
    readonly ended: (cluster: ChaosCluster, result: RunResult) => void;
  },
): Promise<RunResult> {
  const random = new SeededRandom(options.seed);
  const zeroMs = performance.now();
  const nowMs = (): number => performance.now() - zeroMs;
  const networkRandom = random.fork();
  const durationMs = options.seconds * 1000;
  const plan = planFaults(options.nemesis, random.fork(), { nodes: options.nodes, durationMs });
  const cluster = await ChaosCluster.start({
    nodes: options.nodes,
    spares: 1,
    folder: mkdtempSync(join(tmpdir(), 'skein-chaos-')),
    draw: () => networkRandom.float(),
  });
  watch.started(cluster);
  try {
    const sql: Target['sql'] = (text, values) => throughAny(cluster, text, values);
    const workload = startWorkload(options.workload, options.isolation, nowMs);
    await withConnection(cluster.url(0), async (connection) => {
      for (const statement of workload.setup) await connection.query(statement);
    });
    const clients = new Clients({
      clients: options.nodes * clientsPerNode,
      urls: Array.from({ length: options.nodes }, (_, node) => cluster.url(node)),
      workload,
      random: random.fork(),
      nowMs,
    });
    await pause(calmMs);
    await spread(sql, workload.tables);
    const nemesis = new Nemesis({
      plan,
      nowMs,
      target: {
        cluster,
        tables: workload.tables,
        sql,
      },
    });
    await pause(durationMs);
    const findings: string[] = [];
    if (!(await nemesis.stop(healDeadlineMs))) {
      const open = nemesis.journal.filter(({ healedMs }) => healedMs === undefined);
      findings.push(
        `not healed in ${healDeadlineMs / 1000} s: ${open.map(({ name }) => name).join(', ')}`,
      );
    }
    cluster.heal();
    await pause(recoveryMs);
    await clients.stop();
    const endMs = nowMs();
    findings.push(...clients.mistakes.map((error) => `the workload is mistaken: ${String(error)}`));
    findings.push(...(await settle(cluster, workload, nowMs)), ...alarms(cluster, plan));
    const availability = availabilityOf(clients.attempts, nemesis.journal, endMs);
    const result: RunResult = {
      options,
      verdict: workload.verdict(),
      findings,
      vacuous: vacuities(options, availability, nemesis.journal),
      attempts: clients.attempts,
      journal: nemesis.journal,
      availability,
      endMs,
      workload,
    };
    watch.ended(cluster, result);
    return result;
  } finally {
    await cluster.stop();
    cluster.remove();
  }
}

/** Every table in several ranges, whose leases are at several nodes. */
async function spread(sql: Target['sql'], tables: readonly string[]): Promise<void> {
  for (const table of tables) {
    await splitTable(sql, table, 'random');
    await sql(`ALTER TABLE ${table} SCATTER`);
  }
}

/** Through the first node that takes it. A node that stands still is one that does not. */
async function throughAny<Row extends object>(
  cluster: ChaosCluster,
  text: string,
  values: readonly unknown[] = [],
): Promise<Row[]> {
  let failure: unknown = new Error('no node is up');
  for (const node of cluster.up) {
    try {
      return await withConnection(
        cluster.url(node),
        async (connection) => (await connection.query<Row>(text, values)).rows,
      );
    } catch (error) {
      failure = error;
    }
  }
  throw failure;
}

async function withConnection<T>(url: string, work: (sql: Connection) => Promise<T>): Promise<T> {
  const connection = await Connection.open(url);
  try {
    return await work(connection);
  } finally {
    await connection.close();
  }
}
