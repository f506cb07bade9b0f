/** What is older than the GC threshold of a range: nothing that reads it is answered, and nothing that only ends waits for it. */
import { describe, expect, it } from 'vitest';
import { KvFailure, type PreparedTxn, type Txn, type TxnOptions } from '../../src/kv/index.ts';
import { scriptKey as key, withTime } from './db-script.ts';
import { TestCluster } from './test-cluster.ts';
import { VirtualEnv } from './virtual-env.ts';

/** Each letter has a range of its own. */
function start(): TestCluster {
  return new TestCluster(new VirtualEnv(), { splits: ['b', 'c', 'd'].map(key) });
}

function put(txn: Txn, word: string): void {
  txn.put(key(word), Buffer.from('new'));
}

/** The range of that key forgets everything up to now. */
async function forget(cluster: TestCluster, word: string): Promise<void> {
  await cluster.env.runFor(1_000);
  const at = key(word);
  for (const replica of cluster.replicas) {
    const { startKey, endKey } = replica.descriptor;
    if (startKey.compare(at) <= 0 && at.compare(endKey) < 0) {
      replica.raiseGcThreshold(cluster.clock.now());
    }
  }
}

async function outcomeOf(cluster: TestCluster, work: Promise<unknown>): Promise<unknown> {
  try {
    return await withTime(cluster.env, work);
  } catch (error) {
    if (error instanceof KvFailure) return error.kvError.kind;
    throw error;
  }
}

/** Its write timestamp moves up: others have read what it is going to write. */
async function pushed(cluster: TestCluster, options: TxnOptions): Promise<Txn> {
  const txn = cluster.db.begin(options);
  await withTime(cluster.env, txn.get(key('b')));
  put(txn, 'a');
  await forget(cluster, 'b');
  await withTime(cluster.env, cluster.db.readCurrent(key('a')));
  await withTime(cluster.env, txn.flush());
  return txn;
}

describe('behind the threshold', () => {
  for (const end of ['commit', 'abort'] as const) {
    it(`a prepared transaction ends: ${end}`, async () => {
      const cluster = start();
      const txn = cluster.db.begin();
      put(txn, 'a');
      put(txn, 'b');
      const told: PreparedTxn[] = [];
      const register = async (prepared: PreparedTxn): Promise<void> => {
        told.push(prepared);
      };
      await withTime(cluster.env, txn.prepare({ anchor: key('x'), register }));
      for (const word of ['a', 'b', 'x']) await forget(cluster, word);
      const [prepared] = told;
      if (prepared === undefined) throw new Error('not registered');
      expect(await outcomeOf(cluster, cluster.db.endPrepared(prepared, end))).toBe(true);
      const value = await withTime(cluster.env, cluster.db.readCurrent(key('b')));
      expect(value?.toString()).toBe(end === 'commit' ? 'new' : undefined);
    });
  }

  it('a transaction that has written since does not read on', async () => {
    const cluster = start();
    const txn = await pushed(cluster, { isolation: 'snapshot' });
    const reading = txn.scan({ start: key('b'), end: key('c') });
    expect(await outcomeOf(cluster, reading)).toBe('below-gc-threshold');
    await withTime(cluster.env, txn.rollback());
  });

  it('nor is what it has read taken for unchanged', async () => {
    const cluster = start();
    await cluster.db.run({}, async (txn) => put(txn, 'b'));
    const txn = await pushed(cluster, {});
    put(txn, 'c');
    expect(await outcomeOf(cluster, txn.commit())).toBe('below-gc-threshold');
  });

  it('nor does it write over what has changed', async () => {
    const cluster = start();
    const txn = await pushed(cluster, { isolation: 'snapshot' });
    put(txn, 'b');
    expect(await outcomeOf(cluster, txn.flush())).toBe('below-gc-threshold');
    await withTime(cluster.env, txn.rollback());
  });

  it('a transaction that has read nothing there commits', async () => {
    const cluster = start();
    const txn = cluster.db.begin();
    put(txn, 'a');
    put(txn, 'b');
    await withTime(cluster.env, txn.flush());
    await forget(cluster, 'a');
    await withTime(cluster.env, txn.commit());
    expect(txn.status).toBe('committed');
  });
});
