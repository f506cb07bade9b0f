/** A range-wide resolution says 'done' although its keys have left the store while it looked for them. */
import { expect, it } from 'vitest';
import { tableKeyPrefix } from '../../src/encoding/index.ts';
import { createMvccBatch, headKey } from '../../src/storage/index.ts';
import { withTime } from './db-script.ts';
import { TestCluster } from './test-cluster.ts';
import { VirtualEnv } from './virtual-env.ts';

const table = tableKeyPrefix(20_000);
const minOf = (a: Buffer, b: Buffer): Buffer => (a.compare(b) < 0 ? a : b);
const row = (i: number): Buffer => {
  const number = Buffer.alloc(4);
  number.writeUInt32BE(i);
  return Buffer.concat([table, number]);
};

it('keys that left meanwhile', async () => {
  const env = new VirtualEnv();
  const cluster = new TestCluster(env, { splits: [row(0)] });
  // Many rows without intents: the scan for intents has to look through them first.
  const batch = createMvccBatch(cluster.engine);
  for (let i = 0; i < 30_000; i++) {
    void batch.put(row(i), Buffer.from('old'), {
      timestamp: cluster.clock.now(),
      txn: undefined,
      sequence: 0,
    });
  }
  cluster.engine.apply(batch.writes);
  await env.runFor(1_000);
  // What it wrote are spans by now, as of every large transaction.
  const txn = cluster.db.begin();
  txn.put(Buffer.concat([table.subarray(0, 1)]), Buffer.from('anchor'));
  for (const i of [0, 20_000, 29_999]) txn.put(row(i), Buffer.from('new'));
  await withTime(env, txn.flush());
  const { intents } = txn as unknown as {
    intents: { clear(): void; add(s: Buffer, e: Buffer | undefined): void };
  };
  intents.clear();
  intents.add(table.subarray(0, 1), undefined);
  intents.add(row(0), row(30_000));

  const old = cluster.replicaFor(row(0));
  let moved = false;
  cluster.intercept = (b) => {
    if (moved || !b.requests.some((r) => r.kind === 'resolve-locks' && r.span.end !== undefined))
      return undefined;
    moved = true;
    // The range is split while the scan is between two of its pages, and the right side's replica leaves this store, which
    // clears its data; the left side stays with its lease.
    let pages = 0;
    const real = cluster.engine;
    const cleared = new Proxy(real, {
      get: (target, name) => {
        if (name === 'iterate')
          return (o: { start: Buffer; end: Buffer }) =>
            target.iterate({
              ...o,
              end: minOf(o.end, headKey(row(15_000))),
              start: minOf(o.start, headKey(row(15_000))),
            });
        const found = (target as unknown as Record<string | symbol, unknown>)[name];
        return typeof found === 'function' ? found.bind(target) : found;
      },
    });
    let split = false;
    Object.defineProperty(old, 'engine', {
      get: () => {
        if (++pages === 2 && !split) {
          split = true;
          cluster.split(row(15_000));
        }
        return split ? cleared : real;
      },
    });
    return old.executor.execute(b);
  };
  await withTime(env, txn.commit());
  await withTime(env, cluster.db.settled());
  await env.runFor(1_000);
  expect(moved).toBe(true);
  cluster.intercept = undefined;
  // Other stores lead the anchor's range and the right side from now on (the remains queue, or any reader, meets the intents).
  cluster.replicaFor(row(20_000)).renewLease();
  cluster.replicaFor(table.subarray(0, 1)).renewLease();
  const values: (string | undefined)[] = [];
  for (const i of [0, 20_000, 29_999])
    values.push((await withTime(env, cluster.db.readCurrent(row(i))))?.toString());
  expect(values).toEqual(['new', 'new', 'new']);
});
