/** Random writes against the closed timestamp: see `src/range/closed`. SEED= repeats a run. */
import { describe, expect, it } from 'vitest';
import { ClosedTimestamp } from '../../../src/range/closed/closed-timestamp.ts';
import { WriteTracker, type WriteBucket } from '../../../src/range/closed/write-tracker.ts';
import { SeededRandom } from '../../../src/sim/random.ts';

const seed = Number(process.env['SEED'] ?? Date.now() % 1e6);
const must = <T>(value: T | undefined): T => value as T;

describe(`seed ${seed}`, () => {
  it('the bound is never above a write that is under way, and rises when those before it have ended', () => {
    const random = new SeededRandom(seed);
    const tracker = new WriteTracker();
    const open: { readonly wall: number; readonly bucket: WriteBucket }[] = [];
    for (let step = 0; step < 20_000; step++) {
      const wall = step + random.between(0, 50);
      if (open.length === 0 || (open.length < 30 && random.chance(0.5))) {
        open.push({ wall, bucket: tracker.begin(wall) });
      } else {
        const [ended] = open.splice(random.between(0, open.length - 1), 1);
        tracker.end(must(ended).bucket);
      }
      const lowest = Math.min(...open.map((write) => write.wall));
      if (open.length === 0) expect(tracker.lowerBound).toBeUndefined();
      else expect(tracker.lowerBound).toBeLessThanOrEqual(lowest);
    }
    // Those that are under way now end, while others follow each other without a gap.
    const before = tracker.lowerBound ?? 0;
    let last = tracker.begin(1e6);
    for (const { bucket } of open) tracker.end(bucket);
    for (let i = 1; i < 10; i++) {
      const next = tracker.begin(1e6 + i);
      tracker.end(last);
      last = next;
    }
    expect(tracker.lowerBound).toBeGreaterThan(before + 1e5);
  });

  it('no write is proposed at or below what a command before it has closed', () => {
    const random = new SeededRandom(seed);
    const closed = new ClosedTimestamp();
    const open: { readonly wall: number; readonly bucket: WriteBucket }[] = [];
    let told = 0;
    for (let now = 1_000; now < 20_000; now++) {
      if (random.chance(0.5)) {
        // Old transactions write far in the past; the evaluation forwards them.
        const at = { wall: now - random.between(0, 2_000), logical: 0 };
        const wall = Math.max(at.wall, closed.promised + 1);
        open.push({ wall, bucket: closed.beginWrite({ ...at, wall }) });
      } else if (open.length > 0) {
        const [write] = open.splice(random.between(0, open.length - 1), 1);
        const { wall, bucket } = must(write);
        expect(wall).toBeGreaterThan(told);
        const promised = closed.close(now - 300);
        expect(promised).toBeGreaterThanOrEqual(told);
        told = promised;
        closed.endWrite(bucket);
      }
    }
    for (const { bucket } of open) closed.endWrite(bucket);
    expect(closed.hasWrites).toBe(false);
    expect(closed.close(20_000)).toBe(20_000);
  });
});
