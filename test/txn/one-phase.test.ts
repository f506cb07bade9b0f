/** One-phase commits whose answer is lost: what their coordinator learns, and what becomes of one that comes late. */
import { describe, expect, it } from 'vitest';
import {
  KvFailure,
  type BatchRequest,
  type BatchResponse,
  type KvError,
  type Timestamp,
  type Txn,
} from '../../src/kv/index.ts';
import { scriptKey as key, withTime } from './db-script.ts';
import { type TestReplica, TestCluster } from './test-cluster.ts';
import { VirtualEnv } from './virtual-env.ts';

const bytes = (text: string): Buffer => Buffer.from(text);

function start(): { cluster: TestCluster; env: VirtualEnv; txn: Txn } {
  const env = new VirtualEnv();
  const cluster = new TestCluster(env);
  const txn = cluster.db.begin();
  txn.put(key('a'), bytes('1'));
  return { cluster, env, txn };
}

type End = KvError['kind'] | Timestamp;

async function endOf(work: Promise<Timestamp>): Promise<End> {
  try {
    return await work;
  } catch (error) {
    if (error instanceof KvFailure) return error.kvError.kind;
    throw error;
  }
}

const commit = (txn: Txn, env: VirtualEnv): Promise<End> => withTime(env, endOf(txn.commit()));

async function read(cluster: TestCluster): Promise<string | undefined> {
  return (await withTime(cluster.env, cluster.db.readCurrent(key('a'))))?.toString();
}

const isCommit = (batch: BatchRequest): boolean =>
  batch.requests.some((request) => request.kind === 'end-txn' && request.commit);

/** Commits meet `fate`, and their coordinators only hear that the connection broke. */
function loseAnswers(
  cluster: TestCluster,
  fate: (batch: BatchRequest) => void | Promise<unknown>,
): void {
  cluster.intercept = async (batch) => {
    if (!isCommit(batch)) return undefined;
    await fate(batch);
    const error: KvError = { kind: 'ambiguous-result', reason: 'the test says so' };
    return { kind: 'error', now: cluster.clock.now(), error, index: undefined };
  };
}

const serve = (cluster: TestCluster, batch: BatchRequest): Promise<BatchResponse> =>
  cluster.replicaFor(key('a')).executor.execute(batch);

async function errorOf(cluster: TestCluster, batch: BatchRequest): Promise<string> {
  const response = await withTime(cluster.env, serve(cluster, batch));
  return response.kind === 'error' ? response.error.kind : response.kind;
}

describe('a one-phase commit whose answer is lost', () => {
  it('is reported as made, where it stands', async () => {
    const { cluster, env, txn } = start();
    cluster.loseAnswer = () => true;
    const before = cluster.proposals;
    expect(await commit(txn, env)).toEqual(txn.meta.writeTimestamp);
    expect(txn.status).toBe('committed');
    expect(cluster.proposals - before).toBe(1);
    expect(cluster.db.counters.onePhaseCommitsSettled).toBe(1);
    expect(await read(cluster)).toBe('1');
  });

  it('is reported as made at the later timestamp that it was moved to', async () => {
    const { cluster, env, txn } = start();
    await env.runFor(10);
    await read(cluster);
    const { writeTimestamp } = txn.meta;
    cluster.loseAnswer = () => true;
    const at = await commit(txn, env);
    if (typeof at === 'string') throw new Error(at);
    expect(at.wall).toBeGreaterThan(writeTimestamp.wall);
    expect(await read(cluster)).toBe('1');
  });

  it('is known to the next leaseholder, which has applied it, too', async () => {
    const { cluster, env, txn } = start();
    loseAnswers(cluster, async (batch) => {
      expect((await serve(cluster, batch)).kind).toBe('ok');
      cluster.replicaFor(key('a')).renewLease();
    });
    expect(await commit(txn, env)).toEqual(txn.meta.writeTimestamp);
    expect(await read(cluster)).toBe('1');
  });

  it('is waited for while it is being replicated', async () => {
    const { cluster, env, txn } = start();
    cluster.proposeDelayMs = () => 500;
    let answer: Promise<BatchResponse> | undefined;
    loseAnswers(cluster, (batch) => {
      answer = serve(cluster, batch);
    });
    expect(await commit(txn, env)).toEqual(txn.meta.writeTimestamp);
    expect((await answer)?.kind).toBe('ok');
  });

  it.each([
    ['under the same lease', () => undefined, 'txn-aborted'],
    [
      'when its executor has rested',
      (cluster: TestCluster) => expect(cluster.replicaFor(key('a')).rest()).toBe(true),
      'txn-pushed',
    ],
    [
      'under a later lease',
      (cluster: TestCluster) => cluster.replicaFor(key('a')).renewLease(),
      'txn-pushed',
    ],
  ] as const)('and that was not made is not made later, %s', async (_, meanwhile, error) => {
    const { cluster, env, txn } = start();
    const late: BatchRequest[] = [];
    loseAnswers(cluster, (batch) => {
      late.push(batch);
    });
    expect(await commit(txn, env)).toBe('txn-retry');
    expect(txn.status).toBe('aborted');
    meanwhile(cluster);
    expect(await Promise.all(late.map((batch) => errorOf(cluster, batch)))).toEqual([error]);
    expect(await read(cluster)).toBeUndefined();
  });

  it.each([
    ['at once', () => undefined, 'txn-aborted'],
    ['after a lease', (right: TestReplica) => right.renewLease(), 'txn-pushed'],
    ['after a rest', (right: TestReplica) => expect(right.rest()).toBe(true), 'txn-pushed'],
  ] as const)(
    'nor when its range was split before and is merged again, %s',
    async (_, rests, error) => {
      const env = new VirtualEnv();
      const cluster = new TestCluster(env);
      await read(cluster);
      const whole = cluster.replicaFor(key('m'));
      await withTime(env, cluster.splitQuietly(key('k')));
      // The gateway has not heard of the split: the commit is addressed to the left side, and arrives when that is whole again.
      await env.runFor(2_000);
      const txn = cluster.db.begin();
      txn.put(key('m'), bytes('1'));
      const late: BatchRequest[] = [];
      loseAnswers(cluster, (batch) => {
        late.push(batch);
      });
      expect(await commit(txn, env)).toBe('txn-retry');
      rests(cluster.replicaFor(key('m')));
      await env.runFor(100);
      await withTime(env, cluster.merge(key('a')));
      const [batch] = late;
      if (batch === undefined) throw new Error('no commit was sent');
      expect(batch.header.rangeId).toBe(whole.rangeId);
      const response = await withTime(env, whole.executor.execute(batch));
      expect(response.kind === 'error' ? response.error.kind : response.kind).toBe(error);
    },
  );

  it('is known by its tombstone when its store has forgotten it', async () => {
    const { cluster, env, txn } = start();
    cluster.forgetsCommits = true;
    loseAnswers(cluster, (batch) => serve(cluster, batch));
    expect(await commit(txn, env)).toEqual(txn.meta.writeTimestamp);
  });

  it('stays ambiguous when the question cannot be asked', async () => {
    const { cluster, env, txn } = start();
    loseAnswers(cluster, (batch) => serve(cluster, batch));
    const lost = cluster.intercept;
    cluster.intercept = (batch) => {
      if (isCommit(batch)) return lost?.(batch);
      throw new KvFailure({ kind: 'corruption', reason: 'the answer has another shape' });
    };
    expect(await commit(txn, env)).toBe('ambiguous-result');
    expect(txn.status).toBe('ambiguous');
  });

  it('is ambiguous when nobody knows any more', async () => {
    const { cluster, env, txn } = start();
    cluster.forgetsCommits = true;
    loseAnswers(cluster, async (batch) => {
      expect((await serve(cluster, batch)).kind).toBe('ok');
      cluster.replicaFor(key('a')).renewLease();
    });
    const fromMs = env.clock.monotonicMs();
    expect(await commit(txn, env)).toBe('ambiguous-result');
    // Nobody will know it later: it is not asked for again.
    expect(env.clock.monotonicMs() - fromMs).toBeLessThan(1_000);
    expect(txn.status).toBe('ambiguous');
    expect(await read(cluster)).toBe('1');
  });

  it('is not undone by an abort that comes to the next leaseholder', async () => {
    const { cluster, env, txn } = start();
    loseAnswers(cluster, async (batch) => {
      expect((await serve(cluster, batch)).kind).toBe('ok');
      cluster.replicaFor(key('a')).renewLease();
      // Asks the new leaseholder to abort.
      txn.cancel();
      await env.runFor(10);
    });
    expect(await commit(txn, env)).toEqual(txn.meta.writeTimestamp);
    expect(await read(cluster)).toBe('1');
  });

  it('and was cancelled says that it was cancelled when it was not made', async () => {
    const { cluster, env, txn } = start();
    loseAnswers(cluster, () => txn.cancel());
    expect(await commit(txn, env)).toBe('canceled');
    expect(await read(cluster)).toBeUndefined();
  });
});

describe('a one-phase commit that was sent before the lease began', () => {
  it('is sent again', async () => {
    const { cluster, env, txn } = start();
    let sent = 0;
    cluster.intercept = (batch) => {
      if (isCommit(batch) && sent++ === 0) cluster.replicaFor(key('a')).renewLease();
      return undefined;
    };
    expect(typeof (await commit(txn, env))).toBe('object');
    expect(sent).toBe(2);
    expect(await read(cluster)).toBe('1');
  });
});
