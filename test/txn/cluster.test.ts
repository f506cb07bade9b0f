/** What can go wrong around a transaction: lost answers, lost leases, lost coordinators, splits. */
import { describe, expect, it } from 'vitest';
import {
  compareTimestamps,
  KvFailure,
  recordKeyOf,
  type BatchRequest,
  type BatchResponse,
  type KvError,
  type KvRequest,
  type Txn,
  type TxnMeta,
} from '../../src/kv/index.ts';
import { type HeaderBase } from '../../src/txn/index.ts';
import { scanPages, scriptKey, withTime } from './db-script.ts';
import { TestCluster } from './test-cluster.ts';
import { VirtualEnv } from './virtual-env.ts';

const key = scriptKey;
const at = (word: string): string => key(word).toString('latin1');
const bytes = (text: string): Buffer => Buffer.from(text);

function start(splits: readonly string[] = []): { cluster: TestCluster; env: VirtualEnv } {
  const env = new VirtualEnv();
  return { cluster: new TestCluster(env, { splits: splits.map(key) }), env };
}

async function errorOf(work: Promise<unknown>): Promise<KvError['kind'] | 'none'> {
  try {
    await work;
    return 'none';
  } catch (error) {
    if (error instanceof KvFailure) return error.kvError.kind;
    throw error;
  }
}

async function read(cluster: TestCluster, word: string): Promise<string | undefined> {
  return (await withTime(cluster.env, cluster.db.readCurrent(key(word))))?.toString();
}

const header = (txn: TxnMeta | undefined): HeaderBase => ({
  txn,
  waitPolicy: 'block',
  lockTimeoutMs: 0,
  consistency: 'txn',
  canForwardReadTimestamp: false,
});

async function send(
  cluster: TestCluster,
  txn: TxnMeta | undefined,
  ...requests: KvRequest[]
): Promise<BatchResponse> {
  return withTime(cluster.env, cluster.router.sendBatch(header(txn), requests));
}

/** A transaction in the middle of a commit over several ranges, whose coordinator goes away. */
async function lostCoordinator(cluster: TestCluster, words: readonly string[]): Promise<TxnMeta> {
  const txn = cluster.db.begin();
  const meta: TxnMeta = { ...txn.meta, anchor: key(words[0] ?? 'k'), sequence: words.length };
  for (const [i, word] of words.entries()) {
    const sequence = i + 1;
    const put: KvRequest = { kind: 'put', key: key(word), value: bytes('lost'), sequence };
    expect((await send(cluster, meta, put)).kind).toBe('ok');
  }
  return meta;
}

const endOf = (
  meta: TxnMeta,
  parts: Partial<Extract<KvRequest, { kind: 'end-txn' }>>,
): KvRequest => ({
  kind: 'end-txn',
  anchor: meta.anchor ?? key('k'),
  commit: true,
  lockSpans: [],
  onePhase: false,
  inFlightWrites: [],
  trigger: undefined,
  ...parts,
});

describe('commits', () => {
  it('of one range take one proposal and leave nothing behind', async () => {
    const { cluster, env } = start();
    const txn = cluster.db.begin();
    await withTime(env, txn.get(key('a')));
    txn.put(key('a'), bytes('1'));
    txn.put(key('b'), bytes('2'));
    const before = cluster.proposals;
    await withTime(env, txn.commit());
    expect(cluster.proposals - before).toBe(1);
    expect(await cluster.remains()).toEqual({ intents: 0, records: 0 });
  });

  it('over several ranges leave neither intents nor records once resolved', async () => {
    const { cluster, env } = start(['b', 'c']);
    const txn = cluster.db.begin();
    for (const word of ['a', 'b', 'c']) txn.put(key(word), bytes('1'));
    await withTime(env, txn.commit());
    await withTime(env, cluster.db.settled());
    expect(await cluster.remains()).toEqual({ intents: 0, records: 0 });
    expect(await read(cluster, 'c')).toBe('1');
  });

  it('end the locks of what they have written with its intents', async () => {
    const { cluster, env } = start(['b', 'c']);
    const resolved: string[][] = [];
    cluster.intercept = ({ requests }) => {
      const starts = requests.flatMap((request) =>
        request.kind === 'resolve-locks' ? [request.span.start.toString('latin1')] : [],
      );
      if (starts.length > 0) resolved.push(starts);
      return undefined;
    };
    const txn = cluster.db.begin();
    for (const word of ['a', 'b', 'c']) {
      await withTime(env, txn.get(key(word), { lock: 'update' }));
      if (word !== 'c') txn.put(key(word), bytes('1'));
    }
    await withTime(env, txn.commit());
    await withTime(env, cluster.db.settled());
    const record = recordKeyOf(key('a'), txn.meta.id).toString('latin1');
    expect(resolved).toEqual([[at('b')], [at('c')], [record]]);
    expect(await cluster.remains()).toEqual({ intents: 0, records: 0 });
    expect([...cluster.replicaFor(key('c')).executor.locks()]).toEqual([]);
  });

  it('of fresh keys are their own check', async () => {
    const { cluster, env } = start();
    let requests = 0;
    cluster.intercept = (batch) => {
      requests += batch.requests.length;
      return undefined;
    };
    const txn = cluster.db.begin();
    txn.insert(key('a'), bytes('1'), { isFresh: true });
    await withTime(env, txn.checkInserts());
    expect(requests).toBe(0);
    txn.insert(key('b'), bytes('1'));
    await withTime(env, txn.checkInserts());
    expect(requests).toBe(1);
    await withTime(env, txn.commit());

    for (const end of ['commit', 'flush'] as const) {
      const again = cluster.db.begin();
      again.insert(key('a'), bytes('2'), { isFresh: true });
      await withTime(env, again.checkInserts());
      const ended: Promise<unknown> = again[end]();
      expect(await errorOf(withTime(env, ended))).toBe('condition-failed');
      if (end === 'flush') await withTime(env, again.rollback());
    }
    expect(await read(cluster, 'a')).toBe('1');
  });

  it('delivered twice take effect once (X7, X8)', async () => {
    const { cluster, env } = start(['b']);
    const batches: BatchRequest[] = [];
    cluster.intercept = (batch) => {
      if (batch.requests.some((request) => request.kind === 'end-txn')) batches.push(batch);
      return undefined;
    };
    for (const words of [['a'], ['a', 'b']]) {
      const txn = cluster.db.begin();
      for (const word of words) txn.put(key(word), bytes(words.join('')));
      await withTime(env, txn.commit());
      await withTime(env, cluster.db.settled());
      const later = cluster.db.begin();
      later.put(key('a'), bytes('later'));
      await withTime(env, later.commit());
      const [batch] = batches.splice(0);
      if (batch === undefined) throw new Error('no commit was seen');
      const again = await withTime(env, cluster.replicaFor(key('a')).executor.execute(batch));
      expect(again.kind === 'error' ? again.error.kind : 'ok').toBe('ambiguous-result');
      expect(await read(cluster, 'a')).toBe('later');
      batches.length = 0;
    }
  });

  it('that had to move say so again when their answer was lost (X1)', async () => {
    const { cluster, env } = start();
    const { meta } = cluster.db.begin();
    const txn: TxnMeta = { ...meta, anchor: key('a'), sequence: 1 };
    await env.runFor(100);
    const other = cluster.db.begin();
    other.put(key('a'), bytes('other'));
    await withTime(env, other.commit());
    const write = { kind: 'put', key: key('a'), value: bytes('moved'), sequence: 1 } as const;
    const answers = [await send(cluster, txn, write), await send(cluster, txn, write)];
    for (const answer of answers) {
      if (answer.kind === 'error') throw new KvFailure(answer.error);
      const movedTo = answer.txn?.writeTimestamp ?? txn.writeTimestamp;
      expect(compareTimestamps(movedTo, other.meta.writeTimestamp)).toBeGreaterThan(0);
    }
  });

  it('that are cancelled while they wait for a lock are definitely not made', async () => {
    const { cluster, env } = start();
    const holder = cluster.db.begin();
    await withTime(env, holder.get(key('a'), { lock: 'update' }));
    const txn = cluster.db.begin();
    txn.put(key('a'), bytes('1'));
    const commit = errorOf(txn.commit());
    await env.runFor(200);
    txn.cancel();
    expect(await withTime(env, commit)).toBe('canceled');
    await holder.rollback();
    await env.runFor(200);
    expect(await read(cluster, 'a')).toBeUndefined();
  });
});

describe('coordinators that go away', () => {
  it('leave intents that others abort after five heartbeats, not before', async () => {
    const { cluster, env } = start(['b']);
    await lostCoordinator(cluster, ['a', 'b']);
    let done = false;
    const reader = cluster.db.readCurrent(key('b')).then(() => {
      done = true;
    });
    await env.runFor(4_500);
    expect(done).toBe(false);
    await env.runFor(1_500);
    expect(done).toBe(true);
    await reader;
    expect(await read(cluster, 'a')).toBeUndefined();
    // A reader goes through what an ended transaction has left; it is swept up a second later.
    await env.runFor(1_500);
    expect(await cluster.remains()).toEqual({ intents: 0, records: 0 });
  });

  it.each(['', ', nor when the executors have rested since'])(
    'cannot commit after they were given up%s (X5)',
    async (rested) => {
      const { cluster, env } = start(['b']);
      const meta = await lostCoordinator(cluster, ['a', 'b']);
      await env.runFor(10);
      const reading = cluster.db.readCurrent(key('b'));
      await env.runFor(7_000);
      await reading;
      if (rested !== '') expect(cluster.replicas.map((each) => each.rest())).toEqual([true, true]);
      const late = await send(cluster, meta, endOf(meta, {}));
      expect(late.kind === 'error' ? late.error.kind : 'ok').toBe('txn-aborted');
      const beat = await send(cluster, undefined, {
        kind: 'heartbeat-txn',
        txn: meta,
        now: meta.writeTimestamp,
      });
      expect(beat.kind === 'ok' ? beat.results[0] : beat).toEqual({
        kind: 'heartbeat-txn',
        status: 'aborted',
      });
    },
  );

  it('are not given up while their heart beats', async () => {
    const { cluster, env } = start();
    const txn = cluster.db.begin();
    await withTime(env, txn.get(key('a'), { lock: 'update' }));
    const rival = cluster.db.begin();
    let got = false;
    const waiting = rival.get(key('a'), { lock: 'update' }).then(() => {
      got = true;
    });
    await env.runFor(60_000);
    expect(got).toBe(false);
    txn.put(key('a'), bytes('1'));
    await withTime(env, txn.commit());
    await withTime(env, waiting);
    await rival.rollback();
    await env.runFor(1_000);
    expect(await cluster.remains()).toEqual({ intents: 0, records: 0 });
  });

  it('learn from their heartbeat that they were aborted', async () => {
    const { cluster, env } = start();
    const txn = cluster.db.begin();
    await withTime(env, txn.get(key('a'), { lock: 'update' }));
    cluster.intercept = (batch) =>
      batch.requests[0]?.kind === 'heartbeat-txn'
        ? { kind: 'error', now: cluster.clock.now(), error: { kind: 'canceled' }, index: 0 }
        : undefined;
    const rival = cluster.db.begin();
    await withTime(env, rival.get(key('a'), { lock: 'update' }));
    cluster.intercept = undefined;
    await env.runFor(1_100);
    expect(txn.status).toBe('aborted');
    expect(await errorOf(txn.get(key('b')))).toBe('txn-aborted');
    await rival.rollback();
  });

  it('an aborted transaction does not read past its own lost writes (X11)', async () => {
    const { cluster, env } = start();
    const meta = await lostCoordinator(cluster, ['a']);
    const reading = cluster.db.readCurrent(key('a'));
    await env.runFor(7_000);
    await reading;
    const own = await send(cluster, meta, { kind: 'get', key: key('a'), lock: 'none' });
    expect(own.kind === 'error' ? own.error.kind : 'ok').toBe('txn-aborted');
  });

  it('... nor where the lease was given away since (X11)', async () => {
    const { cluster, env } = start(['b']);
    const meta = await lostCoordinator(cluster, ['a', 'b']);
    const reading = cluster.db.readCurrent(key('b'));
    await env.runFor(7_000);
    await reading;
    for (const replica of cluster.replicas.slice()) {
      replica.renewLease(replica.executor.handOver());
    }
    const own = await send(cluster, meta, { kind: 'get', key: key('b'), lock: 'none' });
    expect(own.kind === 'error' ? own.error.kind : 'ok').toBe('txn-aborted');
  });
});

describe('leases', () => {
  const transfer = (cluster: TestCluster): void => {
    for (const replica of cluster.replicas) replica.renewLease();
  };

  it('that change make reads of the old one count (T1, X1)', async () => {
    const { cluster, env } = start();
    const reader = cluster.db.begin();
    const writer = cluster.db.begin();
    await withTime(env, reader.get(key('a')));
    transfer(cluster);
    writer.put(key('a'), bytes('1'));
    const at = await withTime(env, writer.commit());
    expect(await withTime(env, reader.get(key('a')))).toBeUndefined();
    const { readTimestamp } = reader.meta;
    expect(at.wall > readTimestamp.wall || at.logical > readTimestamp.logical).toBe(true);
    await reader.rollback();
  });

  it('that change do not fail a transaction of one range', async () => {
    const { cluster, env } = start();
    const txn = cluster.db.begin();
    await withTime(env, txn.get(key('a'), { lock: 'update' }));
    transfer(cluster);
    txn.put(key('a'), bytes('1'));
    await withTime(env, txn.commit());
    expect(await read(cluster, 'a')).toBe('1');
  });

  it('that changed before anybody had heard of a transaction do it no harm (X5)', async () => {
    const { cluster, env } = start(['b']);
    const txn = cluster.db.begin();
    await withTime(env, txn.get(key('a')));
    await env.runFor(10_000);
    transfer(cluster);
    await env.runFor(1);
    for (const word of ['a', 'b']) txn.put(key(word), bytes('1'));
    await withTime(env, txn.commit());
    expect(await read(cluster, 'b')).toBe('1');
  });

  it('that change behind the first piece of a load do not fail it', async () => {
    const { cluster, env } = start(['b']);
    const txn = cluster.db.begin();
    const piece = Buffer.alloc(1 << 20, 'x');
    for (const word of ['a1', 'a2', 'b1']) txn.put(key(word), piece);
    await withTime(env, txn.flushIfLarge());
    await env.runFor(100);
    transfer(cluster);
    txn.put(key('b2'), piece);
    await withTime(env, txn.commit());
    expect(await read(cluster, 'b1')).toHaveLength(piece.length);
    await withTime(env, cluster.db.settled());
    expect(await cluster.remains()).toEqual({ intents: 0, records: 0 });
  });

  it('that change in the middle of a commit never leave half of it', async () => {
    for (let step = 0; step < 12; step++) {
      const { cluster, env } = start(['b', 'c']);
      let batches = 0;
      cluster.intercept = () => {
        batches++;
        if (batches === step) transfer(cluster);
        return undefined;
      };
      const txn = cluster.db.begin();
      for (const word of ['a', 'b', 'c']) txn.put(key(word), bytes('1'));
      const error = await withTime(env, errorOf(txn.commit()));
      cluster.intercept = undefined;
      await env.runFor(10_000);
      const values = [];
      for (const word of ['a', 'b', 'c']) values.push(await read(cluster, word));
      const expected = error === 'none' ? '1' : undefined;
      if (error !== 'ambiguous-result') expect(values).toEqual([expected, expected, expected]);
      else expect(new Set(values).size).toBe(1);
    }
  });

  it('that end fail waiting requests, which go on under the next', async () => {
    const { cluster, env } = start();
    const holder = cluster.db.begin();
    await withTime(env, holder.get(key('a'), { lock: 'update' }));
    const waiter = cluster.db.begin();
    const waiting = waiter.get(key('a'), { lock: 'update' });
    await env.runFor(500);
    transfer(cluster);
    // The holder's lock was in memory only; nothing depends on it.
    await withTime(env, waiting);
    waiter.put(key('a'), bytes('waiter'));
    await withTime(env, waiter.commit());
    holder.put(key('a'), bytes('holder'));
    expect(['txn-retry', 'txn-aborted']).toContain(await withTime(env, errorOf(holder.commit())));
    expect(await read(cluster, 'a')).toBe('waiter');
  });
});

describe('splits', () => {
  it.each(['same lease', 'first lease'] as const)(
    'hand over locks, waiters and reads: %s (T7)',
    async (how) => {
      const { cluster, env } = start();
      cluster.afterSplit = how;
      const holder = cluster.db.begin();
      await withTime(env, holder.get(key('m'), { lock: 'update' }));
      const early = cluster.db.begin();
      const reader = cluster.db.begin();
      await withTime(env, reader.get(key('n')));
      const waiter = cluster.db.begin();
      let got = false;
      const waiting = waiter.get(key('m'), { lock: 'update' }).then(() => {
        got = true;
      });
      await env.runFor(100);
      cluster.split(key('h'));
      await env.runFor(1_000);
      expect(got).toBe(false);
      early.put(key('n'), bytes('early'));
      await withTime(env, early.commit());
      expect(await withTime(env, reader.get(key('n')))).toBeUndefined();
      holder.put(key('m'), bytes('holder'));
      await withTime(env, holder.commit());
      await withTime(env, waiting);
      await waiter.rollback();
      await reader.rollback();
    },
  );

  it('in the middle of transactions lose nothing', async () => {
    const { cluster, env } = start();
    const work = Array.from({ length: 20 }, (_, i) =>
      cluster.db.run({}, async (txn: Txn) => {
        for (const word of [`a${i}`, `m${i}`, `z${i}`]) {
          await txn.get(key(word), { lock: 'update' });
          txn.put(key(word), bytes(String(i)));
        }
      }),
    );
    for (const word of ['b', 'h', 'm5', 'q']) {
      cluster.split(key(word));
      await env.settle();
    }
    await withTime(env, Promise.all(work));
    await env.runFor(1_000);
    const all = { start: key(''), end: Buffer.from([6]) };
    const rows = await withTime(
      env,
      cluster.db.run({}, (txn) => scanPages(txn, all)),
    );
    expect(rows.keys.length).toBe(60);
    expect(await cluster.remains()).toEqual({ intents: 0, records: 0 });
  });

  it('find the record of a transaction at its anchor', () => {
    const meta = new TestCluster(new VirtualEnv()).db.begin().meta;
    expect(recordKeyOf(key('a'), meta.id)[0]).toBe(1);
  });
});

describe('merges', () => {
  it('take over what was read on the right side (T6)', async () => {
    const { cluster, env } = start(['h']);
    const early = cluster.db.begin();
    const reader = cluster.db.begin();
    await withTime(env, reader.get(key('n')));
    await cluster.merge(key('a'));
    early.put(key('n'), bytes('early'));
    await withTime(env, early.commit());
    expect(await withTime(env, reader.get(key('n')))).toBeUndefined();
    expect(await read(cluster, 'n')).toBe('early');
    await reader.rollback();
  });

  it('forget no transaction that was aborted on the right side before it had a record (X5)', async () => {
    const { cluster, env } = start(['h']);
    const meta = await lostCoordinator(cluster, ['n', 'a']);
    const writer = cluster.db.begin({ priority: 'high' });
    writer.put(key('n'), bytes('winner'));
    await withTime(env, writer.commit());
    await cluster.merge(key('a'));
    const answer = await withTime(env, send(cluster, meta, endOf(meta, {})));
    expect(answer).toMatchObject({ kind: 'error', error: { kind: 'txn-aborted' } });
    expect(await read(cluster, 'n')).toBe('winner');
  });

  it('in the middle of transactions lose nothing', async () => {
    const { cluster, env } = start(['b', 'h', 'm5', 'q']);
    const work = Array.from({ length: 20 }, (_, i) =>
      cluster.db.run({}, async (txn: Txn) => {
        for (const word of [`a${i}`, `m${i}`, `z${i}`]) {
          await txn.get(key(word), { lock: 'update' });
          txn.put(key(word), bytes(String(i)));
        }
      }),
    );
    for (const word of ['c', 'i', 'a', 'a']) {
      await cluster.merge(key(word));
      await env.settle();
    }
    await withTime(env, Promise.all(work));
    await env.runFor(1_000);
    const all = { start: key(''), end: Buffer.from([6]) };
    const rows = await withTime(
      env,
      cluster.db.run({}, (txn) => scanPages(txn, all)),
    );
    expect(rows.keys.length).toBe(60);
    expect(await cluster.remains()).toEqual({ intents: 0, records: 0 });
  });
});

describe('pushes', () => {
  it('by a higher priority move a writer above the reader', async () => {
    const { cluster, env } = start();
    const meta = await lostCoordinator(cluster, ['a']);
    const reader = cluster.db.begin({ priority: 'high' });
    let value: string | undefined = 'none';
    const reading = reader.get(key('a')).then((got) => {
      value = got?.toString();
    });
    await env.runFor(200);
    expect(value).toBeUndefined();
    await reading;
    await withTime(env, reader.commit());
    // The writer is alive; it has to commit later than it wanted.
    const end = endOf(meta, { lockSpans: [{ start: key('a'), end: undefined }] });
    const answer = await send(cluster, meta, end);
    expect(answer.kind === 'error' ? answer.error.kind : 'ok').toBe('txn-pushed');
  });
});

describe('quiesce', () => {
  it('waits for requests under way and keeps new ones out (T2)', async () => {
    const { cluster, env } = start();
    const { executor } = cluster.replicaFor(key('a'));
    let quiescing: Promise<() => void> | undefined;
    let proposalsThen = 0;
    cluster.intercept = (batch) => {
      if (!batch.requests.some((request) => request.kind === 'end-txn')) return undefined;
      // The batch is inside as soon as this returns.
      queueMicrotask(() => {
        quiescing = executor.quiesce().then((release) => {
          proposalsThen = cluster.proposals;
          return release;
        });
      });
      return undefined;
    };
    const before = cluster.proposals;
    await withTime(
      env,
      cluster.db.run({}, async (txn) => txn.put(key('a'), bytes('1'))),
    );
    const release = await quiescing;
    if (release === undefined) throw new Error('nothing was committed');
    expect(proposalsThen).toBe(before + 1);
    let done = false;
    const reading = cluster.db.readCurrent(key('a')).then(() => {
      done = true;
    });
    await env.runFor(100);
    expect(done).toBe(false);
    release();
    await withTime(env, reading);
  });
});

describe('what was assumed', () => {
  it('and then undone does not let an insert through', async () => {
    const { cluster, env } = start();
    const { db } = cluster;
    await withTime(
      env,
      db.run({}, async (txn) => txn.put(key('a'), bytes('1'))),
    );
    const txn = db.begin({ optimistic: true });
    expect(await withTime(env, txn.get(key('a'), { mayAssume: true }))).toEqual(bytes('1'));
    expect(txn.assumes).toBe(true);
    const savepoint = txn.savepoint();
    txn.put(key('a'), bytes('2'));
    txn.rollbackTo(savepoint);
    txn.insert(key('a'), bytes('3'));
    expect(await errorOf(withTime(env, txn.commit()))).toBe('txn-retry');
    expect(await read(cluster, 'a')).toBe('1');
  });

  it('is not told again where an intent lies', async () => {
    const { cluster, env } = start();
    const { db } = cluster;
    await withTime(
      env,
      db.run({}, async (txn) => txn.put(key('a'), bytes('1'))),
    );
    const txn = db.begin({ optimistic: true });
    expect(await withTime(env, txn.get(key('a'), { mayAssume: true }))).toEqual(bytes('1'));
    txn.put(key('a'), bytes('2'));
    await withTime(env, txn.flush());
    expect(await withTime(env, txn.get(key('a'), { mayAssume: true }))).toEqual(bytes('2'));
    // What was assumed was not checked by the write.
    expect(await errorOf(withTime(env, txn.commit()))).toBe('txn-retry');
    expect(await read(cluster, 'a')).toBe('1');
  });
});

describe('a reader that pushes a writer', () => {
  it('pushes it no further than the clock: what is committed above all clocks is missed by later readers', async () => {
    const env = new VirtualEnv();
    const cluster = new TestCluster(env, { splits: [], maxOffsetMicros: 500_000 });
    const { db } = cluster;
    const writer = db.begin();
    // So many that they are laid down as intents before the commit.
    for (let i = 0; i < 300; i++) writer.insert(key(`a${i}`), bytes('1'));
    await withTime(env, writer.checkInserts());
    // From a node that has not heard of this one's clock.
    const { meta } = db.begin({ priority: 'high' });
    const answer = await send(cluster, meta, { kind: 'get', key: key('a0'), lock: 'none' });
    expect(answer).toMatchObject({ kind: 'ok', results: [{ kind: 'get', value: undefined }] });
    const committed = await withTime(env, writer.commit());
    expect(compareTimestamps(committed, db.clock.now())).toBeLessThan(0);
    expect(await withTime(env, db.begin().get(key('a0')))).toEqual(bytes('1'));
  });
});
