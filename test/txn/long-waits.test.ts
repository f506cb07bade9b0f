/** Waits that outlast who waits, and those of many for one key. */
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
  const read = (lock: 'none' | 'update') => (txn: Txn) => txn.get(key('a'), { lock });

  it.each([
    ['of the snapshot', read('none')],
    ['that lock', read('update')],
    ['of what is current', (txn: Txn) => txn.readCurrent(key('a'))],
  ] as const)('reads %s that are given up stop asking for it', async (_what, ask) => {
    const cluster = start();
    await hold(cluster, 'a');
    const txns = Array.from({ length: 20 }, () => begin(cluster));
    const ends = txns.map((txn) => outcomeOf(ask(txn)));
    expect(await pushesIn(cluster, 30_000)).toBeGreaterThan(100);
    for (const txn of txns) txn.cancelStatement();
    expect(new Set(await withTime(cluster.env, Promise.all(ends)))).toEqual(new Set(['canceled']));
    for (const txn of txns) await txn.rollback();
    await cluster.env.runFor(20_000);
    expect(await pushesIn(cluster, 20_000)).toBe(0);
  });

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

describe('a deadlock', () => {
  it('is found though its victim holds what hundreds wait for', async () => {
    const cluster = start();
    const { env } = cluster;
    const next = async (): Promise<Txn> => {
      await env.runFor(1);
      return begin(cluster);
    };
    const members = [await next(), await next()];
    const others: Txn[] = [];
    for (let i = 0; i < 300; i++) others.push(await next());
    members.push(await next());
    const lock = (txn: Txn, word: string): Promise<unknown> =>
      txn.get(key(word), { lock: 'update' });
    for (const [i, txn] of members.entries()) await withTime(env, lock(txn, `m${i}`));
    const waits = others.map((txn) => outcomeOf(lock(txn, 'm2')));
    await env.runFor(50);
    const ends = members.map((txn, i) => outcomeOf(lock(txn, `m${(i + 2) % 3}`)));
    expect(await withTime(env, Promise.race(ends))).toBe('deadlock');
    for (const txn of [...members, ...others]) await txn.rollback();
    const all = await withTime(env, Promise.all([...ends, ...waits]));
    expect(all.filter((end) => end === 'deadlock').length).toBe(1);
  });
});
