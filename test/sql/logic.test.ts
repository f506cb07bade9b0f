/**
 * SQL from end to end over an in-memory Db: own scripts, and a sample of SQLite's sqllogictest corpus
 * where it lies beside the repository (SLT_RECORDS=n takes n records of each file, 0 all).
 *
 * Commands of the scripts: `sql [session] [user=name] [db=name]` runs the input, `quiet` tells only its error (for rows
 * that differ from run to run), `copy` takes the first line as statement and the rest as its data.
 * `start` begins to run the input in a session that is going to wait for another one, `cancel` cancels it, `end` tells what came out of it.
 */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { gunzipSync } from 'node:zlib';
import { afterAll, describe, expect, it } from 'vitest';
import { type Session } from '../../src/sql/index.ts';
import { startService, type TestService } from '../pgwire/server.ts';
import { runScripts } from '../script.ts';
import { checkAnswer, parseLogicFile } from './logic/sqllogictest.ts';
import { runText, type TextAnswer } from './logic/text-client.ts';

const started: TestService[] = [];
afterAll(async () => {
  for (const service of started) await service.stop();
});

async function newService(): Promise<TestService> {
  const service = await startService();
  started.push(service);
  return service;
}

runScripts(join(import.meta.dirname, 'testdata'), async () => {
  const { service } = await newService();
  const sessions = new Map<string, Session>();
  const running = new Map<string, Promise<TextAnswer>>();
  return async (step) => {
    const name = step.args[0] ?? 'a';
    let session = sessions.get(name);
    if (session === undefined) {
      session = await service.newSession({
        user: step.options.get('user') ?? 'root',
        database: step.options.get('db') ?? 'defaultdb',
        settings: new Map(),
      });
      sessions.set(name, session);
    }
    switch (step.command) {
      case 'start':
        running.set(name, runText(session, step.input));
        await turns();
        return '';
      case 'cancel':
        session.cancel();
        return '';
      case 'end': {
        const answer = running.get(name);
        return answer === undefined ? 'nothing was started' : show(await answer);
      }
      default:
        break;
    }
    if (step.command === 'copy') {
      const [statement = '', ...lines] = step.input.split('\n');
      return show(await runText(session, statement, lines.map((line) => `${line}\n`).join('')));
    }
    const answer = await runText(session, step.input);
    return show(step.command === 'quiet' ? { ...answer, results: [] } : answer);
  };
});

/** What runs comes to where it has to wait; should it not, the results are the same. */
async function turns(): Promise<void> {
  for (let i = 0; i < 20; i++) {
    await new Promise((resolve) => {
      setImmediate(resolve);
    });
  }
}

function show(answer: TextAnswer): string {
  const lines = [...answer.notices];
  for (const { columns, rows, tag } of answer.results) {
    if (columns.length === 0) {
      lines.push(tag);
      continue;
    }
    lines.push(columns.join(' | '));
    for (const row of rows) lines.push(`  ${row.map((value) => value ?? 'NULL').join(' | ')}`);
    if (!tag.startsWith('SELECT')) lines.push(tag);
  }
  const { error } = answer;
  if (error !== undefined) {
    lines.push(`error ${error.code} ${error.message}`);
    // Transactions that wait for each other are not called the same from run to run.
    const { detail, hint, position, where } =
      error.code === '40P01' ? { ...error.fields, detail: undefined } : error.fields;
    for (const [label, value] of Object.entries({ detail, hint, position, where })) {
      if (value !== undefined) lines.push(`  ${label}: ${value}`);
    }
  }
  return lines.join('\n');
}

const corpus = join(import.meta.dirname, '..', '..', '..', 'shared', 'corpus', 'sqllogictest');
const recordsPerFile = Number(process.env['SLT_RECORDS'] ?? '100');

describe('sqllogictest', () => {
  if (!existsSync(corpus)) {
    it.skip('the corpus is not beside this repository', () => {});
    return;
  }
  const files = readdirSync(corpus, { recursive: true, encoding: 'utf8' })
    .filter(
      (name) =>
        name.endsWith('.test.gz') &&
        !sqliteOnly.has(name) &&
        !(recordsPerFile > 0 && large.test(name)),
    )
    .sort();
  it.each(files)('%s', async (file) => {
    const records = parseLogicFile(gunzipSync(readFileSync(join(corpus, file))).toString());
    const running = await startService();
    const { service } = running;
    const session = await service.newSession({
      user: 'root',
      database: 'defaultdb',
      settings: new Map(),
    });
    const problems: string[] = [];
    const chosen = recordsPerFile === 0 ? records : sample(records, recordsPerFile);
    for (const record of chosen) {
      const { results, error } = await runText(session, record.sql);
      if (error !== undefined && isRefusedByPostgres(error.code, record.sql)) continue;
      // NULLIF(integer, numeric) is numeric in PostgreSQL, integer in SQLite.
      if (/NULLIF \(.*\bAVG\b/.test(record.sql)) continue;
      const problem = checkAnswer(
        record,
        error === undefined
          ? { kind: 'rows', rows: results.at(-1)?.rows ?? [] }
          : { kind: 'error', code: error.code, message: error.message },
      );
      if (problem !== undefined) {
        problems.push(`${file}:${record.line}: ${record.sql}\n  ${problem}`);
      }
      if (problems.length >= 5) break;
    }
    await running.stop();
    expect(problems).toEqual([]);
  });
});

/** Files that need SQLite's own statements. */
const sqliteOnly = new Set(
  ['createtrigger', 'droptrigger', 'reindex', 'replace', 'update'].map(
    (name) => `evidence/slt_lang_${name}.test.gz`,
  ),
);
/** Seconds to load; run with SLT_RECORDS=0. */
const large = /\/10000\//;

/** Records that PostgreSQL answers with an error too: they were written for databases with looser rules. */
function isRefusedByPostgres(code: string, sql: string): boolean {
  switch (code) {
    case '2BP01':
      return sql.startsWith('DROP VIEW');
    case '22P02':
      return sql.includes("'hello'");
    case '0A000':
      return sql.includes("x'303132'");
    case '42883':
      // A sign in front of a text column.
      return /[+-] col[25]\b/.test(sql);
    default:
      return false;
  }
}

/** The statements up to where `count` queries have been run. */
function sample<T extends { readonly kind: string }>(
  records: readonly T[],
  count: number,
): readonly T[] {
  let queries = 0;
  const end = records.findIndex((record) => record.kind === 'query' && ++queries > count);
  return end < 0 ? records : records.slice(0, end);
}
