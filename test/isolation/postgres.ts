/**
 * PostgreSQL for plays. It says itself which session waits for which other ones (`pg_blocking_pids`). A session is taken
 * out of a lock's queue by whoever lets it go on, before that one answers: so one that is in a queue and in no cycle will stay there.
 * Each play has a schema of its own, which is made faster than a database.
 */
import { Client, type ClientConfig, type QueryArrayResult } from 'pg';
import { deadlockTimeoutMs, startPostgresServer } from './postgres-server.ts';
import {
  errorLine,
  rowLines,
  tagLines,
  type BusySession,
  type TestedDatabase,
  type TestedSession,
  type TestedSystem,
} from './system.ts';

const pollMs = 3;
const longestStepMs = 20_000;

export async function startPostgres(): Promise<TestedSystem> {
  const server = await startPostgresServer();
  const config = { host: server.socketFolder, user: 'postgres', database: 'postgres' };
  const admin = await firstConnection(config);
  let schemas = 0;

  const prepare = async (setup: string): Promise<TestedDatabase> => {
    const schema = `play${++schemas}`;
    const inSchema = { ...config, options: `-c search_path=${schema}` };
    await admin.query(`create schema ${schema}`);
    const first = await connection(inSchema);
    await first.query(setup);
    await first.end();
    return {
      connect: async () => {
        const client = await connection(inSchema);
        const { rows } = await client.query<{ pid: number }>('select pg_backend_pid() as pid');
        return new PostgresSession(client, rows[0]?.pid ?? 0, admin);
      },
      rest: (busy, toTheEnd) => rest(admin, busy, toTheEnd),
    };
  };
  const stop = async (): Promise<void> => {
    await admin.end();
    await server.stop();
  };
  return { name: 'postgres', prepare, stop };
}

async function connection(config: ClientConfig): Promise<Client> {
  const client = new Client(config);
  client.on('error', () => undefined);
  await client.connect();
  return client;
}

async function firstConnection(config: ClientConfig): Promise<Client> {
  for (let waitedMs = 0; ; waitedMs += 50) {
    try {
      return await connection(config);
    } catch (error) {
      if (waitedMs > longestStepMs) throw error;
      await pause(50);
    }
  }
}

class PostgresSession implements TestedSession {
  readonly pid: number;
  readonly #client: Client;
  readonly #admin: Client;
  readonly #notices: string[] = [];

  constructor(client: Client, pid: number, admin: Client) {
    this.pid = pid;
    this.#client = client;
    this.#admin = admin;
    client.on('notice', ({ severity, code, message }) => {
      this.#notices.push(`${severity ?? ''} ${code ?? ''} ${message ?? ''}`);
    });
  }

  async run(sql: string): Promise<readonly string[]> {
    const lines: string[] = [];
    try {
      const asText = { getTypeParser: () => (value: string) => value };
      const answer = await this.#client.query({ text: sql, rowMode: 'array', types: asText });
      for (const result of [answer].flat() as QueryArrayResult<(string | null)[]>[]) {
        if (result.fields.length > 0) lines.push(...rowLines(result.rows));
        lines.push(...tagLines(sql, tagOf(result)));
      }
    } catch (error) {
      const { code, message } = error as { readonly code?: string; readonly message: string };
      lines.push(errorLine(code ?? '', message));
      // The error comes before the transaction is undone; this answer comes afterwards.
      await this.#client.query('').catch(() => undefined);
    }
    return [...this.#notices.splice(0), ...lines];
  }

  async cancel(): Promise<void> {
    await this.#admin.query('select pg_cancel_backend($1)', [this.pid]);
  }

  async close(): Promise<void> {
    await this.#admin.query('select pg_terminate_backend($1)', [this.pid]);
    const stillThere = 'select 1 from pg_stat_activity where pid = $1';
    while ((await this.#admin.query(stillThere, [this.pid])).rows.length > 0) await pause(pollMs);
    await this.#client.end().catch(() => undefined);
  }
}

/** The driver takes completion tags apart. */
function tagOf({ command, rowCount }: { command: string; rowCount: number | null }): string {
  const count = command === 'INSERT' ? `0 ${rowCount ?? 0}` : (rowCount ?? '');
  return `${command} ${count}`.trim();
}

async function rest(admin: Client, busy: readonly BusySession[], toTheEnd: boolean): Promise<void> {
  for (let waitedMs = 0; ; waitedMs += pollMs) {
    const open = busy.filter(({ done }) => !done);
    if (open.length === 0) return;
    if (!toTheEnd) {
      const pids = open.map(({ session }) => (session as PostgresSession).pid);
      const waits = await waitsOf(admin, pids);
      if (waits.every(({ by, checked }) => by.length > 0 && checked) && !hasCycle(waits)) {
        // What ended while this was asked has not been told yet.
        if (open.every(({ done }) => !done)) return;
        continue;
      }
    }
    if (waitedMs > longestStepMs) throw new Error('a step neither ends nor waits for another one');
    await pause(pollMs);
  }
}

interface Wait {
  readonly pid: number;
  /** For whom it waits; empty: for nobody. */
  readonly by: readonly number[];
  /** It has looked for a deadlock: the next one in a circle will be the one who fails. */
  readonly checked: boolean;
}

async function waitsOf(admin: Client, pids: readonly number[]): Promise<readonly Wait[]> {
  const { rows } = await admin.query<Wait>(
    `select pid, pg_blocking_pids(pid) || pg_safe_snapshot_blocking_pids(pid) as by,
            not exists (select 1 from pg_locks l where l.pid = p.pid and not granted
                        and (waitstart is null or clock_timestamp() - waitstart < $2::interval)) as checked
     from unnest($1::int[]) as p (pid)`,
    [pids, `${deadlockTimeoutMs * 3} ms`],
  );
  return rows;
}

/** Whether some session waits for itself. */
function hasCycle(waits: readonly Wait[]): boolean {
  const reaches = (from: number, target: number, seen: Set<number>): boolean =>
    (waits.find(({ pid }) => pid === from)?.by ?? []).some((next) => {
      if (next === target) return true;
      if (seen.has(next)) return false;
      seen.add(next);
      return reaches(next, target, seen);
    });
  return waits.some(({ pid }) => reaches(pid, pid, new Set()));
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => {
    setTimeout(resolve, ms);
  });
}
