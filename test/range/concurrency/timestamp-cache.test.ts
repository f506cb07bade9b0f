/** The timestamp cache against a list of everything that was ever added. */
import { describe, expect, it } from 'vitest';
import { TimestampCache } from '../../../src/range/concurrency/timestamp-cache.ts';
import { TxnTombstones } from '../../../src/range/concurrency/txn-tombstones.ts';
import {
  asTxnId,
  compareTimestamps,
  zeroTimestamp,
  type Timestamp,
  type TxnMeta,
} from '../../../src/kv/index.ts';
import { SeededRandom } from '../../random.ts';

interface Read {
  readonly start: string;
  /** Undefined: the key `start`. */
  readonly end: string | undefined;
  readonly wall: number;
  readonly txn: string | undefined;
}

const letters = 'abcdefgh';
const at = (wall: number): Timestamp => ({ wall, logical: 0 });
const keyOf = (word: string): Buffer => Buffer.from(word);

describe('timestamp cache', () => {
  for (let seed = 1; seed <= 40; seed++) {
    // Small limits make generations change often; then answers may only be too high.
    const exact = seed % 2 === 0;
    it(`never forgets a read, seed ${seed}${exact ? ', exact' : ''}`, () => {
      const random = new SeededRandom(seed);
      const limits = exact ? { maxPoints: 1e6, maxSteps: 1e6 } : { maxPoints: 12, maxSteps: 9 };
      const cache = new TimestampCache(at(1), limits);
      const reads: Read[] = [];
      const word = (): string =>
        Array.from({ length: 1 + random.below(2) }, () => letters[random.below(8)]).join('');
      for (let i = 0; i < 400; i++) {
        const [start, end] = [word(), word()].sort() as [string, string];
        const point = random.below(2) === 0 || start === end;
        const txn = ['p', 'q', undefined][random.below(3)];
        const read = { start, end: point ? undefined : end, wall: 2 + random.below(60), txn };
        reads.push(read);
        cache.add(
          keyOf(start),
          read.end === undefined ? undefined : keyOf(read.end),
          at(read.wall),
          txn === undefined ? undefined : asTxnId(txn),
        );
        check(cache, reads, word(), exact);
      }
      const right = new TimestampCache(zeroTimestamp, limits);
      cache.copyTo(right, keyOf('d'));
      for (let i = 0; i < 100; i++) {
        const key = word();
        if (key >= 'd') check(right, reads, key, false);
      }
    });
  }
});

function check(cache: TimestampCache, reads: readonly Read[], key: string, exact: boolean): void {
  const covers = (read: Read): boolean =>
    read.end === undefined ? read.start === key : read.start <= key && key < read.end;
  const hits = reads.filter(covers);
  const everybody = Math.max(1, ...hits.map((read) => read.wall));
  const got = cache.latest(keyOf(key), undefined).wall;
  if (exact) expect(got).toBe(everybody);
  else expect(got).toBeGreaterThanOrEqual(everybody);
  expect(cache.latestIn(keyOf(key), keyOf(`${key}~`), undefined).wall).toBeGreaterThanOrEqual(got);
  // Its own reads hide none of others, however late they are.
  const others = Math.max(1, ...hits.filter((read) => read.txn !== 'p').map((read) => read.wall));
  const forOwner = cache.latest(keyOf(key), asTxnId('p')).wall;
  if (exact) expect(forOwner).toBe(others);
  else expect(forOwner).toBeGreaterThanOrEqual(others);
}

describe('tombstones', () => {
  const txn = (id: string, began: number): TxnMeta => ({
    id: asTxnId(id),
    anchor: Buffer.from(id),
    epoch: 0,
    isolation: 'serializable',
    priority: 1,
    readTimestamp: at(began),
    writeTimestamp: at(began),
    minTimestamp: at(began),
    uncertaintyLimit: at(began),
    sequence: 0,
    ignoredSequences: [],
  });

  it('refuse a record for ever, also when the entry itself was thrown away', () => {
    const tombstones = new TxnTombstones(at(0), 4);
    for (let i = 1; i <= 50; i++) {
      expect(tombstones.mayCreateRecord(txn(`t${i}`, i))).toBe(true);
      const { id, epoch, writeTimestamp: timestamp, ignoredSequences } = txn(`t${i}`, i);
      tombstones.addFinished({ id, epoch, status: 'aborted', timestamp, ignoredSequences }, at(i));
      for (let j = 1; j <= i; j++) {
        expect(tombstones.mayCreateRecord(txn(`t${j}`, j))).toBe(false);
      }
    }
    expect(compareTimestamps(tombstones.pushedTo(asTxnId('t1')), zeroTimestamp)).toBe(0);
  });

  it('refuse transactions from before the lease', () => {
    const tombstones = new TxnTombstones(at(10));
    expect(tombstones.mayCreateRecord(txn('old', 10))).toBe(false);
    expect(tombstones.mayCreateRecord(txn('new', 11))).toBe(true);
  });
});
