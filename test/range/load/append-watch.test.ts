/** A range that grows at its end is recognised after half a minute, and forgotten as fast. */
import { expect, it } from 'vitest';
import { AppendWatch } from '../../../src/range/load/append-watch.ts';

function write(
  watch: AppendWatch,
  fromMs: number,
  toMs: number,
  keyAt: (i: number) => number,
): void {
  for (let ms = fromMs; ms < toMs; ms += 100) {
    watch.record(Buffer.from(String(keyAt(ms / 100)).padStart(6, '0')), ms);
  }
}

it('rising keys for half a minute are growth behind the newest', () => {
  const watch = new AppendWatch(0);
  write(watch, 0, 29_000, (i) => i);
  expect(watch.newest(29_000)).toBeUndefined();
  write(watch, 29_000, 31_000, (i) => i);
  expect(watch.newest(31_000)?.toString()).toBe('000309');
});

it('one in five elsewhere is no growth', () => {
  const watch = new AppendWatch(0);
  write(watch, 0, 60_000, (i) => (i % 5 === 0 ? 3 : i));
  expect(watch.newest(60_000)).toBeUndefined();
});

it('is forgotten when it ends', () => {
  const watch = new AppendWatch(0);
  write(watch, 0, 40_000, (i) => i);
  expect(watch.newest(40_000)).toBeDefined();
  expect(watch.newest(75_000)).toBeUndefined();
});

it('a great key from long ago does not hide it', () => {
  const watch = new AppendWatch(0);
  watch.record(Buffer.from('999999'), 0);
  write(watch, 1000, 60_000, (i) => i);
  expect(watch.newest(60_000)?.toString()).toBe('000599');
});
