/** The session that a node believes in is the one that the others find. */
import { describe, expect, it } from 'vitest';
import { asNodeId } from '../../../src/kv/index.ts';
import { JobSession, liveSessions } from '../../../src/sql/jobs/sessions.ts';
import { sleep } from '../../../src/util/index.ts';
import { startCluster } from '../ddl/node.ts';

describe('a session of jobs', () => {
  it('that begins while the former one ends is not removed with it', async () => {
    const { env, db } = await startCluster(1);
    const session = new JobSession(env, db, asNodeId(1));
    await session.renew();
    const run = db.run.bind(db);
    db.run = async (options, body) => {
      if (options.name === 'end of a job session') await sleep(env, 1_000);
      return run(options, body);
    };
    const ending = session.end();
    expect(session.name).toBeUndefined();
    const renewing = session.renew();
    await env.runFor(2_000);
    await ending;
    const name = await renewing;
    expect(session.name).toBe(name);
    const live = await db.run({}, (txn) => liveSessions(txn, db.clock.physicalMicros()));
    expect([...live]).toEqual([name]);
  });

  it('that ends while it is renewed has ended', async () => {
    const { env, db } = await startCluster(1);
    const session = new JobSession(env, db, asNodeId(1));
    await session.renew();
    const run = db.run.bind(db);
    db.run = async (options, body) => {
      if (options.name === 'job session') await sleep(env, 1_000);
      return run(options, body);
    };
    const renewing = session.renew();
    const ending = session.end();
    await env.runFor(2_000);
    await Promise.all([renewing, ending]);
    expect(session.name).toBeUndefined();
    const live = await db.run({}, (txn) => liveSessions(txn, db.clock.physicalMicros()));
    expect([...live]).toEqual([]);
  });

  it('is one for all who begin it at the same time', async () => {
    const { env, db } = await startCluster(1);
    const session = new JobSession(env, db, asNodeId(1));
    const [first, second] = await Promise.all([session.renew(), session.renew()]);
    expect(second).toBe(first);
  });
});
