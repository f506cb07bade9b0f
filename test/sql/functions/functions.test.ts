import { join } from 'node:path';
import { loadModule } from 'libpg-query';
import { beforeAll } from 'vitest';
import { SqlFailure } from '../../../src/sql/errors.ts';
import { runScripts } from '../../script.ts';
import { evaluate, testContext } from './evaluator.ts';

beforeAll(async () => {
  await loadModule();
});

/**
 * `eval` runs every line of its input as an expression; one line of output each. The results of PostgreSQL 15
 * stand in the scripts, except where a comment says what differs.
 */
runScripts(join(import.meta.dirname, 'testdata'), () => async ({ input, options }) => {
  const context = testContext({
    timeZone: options.get('tz') ?? 'America/New_York',
    ...(options.get('intervalstyle') === undefined
      ? {}
      : { intervalStyle: intervalStyle(options.get('intervalstyle')) }),
    ...(options.get('datestyle') === undefined
      ? {}
      : { dateStyle: dateStyle(options.get('datestyle')) }),
    ...(options.get('dateorder') === 'DMY' ? { dateOrder: 'DMY' as const } : {}),
  });
  const out: string[] = [];
  for (const line of input.split('\n')) {
    try {
      out.push((await evaluate(line, context)).replaceAll('\n', '\\n'));
    } catch (error) {
      if (error instanceof SqlFailure) out.push(`ERROR ${error.code}: ${error.message}`);
      else if (error instanceof Error && 'code' in error) {
        out.push(`ERROR ${String(error.code)}: ${error.message}`);
      } else throw error;
    }
  }
  return out.join('\n');
});

function intervalStyle(
  text: string | undefined,
): 'postgres' | 'postgres_verbose' | 'sql_standard' | 'iso_8601' {
  return text === 'postgres_verbose' || text === 'sql_standard' || text === 'iso_8601'
    ? text
    : 'postgres';
}

function dateStyle(text: string | undefined): 'ISO' | 'Postgres' | 'SQL' | 'German' {
  return text === 'Postgres' || text === 'SQL' || text === 'German' ? text : 'ISO';
}
