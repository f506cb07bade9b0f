/** The catalog moves on between the look at a template's plan and the run of its statement. */
import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import { type Session } from '../../../src/sql/index.ts';
import { startService, type TestService } from '../../pgwire/server.ts';
import { runText } from '../logic/text-client.ts';

let running: TestService;
let session: Session;

beforeEach(async () => {
  running = await startService();
  session = await running.service.newSession({
    user: 'root',
    database: 'defaultdb',
    settings: new Map(),
  });
  await run('create table t (k int)');
  for (let i = 0; i < 3; i++) await run("insert into t values ('07')");
  await run('alter table t alter column k type text');
});

afterEach(() => running.stop());

async function run(sql: string): Promise<string[]> {
  const { results, error } = await runText(session, sql);
  const lines = results.map(({ rows, tag }) => (rows.length === 0 ? tag : rows.join(' ')));
  return error === undefined ? lines : [...lines, error.code];
}

it.each(['', 'read committed', 'serializable'])('literals are read anew: %s', async (level) => {
  if (level !== '') await run(`begin isolation level ${level}`);
  const isCurrent = vi.spyOn(session.planner, 'isCurrent').mockReturnValueOnce(true);
  expect(await run("insert into t values ('08')")).toEqual(['INSERT 0 1']);
  expect(isCurrent).toHaveBeenCalledTimes(2);
  if (level !== '') expect(await run('commit')).toEqual(['COMMIT']);
  expect(await run('select k from t')).toEqual(['7 7 7 08']);
});
