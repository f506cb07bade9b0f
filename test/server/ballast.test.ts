/** The ballast on a simulated disk: made when there is room, left alone when there is not. */
import { describe, expect, it } from 'vitest';
import { Ballast, defaultBallastBytes, refuseFullDisk } from '../../src/server/ballast.ts';
import { MemoryDisk } from '../../src/sim/memory-disk.ts';
import { storeFaultOf } from '../../src/storage/index.ts';
import { type Env } from '../../src/util/index.ts';
import { testEnv } from '../storage/env.ts';
import { SeededRandom } from '../random.ts';

const mebibyte = 1 << 20;
const path = 'store/BALLAST';

function world(capacityBytes: number): { env: Env; disk: MemoryDisk } {
  const disk = new MemoryDisk({ random: new SeededRandom(1), capacityBytes });
  const base = testEnv(1);
  const timers: Env['timers'] = {
    ...base.timers,
    after: (_delayMs, fn) => {
      setImmediate(fn);
      return { cancel: () => undefined };
    },
  };
  return { env: { ...base, timers, disk }, disk };
}

describe('ballast', () => {
  it('is 1 % of the volume, at most 256 MiB', () => {
    expect(defaultBallastBytes(1000 * mebibyte)).toBe(10 * mebibyte);
    expect(defaultBallastBytes(2 ** 40)).toBe(256 * mebibyte);
  });

  it('is made, made smaller, made again and removed', async () => {
    const { env, disk } = world(20 * mebibyte);
    const size = (): number | undefined => disk.peek(path)?.length;
    await new Ballast(env, 'store', 3.5 * mebibyte).adjust();
    expect(size()).toBe(3.5 * mebibyte);
    await new Ballast(env, 'store', 2 * mebibyte).adjust();
    expect(size()).toBe(2 * mebibyte);
    await disk.remove(path);
    await new Ballast(env, 'store', 2 * mebibyte).adjust();
    expect(size()).toBe(2 * mebibyte);
    await new Ballast(env, 'store', 0).adjust();
    expect(size()).toBeUndefined();
  });

  it('is not what fills the disk', async () => {
    const { env, disk } = world(7 * mebibyte);
    await new Ballast(env, 'store', 2 * mebibyte).adjust();
    expect(disk.peek(path)).toBeUndefined();
  });

  it('a start is refused when the reserve is not free, and not when the ballast was deleted', async () => {
    const { env, disk } = world(40 * mebibyte);
    await new Ballast(env, 'store', 4 * mebibyte).adjust();
    disk.poke('store/data', Buffer.alloc(35 * mebibyte));
    const error: unknown = await refuseFullDisk(disk, 'store').catch((caught: unknown) => caught);
    expect(String(error)).toBe('NoRoomError: a start needs 2 MiB, 1 MiB are free');
    expect(storeFaultOf(error)).toBe('full');
    await disk.remove(path);
    await refuseFullDisk(disk, 'store');
  });
});
