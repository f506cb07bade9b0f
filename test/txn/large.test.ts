/** Transactions that are larger than their buffer: pieces on the way out, pages on the way to their end. */
import { describe, expect, it } from 'vitest';
import { systemKey, tableKeyPrefix } from '../../src/encoding/index.ts';
import { KvFailure, kvSettings, type Txn } from '../../src/kv/index.ts';
import { withTime } from './db-script.ts';
import { TestCluster } from './test-cluster.ts';
import { VirtualEnv } from './virtual-env.ts';

const table = tableKeyPrefix(20_000);
const value = Buffer.alloc(300, 'x');
const rows = 14_000;
const span = { start: row(0), end: Buffer.concat([table, Buffer.from([0xff])]) };

function row(i: number): Buffer {
  const number = Buffer.alloc(4);
  number.writeUInt32BE(i);
  return Buffer.concat([table, number]);
}

function start(): { cluster: TestCluster; env: VirtualEnv } {
  const env = new VirtualEnv();
  return { cluster: new TestCluster(env, { splits: [row(7_000)] }), env };
}

async function load(txn: Txn, from: number, to: number): Promise<void> {
  for (let i = from; i < to; i++) {
    txn.insert(row(i), value);
    if (i % 500 === 0) await txn.flushIfLarge();
  }
}

async function count(txn: Txn): Promise<number> {
  let found = 0;
  for (let at: { start: Buffer; end: Buffer } | undefined = span; at !== undefined;) {
    const page = await txn.scan(at);
    found += page.keys.length;
    at = page.resume;
  }
  return found;
}

async function kindOf(work: Promise<unknown>): Promise<string> {
  try {
    await work;
    return 'none';
  } catch (error) {
    if (error instanceof KvFailure) return error.kvError.kind;
    throw error;
  }
}

describe('a large transaction', () => {
  it('commits and is cleaned up in commands of bounded size', async () => {
    const { cluster, env } = start();
    const txn = cluster.db.begin();
    await withTime(env, load(txn, 0, rows));
    expect(await withTime(env, count(txn))).toBe(rows);
    await withTime(env, txn.commit());
    await withTime(env, cluster.db.settled());
    expect(await cluster.remains()).toEqual({ intents: 0, records: 0 });
    expect(cluster.largestProposal).toBeLessThanOrEqual(2_100);
    expect(await withTime(env, count(cluster.db.begin()))).toBe(rows);
  });

  it('is rolled back in commands of bounded size', async () => {
    const { cluster, env } = start();
    const txn = cluster.db.begin();
    await withTime(env, load(txn, 0, rows));
    await txn.rollback();
    await withTime(env, cluster.db.settled());
    expect(await cluster.remains()).toEqual({ intents: 0, records: 0 });
    expect(cluster.largestProposal).toBeLessThanOrEqual(2_100);
    expect(await withTime(env, count(cluster.db.begin()))).toBe(0);
  });

  for (const end of ['commit', 'rollback'] as const) {
    it(`${end}: spans of few intents share a command`, async () => {
      const { cluster, env } = start();
      const { name } = kvSettings.maxIntentsBytes;
      cluster.settings.update(new Map([[name, '65536']]));
      const txn = cluster.db.begin();
      await withTime(env, load(txn, 0, rows));
      // So many are laid down to be checked.
      await withTime(env, txn.checkInserts());
      const before = cluster.proposals;
      const ended: Promise<unknown> = txn[end]();
      await withTime(env, ended);
      await withTime(env, cluster.db.settled());
      expect(await cluster.remains()).toEqual({ intents: 0, records: 0 });
      expect(cluster.largestProposal).toBeLessThanOrEqual(2_100);
      // 14 would do if every one of them were full.
      expect(cluster.proposals - before).toBeLessThan(40);
      expect(await withTime(env, count(cluster.db.begin()))).toBe(end === 'commit' ? rows : 0);
    });
  }

  it('is read right behind its commit, whoever resolves it', async () => {
    const { cluster, env } = start();
    const txn = cluster.db.begin();
    await withTime(env, load(txn, 0, rows));
    let lost = 0;
    cluster.intercept = ({ header, requests }) => {
      if (requests[0]?.kind !== 'resolve-locks') return undefined;
      lost++;
      const { rangeId } = header;
      return {
        kind: 'error',
        now: cluster.clock.now(),
        error: { kind: 'invalid-request', reason: `lost on the way to ${rangeId}` },
        index: undefined,
      };
    };
    await withTime(env, txn.commit());
    await withTime(env, cluster.db.settled());
    expect(lost).toBeGreaterThan(0);
    expect(await withTime(env, count(cluster.db.begin()))).toBe(rows);
    // The ranges sweep up by themselves, where somebody has read.
    await env.runFor(3_000);
    expect(await cluster.remains()).toMatchObject({ intents: 0 });
  });

  it('keeps what a failed flush did not bring to the ranges, for a savepoint', async () => {
    const { cluster, env } = start();
    const before = cluster.db.begin();
    before.put(row(9_999), value);
    await withTime(env, before.commit());
    const txn = cluster.db.begin();
    txn.put(row(rows), value);
    txn.put(row(9_998), value);
    const savepoint = txn.savepoint();
    expect(await kindOf(withTime(env, load(txn, 0, 9_990)))).toBe('none');
    const rest = async (): Promise<void> => {
      await load(txn, 9_999, 13_000);
      await txn.checkInserts();
    };
    expect(await kindOf(withTime(env, rest()))).toBe('condition-failed');
    txn.rollbackTo(savepoint);
    await withTime(env, txn.commit());
    await withTime(env, cluster.db.settled());
    expect(await withTime(env, count(cluster.db.begin()))).toBe(3);
    expect(await cluster.remains()).toEqual({ intents: 0, records: 0 });
  });

  it('does not keep others from the catalog before its commit', async () => {
    const { cluster, env } = start();
    const catalog = systemKey('catalog');
    const txn = cluster.db.begin();
    txn.put(catalog, Buffer.from('new'));
    await withTime(env, load(txn, 0, rows));
    // Nobody waits: the clock stands still.
    expect(await cluster.db.readCurrent(catalog)).toBeUndefined();
    await withTime(env, txn.commit());
    await withTime(env, cluster.db.settled());
    expect((await cluster.db.readCurrent(catalog))?.toString()).toBe('new');
    expect(await cluster.remains()).toEqual({ intents: 0, records: 0 });
  });
});
