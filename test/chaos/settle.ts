/**
 * After the faults: everything is healed and runs, and the cluster has a minute to become whole. Then its replicas must hold the same,
 * no intent may be left, and nobody may have said what a sound node never says.
 */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { type WorkloadRun } from '../../src/sim/workloads/sql/index.ts';
import { type ChaosCluster } from './cluster.ts';
import { Connection } from './connection.ts';
import { type Plan } from './faults/index.ts';

const deadlineMs = 60_000;
const betweenMs = 500;

/** What must come true within the deadline, each with the sentence that says what is in the way. */
interface Wanted {
  readonly what: string;
  /** Undefined: it is so. */
  readonly missing: (sql: Connection) => Promise<string | undefined>;
}

const wanted: readonly Wanted[] = [
  {
    what: 'every range has its replicas and a leaseholder',
    async missing(sql) {
      const { rows } = await sql.query<{ range_id: string; conforms: boolean | null }>(
        `SELECT r.range_id, r.lease_holder IS NOT NULL AND c.is_available AND NOT c.is_under_replicated AS conforms
          FROM skein_internal.ranges AS r JOIN skein_internal.replication_conformance AS c ON c.range_id = r.range_id`,
      );
      const bad = rows.filter(({ conforms }) => conforms !== true);
      return bad.length === 0 ? undefined : `ranges ${bad.map((row) => row.range_id).join(', ')}`;
    },
  },
  {
    what: 'no intent is left',
    async missing(sql) {
      const { rows } = await sql.query<{ range_id: string; intents: string }>(
        `SELECT range_id, span_stats->>'intent_count' AS intents FROM [SHOW CLUSTER RANGES WITH DETAILS]
          WHERE coalesce((span_stats->>'intent_count')::int, 1) > 0`,
      );
      const bad = rows.map(
        (row) => `${row.intents ?? 'nobody knows how many'} in range ${row.range_id}`,
      );
      return bad.length === 0 ? undefined : bad.join(', ');
    },
  },
  {
    what: 'the replicas of each range hold the same',
    async missing(sql) {
      const { rows } = await sql.query<{ range_id: string; status: string; detail: string }>(
        `SELECT range_id, status, detail FROM skein_internal.check_consistency(false, '', '')
          AS c(range_id, start_key, start_key_pretty, status, detail, duration) WHERE status <> 'RANGE_CONSISTENT'`,
      );
      const bad = rows.map((row) => `range ${row.range_id}: ${row.status} ${row.detail}`);
      return bad.length === 0 ? undefined : bad.join('; ');
    },
  },
];

/** Resolves with findings; none when all is well. `run` gets its final reads. */
export async function settle(
  cluster: ChaosCluster,
  run: WorkloadRun,
  nowMs: () => number,
): Promise<string[]> {
  const untilMs = nowMs() + deadlineMs;
  const nodes = Array.from({ length: cluster.nodes }, (_, node) => node);
  const findings: string[] = [];
  cluster.heal();
  const started = nodes.map((node) =>
    within(cluster.start(node), untilMs - nowMs(), `node ${node + 1} does not serve`),
  );
  for (const result of await Promise.allSettled(started)) {
    if (result.status === 'rejected') findings.push(String(result.reason));
  }
  if (findings.length > 0) return findings;
  for (const { what, missing } of wanted) {
    const rest = await untilNothingMissing(cluster.url(0), missing, untilMs - nowMs());
    if (rest !== undefined) findings.push(`not after ${deadlineMs / 1000} s: ${what} (${rest})`);
  }
  for (const node of nodes) {
    const rest = await untilNothingMissing(
      cluster.url(node),
      async (sql) => ((await run.finish(sql)) === 'ok' ? undefined : 'they do not succeed'),
      untilMs - nowMs(),
    );
    if (rest !== undefined) findings.push(`no final reads through node ${node + 1}: ${rest}`);
  }
  return findings;
}

/** At least once. */
async function untilNothingMissing(
  url: string,
  missing: Wanted['missing'],
  forMs: number,
): Promise<string | undefined> {
  const endMs = performance.now() + forMs;
  for (;;) {
    let connection: Connection | undefined;
    let rest: string | undefined;
    try {
      connection = await Connection.open(url);
      rest = await missing(connection);
    } catch (error) {
      rest = String(error);
    }
    await connection?.close();
    if (rest === undefined || performance.now() > endMs) return rest;
    await pause(betweenMs);
  }
}

function within<T>(work: Promise<T>, forMs: number, otherwise: string): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(otherwise)), forMs);
  });
  return Promise.race([work, late]).finally(() => clearTimeout(timer));
}

/** What a sound node never says. */
const alarming =
  /panic|unhandled|assertion|invariant|unexpected error|checksum mismatch|dropping \d+ bytes|inconsistent/i;

/** Ends that somebody asked for; others need a fault that explains them. */
const ordered = /\((SIGKILL|status 0)\)/;

/** Lines of the nodes' logs, and ends of nodes, that nothing explains. */
export function alarms(cluster: ChaosCluster, plan: Plan): string[] {
  const known = plan.lanes.flat().flatMap(({ fault }) => fault.ends ?? []);
  const isKnown = (line: string): boolean => known.some((pattern) => pattern.test(line));
  const ends = cluster.said.filter(
    (line) => / ended \(/.test(line) && !ordered.test(line) && !isKnown(line),
  );
  const logs = Array.from({ length: cluster.nodes + cluster.spares }, (_, node) => {
    const lines = readLines(join(cluster.folder, `node${node + 1}.log`));
    const bad = lines.filter((line) => alarming.test(line) && !isKnown(line));
    return bad.map((line) => `node ${node + 1} logged: ${line.slice(0, 500)}`);
  });
  return [...ends, ...logs.flat()];
}

function readLines(path: string): string[] {
  try {
    return readFileSync(path, 'utf8').split('\n');
  } catch {
    return [];
  }
}
