/** Recorded sizes of ranges are exact: what the consistency check counts, after transactions, splits and merges at the same time. */
import { expect, it } from 'vitest';
import { indexPrefix, keyMax, keyMin } from '../../src/encoding/index.ts';
import { KvFailure, type Db } from '../../src/kv/index.ts';
import { must, sleep } from '../../src/util/index.ts';
import { calmCluster, finish, outside } from './harness.ts';

const tables = [1000, 1001, 1002].map((tableId) => indexPrefix({ tableId, indexId: 1 }));
const keyOf = (table: Buffer, row: number): Buffer =>
  Buffer.concat([table, Buffer.from(`row ${100 + row}`)]);

it('recorded sizes are those that are counted', async () => {
  await outside(() => {
    const { world, cluster } = calmCluster(21, { rangeMinBytes: 1 << 20 });
    const dbs = cluster.serving().map(({ node }) => node.db);
    const db = must(dbs[0]);
    world.run(world.nowMs + 10_000);

    /** Some over several ranges, some long enough for heartbeats, some rolled back. */
    const write = async (through: Db, i: number): Promise<void> => {
      try {
        await through.run({ name: 'write' }, async (txn) => {
          for (const table of tables) {
            const key = keyOf(table, (i * 7) % 50);
            if (i % 5 === 0) txn.delete(key);
            else txn.put(key, Buffer.alloc((i * 13) % 300, 120));
          }
          if (i % 10 === 0) {
            await txn.flush();
            await sleep(world, 2_500);
          }
          if (i % 7 === 0) throw new KvFailure({ kind: 'unavailable', reason: 'not meant' });
        });
      } catch (error) {
        if (!(error instanceof KvFailure)) throw error;
      }
    };
    const load = async (): Promise<void> => {
      for (let i = 0; i < 60; i++) {
        await Promise.all(dbs.map((each, at) => write(each, i * dbs.length + at)));
      }
    };
    const divide = async (): Promise<void> => {
      const forEver = { wall: 2 ** 52, logical: 0 };
      for (const table of tables) await db.split(table, { expiration: forEver });
      for (const row of [10, 20, 30, 40]) {
        for (const table of tables) await db.split(keyOf(table, row));
        await sleep(world, 3_000);
      }
    };
    // The merge queue puts together again what is small.
    finish(world, Promise.all([load(), divide()]), 300_000);
    world.run(world.nowMs + 10_000);
    const merges = cluster.serving().map(({ node }) => node.store.counters.merges);
    expect(Math.max(...merges)).toBeGreaterThan(3);
    const checks = finish(world, db.checkConsistency(keyMin, keyMax, 'data'), 300_000);
    const wrong = checks.filter(({ status }) => status !== 'consistent');
    expect(wrong.map(({ range, status, detail }) => [range.rangeId, status, detail])).toEqual([]);
    expect(checks.length).toBeGreaterThan(3);
  });
}, 60_000);
