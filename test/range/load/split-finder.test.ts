/** Which key divides a stream of requests, and why none does. */
import { describe, expect, it } from 'vitest';
import { SplitFinder } from '../../../src/range/load/split-finder.ts';
import { SeededRandom } from '../../random.ts';

function finderAfter(
  requests: number,
  request: (random: () => number) => readonly [number, number?],
): SplitFinder {
  const random = new SeededRandom(7);
  const finder = new SplitFinder(0, random);
  const key = (at: number): Buffer => Buffer.from(String(at).padStart(4, '0'));
  for (let i = 0; i < requests; i++) {
    const [start, end] = request(() => random.float());
    finder.record(key(start), end === undefined ? undefined : key(end));
  }
  return finder;
}

describe('the key that divides the load', () => {
  it('lies near the middle of uniform requests', () => {
    const found = finderAfter(5000, (random) => [Math.floor(random() * 1000)]).find();
    const at = found.kind === 'key' ? Number(found.key.toString()) : -1;
    expect(at).toBeGreaterThan(370);
    expect(at).toBeLessThan(630);
  });

  it('lies in the middle of the requests, not of the keys', () => {
    const found = finderAfter(5000, (random) => [Math.floor(random() ** 4 * 1000)]).find();
    const at = found.kind === 'key' ? Number(found.key.toString()) : -1;
    expect(at).toBeGreaterThan(10);
    expect(at).toBeLessThan(200);
  });

  it('needs a hundred requests', () => {
    const found = finderAfter(90, (random) => [Math.floor(random() * 1000)]).find();
    expect(found).toEqual({ kind: 'none', reason: 'too few requests were seen' });
  });

  it('is not one that cuts most requests in two', () => {
    const found = finderAfter(5000, (random) => {
      const start = Math.floor(random() * 100);
      return [start, start + 900];
    }).find();
    expect(found).toEqual({
      kind: 'none',
      reason: 'no split key found: no popular key, no clear direction',
    });
  });

  it('is not there when one key is asked for', () => {
    const found = finderAfter(5000, () => [5]).find();
    expect(found).toEqual({
      kind: 'none',
      reason: 'no split key found: popular key detected, no clear direction',
    });
  });

  it('is not there when requests move in one direction', () => {
    let at = 0;
    const found = finderAfter(5000, () => [at++]).find();
    expect(found).toEqual({
      kind: 'none',
      reason: 'no split key found: no popular key, clear direction detected',
    });
  });
});
