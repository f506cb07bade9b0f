/**
 * Parallel commits, case by case: what the coordinator, whoever recovers it, and the ranges between them may do to each other.
 * Keys `a` (with the record), `b` and `c` have ranges of their own.
 */
import { describe, expect, it } from 'vitest';
import {
  asNodeId,
  compareTimestamps,
  KvFailure,
  nextTimestamp,
  recordKeyOf,
  type BatchRequest,
  type BatchResponse,
  type KvError,
  type KvRequest,
  type KvResult,
  type Txn,
  type TxnMeta,
  type TxnRecord,
} from '../../src/kv/index.ts';
import { rangeDescriptorKey } from '../../src/encoding/index.ts';
import { type Command } from '../../src/range/index.ts';
import { createMvccBatch, decodeHead, headKey } from '../../src/storage/index.ts';
import { sleep } from '../../src/util/index.ts';
import { type HeaderBase } from '../../src/txn/index.ts';
import { scriptKey as key, withTime } from './db-script.ts';
import { TestCluster } from './test-cluster.ts';
import { VirtualEnv } from './virtual-env.ts';

/** Longer than a coordinator may be silent. */
const abandonedMs = 7_000;
const words = ['a', 'b', 'c'];
const bytes = (text: string): Buffer => Buffer.from(text);

type Env = VirtualEnv;

function start(): { cluster: TestCluster; env: Env } {
  const env = new VirtualEnv();
  return { cluster: new TestCluster(env, { splits: words.map(key) }), env };
}

function begun(cluster: TestCluster, value = 'new'): Txn {
  const txn = cluster.db.begin();
  for (const word of words) txn.put(key(word), bytes(value));
  return txn;
}

async function outcome(work: Promise<unknown>): Promise<KvError['kind'] | 'committed'> {
  try {
    await work;
    return 'committed';
  } catch (error) {
    if (error instanceof KvFailure) return error.kvError.kind;
    throw error;
  }
}

const commit = (txn: Txn, env: Env): Promise<string> => withTime(env, outcome(txn.commit()));

/** The values of all keys; waits for whoever has to be recovered. */
async function rows(cluster: TestCluster): Promise<string> {
  const values = words.map((word) => cluster.db.readCurrent(key(word)));
  const read = await withTime(cluster.env, Promise.all(values));
  return read.map((value) => value?.toString() ?? '-').join(' ');
}

async function expectNothingLeft(cluster: TestCluster, records = 0): Promise<void> {
  await withTime(cluster.env, cluster.db.settled());
  await cluster.env.runFor(3_000);
  expect(await cluster.remains()).toEqual({ intents: 0, records });
}

const has = (batch: BatchRequest, kind: KvRequest['kind']): boolean =>
  batch.requests.some((request) => request.kind === kind);

const isStage = (batch: BatchRequest): boolean =>
  batch.requests.some((each) => each.kind === 'end-txn' && each.inFlightWrites.length > 0);

const isExplicit = (batch: BatchRequest): boolean =>
  batch.requests.some(
    (each) => each.kind === 'end-txn' && each.commit && each.inFlightWrites.length === 0,
  );

const isWriteOf = (batch: BatchRequest, word: string): boolean =>
  batch.requests.some((each) => each.kind === 'put' && each.key.equals(key(word)));

/** Batches that `lost` picks do not arrive, and their senders do not know. */
function drop(cluster: TestCluster, lost: (batch: BatchRequest) => boolean): void {
  cluster.intercept = (batch) =>
    lost(batch)
      ? {
          kind: 'error',
          now: cluster.clock.now(),
          error: { kind: 'ambiguous-result', reason: 'the test says so' },
          index: undefined,
        }
      : undefined;
}

/** The coordinator dies behind its first round: nothing of its own comes after it. */
function dropAllBehindStage(cluster: TestCluster): void {
  drop(cluster, (batch) => isExplicit(batch) || has(batch, 'heartbeat-txn'));
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
): Promise<KvResult> {
  const response: BatchResponse = await withTime(
    cluster.env,
    cluster.router.sendBatch(header(txn), requests),
  );
  if (response.kind === 'error') throw new KvFailure(response.error);
  const [result] = response.results;
  if (result === undefined) throw new Error('no answer');
  return result;
}

const inFlightWrites = ['b', 'c'].map((word, i) => ({ key: key(word), sequence: i + 2 }));

/** A transaction by hand, so that it can be stopped anywhere. */
function byHand(cluster: TestCluster): TxnMeta {
  return { ...cluster.db.begin().meta, anchor: key('a'), sequence: 3 };
}

const putOf = (word: string, sequence: number): KvRequest => ({
  kind: 'put',
  key: key(word),
  value: bytes('new'),
  sequence,
});

const stageOf = (): KvRequest => ({
  kind: 'end-txn',
  anchor: key('a'),
  commit: true,
  lockSpans: words.map((word) => ({ start: key(word), end: undefined })),
  onePhase: false,
  inFlightWrites,
  trigger: undefined,
});

async function recordOf(cluster: TestCluster, txn: TxnMeta): Promise<TxnRecord | undefined> {
  const result = await send(cluster, undefined, {
    kind: 'query-txn',
    anchor: key('a'),
    txnId: txn.id,
  });
  return result.kind === 'query-txn' ? result.record : undefined;
}

describe('a parallel commit', () => {
  it('answers after one round of consensus, and leaves nothing behind', async () => {
    const { cluster, env } = start();
    cluster.proposeDelayMs = () => 1_000;
    const fromMs = env.clock.monotonicMs();
    expect(await commit(begun(cluster), env)).toBe('committed');
    expect(env.clock.monotonicMs() - fromMs).toBeLessThan(1_500);
    expect(cluster.db.counters.parallelCommits).toBe(1);
    expect(await rows(cluster)).toBe('new new new');
    await expectNothingLeft(cluster);
    expect(cluster.recovered).toEqual({ committed: 0, aborted: 0 });
  });

  it('takes two rounds when a write had to move, at a later timestamp', async () => {
    const { cluster, env } = start();
    const txn = begun(cluster);
    await env.runFor(10);
    await rows(cluster);
    const { writeTimestamp } = txn.meta;
    const at = await withTime(env, txn.commit());
    expect(at.wall).toBeGreaterThan(writeTimestamp.wall);
    expect(cluster.db.counters).toEqual({
      onePhaseCommitsSettled: 0,
      parallelCommits: 1,
      parallelCommitsAgain: 1,
      parallelCommitsSettled: 0,
      refreshes: 0,
      refreshesFailed: 0,
    });
    expect(await rows(cluster)).toBe('new new new');
    await expectNothingLeft(cluster);
  });

  it('refreshes what it has read before the second try, and fails when that has changed', async () => {
    const { cluster, env } = start();
    const txn = cluster.db.begin();
    await withTime(env, txn.get(key('a')));
    for (const word of ['b', 'c']) txn.put(key(word), bytes('new'));
    await env.runFor(10);
    await rows(cluster);
    const other = cluster.db.begin();
    other.put(key('a'), bytes('other'));
    expect(await commit(other, env)).toBe('committed');
    expect(await commit(txn, env)).toBe('txn-retry');
    expect(cluster.db.counters).toMatchObject({ refreshes: 1, refreshesFailed: 1 });
    expect(await rows(cluster)).toBe('other - -');
    await expectNothingLeft(cluster);
  });

  it('fails as a whole when the condition of one write does not hold', async () => {
    const { cluster, env } = start();
    await withTime(
      env,
      cluster.db.run({}, async (txn) => txn.put(key('c'), bytes('old'))),
    );
    const txn = cluster.db.begin();
    for (const word of words) txn.insert(key(word), bytes('new'));
    expect(await commit(txn, env)).toBe('condition-failed');
    expect(await rows(cluster)).toBe('- - old');
    await expectNothingLeft(cluster);
  });

  it('is cleaned up behind, together with others', async () => {
    const { cluster, env } = start();
    const txns = Array.from({ length: 5 }, (_, i) => {
      const txn = cluster.db.begin();
      for (const word of words) txn.put(key(`${word}${i}`), bytes('new'));
      return txn;
    });
    const before = cluster.proposals;
    await withTime(env, Promise.all(txns.map((txn) => txn.commit())));
    await expectNothingLeft(cluster);
    // Five with three writes, the records that say so; at b and c the intents, at a the records.
    expect(cluster.proposals - before).toBe(5 * 3 + 5 + 3);
  });

  it('is not made with more writes in flight than a record names', async () => {
    const { cluster, env } = start();
    const txn = begun(cluster);
    for (let i = 0; i < 300; i++) txn.put(key(`c${i}`), bytes('new'));
    expect(await commit(txn, env)).toBe('committed');
    expect(cluster.db.counters.parallelCommits).toBe(0);
    await expectNothingLeft(cluster);
  });

  it('is not made over intents from before: their ranges have to hear of the timestamp (X3)', async () => {
    const { cluster, env } = start();
    const txn = begun(cluster);
    await withTime(env, txn.flush());
    txn.put(key('d'), bytes('new'));
    expect(await commit(txn, env)).toBe('committed');
    expect(cluster.db.counters.parallelCommits).toBe(0);
    await expectNothingLeft(cluster);
  });

  it('of two that wait for each other ends in a deadlock, not in two', async () => {
    const { cluster, env } = start();
    const holders = [cluster.db.begin(), cluster.db.begin()] as const;
    await withTime(env, holders[0].get(key('b'), { lock: 'update' }));
    await withTime(env, holders[1].get(key('c'), { lock: 'update' }));
    for (const txn of holders) for (const word of words) txn.put(key(word), bytes('new'));
    const ends = await withTime(env, Promise.all(holders.map((txn) => outcome(txn.commit()))));
    expect(ends.sort()).toEqual(['committed', 'deadlock']);
    expect(await rows(cluster)).toBe('new new new');
    await expectNothingLeft(cluster);
  });
});

describe('who waits for what a parallel commit writes', () => {
  /** Shorter than the time between two heartbeats, whose records would be in the way. */
  const round = 200;

  /** `first` holds key b, `second` waits for it; every round of consensus takes `round`. */
  async function waiting(): Promise<{
    readonly cluster: TestCluster;
    readonly env: Env;
    readonly first: Txn;
    readonly second: Txn;
    /** What `second` reads once it has the lock, and when. */
    readonly locked: Promise<{ readonly value: string | undefined; readonly atMs: number }>;
    readonly fromMs: number;
  }> {
    const { cluster, env } = start();
    const first = cluster.db.begin({ isolation: 'read-committed' });
    for (const word of ['a', 'b']) await withTime(env, first.get(key(word), { lock: 'update' }));
    for (const word of words) first.put(key(word), bytes('new'));
    const second = cluster.db.begin({ isolation: 'read-committed' });
    const locked = (async () => {
      for (;;) {
        second.beginStatement();
        try {
          const value = await second.get(key('b'), { lock: 'update' });
          return { value: value?.toString(), atMs: env.clock.monotonicMs() };
        } catch (error) {
          if (!(error instanceof KvFailure) || error.kvError.kind !== 'write-too-old') throw error;
        }
      }
    })();
    await env.runFor(10);
    cluster.proposeDelayMs = () => round;
    return { cluster, env, first, second, locked, fromMs: env.clock.monotonicMs() };
  }

  function write(txn: Txn): void {
    for (const word of ['b', 'd']) txn.put(key(word), bytes('newer'));
  }

  it('has it with the answer to the client, and writes it with its resolution', async () => {
    const { cluster, env, first, second, locked, fromMs } = await waiting();
    expect(await commit(first, env)).toBe('committed');
    const { value, atMs } = await withTime(env, locked);
    expect(value).toBe('new');
    expect(atMs - fromMs).toBeLessThan(1.2 * round);
    write(second);
    expect(await commit(second, env)).toBe('committed');
    // The commit, the record that says so, the commit of the second.
    expect(env.clock.monotonicMs() - fromMs).toBeLessThan(3.2 * round);
    expect(await rows(cluster)).toBe('new newer new');
    await expectNothingLeft(cluster);
    expect(cluster.recovered).toEqual({ committed: 0, aborted: 0 });
  });

  it('has it with the resolution when the announcement does not arrive', async () => {
    const { cluster, env, first, second, locked, fromMs } = await waiting();
    drop(cluster, (batch) => has(batch, 'announce-commit'));
    expect(await commit(first, env)).toBe('committed');
    const { value, atMs } = await withTime(env, locked);
    expect(value).toBe('new');
    expect(atMs - fromMs).toBeLessThan(2.2 * round);
    write(second);
    expect(await commit(second, env)).toBe('committed');
    expect(await rows(cluster)).toBe('new newer new');
    await expectNothingLeft(cluster);
  });

  it('has it, but writes only once the record says so: whoever recovers the first one has to find its writes', async () => {
    const { cluster, env, first, second, locked } = await waiting();
    dropAllBehindStage(cluster);
    expect(await commit(first, env)).toBe('committed');
    expect((await withTime(env, locked)).value).toBe('new');
    write(second);
    const end = outcome(second.commit());
    await env.runFor(3 * round);
    expect((await recordOf(cluster, first.meta))?.status).toBe('staging');
    expect(await cluster.remains()).toMatchObject({ intents: 3 + 1 });
    expect(await withTime(env, end)).toBe('committed');
    expect(cluster.recovered).toEqual({ committed: 1, aborted: 0 });
    expect(await rows(cluster)).toBe('new newer new');
  });

  it('reads it with the answer to the client', async () => {
    const { cluster, env, first, fromMs } = await waiting();
    const end = outcome(first.commit());
    await env.runFor(round / 2);
    const read = cluster.db.readCurrent(key('b'));
    expect(await withTime(env, end)).toBe('committed');
    expect((await withTime(env, read))?.toString()).toBe('new');
    expect(env.clock.monotonicMs() - fromMs).toBeLessThan(1.2 * round);
  });
});

describe('an answer that is lost', () => {
  it('of a write that landed is asked for: committed', async () => {
    const { cluster, env } = start();
    cluster.loseAnswer = ({ writes }) => writes.some((write) => write.key.includes(key('b')));
    const txn = begun(cluster);
    let puts = 0;
    cluster.intercept = (batch) => {
      if (isWriteOf(batch, 'b')) puts++;
      return undefined;
    };
    expect(await commit(txn, env)).toBe('committed');
    // A second delivery could find the first one resolved (X8).
    expect(puts).toBe(1);
    await withTime(env, cluster.db.settled());
    cluster.loseAnswer = undefined;
    expect(await rows(cluster)).toBe('new new new');
    // The resolution's answer is lost as well: it is asked for again, so the record goes.
    await expectNothingLeft(cluster);
  });

  it('of a write that did not arrive makes it go on in two rounds', async () => {
    const { cluster, env } = start();
    let dropped = 0;
    drop(cluster, (batch) => isWriteOf(batch, 'b') && dropped++ === 0);
    expect(await commit(begun(cluster), env)).toBe('committed');
    expect(cluster.db.counters.parallelCommitsAgain).toBe(1);
    expect(await rows(cluster)).toBe('new new new');
    await expectNothingLeft(cluster);
  });

  it('of the record that was staged is asked for: committed', async () => {
    const { cluster, env } = start();
    let lost = 0;
    cluster.loseAnswer = ({ writes }) =>
      writes.some((write) => write.key.includes(key('a'))) && lost++ === 0;
    expect(await commit(begun(cluster), env)).toBe('committed');
    expect(lost).toBeGreaterThan(0);
    expect(await rows(cluster)).toBe('new new new');
    await expectNothingLeft(cluster);
  });

  it('of the record that did not arrive ends in a definite abort, and a late arrival is refused', async () => {
    const { cluster, env } = start();
    const late: BatchRequest[] = [];
    drop(cluster, (batch) => {
      if (isStage(batch)) late.push(batch);
      return isStage(batch);
    });
    expect(await commit(begun(cluster), env)).toBe('txn-retry');
    expect(cluster.db.counters.parallelCommitsSettled).toBe(1);
    cluster.intercept = undefined;
    const [stage] = late;
    if (stage === undefined) throw new Error('nothing was staged');
    const answer = await withTime(env, cluster.replicaFor(key('a')).executor.execute(stage));
    expect(answer.kind === 'error' ? answer.error.kind : 'ok').toBe('txn-aborted');
    expect(await rows(cluster)).toBe('- - -');
    await expectNothingLeft(cluster);
  });

  it('of everything is asked for piece by piece: committed', async () => {
    const { cluster, env } = start();
    let lost = 0;
    cluster.loseAnswer = () => lost++ < words.length;
    expect(await commit(begun(cluster), env)).toBe('committed');
    expect(lost).toBeGreaterThan(words.length);
    expect(await rows(cluster)).toBe('new new new');
    await expectNothingLeft(cluster);
  });

  it('of everything, with the record out of reach, is ambiguous', async () => {
    const { cluster, env } = start();
    drop(cluster, (batch) => has(batch, 'end-txn') || has(batch, 'query-txn'));
    expect(await commit(begun(cluster), env)).toBe('ambiguous-result');
    cluster.intercept = undefined;
    await env.runFor(abandonedMs);
    expect(await rows(cluster)).toBe('- - -');
  });
});

describe('what reads have met of a commit', () => {
  it('is swept up, but nothing of other ranges: their local keys lie between', async () => {
    const { cluster, env } = start();
    const txn = cluster.db.begin();
    const [own, others] = [rangeDescriptorKey(key('a')), rangeDescriptorKey(key('b'))];
    await withTime(env, txn.get(key('c'), { lock: 'update' }));
    for (const each of [key('c'), own, key('a1'), key('a2'), others]) txn.put(each, bytes('new'));
    drop(cluster, (batch) => has(batch, 'resolve-locks'));
    expect(await commit(txn, env)).toBe('committed');
    // The first one asks what became of it; from then on its end is known there.
    for (const each of [key('a1'), own, key('a2')]) {
      const value = await withTime(env, cluster.db.readCurrent(each));
      expect(value?.toString()).toBe('new');
    }
    await env.runFor(3_000);
    const batch = createMvccBatch(cluster.engine);
    const left = [own, key('a2'), others].filter((each) => {
      const stored = batch.get(headKey(each));
      return stored !== undefined && decodeHead(stored).intent !== undefined;
    });
    expect(left).toEqual([others]);
  });

  it('in one span has no local keys at its ends', async () => {
    const { cluster, env } = start();
    const { executor } = cluster.replicaFor(key('a'));
    const { rangeId, generation } = cluster.replicaFor(key('a')).descriptor;
    const done = {
      id: cluster.db.begin().meta.id,
      epoch: 0,
      status: 'committed' as const,
      timestamp: cluster.clock.now(),
      ignoredSequences: [],
    };
    const answer = await withTime(
      env,
      executor.execute({
        header: {
          ...header(undefined),
          rangeId,
          generation,
          timestamp: cluster.clock.now(),
          gatewayNodeId: asNodeId(1),
        },
        requests: [
          {
            kind: 'resolve-locks',
            span: { start: rangeDescriptorKey(key('a')), end: key('a2') },
            txn: done,
          },
        ],
      }),
    );
    expect(answer.kind === 'error' ? answer.error.kind : 'ok').toBe('range-key-mismatch');
  });
});

describe('a split', () => {
  it('of the range of the record, behind the stage, leaves no intent of the commit behind', async () => {
    const { cluster, env } = start();
    const txn = cluster.db.begin();
    for (const word of ['a', 'a5', 'b']) txn.put(key(word), bytes('new'));
    cluster.intercept = (batch) => {
      if (isExplicit(batch)) cluster.split(key('a5'));
      return undefined;
    };
    expect(await commit(txn, env)).toBe('committed');
    await withTime(env, cluster.db.settled());
    cluster.intercept = undefined;
    await expectNothingLeft(cluster);
    const value = await withTime(env, cluster.db.readCurrent(key('a5')));
    expect(value?.toString()).toBe('new');
  });

  it('whose right side is led in a later term remembers what was read ahead of the clock', async () => {
    const { cluster, env } = start();
    const future = { wall: cluster.clock.now().wall + 2_000_000, logical: 0 };
    const reader = { ...byHand(cluster), readTimestamp: future, writeTimestamp: future };
    await send(cluster, reader, { kind: 'get', key: key('b5'), lock: 'none' });
    cluster.afterSplit = 'later lease';
    cluster.split(key('b3'));
    const txn = cluster.db.begin();
    txn.put(key('b5'), bytes('new'));
    const at = await withTime(env, txn.commit());
    expect(compareTimestamps(at, future)).toBeGreaterThan(0);
  });

  it('that its coordinator has not heard of leaves no intent of a rollback behind', async () => {
    const { cluster, env } = start();
    const txn = cluster.db.begin();
    for (const word of ['a', 'a5']) txn.put(key(word), bytes('new'));
    await withTime(env, txn.flush());
    cluster.split(key('a5'));
    await txn.rollback();
    await expectNothingLeft(cluster);
  });
});

describe('a coordinator that falls silent', () => {
  it('after its answer is recovered: committed, everywhere, and the record stays (X5)', async () => {
    const { cluster, env } = start();
    dropAllBehindStage(cluster);
    expect(await commit(begun(cluster), env)).toBe('committed');
    const reading = cluster.db.readCurrent(key('b'));
    await env.runFor(abandonedMs);
    expect((await reading)?.toString()).toBe('new');
    expect(cluster.recovered).toEqual({ committed: 1, aborted: 0 });
    await expectNothingLeft(cluster, 1);
    expect(await rows(cluster)).toBe('new new new');
  });

  it('with a write missing is recovered: aborted, and that write never lands where it was staged', async () => {
    const { cluster, env } = start();
    const txn = byHand(cluster);
    await send(cluster, txn, putOf('a', 1), stageOf());
    await send(cluster, txn, putOf('b', 2));
    const reading = cluster.db.readCurrent(key('b'));
    await env.runFor(abandonedMs);
    expect(await reading).toBeUndefined();
    expect(cluster.recovered).toEqual({ committed: 0, aborted: 1 });
    // Resolved behind: the range has heard of the end, too.
    expect(await outcome(send(cluster, txn, putOf('c', 3)))).toBe('txn-aborted');
    expect(await rows(cluster)).toBe('- - -');
    await expectNothingLeft(cluster);
  });

  it('only to a rival, which finds a write missing, and then it lands: it is not where it was staged (X4)', async () => {
    const { cluster, env } = start();
    let isAsked = false;
    cluster.intercept = async (batch) => {
      // The rival has its answers when the write arrives, and ends the transaction behind it.
      if (has(batch, 'recover-txn')) {
        isAsked = true;
        await sleep(env, 50);
      }
      if (isWriteOf(batch, 'c')) while (!isAsked) await sleep(env, 1);
      return undefined;
    };
    const committing = outcome(begun(cluster).commit());
    await env.runFor(100);
    const urgent = cluster.db.begin({ priority: 'high' });
    const reading = urgent.get(key('b'), { lock: 'update' });
    expect(await withTime(env, committing)).toBe('txn-aborted');
    expect(await withTime(env, reading)).toBeUndefined();
    expect(cluster.recovered).toEqual({ committed: 0, aborted: 1 });
    await urgent.rollback();
    expect(await rows(cluster)).toBe('- - -');
    await expectNothingLeft(cluster);
  });

  it('with a write above the staged timestamp is recovered: aborted', async () => {
    const { cluster, env } = start();
    const txn = byHand(cluster);
    await env.runFor(10);
    expect(await withTime(env, cluster.db.readCurrent(key('c')))).toBeUndefined();
    await send(cluster, txn, putOf('a', 1), stageOf());
    await send(cluster, txn, putOf('b', 2), putOf('c', 3));
    expect(await rows(cluster)).toBe('- - -');
    expect(cluster.recovered).toEqual({ committed: 0, aborted: 1 });
    await expectNothingLeft(cluster);
  });

  it('is not recovered while its heart beats', async () => {
    const { cluster, env } = start();
    const holder = cluster.db.begin();
    await withTime(env, holder.get(key('c'), { lock: 'update' }));
    const txn = begun(cluster);
    const committing = outcome(txn.commit());
    await env.runFor(100);
    let read: string | undefined;
    const reading = cluster.db.readCurrent(key('b')).then((value) => {
      read = value?.toString();
    });
    await env.runFor(30_000);
    expect(read).toBeUndefined();
    await holder.rollback();
    expect(await withTime(env, committing)).toBe('committed');
    await withTime(env, reading);
    expect(read).toBe('new');
    expect(cluster.recovered).toEqual({ committed: 0, aborted: 0 });
  });

  it('is recovered at once by a higher priority, and learns of it', async () => {
    const { cluster, env } = start();
    const holder = cluster.db.begin();
    await withTime(env, holder.get(key('c'), { lock: 'update' }));
    const committing = outcome(begun(cluster).commit());
    await env.runFor(100);
    const urgent = cluster.db.begin({ priority: 'high' });
    await withTime(env, urgent.get(key('b'), { lock: 'update' }));
    expect(cluster.recovered).toEqual({ committed: 0, aborted: 1 });
    expect(await withTime(env, committing)).toBe('txn-aborted');
    await urgent.rollback();
    await holder.rollback();
    expect(await rows(cluster)).toBe('- - -');
    await expectNothingLeft(cluster);
  });

  it('for its rival only finds itself committed by it, its own answer lost', async () => {
    const { cluster, env } = start();
    const isOfC = ({ writes }: Command): boolean =>
      writes.some((write) => write.key.includes(key('c')));
    cluster.proposeDelayMs = (command) => (isOfC(command) ? 500 : 1);
    let lost = 0;
    cluster.loseAnswer = (command) => isOfC(command) && lost++ === 0;
    let questions = 0;
    cluster.intercept = async (batch) => {
      // Both ranges are asked by the rival, then by the coordinator, which comes late.
      if (!has(batch, 'query-intent') || ++questions <= 2) return undefined;
      while (cluster.recovered.committed === 0) await sleep(env, 1);
      return undefined;
    };
    const committing = outcome(begun(cluster).commit());
    await env.runFor(100);
    // Asks for the write that is on its way, and waits for it.
    const urgent = cluster.db.begin({ priority: 'high' });
    const reading = urgent.get(key('b'), { lock: 'update' });
    expect(await withTime(env, committing)).toBe('committed');
    expect((await withTime(env, reading))?.toString()).toBe('new');
    expect(cluster.recovered).toEqual({ committed: 1, aborted: 0 });
    await urgent.rollback();
    expect(await rows(cluster)).toBe('new new new');
    await expectNothingLeft(cluster);
  });

  it('that staged anew is not judged by what was found before', async () => {
    const { cluster } = start();
    const txn = byHand(cluster);
    await send(cluster, txn, putOf('a', 1), stageOf());
    const later = { ...txn, writeTimestamp: nextTimestamp(txn.writeTimestamp) };
    const again = { ...later, readTimestamp: later.writeTimestamp };
    await send(cluster, again, stageOf());
    await send(cluster, again, putOf('b', 2), putOf('c', 3));
    const recover = (implicitlyCommitted: boolean, staged: TxnMeta): KvRequest => ({
      kind: 'recover-txn',
      anchor: key('a'),
      staged,
      implicitlyCommitted,
    });
    await send(cluster, undefined, recover(false, txn));
    expect((await recordOf(cluster, txn))?.status).toBe('staging');
    await send(cluster, undefined, recover(true, again));
    expect((await recordOf(cluster, txn))?.status).toBe('committed');
    // Whoever looked earlier and comes later learns how it ended.
    await send(cluster, undefined, recover(false, again));
    expect(await rows(cluster)).toBe('new new new');
  });

  it('and is asked by many at the same time is recovered once', async () => {
    const { cluster, env } = start();
    dropAllBehindStage(cluster);
    expect(await commit(begun(cluster), env)).toBe('committed');
    let asked = 0;
    cluster.intercept = (batch) => {
      if (has(batch, 'recover-txn')) asked++;
      return undefined;
    };
    const readers = Array.from({ length: 10 }, () => cluster.db.readCurrent(key('b')));
    const values = await withTime(env, Promise.all(readers));
    expect(values.map((value) => value?.toString())).toEqual(Array(10).fill('new'));
    expect(asked).toBe(1);
    expect(cluster.recovered.committed).toBe(1);
  });
});

describe('a cancel', () => {
  it('while a write waits for a lock leaves nothing', async () => {
    const { cluster, env } = start();
    const holder = cluster.db.begin();
    await withTime(env, holder.get(key('c'), { lock: 'update' }));
    const txn = begun(cluster);
    const committing = outcome(txn.commit());
    await env.runFor(200);
    txn.cancel();
    expect(await withTime(env, committing)).toBe('canceled');
    await holder.rollback();
    expect(await rows(cluster)).toBe('- - -');
    await expectNothingLeft(cluster);
  });

  it('when all has landed and nobody has been told yet leaves nothing either', async () => {
    const { cluster, env } = start();
    cluster.proposeDelayMs = () => 100;
    const txn = begun(cluster);
    const committing = outcome(txn.commit());
    await env.runFor(95);
    txn.cancel();
    const end = await withTime(env, committing);
    expect(end).toBe('canceled');
    expect(await rows(cluster)).toBe('- - -');
    await expectNothingLeft(cluster);
  });

  it('behind the answer changes nothing', async () => {
    const { cluster, env } = start();
    const txn = begun(cluster);
    expect(await commit(txn, env)).toBe('committed');
    txn.cancel();
    expect(await rows(cluster)).toBe('new new new');
    await expectNothingLeft(cluster);
  });
});

describe('a staged record', () => {
  const staged = async (cluster: TestCluster): Promise<void> => {
    dropAllBehindStage(cluster);
    expect(await commit(begun(cluster), cluster.env)).toBe('committed');
    expect((await cluster.remains()).records).toBe(1);
    cluster.intercept = undefined;
  };

  it.each<[string, (cluster: TestCluster) => unknown]>([
    ['that splits off', (cluster) => cluster.split(Buffer.concat([key('a'), Buffer.alloc(1)]))],
    ['that is merged', (cluster) => cluster.merge(key('a'))],
    ['that is absorbed', (cluster) => cluster.merge(key(''))],
    [
      'under a new lease',
      (cluster) => {
        for (const replica of cluster.replicas) replica.renewLease();
      },
    ],
    [
      'whose executors have rested',
      async (cluster) => {
        await cluster.env.runFor(1);
        for (const replica of cluster.replicas) replica.rest();
      },
    ],
  ])('in a range %s is recovered as before', async (_what, change) => {
    const { cluster } = start();
    await staged(cluster);
    await change(cluster);
    expect(await rows(cluster)).toBe('new new new');
    expect(cluster.recovered).toEqual({ committed: 1, aborted: 0 });
  });

  it('under a new lease is made explicit by its coordinator', async () => {
    const { cluster, env } = start();
    let changed = false;
    cluster.intercept = (batch) => {
      if (!isExplicit(batch) || changed) return undefined;
      changed = true;
      for (const replica of cluster.replicas) replica.renewLease();
      return undefined;
    };
    expect(await commit(begun(cluster), env)).toBe('committed');
    await expectNothingLeft(cluster);
    expect(changed).toBe(true);
    expect(cluster.recovered).toEqual({ committed: 0, aborted: 0 });
  });

  it('is found nowhere once its coordinator has cleaned up, and a late recovery does no harm', async () => {
    const { cluster, env } = start();
    const txn = begun(cluster);
    expect(await commit(txn, env)).toBe('committed');
    await expectNothingLeft(cluster);
    const recover: KvRequest = {
      kind: 'recover-txn',
      anchor: key('a'),
      staged: txn.meta,
      implicitlyCommitted: false,
    };
    expect(await outcome(send(cluster, undefined, recover))).toBe('txn-aborted');
    expect(await rows(cluster)).toBe('new new new');
    expect(cluster.engine.get(recordKeyOf(key('a'), txn.meta.id))).toBeUndefined();
  });
});
