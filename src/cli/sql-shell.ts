/** `skein sql`: a small psql for machines that have none; `skein node status` on the same connection. */
import { appendFileSync, existsSync, readFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline/promises';
import pg from 'pg';
import { parseAddress, Settings, UsageError } from './options.ts';
import { version } from './version.ts';

/** Shorthands, with psql's names. `$1` is the word behind the command. */
const shorthands: Record<string, { readonly help: string; readonly sql: string }> = {
  '\\l': { help: 'list databases', sql: 'SHOW DATABASES' },
  '\\dt': {
    help: 'list tables',
    sql: `SELECT table_schema AS schema, table_name AS name FROM information_schema.tables
          WHERE table_type = 'BASE TABLE' AND table_schema NOT IN ('pg_catalog', 'information_schema', 'skein_internal') ORDER BY 1, 2`,
  },
  '\\dn': { help: 'list schemas', sql: 'SELECT nspname AS name FROM pg_namespace ORDER BY 1' },
  '\\du': {
    help: 'list roles',
    sql: 'SELECT rolname AS name, rolsuper AS superuser FROM pg_roles ORDER BY 1',
  },
  '\\di': {
    help: 'list indexes',
    sql: `SELECT schemaname AS schema, tablename AS table, indexname AS name FROM pg_indexes
          WHERE schemaname NOT IN ('pg_catalog', 'information_schema') ORDER BY 1, 2, 3`,
  },
  '\\d': {
    help: 'columns of a table (or list tables)',
    sql: `SELECT column_name AS column, data_type AS type, is_nullable AS nullable, column_default AS default
          FROM information_schema.columns WHERE table_name = $1 ORDER BY ordinal_position`,
  },
  '\\r': { help: 'ranges of a table', sql: 'SHOW RANGES FROM TABLE $1' },
};

export function runSql(flags: Record<string, unknown>): Promise<void> {
  return withClient(flags, async (client) => {
    const statements = flags['execute'];
    if (Array.isArray(statements)) {
      for (const statement of statements)
        await runStatement(client, String(statement), { rethrow: true });
      return;
    }
    if (process.stdin.isTTY === true) await interact(client);
    else await runStatement(client, readFileSync(0, 'utf8'), { rethrow: true });
  });
}

/** Runs `work` on a connection to the node that the flags name. */
export async function withClient(
  flags: Record<string, unknown>,
  work: (client: pg.Client) => Promise<void>,
): Promise<void> {
  const client = await connect(flags);
  try {
    await work(client);
  } finally {
    await client.end().catch(() => {});
  }
}

async function connect(flags: Record<string, unknown>): Promise<pg.Client> {
  const settings = new Settings(flags);
  const url = settings.text('url');
  const address = parseAddress(settings.text('host') ?? '', { host: '127.0.0.1', port: 26257 });
  const client = new pg.Client(
    url === undefined
      ? {
          host: address.host,
          port: address.port,
          user: settings.text('user') ?? 'root',
          database: settings.text('database') ?? 'defaultdb',
          application_name: 'skein sql',
        }
      : { connectionString: url, application_name: 'skein sql' },
  );
  client.on('notice', (notice) =>
    console.error(`${notice.severity ?? 'NOTICE'}: ${notice.message ?? ''}`),
  );
  client.on('error', (error) => console.error(`the connection broke: ${error.message}`));
  try {
    await client.connect();
  } catch (error) {
    const reason = error instanceof Error ? error.message || error.name : String(error);
    throw new UsageError(`no connection to ${url ?? `${address.host}:${address.port}`}: ${reason}`);
  }
  return client;
}

async function interact(client: pg.Client): Promise<void> {
  console.log(`skein ${version}; type \\? for help, \\q to leave.`);
  const historyFile = join(homedir(), '.skein_history');
  const history = existsSync(historyFile)
    ? readFileSync(historyFile, 'utf8').trim().split('\n').slice(-1000).reverse()
    : [];
  const terminal = createInterface({
    input: process.stdin,
    output: process.stdout,
    history,
    historySize: 1000,
  });
  let pending = '';
  terminal.on('SIGINT', () => {
    pending = '';
    process.stdout.write('\n');
    terminal.setPrompt(prompt(client, pending));
    terminal.prompt();
  });
  terminal.setPrompt(prompt(client, pending));
  terminal.prompt();
  for await (const line of terminal) {
    const word = line.trim();
    if (pending === '' && (word === '\\q' || word === 'exit' || word === 'quit')) break;
    if (pending === '' && word.startsWith('\\')) {
      await runShorthand(client, word);
    } else {
      pending += (pending === '' ? '' : '\n') + line;
      if (isComplete(pending)) {
        const statement = pending;
        pending = '';
        if (statement.trim() !== '') {
          appendFileSync(historyFile, statement.replaceAll('\n', ' ') + '\n', { mode: 0o600 });
          await runStatement(client, statement, { rethrow: false });
        }
      }
    }
    terminal.setPrompt(prompt(client, pending));
    terminal.prompt();
  }
  terminal.close();
}

async function runShorthand(client: pg.Client, line: string): Promise<void> {
  const [name = '', argument = ''] = line.split(/\s+/);
  if (name === '\\?') {
    for (const [command, { help }] of Object.entries(shorthands)) {
      console.log(`  ${command.padEnd(6)} ${help}`);
    }
    console.log('  \\q     leave');
    return;
  }
  const shorthand = name === '\\d' && argument === '' ? shorthands['\\dt'] : shorthands[name];
  if (shorthand === undefined) {
    console.log(`unknown command ${name}; \\? lists what there is`);
    return;
  }
  const quoted =
    name === '\\d' ? client.escapeLiteral(argument) : client.escapeIdentifier(argument);
  await runStatement(
    client,
    shorthand.sql.replace('$1', () => quoted),
    { rethrow: false },
  );
}

/** Runs and prints; an error is printed, too, and ends in exit status 1 with `rethrow`. */
export async function runStatement(
  client: pg.Client,
  sql: string,
  options: { rethrow: boolean },
): Promise<void> {
  const startMs = performance.now();
  try {
    const answer = await client.query({ text: sql, rowMode: 'array', types: asText });
    const results: pg.QueryArrayResult[] = Array.isArray(answer) ? answer : [answer];
    for (const result of results) printResult(result);
    if (process.stdout.isTTY) console.log(`Time: ${(performance.now() - startMs).toFixed(1)} ms\n`);
  } catch (error) {
    if (!(error instanceof pg.DatabaseError)) {
      if (options.rethrow)
        throw new UsageError(error instanceof Error ? error.message : String(error));
      console.error(error instanceof Error ? error.message : String(error));
      return;
    }
    console.error(`${error.severity ?? 'ERROR'}: ${error.message}`);
    console.error(`SQLSTATE: ${error.code ?? ''}`);
    if (error.detail !== undefined) console.error(`DETAIL: ${error.detail}`);
    if (error.hint !== undefined) console.error(`HINT: ${error.hint}`);
    if (options.rethrow) process.exitCode = 1;
  }
}

/** Values are shown as the server prints them. */
const asText = { getTypeParser: () => (text: unknown) => text };

function printResult(result: pg.QueryArrayResult): void {
  if (result.fields.length === 0) {
    const count =
      result.rowCount === null
        ? ''
        : ` ${result.command === 'INSERT' ? '0 ' : ''}${result.rowCount}`;
    console.log(`${result.command}${count}`);
    return;
  }
  const names = result.fields.map((field) => field.name);
  const rows = result.rows.map((row: unknown[]) =>
    row.map((value) => (typeof value === 'string' ? value : 'NULL')),
  );
  const widths = names.map((name, i) =>
    Math.max(
      name.length,
      ...rows.flatMap((row) => (row[i] ?? '').split('\n').map((part) => part.length)),
    ),
  );
  const line = (cells: readonly string[]): string =>
    cells
      .map((cell, i) => ` ${cell.padEnd(widths[i] ?? 0)} `)
      .join('|')
      .trimEnd();
  console.log(line(names));
  console.log(widths.map((width) => '-'.repeat(width + 2)).join('+'));
  for (const row of rows) {
    const height = Math.max(...row.map((cell) => cell.split('\n').length));
    for (let i = 0; i < height; i++)
      console.log(line(row.map((cell) => cell.split('\n')[i] ?? '')));
  }
  console.log(`(${rows.length} ${rows.length === 1 ? 'row' : 'rows'})`);
}

function prompt(client: pg.Client, pending: string): string {
  return `${client.user ?? ''}@${client.host}:${client.port}/${client.database ?? ''}${pending === '' ? '>' : '->'} `;
}

/** True when a semicolon ends the text outside quotes and comments. */
function isComplete(text: string): boolean {
  const bare = text
    .replace(/'(?:[^']|'')*'/g, "''")
    .replace(/"(?:[^"]|"")*"/g, '""')
    .replace(/--[^\n]*/g, '')
    .replace(/\/\*[\s\S]*?\*\//g, '')
    .replace(/\$(\w*)\$[\s\S]*?\$\1\$/g, "''");
  return bare.trim() === '' || (/;\s*$/.test(bare) && !/['"]/.test(bare.replace(/''|""/g, '')));
}
