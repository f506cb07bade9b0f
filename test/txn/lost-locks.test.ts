/** Below 'serializable': what a lost lock costs, what a commit sends to be sure of its locks, and what a statement must not know. */
import { describe, expect, it } from 'vitest';
import {
  compareTimestamps,
  KvFailure,
  kvSettings,
  type BatchHeader,
  type KvRequest,
  type RowProgramCompiler,
  type Txn,
} from '../../src/kv/index.ts';
import { sleep } from '../../src/util/index.ts';
import { scriptKey as key, withTime } from './db-script.ts';
import { TestCluster } from './test-cluster.ts';
import { VirtualEnv } from './virtual-env.ts';

const bytes = (text: string): Buffer => Buffer.from(text);
const maxOffsetMicros = 250_000;

/** Keeps rows that hold 'wanted'. */
const rowPrograms: RowProgramCompiler = {
  compile: () => ({
    start: () => {
      let rows: Buffer[] = [];
      let produced = 0;
      return {
        row(_key, value) {
          if (!value.equals(bytes('wanted'))) return false;
          rows.push(value);
          produced++;
          return false;
        },
        take: () => rows.splice(0),
        get produced() {
          return produced;
        },
        finish: () => (rows = []),
      };
    },
  }),
};

function start(splits: readonly string[] = []): TestCluster {
  const env = new VirtualEnv();
  return new TestCluster(env, { splits: splits.map(key), maxOffsetMicros, rowPrograms });
}

/** Behind the first heartbeat: a transaction without a record would not survive the loss of its anchor's lease. */
async function loseLocks(cluster: TestCluster): Promise<void> {
  await sleep(cluster.env, 1_500);
  for (const replica of cluster.replicas.slice()) replica.renewLease();
}

/** Without a value it deletes. */
async function write(cluster: TestCluster, word: string, value?: string): Promise<void> {
  await cluster.db.run({}, async (txn) => {
    if (value === undefined) txn.delete(key(word));
    else txn.put(key(word), bytes(value));
  });
}

async function endOf(txn: Txn): Promise<string> {
  try {
    await txn.commit();
    return 'committed';
  } catch (error) {
    if (error instanceof KvFailure) return error.kvError.kind;
    throw error;
  }
}

function test(
  title: string,
  splits: readonly string[],
  body: (cluster: TestCluster) => Promise<void>,
): void {
  it(title, async () => {
    const cluster = start(splits);
    await withTime(cluster.env, body(cluster));
  });
}

describe.each([
  { where: 'in one range', splits: [] },
  { where: 'over ranges', splits: ['k', 'x'] },
])('a lost lock, $where', ({ splits }) => {
  for (const isolation of ['snapshot', 'read-committed'] as const) {
    for (const lock of ['share', 'update'] as const) {
      for (const isChanged of [true, false]) {
        const title = `${isolation}, ${lock}, ${isChanged ? 'with' : 'without'} a change`;
        test(title, splits, async (cluster) => {
          await write(cluster, 'locked', '1');
          const txn = cluster.db.begin({ isolation });
          txn.beginStatement();
          await txn.get(key('locked'), { lock });
          await loseLocks(cluster);
          if (isChanged) await write(cluster, 'locked', '2');
          txn.beginStatement();
          txn.put(key('k1'), bytes('1'));
          txn.put(key('z'), bytes('1'));
          // The commit has to stand above the change.
          for (const word of ['k1', 'z']) await cluster.db.run({}, (other) => other.get(key(word)));
          expect(await endOf(txn)).toBe(isChanged ? 'txn-retry' : 'committed');
        });
      }
    }
  }

  for (const isolation of ['snapshot', 'read-committed'] as const) {
    for (const [fate, values] of Object.entries({
      'is changed': ['2'],
      'is gone': [undefined],
      'is there again': [undefined, '2'],
    })) {
      test(`${isolation}, a row that is referred to ${fate}`, splits, async (cluster) => {
        await write(cluster, 'locked', '1');
        const txn = cluster.db.begin({ isolation });
        txn.beginStatement();
        await txn.get(key('locked'), { lock: 'key-share', existence: true });
        await loseLocks(cluster);
        for (const value of values) await write(cluster, 'locked', value);
        txn.beginStatement();
        txn.put(key('k1'), bytes('1'));
        txn.put(key('z'), bytes('1'));
        for (const word of ['k1', 'z']) await cluster.db.run({}, (other) => other.get(key(word)));
        expect(await endOf(txn)).toBe(fate === 'is gone' ? 'txn-retry' : 'committed');
      });
    }
  }

  test('is noticed when a later statement writes the key', splits, async (cluster) => {
    await write(cluster, 'x', '1');
    const txn = cluster.db.begin({ isolation: 'read-committed' });
    txn.beginStatement();
    const before = Number(await txn.get(key('x'), { lock: 'update' }));
    await loseLocks(cluster);
    await write(cluster, 'x', '2');
    txn.beginStatement();
    txn.put(key('x'), bytes(String(before + 1)));
    expect(await endOf(txn)).toBe('txn-retry');
  });

  for (const isChanged of [true, false]) {
    test(
      `among more locks than are kept apart, ${isChanged ? 'with' : 'without'} a change`,
      splits,
      async (cluster) => {
        cluster.settings.update(new Map([[kvSettings.maxIntentsBytes.name, '4096']]));
        const txn = cluster.db.begin({ isolation: 'read-committed' });
        await txn.get(key('x'), { lock: 'update' });
        for (let i = 0; i < 40; i++) await txn.get(key(`k${i}`), { lock: 'update' });
        await loseLocks(cluster);
        if (isChanged) await write(cluster, 'x', '2');
        txn.beginStatement();
        txn.put(key('k1'), bytes('1'));
        await txn.flush();
        txn.put(key('x'), bytes('1'));
        expect(await endOf(txn)).toBe(isChanged ? 'txn-retry' : 'committed');
      },
    );
  }

  test('is noticed when a savepoint has undone the write of the key', splits, async (cluster) => {
    await write(cluster, 'x', '1');
    const txn = cluster.db.begin({ isolation: 'read-committed' });
    await txn.get(key('x'), { lock: 'update' });
    const savepoint = txn.savepoint();
    txn.put(key('x'), bytes('undone'));
    await txn.flush();
    txn.rollbackTo(savepoint);
    await cluster.db.settled();
    await loseLocks(cluster);
    await write(cluster, 'x', '2');
    txn.put(key('k1'), bytes('1'));
    await cluster.db.run({}, (other) => other.get(key('k1')));
    expect(await endOf(txn)).toBe('txn-retry');
  });

  test(
    'is noticed for rows that a program has chosen, and for no others',
    splits,
    async (cluster) => {
      for (const changed of ['k1', 'k2']) {
        await write(cluster, 'k1', 'wanted');
        await write(cluster, 'k2', 'other');
        const txn = cluster.db.begin({ isolation: 'read-committed' });
        const span = { start: key('k'), end: key('l') };
        const page = await txn.scan({ ...span, lock: 'update', program: bytes('wanted') });
        expect(page.values.map(String)).toEqual(['wanted']);
        await loseLocks(cluster);
        await write(cluster, changed, 'changed');
        txn.put(key('z'), bytes('1'));
        await cluster.db.run({}, (other) => other.get(key('z')));
        expect(await endOf(txn)).toBe(changed === 'k1' ? 'txn-retry' : 'committed');
      }
    },
  );
});

test('a write that is cancelled while it waits is not made later', [], async (cluster) => {
  await write(cluster, 'x', '1');
  const holder = cluster.db.begin();
  await holder.get(key('x'), { lock: 'update' });
  const txn = cluster.db.begin({ isolation: 'read-committed' });
  const savepoint = txn.savepoint();
  txn.put(key('x'), bytes('2'));
  const waiting = txn.flush();
  await sleep(cluster.env, 100);
  txn.cancelStatement();
  await expect(waiting).rejects.toThrow('canceled');
  txn.rollbackTo(savepoint);
  await sleep(cluster.env, 100);
  await holder.commit();
  const other = cluster.db.begin();
  const found = await other.get(key('x'), { lock: 'update', waitPolicy: 'error' });
  expect(found?.toString()).toBe('1');
  await other.rollback();
  txn.put(key('y'), bytes('2'));
  await txn.commit();
  expect((await cluster.db.readCurrent(key('x')))?.toString()).toBe('1');
});

describe('a commit below serializable', () => {
  function watch(cluster: TestCluster): { header: BatchHeader; requests: readonly KvRequest[] }[] {
    const seen: { header: BatchHeader; requests: readonly KvRequest[] }[] = [];
    cluster.intercept = (batch) => {
      seen.push(batch);
      return undefined;
    };
    return seen;
  }

  test('sends nothing but its writes when only written keys were locked', [], async (cluster) => {
    await write(cluster, 'x', '1');
    await write(cluster, 'y', '1');
    const txn = cluster.db.begin({ isolation: 'read-committed' });
    for (const word of ['x', 'y']) {
      txn.beginStatement();
      await txn.get(key(word), { lock: 'update' });
      txn.put(key(word), bytes('2'));
    }
    const seen = watch(cluster);
    await txn.commit();
    const [first] = seen;
    expect(first?.requests.map(({ kind }) => kind)).toEqual(['put', 'put', 'end-txn']);
  });

  test('asks for all other locks at once', ['k', 'x'], async (cluster) => {
    const txn = cluster.db.begin({ isolation: 'read-committed' });
    for (const word of ['a', 'k1', 'x']) await txn.get(key(word), { lock: 'share' });
    txn.beginStatement();
    txn.put(key('z'), bytes('1'));
    const seen = watch(cluster);
    await txn.commit();
    const kinds = seen.map(({ requests }) => requests.map(({ kind }) => kind).join());
    expect(kinds.slice(0, 3)).toEqual(['refresh', 'refresh', 'refresh']);
    expect(kinds.slice(3).join()).not.toContain('refresh');
  });

  test('does not trust a clock that an earlier statement has met', [], async (cluster) => {
    const txn = cluster.db.begin({ isolation: 'read-committed' });
    const seen = watch(cluster);
    for (let i = 0; i < 3; i++) {
      txn.beginStatement();
      const began = txn.meta.readTimestamp;
      await txn.get(key('x'));
      const observed = seen.at(-1)?.header.observed;
      expect(observed && compareTimestamps(observed, began)).toBeGreaterThanOrEqual(0);
      const limit = seen.at(-1)?.header.txn?.uncertaintyLimit.wall ?? 0;
      expect(limit).toBeGreaterThanOrEqual(began.wall + maxOffsetMicros);
      await cluster.env.runFor(100);
    }
    await txn.rollback();
  });

  test('that is strict is answered when all clocks have passed it', [], async (cluster) => {
    const txn = cluster.db.begin({ strict: true });
    txn.put(key('x'), bytes('1'));
    const at = await txn.commit();
    expect(cluster.clock.now().wall).toBeGreaterThan(at.wall + maxOffsetMicros);
    const before = cluster.clock.now().wall;
    const reader = cluster.db.begin({ strict: true });
    await reader.get(key('x'));
    await reader.commit();
    expect(cluster.clock.now().wall).toBe(before);
  });

  test('has no timestamp to tell beforehand', [], async (cluster) => {
    const txn = cluster.db.begin({ isolation: 'snapshot' });
    expect(() => txn.fixedTimestamp()).toThrow(KvFailure);
    txn.becomeSerializable();
    expect(txn.fixedTimestamp()).toEqual(txn.meta.readTimestamp);
    await txn.rollback();
  });
});
