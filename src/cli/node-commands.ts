/**
 * `skein node decommission | recommission | drain`: each asks for a job on the server and looks on. The job goes on when this
 * program ends.
 */
import pg from 'pg';
import { UsageError } from './options.ts';
import { runStatement, withClient } from './sql-shell.ts';

const pollMs = 1_000;

/** Node ids of the command line. Throws UsageError. */
function nodeIds(words: readonly string[]): number[] {
  if (words.length === 0)
    throw new UsageError('name the nodes by their ids: skein node status lists them.');
  return words.map((word) => {
    const id = Number(word);
    if (!Number.isSafeInteger(id) || id < 1)
      throw new UsageError(`"${word}" is not the id of a node.`);
    return id;
  });
}

export async function runDecommission(
  words: readonly string[],
  flags: Record<string, unknown>,
): Promise<void> {
  const nodes = nodeIds(words);
  await withClient(flags, async (client) => {
    if (flags['dryRun'] === true) {
      await show(client, `EXPLAIN ALTER NODE ${nodes.join(', ')} DECOMMISSION`);
      return;
    }
    const checks = flags['checks'] === 'skip' ? ' WITHOUT CHECKS' : '';
    const jobs = await begin(client, `ALTER NODE ${nodes.join(', ')} DECOMMISSION${checks}`);
    if (flags['wait'] === 'none') return;
    await watch(client, jobs, () => printMemberships(client, nodes));
    await printMemberships(client, nodes);
    console.log('The nodes hold nothing any more and may be stopped.');
  });
}

export async function runRecommission(
  words: readonly string[],
  flags: Record<string, unknown>,
): Promise<void> {
  const nodes = nodeIds(words);
  await withClient(flags, async (client) => {
    await ask(client, `ALTER NODE ${nodes.join(', ')} RECOMMISSION`);
    await printMemberships(client, nodes);
  });
}

export async function runDrain(
  words: readonly string[],
  flags: Record<string, unknown>,
): Promise<void> {
  const nodes = nodeIds(words);
  await withClient(flags, async (client) => {
    const jobs = await begin(client, `ALTER NODE ${nodes.join(', ')} DRAIN`);
    let before = '';
    await watch(client, jobs, async (statuses) => {
      const text = statuses.map(({ running_status: status }) => status ?? '').join(', ');
      if (text !== before && text !== '') console.log(`node is draining... ${text}`);
      before = text;
    });
    console.log('node is draining... remaining: 0 (complete)');
  });
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

function printMemberships(client: pg.Client, nodes: readonly number[]): Promise<void> {
  return show(
    client,
    `SELECT node_id AS id, is_live, replicas, is_decommissioning, membership, is_draining
     FROM skein_internal.node_membership WHERE node_id IN (${nodes.join(', ')}) ORDER BY 1`,
  );
}
