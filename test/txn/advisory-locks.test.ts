/** Advisory locks of sessions over a range that takes its time, and forgets. */
import { describe, expect, it } from 'vitest';
import { createSqlService, rowProgramCompiler, type Session } from '../../src/sql/index.ts';
import { asNodeId } from '../../src/kv/index.ts';
import { sleep } from '../../src/util/index.ts';
import { runText } from '../sql/logic/text-client.ts';
import { withTime } from './db-script.ts';
import { TestCluster } from './test-cluster.ts';
import { VirtualEnv } from './virtual-env.ts';

interface Setup {
  readonly cluster: TestCluster;
  readonly sessions: readonly Session[];
}

async function start(count: number): Promise<Setup> {
  const env = new VirtualEnv();
  const cluster = new TestCluster(env, { rowPrograms: rowProgramCompiler });
  const making = createSqlService({ env, db: cluster.db, nodeId: asNodeId(1) });
  const service = await withTime(env, making);
  const sessions: Session[] = [];
  for (let i = 0; i < count; i++) {
    const options = { user: 'root', database: 'defaultdb', settings: new Map() };
    sessions.push(await withTime(env, service.newSession(options)));
  }
  return { cluster, sessions };
}

/** Values of the rows, or the code of the failure. */
async function run(session: Session | undefined, sql: string): Promise<string> {
  if (session === undefined) throw new Error('no session');
  const { results, error } = await runText(session, sql);
  return error?.code ?? results.flatMap(({ rows }) => rows.flat()).join(' ');
}

describe('advisory locks', () => {
  it('whoever tries in vain is not in the way of those who share', async () => {
    const { cluster, sessions } = await start(3);
    const { env } = cluster;
    const [holder, other, third] = sessions;
    const take = 'begin; select pg_advisory_xact_lock_shared(7); select pg_advisory_lock_shared(7)';
    await withTime(env, run(holder, `${take}; commit`));
    cluster.proposeDelayMs = () => 10;
    for (let laterMs = 0; laterMs < 20; laterMs++) {
      const shared = sleep(env, laterMs).then(() =>
        run(third, 'select pg_try_advisory_xact_lock_shared(7)'),
      );
      const tried = Promise.all([run(other, 'select pg_try_advisory_lock(7)'), shared]);
      expect(await withTime(env, tried)).toEqual(['f', 't']);
    }
  });

  it('of a session are not bound to the past in which it has taken them', async () => {
    const { cluster, sessions } = await start(2);
    const { env } = cluster;
    const [holder, other] = sessions;
    const take =
      'select pg_advisory_lock(1), pg_advisory_lock_shared(2), pg_advisory_lock_shared(3)';
    await withTime(env, run(holder, take));
    await env.runFor(1_000);
    for (const replica of cluster.replicas) replica.raiseGcThreshold(cluster.clock.now());
    await env.runFor(1_000);
    const more = 'begin; select pg_advisory_xact_lock(1); select pg_advisory_lock(2)';
    expect(await withTime(env, run(holder, `${more}; commit`))).toBe(' ');
    const tries = [1, 2, 3].map((lock) => `pg_try_advisory_lock_shared(${lock})`).join(', ');
    expect(await withTime(env, run(other, `select ${tries}`))).toBe('f f t');
    const unlock = 'pg_advisory_unlock(1), pg_advisory_unlock(2), pg_advisory_unlock_shared(2)';
    expect(await withTime(env, run(holder, `select ${unlock}`))).toBe('t t t');
    expect(await withTime(env, run(other, `select ${tries}`))).toBe('t t t');
  });
});
