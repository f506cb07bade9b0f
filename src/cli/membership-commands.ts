/**
 * `skein node | store decommission | recommission | drain`: each asks for a job on the server and looks on. The job goes on
 * when this program ends.
 */
import pg from 'pg';
import { UsageError } from './options.ts';
import { runStatement, withClient } from './sql-shell.ts';

const pollMs = 1_000;

type What = 'node' | 'store';

const checks: Readonly<Record<string, string>> = {
  enabled: '',
  strict: ' WITH STRICT CHECKS',
  skip: ' WITHOUT CHECKS',
};

/** Ids of the command line. Throws UsageError. */
function idsOf(what: What, words: readonly string[]): string {
  if (words.length === 0) {
    throw new UsageError(`name the ${what}s by their ids: skein ${what} status lists them.`);
  }
  const ids = words.map((word) => {
    const id = Number(word);
    if (!Number.isSafeInteger(id) || id < 1)
      throw new UsageError(`"${word}" is not the id of a ${what}.`);
    return id;
  });
  return ids.join(', ');
}

export async function runDecommission(
  what: What,
  words: readonly string[],
  flags: Record<string, unknown>,
): Promise<void> {
  const ids = idsOf(what, words);
  const statement = `ALTER ${what} ${ids} DECOMMISSION${checks[String(flags['checks'])] ?? ''}`;
  await withClient(flags, async (client) => {
    if (flags['dryRun'] === true) {
      await show(client, `EXPLAIN ${statement}`);
      return;
    }
    const jobs = await begin(client, statement);
    if (flags['wait'] === 'none') return;
    await watch(client, jobs, () => printMemberships(client, what, ids));
    await printMemberships(client, what, ids);
    console.log(
      what === 'node'
        ? 'The nodes hold nothing any more and may be stopped.'
        : 'The stores hold nothing any more. Their nodes leave them out from their next start on.',
    );
  });
}

export async function runRecommission(
  what: What,
  words: readonly string[],
  flags: Record<string, unknown>,
): Promise<void> {
  const ids = idsOf(what, words);
  await withClient(flags, async (client) => {
    await ask(client, `ALTER ${what} ${ids} RECOMMISSION`);
    await printMemberships(client, what, ids);
  });
}

export async function runDrain(
  what: What,
  words: readonly string[],
  flags: Record<string, unknown>,
): Promise<void> {
  const ids = idsOf(what, words);
  await withClient(flags, async (client) => {
    const jobs = await begin(client, `ALTER ${what} ${ids} DRAIN`);
    let before = '';
    await watch(client, jobs, async (statuses) => {
      const text = statuses.map(({ running_status: status }) => status ?? '').join(', ');
      if (text !== before && text !== '') console.log(`${what} is draining... ${text}`);
      before = text;
    });
    console.log(`${what} is draining... remaining: 0 (complete)`);
  });
}

/** `skein store status [ID...]`: `skein node status` has more to tell, and a file of its own. */
export function runStoreStatus(
  words: readonly string[],
  flags: Record<string, unknown>,
): Promise<void> {
  const ids = words.length === 0 ? undefined : idsOf('store', words);
  return withClient(flags, (client) => printMemberships(client, 'store', ids));
}

interface JobState {
  readonly status: string;
  readonly running_status: string | null;
  readonly error: string;
}

async function begin(client: pg.Client, statement: string): Promise<string[]> {
  const rows = await ask<{ readonly job_id: string }>(client, statement);
  return rows.map(({ job_id: id }) => id);
}

/** Throws the server's refusal as a sentence with its details. */
async function ask<T extends pg.QueryResultRow>(
  client: pg.Client,
  statement: string,
): Promise<T[]> {
  try {
    return (await client.query<T>(statement)).rows;
  } catch (error) {
    if (!(error instanceof pg.DatabaseError)) throw error;
    const { message, detail, hint } = error;
    throw new UsageError([message, detail, hint].filter((part) => part !== undefined).join('\n'));
  }
}

function show(client: pg.Client, statement: string): Promise<void> {
  return runStatement(client, statement, { rethrow: true });
}

/** Until the jobs have ended; throws when one has not succeeded. */
async function watch(
  client: pg.Client,
  jobs: readonly string[],
  look: (states: readonly JobState[]) => Promise<void>,
): Promise<void> {
  for (;;) {
    const { rows } = await client.query<JobState>(
      `SELECT status, running_status, error FROM [SHOW JOBS (SELECT unnest(ARRAY[${jobs.join(', ')}]))]`,
    );
    const failed = rows.find(({ status }) => ['failed', 'canceled', 'paused'].includes(status));
    if (failed !== undefined) {
      throw new UsageError(
        `the job has ${failed.status === 'failed' ? '' : 'been '}${failed.status}. ${failed.error}`,
      );
    }
    if (rows.every(({ status }) => status === 'succeeded')) return;
    await look(rows);
    await new Promise((resolve) => setTimeout(resolve, pollMs));
  }
}

/** Of all when `ids` is undefined. */
function printMemberships(client: pg.Client, what: What, ids: string | undefined): Promise<void> {
  const columns = what === 'node' ? 'node_id AS id' : 'store_id AS id, node_id';
  return show(
    client,
    `SELECT ${columns}, is_live, replicas, is_decommissioning, membership, is_draining
     FROM skein_internal.${what}_membership${ids === undefined ? '' : ` WHERE ${what}_id IN (${ids})`} ORDER BY 1`,
  );
}
