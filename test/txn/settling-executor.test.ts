/** An executor is given up while `settle` (the remains queue) asks an anchor; it resolves later, under latches of its own. */
import { expect, it } from 'vitest';
import { type TxnMeta } from '../../src/kv/index.ts';
import { decodeHead, headKey } from '../../src/storage/index.ts';
import { ownerOf } from '../../src/range/concurrency/lock-table.ts';
import { must } from '../../src/util/index.ts';
import { scriptKey as key, withTime } from './db-script.ts';
import { TestCluster } from './test-cluster.ts';
import { VirtualEnv } from './virtual-env.ts';

const bytes = (text: string): Buffer => Buffer.from(text);

it('an executor that settles is not given up', async () => {
  const env = new VirtualEnv();
  const cluster = new TestCluster(env, { splits: ['a', 'b', 'c'].map(key) });
  // A transaction whose gateway dies: its record would be at a, an intent lies at b.
  const dead = cluster.db.begin();
  dead.put(key('a'), bytes('dead'));
  dead.put(key('b'), bytes('dead'));
  await withTime(env, dead.flush());
  cluster.intercept = (batch) =>
    batch.requests.some((r) => r.kind === 'heartbeat-txn')
      ? {
          kind: 'error',
          now: cluster.clock.now(),
          error: { kind: 'unavailable', reason: 'dead' },
          index: undefined,
        }
      : undefined;
  await env.runFor(10_000);

  const at = cluster.replicaFor(key('b'));
  const intent = must(decodeHead(must(cluster.engine.get(headKey(key('b'))))).intent);
  const meta: TxnMeta = ownerOf(intent);
  const spans = [{ start: key('b'), end: undefined }];
  const deadHeartbeats = cluster.intercept;
  // First look: when it was first asked for. A second one 6 s later finds it abandoned.
  expect(await withTime(env, at.executor.settle(meta, spans))).toBeUndefined();
  await env.runFor(6_000);
  // The anchor's range has no leaseholder for a while: its answer takes long.
  const waiting: (() => void)[] = [];
  let slow = true;
  cluster.intercept = (batch) => {
    if (slow && batch.requests.some((r) => r.kind === 'push-txn'))
      return new Promise<undefined>((r) => {
        waiting.push(() => r(undefined));
      });
    return deadHeartbeats?.(batch);
  };
  const settled = at.executor.settle(meta, spans);
  await env.runFor(100);
  expect(waiting.length).toBe(1);
  expect(at.rest()).toBe(false);
  // A new executor, made by the next request. Somebody tells it what became of the dead one (a push, a resolution of a span).
  slow = false;
  // T writes b over the intent: with its commit of two ranges, in parallel. Replication takes 10 ms.
  cluster.proposeDelayMs = () => 10;
  const txn = cluster.db.begin();
  txn.put(key('b'), bytes('acknowledged'));
  txn.put(key('a'), bytes('acknowledged'));
  // The push of another waiter at b has just been answered: the new executor knows the outcome.
  const push = await cluster.router.sendBatch(
    {
      txn: undefined,
      waitPolicy: 'block',
      lockTimeoutMs: 0,
      consistency: 'txn',
      canForwardReadTimestamp: false,
    },
    [
      {
        kind: 'push-txn',
        anchor: key('a'),
        pushee: meta,
        pusher: undefined,
        pushKind: 'abort',
        pushTo: meta.writeTimestamp,
        wait: false,
      },
    ],
  );
  const pushee =
    push.kind === 'ok' && push.results[0]?.kind === 'push-txn' ? push.results[0].pushee : undefined;
  expect(pushee?.status).toBe('aborted');
  // A resolution of some other key of it arrives, and tells as much.
  await withTime(
    env,
    cluster.router.sendBatch(
      {
        txn: undefined,
        waitPolicy: 'block',
        lockTimeoutMs: 0,
        consistency: 'txn',
        canForwardReadTimestamp: false,
      },
      [
        {
          kind: 'resolve-locks',
          span: { start: Buffer.concat([key('b'), bytes('x')]), end: undefined },
          txn: must(pushee),
        },
      ],
    ),
  );
  const committed = txn.commit();
  await env.runFor(5);
  // T's intent is on its way through consensus. The push of the old executor is answered now, too.
  for (const go of waiting) go();
  await withTime(env, settled);
  await withTime(env, committed);
  await withTime(env, cluster.db.settled());
  cluster.proposeDelayMs = undefined;
  await env.runFor(10_000);
  const b = await withTime(env, cluster.db.readCurrent(key('b')));
  expect(b?.toString()).toBe('acknowledged');
});
