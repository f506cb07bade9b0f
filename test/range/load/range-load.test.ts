/** Where a range's load divides: requests on their own, and commits in one phase, which a split would make commits over two ranges. */
import { describe, expect, it } from 'vitest';
import { type BatchRequest, type KvRequest } from '../../../src/kv/index.ts';
import { RangeLoad } from '../../../src/range/load/range-load.ts';
import { SeededRandom } from '../../random.ts';
import { testEnv } from '../../storage/env.ts';

const accounts = 1000;

/** What is found after half a minute of 1,000 rounds of `batches` each second. */
function findingAfter(
  batches: (random: SeededRandom) => readonly KvRequest[][],
): ReturnType<RangeLoad['splitFinding']> {
  let nowMs = 0;
  const env = { ...testEnv(7), clock: { wallMicros: () => 0, monotonicMs: () => nowMs } };
  const random = new SeededRandom(11);
  const load = new RangeLoad(env, () => 500);
  for (; nowMs < 30_000; nowMs++) {
    for (const requests of batches(random)) load.count({ requests } as unknown as BatchRequest);
  }
  return load.splitFinding();
}

function read(table: string, row: number): KvRequest {
  return { kind: 'get', key: key(table, row), lock: 'none' } as KvRequest;
}

function put(table: string, row: number): KvRequest {
  return { kind: 'put', key: key(table, row) } as KvRequest;
}

function commit(onePhase: boolean, ...writes: readonly KvRequest[]): KvRequest[] {
  const [first] = writes;
  if (first?.kind !== 'put') throw new Error('a commit has writes');
  return [...writes, { kind: 'end-txn', anchor: first.key, onePhase } as KvRequest];
}

function key(table: string, row: number): Buffer {
  return Buffer.from(`${table}/${String(row).padStart(4, '0')}`);
}

describe('the load of a range', () => {
  it('is counted in batches: many rows that come together are one', () => {
    const rows = (random: SeededRandom, width: number): KvRequest[] =>
      Array.from({ length: width }, () => put('accounts', random.below(accounts)));
    // A thousand batches per second; 500 per second are wanted for a search.
    expect(findingAfter((random) => [rows(random, 10)])?.kind).toBe('key');
    let batches = 0;
    // 250 batches per second.
    const seldom = (random: SeededRandom): KvRequest[][] =>
      batches++ % 4 === 0 ? [rows(random, 100)] : [];
    expect(findingAfter(seldom)).toBeUndefined();
  });
});

describe('the load of a range divides', () => {
  it('between the rows that are read', () => {
    const found = findingAfter((random) => [[read('accounts', random.below(accounts))]]);
    expect(found?.kind).toBe('key');
  });

  it('between commits of single rows', () => {
    const found = findingAfter((random) => [commit(true, put('accounts', random.below(accounts)))]);
    expect(found?.kind).toBe('key');
  });

  it('not through most commits in one phase', () => {
    const found = findingAfter((random) => {
      const account = random.below(accounts);
      return [
        [read('accounts', account)],
        commit(true, put('accounts', account), put('branches', account % 10), put('history', 1)),
      ];
    });
    expect(found?.kind).toBe('none');
  });

  it('through commits that have several ranges anyhow', () => {
    const found = findingAfter((random) => {
      const account = random.below(accounts);
      return [
        commit(false, put('accounts', account), put('branches', account % 10), put('history', 1)),
      ];
    });
    expect(found?.kind).toBe('key');
  });

  it('where reads are most of it, whatever commits', () => {
    const found = findingAfter((random) => [
      ...Array.from({ length: 8 }, () => [read('accounts', random.below(accounts))]),
      commit(true, put('accounts', random.below(accounts)), put('branches', 1)),
    ]);
    expect(found?.kind).toBe('key');
  });
});
