import { describe, expect, it } from 'vitest';
import { mergeSort } from '../../../src/sql/exec/operators/merge-sort.ts';
import { SeededRandom } from '../../random.ts';

interface Item {
  readonly key: number;
  readonly at: number;
}

const order = (a: Item, b: Item): number => a.key - b.key;

describe('mergeSort', () => {
  for (const [i, length] of [0, 1, 2, 1_023, 1_024, 1_025, 2_048, 3_000, 20_000].entries()) {
    const seed = 100 + i;
    it(`orders ${length} items as a stable sort does (seed ${seed})`, async () => {
      const random = new SeededRandom(seed);
      const keys = 1 + Math.floor(random.float() * length * 2);
      const items = Array.from({ length }, (_, at): Item => ({
        key: Math.floor(random.float() * keys),
        at,
      }));
      const before = [...items];
      const sorted = await mergeSort(items, order, { breathe: () => Promise.resolve() });
      expect(sorted).toEqual(items.toSorted(order));
      expect(items).toEqual(before);
    });
  }

  it('breathes every 1,024 items of each pass', async () => {
    let breaths = 0;
    let since = 0;
    let most = 0;
    const compare = (a: number, b: number): number => {
      since++;
      most = Math.max(most, since);
      return a - b;
    };
    const breathe = (): Promise<void> => {
      breaths++;
      since = 0;
      return Promise.resolve();
    };
    const items = Array.from({ length: 16 * 1_024 }, (_, i) => (i * 7_919) % 16_384);
    await mergeSort(items, compare, { breathe });
    // 16 runs, and four passes of merging; what is left of the longer side is only copied.
    expect(breaths).toBeGreaterThanOrEqual(16 + 4 * 8);
    // What sorts a run of 1,024.
    expect(most).toBeLessThan(1_024 * 11);
  });

  it('ends where a breath fails', async () => {
    const items = Array.from({ length: 5_000 }, (_, i) => -i);
    const breathe = (): Promise<void> => Promise.reject(new Error('canceled'));
    await expect(mergeSort(items, (a, b) => a - b, { breathe })).rejects.toThrow('canceled');
  });
});
