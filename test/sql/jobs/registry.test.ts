/** Jobs of a made-up type: they survive their node, stop when asked to, and take back what they did. */
import { describe, expect, it } from 'vitest';
import { asNodeId, KvFailure, type Db } from '../../../src/kv/index.ts';
import { CatalogCache } from '../../../src/sql/catalog/index.ts';
import { noNodeEvents } from '../../../src/sql/events/index.ts';
import {
  JobRegistry,
  readJob,
  requestOfJob,
  type Job,
  type JobRequest,
  type JobType,
} from '../../../src/sql/jobs/index.ts';
import { must, sleep, type Env } from '../../../src/util/index.ts';
import { type VirtualEnv } from '../../txn/virtual-env.ts';
import { control, eventLogOf, startCluster } from '../ddl/node.ts';

/** Counts to ten, a step a second. */
class Counting {
  readonly log: string[] = [];
  failAt = 0;
  reverts = 0;
  /** So many times part of the cluster is away at the third step. */
  away = 0;
  readonly types: ReadonlyMap<string, JobType>;

  constructor(env: VirtualEnv) {
    this.types = new Map([
      [
        'COUNT',
        {
          run: async ({ check, progress, job }) => {
            this.log.push(`from ${job.fraction * 10}`);
            for (let i = job.fraction * 10 + 1; i <= 10; i++) {
              await sleep(env, 1000);
              check();
              if (i === 3 && this.away-- > 0) {
                throw new KvFailure({ kind: 'unavailable', reason: `away, ${this.away} to go` });
              }
              if (i === this.failAt) throw new Error(`no ${i}`);
              await progress({ fraction: i / 10, runningStatus: `at ${i}` });
            }
            this.log.push('done');
          },
          revert: async ({ check }) => {
            this.reverts++;
            check();
            this.log.push('reverted');
          },
        },
      ],
      [
        'WAIT',
        {
          waitingFor: 'its time',
          dueAt: ({ started }) => must(started) + 20_000_000n,
          run: async () => {},
        },
      ],
    ]);
  }
}

const spec = {
  type: 'COUNT',
  description: 'count to ten',
  user: 'root',
  runningStatus: null,
  payload: {},
} as const;

interface Rig {
  readonly env: VirtualEnv;
  readonly db: Db;
  readonly counting: Counting;
  readonly job: Job;
  /** `env`: what it has of its own machine. */
  readonly node: (id: number, env?: Env) => JobRegistry;
  readonly now: () => Promise<Job | undefined>;
  readonly ask: (request: JobRequest) => Promise<void>;
}

async function rig(): Promise<Rig> {
  const { env, db } = await startCluster(1);
  const counting = new Counting(env);
  const node = (id: number, own: Env = env): JobRegistry => {
    const cache = new CatalogCache({ env, db, nodeId: asNodeId(id) });
    return new JobRegistry({
      env: own,
      db,
      cache,
      control,
      eventLog: eventLogOf(cache),
      nodeEvents: noNodeEvents,
      types: counting.types,
      retentionMs: () => 1e9,
    });
  };
  const job = await db.run({}, (txn) => node(9).create(txn, spec));
  return {
    env,
    db,
    counting,
    job,
    node,
    now: () => db.run({}, (txn) => readJob(txn, job.id)),
    ask: async (request) => {
      await db.run({}, (txn) => requestOfJob(txn, env, counting.types, job.id, request));
    },
  };
}

describe('a job', () => {
  it('runs on one node only, to its end', async () => {
    const { env, counting, node, now } = await rig();
    const nodes = [node(1), node(2), node(3)];
    for (const each of nodes) each.start();
    await env.runFor(5_500);
    expect(await now()).toMatchObject({ status: 'running', fraction: 0.5, runningStatus: 'at 5' });
    await env.runFor(30_000);
    expect(counting.log).toEqual(['from 0', 'done']);
    expect(await now()).toMatchObject({ status: 'succeeded', fraction: 1, claim: null });
    for (const each of nodes) await each.stop();
  });

  it('goes on elsewhere when its node stops', async () => {
    const { env, counting, node, now } = await rig();
    const [first, second] = [node(1), node(2)];
    first.start();
    await env.runFor(3_500);
    await first.stop();
    second.start();
    await env.runFor(30_000);
    expect(counting.log).toEqual(['from 0', 'from 3', 'done']);
    expect(await now()).toMatchObject({ status: 'succeeded' });
    await second.stop();
  });

  it('goes on elsewhere when its node is cut off, which stops by itself', async () => {
    const { env, db, counting, node, now } = await rig();
    const [first, second] = [node(1), node(2)];
    first.start();
    await env.runFor(3_500);
    // Its writes go nowhere from here on.
    const run = db.run.bind(db);
    let isCut = true;
    db.run = (options, body) => (isCut ? new Promise(() => {}) : run(options, body));
    await env.runFor(20_000);
    isCut = false;
    second.start();
    await env.runFor(30_000);
    expect(counting.log).toEqual(['from 0', 'from 3', 'done']);
    expect(await now()).toMatchObject({ status: 'succeeded' });
    await second.stop();
  });

  it('pauses and resumes where it was', async () => {
    const { env, counting, node, now, ask } = await rig();
    const registry = node(1);
    registry.start();
    await env.runFor(3_500);
    await ask('pause');
    await env.runFor(10_000);
    expect(await now()).toMatchObject({ status: 'paused', claim: null });
    await env.runFor(60_000);
    expect(counting.log).toEqual(['from 0']);
    await ask('resume');
    await env.runFor(30_000);
    expect(await now()).toMatchObject({ status: 'succeeded' });
    expect(counting.log).toEqual(['from 0', expect.stringMatching(/from [3-6]/), 'done']);
    await registry.stop();
  });

  it.each([
    ['cancel', 'reverted', 'canceled'],
    ['resume', 'from 3', 'succeeded'],
  ] as const)(
    'that is to pause goes by a %s that comes before it could',
    async (last, does, ends) => {
      const { env, counting, node, now, ask } = await rig();
      const registry = node(1);
      registry.start();
      await env.runFor(3_500);
      await ask('pause');
      await registry.heedRequests();
      await ask(last);
      await registry.heedRequests();
      await env.runFor(1_000);
      expect(counting.log).toEqual(['from 0', does]);
      await env.runFor(10_000);
      expect(await now()).toMatchObject({ status: ends });
      await registry.stop();
    },
  );

  it('that is cancelled takes back what it did, also when it was paused', async () => {
    const { env, counting, node, now, ask } = await rig();
    const registry = node(1);
    registry.start();
    await env.runFor(3_500);
    await ask('pause');
    await env.runFor(10_000);
    await ask('cancel');
    await env.runFor(15_000);
    expect(await now()).toMatchObject({ status: 'canceled', error: null, claim: null });
    expect(counting.log).toEqual(['from 0', 'reverted']);
    await expect(ask('resume')).rejects.toThrow('it has been canceled');
    await registry.stop();
  });

  it('that is being taken back does not stop for the request that it follows', async () => {
    const { env, db, counting, node, now, ask } = await rig();
    const only = node(1);
    only.start();
    await env.runFor(3_500);
    await ask('cancel');
    const run = db.run.bind(db);
    db.run = async (options, body) => {
      // The row still says that it is to be cancelled.
      if (options.name === 'job') await only.heedRequests();
      return run(options, body);
    };
    await env.runFor(5_000);
    expect(counting.log).toEqual(['from 0', 'reverted']);
    expect(counting.reverts).toBe(1);
    expect(await now()).toMatchObject({ status: 'canceled' });
    await only.stop();
  });

  it('that fails takes back what it did and keeps the reason', async () => {
    const { env, counting, node, now } = await rig();
    counting.failAt = 4;
    const registry = node(1);
    registry.start();
    await env.runFor(15_000);
    expect(await now()).toMatchObject({ status: 'failed', error: 'no 4', fraction: 0.3 });
    expect(counting.log).toEqual(['from 0', 'reverted']);
    await registry.stop();
  });

  it('goes on after what the cluster could not do at the time, and keeps the reasons', async () => {
    const { env, counting, node, now } = await rig();
    counting.away = 2;
    const registry = node(1);
    registry.start();
    await env.runFor(60_000);
    expect(await now()).toMatchObject({
      status: 'succeeded',
      error: null,
      executionErrors: [
        expect.stringContaining('away, 1 to go'),
        expect.stringContaining('away, 0 to go'),
      ],
    });
    expect(counting.log).toEqual(['from 0', 'from 2', 'from 2', 'done']);
    await registry.stop();
  });

  it('is not due because its node has a clock that is ahead of all others', async () => {
    const { env, db, node } = await rig();
    const wallMicros = (): number => env.clock.wallMicros() + 3_600_000_000;
    const clock = { value: { ...env.clock, wallMicros } };
    const registry = node(1, Object.create(env, { clock }) as Env);
    const { id } = await db.run({}, (txn) => registry.create(txn, { ...spec, type: 'WAIT' }));
    registry.start();
    await env.runFor(15_000);
    const job = (): Promise<Job | undefined> => db.run({}, (txn) => readJob(txn, id));
    expect(await job()).toMatchObject({ status: 'running', runningStatus: 'its time' });
    await env.runFor(6_000);
    expect(await job()).toMatchObject({ status: 'succeeded' });
    await registry.stop();
  });

  it('that its node made for itself stays its own, however long the making takes', async () => {
    const { env, db, node } = await rig();
    const registry = node(1);
    const increment = db.increment.bind(db);
    db.increment = async (key, by) => {
      await sleep(env, 5_000);
      return increment(key, by);
    };
    const txn = db.begin();
    const making = registry.createOwn(txn, spec);
    await env.runFor(6_000);
    const job = await making;
    await txn.commit();
    let isDone = false;
    await registry.runHere(job, {
      run: async ({ check }) => {
        check();
        isDone = true;
      },
    });
    expect(isDone).toBe(true);
    await registry.stop();
  });

  it('is given up when that has happened ten times', async () => {
    const { env, counting, node, now } = await rig();
    counting.away = 100;
    const registry = node(1);
    registry.start();
    await env.runFor(300_000);
    const job = await now();
    expect(job).toMatchObject({ status: 'failed', error: expect.stringContaining('away, 89') });
    expect(job?.executionErrors.length).toBe(10);
    expect(counting.log.at(-1)).toBe('reverted');
    await registry.stop();
  });
});
