/** Waits that outlast who waits. */
import { describe, expect, it } from 'vitest';
import { KvFailure, type Txn } from '../../src/kv/index.ts';
import { scriptKey as key, withTime } from './db-script.ts';
import { TestCluster } from './test-cluster.ts';
import { VirtualEnv } from './virtual-env.ts';

const outcomeOf = (work: Promise<unknown>): Promise<string> =>
  work.then(
    () => 'granted',
    (error: unknown) => {
      if (error instanceof KvFailure) return error.kvError.kind;
      throw error;
    },
  );

function start(): TestCluster {
  return new TestCluster(new VirtualEnv());
}

function begin(cluster: TestCluster): Txn {
  return cluster.db.begin({ isolation: 'read-committed' });
}

/** A transaction that nobody ends holds the key. */
async function hold(cluster: TestCluster, word: string): Promise<void> {
  const txn = begin(cluster);
  txn.put(key(word), Buffer.from('new'));
  const prepared = txn.prepare({ anchor: key('z'), register: async () => undefined });
  await withTime(cluster.env, prepared);
}

async function pushesIn(cluster: TestCluster, ms: number): Promise<number> {
  let pushes = 0;
  cluster.intercept = ({ requests }) => {
    if (requests.some(({ kind }) => kind === 'push-txn')) pushes++;
    return undefined;
  };
  await cluster.env.runFor(ms);
  cluster.intercept = undefined;
  return pushes;
}

describe('behind a prepared transaction', () => {
  it.each(['none', 'update'] as const)(
    'reads with lock %s that are given up stop asking for it',
    async (lock) => {
      const cluster = start();
      await hold(cluster, 'a');
      const txns = Array.from({ length: 20 }, () => begin(cluster));
      const ends = txns.map((txn) => outcomeOf(txn.get(key('a'), { lock })));
      expect(await pushesIn(cluster, 30_000)).toBeGreaterThan(100);
      for (const txn of txns) txn.cancelStatement();
      expect(new Set(await withTime(cluster.env, Promise.all(ends)))).toEqual(
        new Set(['canceled']),
      );
      for (const txn of txns) await txn.rollback();
      await cluster.env.runFor(20_000);
      expect(await pushesIn(cluster, 20_000)).toBe(0);
    },
  );

  it('a read waits no longer than its lock timeout', async () => {
    const cluster = start();
    await hold(cluster, 'a');
    const txn = begin(cluster);
    txn.beginStatement({ lockTimeoutMs: 50 });
    const beganMs = cluster.env.clock.monotonicMs();
    const end = await withTime(cluster.env, outcomeOf(txn.get(key('a'))));
    expect(end).toBe('lock-not-available');
    expect(cluster.env.clock.monotonicMs() - beganMs).toBe(50);
    await txn.rollback();
  });
});
