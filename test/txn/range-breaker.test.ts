/** For how long a range has been unserved, as those who ask for it see it. */
import { describe, expect, it } from 'vitest';
import { asRangeId } from '../../src/kv/index.ts';
import { RangeBreaker } from '../../src/txn/range-breaker.ts';

const range = asRangeId(7);

/** Looks at these times, each of which finds the range unserved. */
function outages(breaker: RangeBreaker, times: readonly number[]): number[] {
  return times.map((nowMs) => breaker.unserved(range, nowMs));
}

describe('the outage of a range', () => {
  it('lasts from the first look that found nobody', () => {
    expect(outages(new RangeBreaker(), [1000, 1500, 6000, 10_000])).toEqual([0, 500, 5000, 9000]);
  });

  it('ends when somebody is answered', () => {
    const breaker = new RangeBreaker();
    outages(breaker, [1000, 3000]);
    breaker.served(range);
    expect(outages(breaker, [4000, 4500])).toEqual([0, 500]);
  });

  it('is another one when nobody has looked for a while: what was between is not known', () => {
    expect(outages(new RangeBreaker(), [1000, 3000, 60_000, 60_100])).toEqual([0, 2000, 0, 100]);
  });

  it('is counted for each range', () => {
    const breaker = new RangeBreaker();
    outages(breaker, [1000, 2000]);
    expect(breaker.unserved(asRangeId(8), 2000)).toBe(0);
  });
});
