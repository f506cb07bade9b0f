/** A commit that stands above its deadline is none, whatever way it takes, and leaves nothing behind. Keys `a` and `b`: two ranges. */
import { describe, expect, it } from 'vitest';
import { addMicros, KvFailure, type Timestamp, type Txn } from '../../src/kv/index.ts';
import { scriptKey as key, withTime } from './db-script.ts';
import { TestCluster } from './test-cluster.ts';
import { VirtualEnv } from './virtual-env.ts';

const ways = {
  'in one phase': { words: ['a'], flushes: false },
  'in parallel': { words: ['a', 'b'], flushes: false },
  'in two phases': { words: ['a', 'b'], flushes: true },
} as const;

async function outcomeOf(cluster: TestCluster, work: Promise<Timestamp>): Promise<string> {
  try {
    await withTime(cluster.env, work);
    return 'committed';
  } catch (error) {
    if (error instanceof KvFailure) return error.kvError.kind;
    throw error;
  }
}

async function values(cluster: TestCluster): Promise<string> {
  const reads = ['a', 'b'].map((word) => cluster.db.readCurrent(key(word)));
  const found = await withTime(cluster.env, Promise.all(reads));
  await withTime(cluster.env, cluster.db.settled());
  await cluster.env.runFor(3_000);
  expect((await cluster.remains()).intents).toBe(0);
  return found.map((value) => value?.toString() ?? '-').join(' ');
}

for (const [way, { words, flushes }] of Object.entries(ways)) {
  for (const isolation of ['serializable', 'read-committed'] as const) {
    describe(`${way}, ${isolation}`, () => {
      /** The last word is always still to be written by the commit. */
      async function write(cluster: TestCluster): Promise<Txn> {
        const txn = cluster.db.begin({ isolation });
        for (const [i, word] of words.entries()) {
          if (i > 0 && flushes) await withTime(cluster.env, txn.flush());
          txn.put(key(word), Buffer.from('new'));
        }
        return txn;
      }

      it('a commit that its range moves up comes too late', async () => {
        const cluster = new TestCluster(new VirtualEnv(), { splits: [key('b')] });
        const txn = await write(cluster);
        const deadline = addMicros(cluster.clock.now(), 1_000_000);
        // On its way for so long that somebody has read there since.
        await cluster.env.runFor(2_000);
        await withTime(cluster.env, cluster.db.readCurrent(key(words.at(-1) ?? 'a')));
        const late = txn.commit({ deadline: () => deadline });
        expect(await outcomeOf(cluster, late)).toBe('txn-retry');
        expect(txn.status).toBe('aborted');
        expect(await values(cluster)).toBe('- -');
      });

      // In two phases it is asked for when the commit stands where its ranges want it.
      if (!flushes)
        it('and is made when the deadline has moved since', async () => {
          const cluster = new TestCluster(new VirtualEnv(), { splits: [key('b')] });
          const txn = await write(cluster);
          await cluster.env.runFor(2_000);
          await withTime(cluster.env, cluster.db.readCurrent(key(words.at(-1) ?? 'a')));
          const deadlines = [addMicros(cluster.clock.now(), -1_000_000)];
          const deadline = (): Timestamp =>
            deadlines.pop() ?? addMicros(cluster.clock.now(), 1_000);
          expect(await outcomeOf(cluster, txn.commit({ deadline }))).toBe('committed');
          expect(await values(cluster)).toBe(words.length === 1 ? 'new -' : 'new new');
        });

      it('one that keeps to it is made', async () => {
        const cluster = new TestCluster(new VirtualEnv(), { splits: [key('b')] });
        const txn = await write(cluster);
        const deadline = (): Timestamp => addMicros(cluster.clock.now(), 1_000_000);
        expect(await outcomeOf(cluster, txn.commit({ deadline }))).toBe('committed');
        expect(await values(cluster)).toBe(words.length === 1 ? 'new -' : 'new new');
      });

      it('who has none any more does not commit', async () => {
        const cluster = new TestCluster(new VirtualEnv(), { splits: [key('b')] });
        const txn = await write(cluster);
        const deadline = (): Timestamp => {
          throw new KvFailure({ kind: 'txn-retry', reason: 'the test says so' });
        };
        expect(await outcomeOf(cluster, txn.commit({ deadline }))).toBe('txn-retry');
        expect(txn.status).toBe('aborted');
        expect(await values(cluster)).toBe('- -');
      });
    });
  }
}

it('a first phase that comes too late prepares nothing', async () => {
  const cluster = new TestCluster(new VirtualEnv(), { splits: [key('b')] });
  const txn = cluster.db.begin();
  txn.put(key('a'), Buffer.from('new'));
  const deadline = addMicros(cluster.clock.now(), 1_000_000);
  await cluster.env.runFor(2_000);
  await withTime(cluster.env, cluster.db.readCurrent(key('a')));
  const preparing = txn.prepare({
    anchor: key('x'),
    register: () => Promise.resolve(),
    deadline: () => deadline,
  });
  const outcome = preparing.then(() => cluster.clock.now());
  expect(await outcomeOf(cluster, outcome)).toBe('txn-retry');
  expect(await values(cluster)).toBe('- -');
});
