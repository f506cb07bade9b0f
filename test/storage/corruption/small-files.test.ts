/** Damage to the small files of a store: who it is, and what it promised about time. */
import { describe, expect, it } from 'vitest';
import { asNodeId, asStoreId } from '../../../src/kv/index.ts';
import { clockBoundOnDisk } from '../../../src/range/index.ts';
import { readIdentity, writeIdentity } from '../../../src/server/identity.ts';
import { mayStay } from '../../../src/server/quarantine.ts';
import { CorruptionError } from '../../../src/storage/index.ts';
import { testEnv } from '../env.ts';
import { SeededRandom } from '../../random.ts';
import { damageBytes, firstSeed, trialsOf } from './damage.ts';

const identity = { clusterId: 'a1b2c3d4', nodeId: asNodeId(3), storeId: asStoreId(3) };
const heard = [{ storeId: asStoreId(2), incarnation: 7, wall: 1_790_000_000_100_000 }];
const bounds = {
  upperBound: 1_790_000_000_123_456,
  noVotesBefore: 1_790_000_003_123_456,
  heard,
};

/** Runs `read` on damaged copies of the file; how often it refused. */
async function refusals(
  path: string,
  env: ReturnType<typeof testEnv>,
  read: () => Promise<unknown>,
  expected: unknown,
  refusal: new () => Error,
): Promise<number> {
  const content = env.disk.peek(path);
  if (content === undefined) throw new Error(`${path} is missing`);
  let refused = 0;
  for (let seed = firstSeed; seed < firstSeed + trialsOf(400); seed++) {
    const damage = damageBytes(content, new SeededRandom(seed));
    env.disk.poke(path, damage.bytes);
    try {
      expect(await read(), `seed ${seed}: ${damage.what}`).toEqual(expected);
    } catch (error) {
      expect(error, `seed ${seed}: ${damage.what}`).toBeInstanceOf(refusal);
      expect((error as Error).message).toMatch(
        /^store\/(STORE|CLOCK) is damaged(: nobody knows whose store this is|, and with it what this store promised)$/,
      );
      refused++;
    }
  }
  return refused;
}

describe('damaged small files', () => {
  it('the identity is what was written, or refused', async () => {
    const env = testEnv(1);
    await writeIdentity(env.disk, 'store', { ...identity, complete: true });
    const read = (): Promise<unknown> => readIdentity(env.disk, 'store', mayStay);
    expect(await read()).toEqual(identity);
    const refused = await refusals('store/STORE', env, read, identity, CorruptionError);
    expect(refused).toBeGreaterThan(trialsOf(400) / 2);
  });

  it('the clock bound is what was written, or refused', async () => {
    const env = testEnv(1);
    await env.disk.mkdir('store');
    const file = clockBoundOnDisk(env, 'store/CLOCK', { isNew: true });
    await file.persist(bounds);
    expect(await file.load()).toEqual(bounds);
    const refused = await refusals('store/CLOCK', env, () => file.load(), bounds, CorruptionError);
    expect(refused).toBeGreaterThan(trialsOf(400) / 2);
  });

  it('a clock bound that is missing is refused, but for a new store', async () => {
    const env = testEnv(1);
    expect(await clockBoundOnDisk(env, 'store/CLOCK', { isNew: true }).load()).toBeUndefined();
    const file = clockBoundOnDisk(env, 'store/CLOCK', { isNew: false });
    await expect(file.load()).rejects.toThrow(CorruptionError);
  });

  it('a clock bound from before there were checksums is read', async () => {
    const env = testEnv(1);
    await env.disk.mkdir('store');
    env.disk.poke(
      'store/CLOCK',
      Buffer.from(`${JSON.stringify({ ...bounds, heard: undefined })}\n`),
    );
    expect(await clockBoundOnDisk(env, 'store/CLOCK', { isNew: false }).load()).toEqual({
      ...bounds,
      heard: [],
    });
  });
});
