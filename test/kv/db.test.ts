/** What every Db must do, whoever implements it. */
import { describe, expect, it } from 'vitest';
import {
  compareTimestamps,
  KvFailure,
  zeroTimestamp,
  type Db,
  type KvError,
  type RowProgramCompiler,
  type Txn,
} from '../../src/kv/index.ts';
import { keyMax, keyMin } from '../../src/encoding/index.ts';
import { scanPages, scriptKey, withTime } from '../txn/db-script.ts';
import { stacks } from '../txn/stacks.ts';
import { type VirtualEnv } from '../txn/virtual-env.ts';
import { SeededRandom } from '../random.ts';

const key = scriptKey;
const bytes = (text: string): Buffer => Buffer.from(text);
const all = { start: key(''), end: Buffer.from([6]) };

/**
 * Programs of one word and a number: `even` keeps rows whose value is even, `sum` adds values up to
 * one row at the end, `first n` wants n rows.
 */
const rowPrograms: RowProgramCompiler = {
  compile: (serialized) => {
    const [word = '', limit = '0'] = serialized.toString().split(' ');
    return {
      start: () => {
        let sum = 0;
        let produced = 0;
        let rows: Buffer[] = [];
        return {
          row(_key, value) {
            const number = Number(value.toString());
            sum += number;
            if (word !== 'sum' && (word !== 'even' || number % 2 === 0)) {
              rows.push(Buffer.from(value));
              produced++;
            }
            return word === 'first' && produced >= Number(limit);
          },
          take() {
            const taken = rows;
            rows = [];
            return taken;
          },
          get produced() {
            return produced;
          },
          finish: () => (word === 'sum' ? [bytes(String(sum))] : []),
        };
      },
    };
  },
};

async function failureOf(work: Promise<unknown>): Promise<KvError['kind']> {
  try {
    await work;
  } catch (error) {
    if (error instanceof KvFailure) return error.kvError.kind;
    throw error;
  }
  throw new Error('it should have failed');
}

for (const { name, make } of stacks) {
  describe(`Db: ${name}`, () => {
    const test = (title: string, body: (db: Db, env: VirtualEnv) => Promise<void>): void => {
      it(title, async () => {
        const { db, env } = make({ rowPrograms });
        await withTime(env, body(db, env));
      });
    };
    const fill = (db: Db, count: number): Promise<void> =>
      db.run({}, async (txn) => {
        for (let i = 0; i < count; i++) {
          txn.put(key(`k${String(i).padStart(3, '0')}`), bytes(String(i)));
        }
      });

    test('getMany answers in the order of its keys, own writes included', async (db) => {
      await fill(db, 5);
      const txn = db.begin();
      txn.put(key('k003'), bytes('mine'));
      txn.delete(key('k001'));
      const words = ['k004', 'nothing', 'k003', 'k001', 'k000', 'k003'];
      const values = await txn.getMany(words.map(key));
      expect(values.map((value) => value?.toString())).toEqual([
        '4',
        undefined,
        'mine',
        undefined,
        '0',
        'mine',
      ]);
      const locked = await txn.getMany(words.map(key), { lock: 'update' });
      expect(locked.map((value) => value?.toString())).toEqual(
        values.map((value) => value?.toString()),
      );
      await txn.commit();
    });

    test('commit timestamps rise with real time, and readers at or above see the write', async (db) => {
      const first = db.begin();
      first.put(key('x'), bytes('1'));
      const firstAt = await first.commit();
      const second = db.begin();
      second.put(key('x'), bytes('2'));
      const secondAt = await second.commit();
      expect(compareTimestamps(firstAt, secondAt)).toBeLessThan(0);
      const past = db.begin({ asOf: firstAt });
      expect((await past.get(key('x')))?.toString()).toBe('1');
      await past.commit();
      expect((await db.readCurrent(key('x')))?.toString()).toBe('2');
      expect(await db.readCurrent(key('y'))).toBeUndefined();
    });

    test('a read in the past refuses writes and locks', async (db) => {
      const past = db.begin({ asOf: db.clock.now() });
      expect(() => past.put(key('x'), bytes('1'))).toThrow(KvFailure);
      await past.rollback();
    });

    test('counters', async (db) => {
      expect(await db.increment(key('n'), 5n)).toBe(5n);
      expect(await db.increment(key('n'), -7n)).toBe(-2n);
      const many = await Promise.all(Array.from({ length: 20 }, () => db.increment(key('n'), 1n)));
      expect(many.map(Number).sort((a, b) => a - b)).toEqual(
        Array.from({ length: 20 }, (_, i) => i - 1),
      );
      expect((await db.readCurrent(key('n')))?.readBigInt64BE()).toBe(18n);
    });

    test('pages of a scan neither skip nor repeat, forwards and backwards', async (db) => {
      await fill(db, 100);
      const random = new SeededRandom(3);
      for (let round = 0; round < 10; round++) {
        const txn = db.begin();
        const model = new Map(Array.from({ length: 100 }, (_, i) => [i, String(i)]));
        for (let i = 0; i < 20; i++) {
          const row = random.below(110);
          const at = key(`k${String(row).padStart(3, '0')}`);
          if (random.below(2) === 0) {
            txn.delete(at);
            model.delete(row);
          } else {
            txn.put(at, bytes(`new${row}`));
            model.set(row, `new${row}`);
          }
        }
        const want = [...model].sort(([a], [b]) => a - b).map(([, value]) => value);
        const limit = 1 + random.below(7);
        for (const reverse of [false, true]) {
          const got: string[] = [];
          let resume: { start: Buffer; end: Buffer } | undefined = all;
          while (resume !== undefined) {
            const page: Awaited<ReturnType<Txn['scan']>> = await txn.scan({
              ...resume,
              reverse,
              ...(round % 2 === 0 ? { maxRows: limit } : { maxBytes: limit * 10 }),
            });
            if (round % 2 === 0) expect(page.values.length).toBeLessThanOrEqual(limit);
            got.push(...page.values.map(String));
            resume = page.resume;
          }
          expect(reverse ? got.reverse() : got).toEqual(want);
        }
        await txn.rollback();
      }
    });

    test('row programs filter and aggregate, over own writes too', async (db) => {
      await fill(db, 20);
      const collect = async (txn: Txn, program: string): Promise<number[]> => {
        const page = await scanPages(txn, { ...all, program: bytes(program) });
        expect(page.keys).toEqual([]);
        return page.values.map((value) => Number(value.toString()));
      };
      const sum = (values: number[]): number => values.reduce((a, b) => a + b, 0);
      const clean = db.begin();
      expect(await collect(clean, 'even')).toEqual([0, 2, 4, 6, 8, 10, 12, 14, 16, 18]);
      expect(sum(await collect(clean, 'sum'))).toBe(190);
      const first = await clean.scan({ ...all, program: bytes('first 1') });
      expect(first.values.length).toBeLessThanOrEqual(1);
      await clean.commit();
      const dirty = db.begin();
      dirty.put(key('k001'), bytes('1000'));
      dirty.delete(key('k002'));
      expect(sum(await collect(dirty, 'sum'))).toBe(1187);
      const locked = await scanPages(dirty, { ...all, program: bytes('even'), lock: 'update' });
      expect(locked.values.map(String)).toContain('1000');
      const other = db.begin();
      const free = await other.get(key('k003'), { lock: 'update', waitPolicy: 'error' });
      expect(free?.toString()).toBe('3');
      const kind = await failureOf(other.get(key('k004'), { lock: 'update', waitPolicy: 'error' }));
      expect(kind).toBe('lock-not-available');
      await other.rollback();
      await dirty.commit();
      expect((await db.readCurrent(key('k001')))?.toString()).toBe('1000');
    });

    test('a large transaction leaves the gateway early and savepoints still work', async (db) => {
      const txn = db.begin();
      const large = Buffer.alloc(600_000, 'a');
      for (let i = 0; i < 5; i++) txn.put(key(`k${i}`), large);
      txn.insert(key('k1x'), bytes('inserted'));
      const savepoint = txn.savepoint();
      for (let i = 0; i < 5; i++) {
        txn.put(key(`k${i}`), bytes('undone'));
        txn.put(key(`z${i}`), large);
        await txn.flushIfLarge();
      }
      expect((await txn.get(key('k2')))?.toString()).toBe('undone');
      expect((await txn.get(key('z1')))?.length).toBe(600_000);
      txn.rollbackTo(savepoint);
      expect((await txn.get(key('k2')))?.length).toBe(600_000);
      expect(await txn.get(key('z1'))).toBeUndefined();
      txn.put(key('k0'), bytes('last'));
      await txn.commit();
      const rows = await db.run({}, (reader) => scanPages(reader, all));
      expect(rows.keys.map((k) => k.subarray(1).toString())).toEqual([
        'k0',
        'k1',
        'k1x',
        'k2',
        'k3',
        'k4',
      ]);
      expect(rows.values[0]?.toString()).toBe('last');
      expect(rows.values[3]?.length).toBe(600_000);
    });

    test('run restarts until it gets through', async (db) => {
      let attempts = 0;
      await db.run({}, async (txn) => {
        attempts++;
        const before = await txn.get(key('x'));
        if (attempts < 4) {
          const rival = db.begin();
          rival.put(key('x'), bytes(String(attempts)));
          await rival.commit();
        }
        txn.put(key('y'), bytes(`seen ${before?.toString()}`));
        // Keeps the commit from standing before the rival's.
        const reader = db.begin();
        await reader.get(key('y'));
        await reader.commit();
      });
      expect(attempts).toBe(4);
      expect((await db.readCurrent(key('y')))?.toString()).toBe('seen 3');
    });

    test('an error of the body rolls back', async (db) => {
      await expect(
        db.run({}, async (txn) => {
          txn.put(key('x'), bytes('1'));
          throw new Error('no');
        }),
      ).rejects.toThrow('no');
      expect(await db.readCurrent(key('x'))).toBeUndefined();
    });

    test('a finished transaction refuses everything', async (db) => {
      const txn = db.begin();
      txn.put(key('x'), bytes('1'));
      await txn.commit();
      expect(txn.status).toBe('committed');
      await txn.rollback();
      expect(txn.status).toBe('committed');
      expect(await failureOf(txn.get(key('x')))).toBe('txn-aborted');
      expect(() => txn.put(key('x'), bytes('2'))).toThrow(KvFailure);
      expect((await db.readCurrent(key('x')))?.toString()).toBe('1');
    });

    test('concurrent reads of one transaction see one moment', async (db) => {
      await fill(db, 10);
      const txn = db.begin();
      const rival = db.begin();
      rival.put(key('k002'), bytes('new'));
      rival.put(key('k007'), bytes('new'));
      const [a, , b] = await Promise.all([
        txn.get(key('k002')),
        rival.commit(),
        txn.get(key('k007')),
      ]);
      expect([a?.toString(), b?.toString()]).toSatisfy(
        ([x, y]: string[]) => (x === 'new' && y === 'new') || (x === '2' && y === '7'),
      );
      await txn.rollback();
    });

    test('splits show in ranges and move no data', async (db) => {
      await fill(db, 10);
      await db.split(key('k005'));
      await db.split(key('k005'));
      const infos = await db.ranges(all.start, all.end);
      const starts = infos.map(({ range }) => range.startKey);
      expect(starts.some((start) => start.equals(key('k005')))).toBe(true);
      for (const [i, { range }] of infos.entries()) {
        const next = infos[i + 1];
        if (next !== undefined) expect(range.endKey.equals(next.range.startKey)).toBe(true);
      }
      const rows = await db.run({}, (txn) => scanPages(txn, all));
      expect(rows.values.map(String)).toEqual(Array.from({ length: 10 }, (_, i) => String(i)));
    });

    test('range descriptors follow each other without gaps', async (db) => {
      await fill(db, 10);
      for (const at of ['k003', 'k005', 'k007']) await db.split(key(at));
      const ends = async (start: Buffer, end: Buffer): Promise<string[]> => {
        const ranges = await db.rangeDescriptors(start, end);
        for (const [i, range] of ranges.entries()) {
          const next = ranges[i + 1];
          if (next !== undefined) expect(range.endKey.equals(next.startKey)).toBe(true);
        }
        expect(ranges[0]?.startKey.compare(start)).toBeLessThanOrEqual(0);
        expect(ranges.at(-1)?.endKey.compare(end)).toBeGreaterThanOrEqual(0);
        const inside = ranges.filter(({ endKey }) => endKey.compare(keyMax) < 0);
        return inside.map(({ endKey }) => endKey.subarray(key('').length).toString());
      };
      expect(await ends(key('k003'), key('k005'))).toEqual(['k005']);
      expect(await ends(key('k004'), key('k006'))).toEqual(['k005', 'k007']);
      expect(await ends(keyMin, keyMax)).toEqual(expect.arrayContaining(['k003', 'k005', 'k007']));
    });

    test('counts what a span holds, over several ranges', async (db) => {
      await fill(db, 10);
      await db.split(key('k005'));
      await db.run({}, async (txn) => {
        txn.put(key('k002'), bytes('again'));
        txn.delete(key('k008'));
      });
      const counts = async (start: string, end: string): Promise<number[]> => {
        const { liveCount, versionCount } = await db.spanStats(key(start), key(end));
        return [liveCount, versionCount];
      };
      expect(await counts('k000', 'k005')).toEqual([5, 6]);
      expect(await counts('k004', 'k009')).toEqual([4, 6]);
      expect(await counts('x', 'y')).toEqual([0, 0]);
    });

    test('clearRange removes everything in its span', async (db) => {
      await fill(db, 10);
      await db.clearRange(key('k003'), key('k007'), zeroTimestamp);
      const rows = await db.run({}, (txn) => scanPages(txn, all));
      expect(rows.values.map(String)).toEqual(['0', '1', '2', '7', '8', '9']);
    });

    test('clearRange leaves no empty past below its threshold', async (db) => {
      await fill(db, 10);
      const before = db.clock.now();
      await db.clearRange(key('k003'), key('k007'), db.clock.now());
      const past = db.begin({ asOf: before });
      expect(await failureOf(past.get(key('k004')))).toBe('below-gc-threshold');
      const alsoPast = db.begin({ asOf: before });
      expect(await failureOf(scanPages(alsoPast, all))).toBe('below-gc-threshold');
    });

    test('moving replicas of the only store is refused', async (db) => {
      await fill(db, 1);
      const change = db.changeReplicas(key('k000'), { add: [], remove: [] });
      expect(await failureOf(change)).toBe('invalid-request');
    });
  });
}
