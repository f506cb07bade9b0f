/** TPC-B as pgbench runs it: heavy contention with locking reads must pass without a single error. */
import { describe, expect, it } from 'vitest';
import { type Db, type Txn } from '../../src/kv/index.ts';
import { scriptKey, withTime } from './db-script.ts';
import { stacks } from './stacks.ts';
import { type VirtualEnv } from './virtual-env.ts';
import { SeededRandom } from '../random.ts';

const clients = 16;
const perClient = 12;
const branches = 3;
const tellers = 10;

async function addTo(txn: Txn, word: string, by: number): Promise<void> {
  txn.beginStatement();
  const key = scriptKey(word);
  const value = await txn.get(key, { lock: 'update' });
  txn.put(key, Buffer.from(String(Number(value?.toString() ?? '0') + by)));
}

async function client(db: Db, env: VirtualEnv, id: number, random: SeededRandom): Promise<void> {
  for (let i = 0; i < perClient; i++) {
    const txn = db.begin();
    const by = random.below(100);
    const account = `account${random.below(1_000)}`;
    await addTo(txn, account, by);
    await new Promise<void>((resolve) => {
      env.timers.after(random.below(3), resolve);
    });
    await txn.get(scriptKey(account));
    await addTo(txn, `x${random.below(tellers)}`, by);
    await addTo(txn, `z${random.below(branches)}`, by);
    txn.insert(scriptKey(`history${id}.${i}`), Buffer.from(String(by)));
    await txn.commit();
  }
}

for (const { name, make } of stacks) {
  describe(`contention on ${name}`, () => {
    it.each([1, 2, 3])('TPC-B with 16 clients, seed %i', async (seed) => {
      const { db, env } = make({ seed });
      const random = new SeededRandom(seed);
      const work = Array.from({ length: clients }, (_, id) => client(db, env, id, random));
      await withTime(env, Promise.all(work));
      const sums = { z: 0, x: 0, history: 0 };
      await withTime(
        env,
        db.run({}, async (txn) => {
          for (const word of ['z', 'x', 'history'] as const) {
            sums[word] = 0;
            let start = scriptKey(word);
            const end = Buffer.concat([start, Buffer.from([0xff])]);
            while (start.compare(end) < 0) {
              const page = await txn.scan({ start, end });
              for (const value of page.values) sums[word] += Number(value.toString());
              start = page.resume?.start ?? end;
            }
          }
        }),
      );
      expect(sums.x).toBe(sums.history);
      expect(sums.z).toBe(sums.history);
    });
  });
}
