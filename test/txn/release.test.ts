/** Who hears of the end of a transaction, or of a rollback to a savepoint, finds its locks free. */
import { describe, expect, it } from 'vitest';
import { asNodeId, type KvRequest, type Savepoint, type Txn } from '../../src/kv/index.ts';
import { createSqlService, rowProgramCompiler } from '../../src/sql/index.ts';
import { sleep } from '../../src/util/index.ts';
import { runText } from '../sql/logic/text-client.ts';
import { scriptKey as key, withTime } from './db-script.ts';
import { TestCluster } from './test-cluster.ts';
import { VirtualEnv } from './virtual-env.ts';

const words = ['a', 'l', 'y'];
const keys = words.map(key);
const slowMs = 100;

const freesLocks = ({ kind }: KvRequest): boolean =>
  kind === 'end-txn' || kind === 'resolve-locks' || kind === 'release-locks';

/** Three ranges. */
function start(): TestCluster {
  const env = new VirtualEnv();
  return new TestCluster(env, { splits: ['k', 'x'].map(key), maxOffsetMicros: 250_000 });
}

function delay(cluster: TestCluster, ms: number): void {
  cluster.intercept = async ({ requests }) => {
    if (requests.some(freesLocks)) await sleep(cluster.env, ms);
    return undefined;
  };
}

async function lockedRows(cluster: TestCluster): Promise<Txn> {
  await cluster.db.run({}, async (txn) => {
    for (const each of keys) txn.put(each, Buffer.from('1'));
  });
  await sleep(cluster.env, 1_000);
  const txn = cluster.db.begin();
  txn.savepoint();
  return txn;
}

async function unlocked(cluster: TestCluster): Promise<number> {
  const txn = cluster.db.begin();
  const values = await txn.getMany(keys, { lock: 'update', waitPolicy: 'skip' });
  return values.filter((value) => value !== undefined).length;
}

function elapsed(cluster: TestCluster, work: () => Promise<unknown>): Promise<number> {
  const { clock } = cluster.env;
  const before = clock.monotonicMs();
  return work().then(() => clock.monotonicMs() - before);
}

interface Case {
  readonly name: string;
  readonly end: (txn: Txn, savepoint: Savepoint) => Promise<unknown>;
  readonly holds?: boolean;
  readonly ms: number;
}

const ends: readonly Case[] = [
  { name: 'commit', end: (txn) => txn.commit(), ms: slowMs },
  { name: 'rollback', end: (txn) => txn.rollback(), ms: slowMs },
  // The anchor's range first: its record decides.
  { name: 'rollback of intents', end: (txn) => txn.rollback(), holds: true, ms: 2 * slowMs },
  {
    name: 'rollback to a savepoint',
    end: (txn, savepoint) => {
      txn.rollbackTo(savepoint);
      return txn.released();
    },
    ms: slowMs,
  },
  {
    name: 'rollback of intents to a savepoint',
    end: (txn, savepoint) => {
      txn.rollbackTo(savepoint);
      return txn.released();
    },
    holds: true,
    ms: 2 * slowMs,
  },
];

describe.each(ends)('$name', ({ end, holds = false, ms }) => {
  async function locking(cluster: TestCluster): Promise<() => Promise<unknown>> {
    const txn = await lockedRows(cluster);
    const savepoint = txn.savepoint();
    if (holds) for (const each of keys) await txn.hold(each);
    else await txn.getMany(keys, { lock: 'update' });
    return () => end(txn, savepoint);
  }

  it('is answered when the locks of all ranges are free', async () => {
    const cluster = start();
    await withTime(
      cluster.env,
      (async () => {
        const ending = await locking(cluster);
        delay(cluster, slowMs);
        expect(await elapsed(cluster, ending)).toBe(ms);
        expect(await unlocked(cluster)).toBe(words.length);
      })(),
    );
  });

  it('is not held up by a range that does not answer', async () => {
    const cluster = start();
    await withTime(
      cluster.env,
      (async () => {
        const ending = await locking(cluster);
        delay(cluster, 20_000);
        expect(await elapsed(cluster, ending)).toBe(1_000);
      })(),
    );
  });
});

it('what has locked nothing has nothing to wait for', async () => {
  const cluster = start();
  const sent: string[] = [];
  cluster.intercept = ({ requests }) => {
    sent.push(...requests.filter(freesLocks).map(({ kind }) => kind));
    return undefined;
  };
  await withTime(
    cluster.env,
    (async () => {
      for (const end of ['commit', 'rollback'] as const) {
        const reader = cluster.db.begin();
        await reader.getMany(keys);
        await reader[end]();
      }
      expect(sent).toEqual([]);
      const writer = cluster.db.begin();
      await writer.get(key('a'), { lock: 'update' });
      writer.put(key('a'), Buffer.from('2'));
      await writer.commit();
      expect(sent).toEqual(['end-txn']);
    })(),
  );
});

describe('a session that is told so by', () => {
  it.each(['commit', 'rollback', 'rollback to a', 'select 1 / 0'])('%s', async (end) => {
    const env = new VirtualEnv();
    const cluster = new TestCluster(env, {
      rowPrograms: rowProgramCompiler,
      maxOffsetMicros: 250_000,
    });
    const service = await withTime(
      env,
      createSqlService({ env, db: cluster.db, nodeId: asNodeId(1) }),
    );
    await withTime(
      env,
      (async () => {
        const options = { user: 'root', database: 'defaultdb', settings: new Map() };
        const own = await service.newSession(options);
        const other = await service.newSession(options);
        await runText(own, 'create table t (id int primary key); insert into t values (1), (2)');
        await runText(own, 'alter table t split at values (2)');
        await sleep(env, 1_000);
        await runText(own, 'begin; savepoint a; select * from t for update');
        delay(cluster, slowMs);
        await runText(own, end);
        const free = await runText(other, 'select * from t for update nowait');
        expect(free.error).toBeUndefined();
      })(),
    );
  });
});
