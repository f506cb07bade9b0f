/** What a cancelled statement has sent arrives when the transaction has gone on, and committed. */
import { expect, it } from 'vitest';
import { KvFailure, type BatchRequest } from '../../src/kv/index.ts';
import { scriptKey as key, withTime } from './db-script.ts';
import { TestCluster } from './test-cluster.ts';
import { VirtualEnv } from './virtual-env.ts';

const bytes = (text: string): Buffer => Buffer.from(text);

for (const parallel of [true, false]) {
  for (const how of ['rewritten', 'older write stays'] as const) {
    it(`late write of a cancelled statement, ${parallel ? 'parallel' : 'two rounds'}, ${how}`, async () => {
      const env = new VirtualEnv();
      const cluster = new TestCluster(env, { splits: ['a', 'b', 'c'].map(key) });
      await withTime(
        env,
        cluster.db.run({ name: 'init' }, async (t) => {
          t.put(key('b'), bytes('init'));
        }),
      );
      await withTime(env, cluster.db.settled());
      await env.runFor(1_000);

      const txn = cluster.db.begin({ isolation: 'read-committed' });
      txn.beginStatement();
      txn.put(key('a'), bytes('a1'));
      if (how === 'older write stays') txn.put(key('b'), bytes('new'));
      if (!parallel) await withTime(env, txn.flush());
      const savepoint = txn.savepoint();
      // A statement that writes b and flushes (a locking scan over the buffer, a bulk write): its batch is on its way...
      txn.put(key('b'), bytes('statement'));
      let held: (() => void) | undefined;
      cluster.intercept = (batch: BatchRequest): Promise<undefined> | undefined => {
        const isIt = batch.requests.some((r) => r.kind === 'put' && r.key.equals(key('b')));
        if (!isIt || held !== undefined) return undefined;
        return new Promise<undefined>((resolve) => {
          held = () => resolve(undefined);
        });
      };
      const flushed = txn.flush().then(
        () => 'ok',
        (error: unknown) => (error instanceof KvFailure ? error.kvError.kind : String(error)),
      );
      await env.runFor(10);
      expect(held).toBeDefined();
      // ... when the statement is cancelled (statement_timeout), and the session goes back to a savepoint.
      txn.cancelStatement();
      expect(await withTime(env, flushed)).toBe('canceled');
      txn.rollbackTo(savepoint);
      await env.runFor(200);
      txn.beginStatement();
      if (how === 'rewritten') txn.put(key('b'), bytes('new'));
      txn.put(key('c'), bytes('c1'));
      // The late batch arrives right behind the commit's answer.
      cluster.proposeDelayMs = () => 5;
      const committed = txn.commit();
      let isAnswered = false;
      const answered = committed.then(() => {
        isAnswered = true;
      });
      await env.runFor(1_000, () => isAnswered);
      if (!isAnswered) held?.();
      await withTime(env, answered);
      held?.();
      await withTime(env, cluster.db.settled());
      await env.runFor(20_000);
      const value = await withTime(env, cluster.db.readCurrent(key('b')));
      expect(value?.toString()).toBe('new');
    });
  }
}

it('an intent whose leaseholder does not know what became of it is laid down again', async () => {
  const env = new VirtualEnv();
  const cluster = new TestCluster(env, { splits: ['a', 'b', 'c'].map(key) });
  const txn = cluster.db.begin({ isolation: 'read-committed' });
  txn.beginStatement();
  txn.put(key('a'), bytes('a1'));
  txn.put(key('b'), bytes('b1'));
  let lost = 0;
  cluster.loseAnswer = () => lost++ < 2;
  await withTime(env, txn.flush());
  expect(lost).toBe(2);
  txn.put(key('c'), bytes('c1'));
  await withTime(env, txn.commit());
  await withTime(env, cluster.db.settled());
  for (const name of ['a', 'b', 'c']) {
    const value = await withTime(env, cluster.db.readCurrent(key(name)));
    expect(value?.toString()).toBe(`${name}1`);
  }
});

for (const isolation of ['serializable', 'snapshot', 'read-committed'] as const) {
  it(`a write stays that its range has moved up for one behind it that was undone, ${isolation}`, async () => {
    const env = new VirtualEnv();
    const cluster = new TestCluster(env, { splits: ['a', 'b', 'c'].map(key) });
    const txn = cluster.db.begin({ isolation });
    txn.beginStatement();
    txn.put(key('a'), bytes('a1'));
    txn.put(key('b'), bytes('new'));
    await withTime(env, txn.flush());
    const savepoint = txn.savepoint();
    txn.beginStatement();
    // Somebody reads beside it: what the statement sends is laid down above that, b with all that was written there before.
    await env.runFor(100);
    await withTime(env, cluster.db.readCurrent(key('b2')));
    txn.put(key('b'), bytes('statement'));
    txn.put(key('b2'), bytes('statement'));
    let isCanceled = false;
    cluster.intercept = (batch: BatchRequest): undefined => {
      if (isCanceled || !batch.requests.some((request) => request.kind === 'put')) return undefined;
      isCanceled = true;
      // Nobody waits for the answer.
      txn.cancelStatement();
      return undefined;
    };
    await expect(withTime(env, txn.flush())).rejects.toMatchObject({
      kvError: { kind: 'canceled' },
    });
    txn.rollbackTo(savepoint);
    await withTime(env, txn.commit());
    await withTime(env, cluster.db.settled());
    const values = ['a', 'b', 'b2'].map((word) => cluster.db.readCurrent(key(word)));
    const found = await withTime(env, Promise.all(values));
    expect(found.map((value) => value?.toString())).toEqual(['a1', 'new', undefined]);
  });
}
