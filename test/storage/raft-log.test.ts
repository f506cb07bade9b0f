import { describe, expect, it } from 'vitest';
import { asRangeId } from '../../src/kv/index.ts';
import { type Entry, type HardState } from '../../src/raft/index.ts';
import { MemoryDisk } from '../../src/sim/memory-disk.ts';
import {
  CorruptionError,
  SegmentedRaftLog,
  StorePoisonedError,
  type RaftLogOptions,
} from '../../src/storage/index.ts';
import { type Env } from '../../src/util/index.ts';
import { testEnv } from './env.ts';
import { SeededRandom } from '../random.ts';

const directory = 'raft';
const r1 = asRangeId(1);
const r2 = asRangeId(2);

function entry(index: number, term: number, text = `entry ${index}`): Entry {
  return { index, term, kind: 'normal', data: Buffer.from(text) };
}

function entries(from: number, to: number, term: number): Entry[] {
  const out: Entry[] = [];
  for (let index = from; index <= to; index++) out.push(entry(index, term));
  return out;
}

function hard(term: number, vote: number, commit: number): HardState {
  return { term, vote, commit };
}

/** A run of its own: it ends with the next crash. */
function openLog(
  env: Env & { readonly disk: MemoryDisk },
  options: Partial<RaftLogOptions> = {},
): Promise<SegmentedRaftLog> {
  const disk = env.disk.mount();
  return SegmentedRaftLog.open({ env: { ...env, disk }, directory, ...options });
}

/** Everything that a log says, as comparable text. */
function describeLog(log: SegmentedRaftLog): string {
  const lines: string[] = [];
  for (const id of log.rangeIds().sort((a, b) => a - b)) {
    const range = log.range(id);
    const { term, vote, commit } = range.hardState;
    const base = `${range.firstIndex - 1}@${range.term(range.firstIndex - 1)}`;
    lines.push(`r${id} base ${base} hs ${term}/${vote}/${commit}`);
    if (range.lastIndex < range.firstIndex) continue;
    for (const e of range.entries(range.firstIndex, range.lastIndex + 1, Infinity)) {
      lines.push(`  ${e.index}@${e.term} ${e.kind} ${e.data.toString('latin1')}`);
    }
  }
  return lines.join('\n');
}

describe('SegmentedRaftLog', () => {
  it('shows appends at once and keeps them over a restart', async () => {
    const env = testEnv(1);
    const log = await openLog(env);
    const view = log.range(r1);
    expect([view.firstIndex, view.lastIndex, view.term(0)]).toEqual([1, 0, 0]);
    const written = log.append([
      { rangeId: r1, hardState: hard(2, 1, 0), entries: entries(1, 5, 2) },
      { rangeId: r2, hardState: undefined, entries: [{ ...entry(1, 1), kind: 'config' }] },
    ]);
    expect([view.lastIndex, view.term(5), view.hardState.vote]).toEqual([5, 2, 1]);
    await written;
    await log.append([{ rangeId: r1, hardState: hard(3, 0, 3), entries: entries(4, 4, 3) }]);
    expect(view.entries(3, 5, 0)).toEqual([entry(3, 2)]);
    const before = describeLog(log);
    await log.close();
    env.disk.crash();
    const again = await openLog(env);
    expect(describeLog(again)).toBe(before);
    expect(again.liveBytes).toBe(log.liveBytes);
    await again.close();
  });

  it('writes the first append at once, and all that arrive meanwhile together', async () => {
    const env = testEnv(1);
    const log = await openLog(env);
    let writes = 0;
    env.disk.fault = (operation) => {
      if (operation.kind === 'write') writes++;
      return undefined;
    };
    const waits: Promise<void>[] = [];
    for (let i = 1; i <= 50; i++) {
      waits.push(
        log.append([{ rangeId: asRangeId(i), hardState: undefined, entries: [entry(1, 1)] }]),
      );
    }
    await Promise.all(waits);
    expect(writes).toBe(2);
    await log.close();
  });

  it('truncates, resets and removes', async () => {
    const env = testEnv(1);
    const log = await openLog(env);
    await log.append([
      { rangeId: r1, hardState: hard(1, 1, 6), entries: entries(1, 9, 1) },
      { rangeId: r2, hardState: hard(1, 1, 3), entries: entries(1, 3, 1) },
    ]);
    log.truncate(r1, { index: 6, term: 1 });
    expect([log.range(r1).firstIndex, log.range(r1).term(6), log.range(r1).term(5)]).toEqual([
      7,
      1,
      undefined,
    ]);
    await log.reset(r2, { index: 40, term: 7 }, hard(7, 2, 40));
    await log.append([{ rangeId: r2, hardState: undefined, entries: entries(41, 42, 8) }]);
    const before = describeLog(log);
    env.disk.crash();
    const again = await openLog(env);
    expect(describeLog(again)).toBe(before);
    await again.remove(r2);
    expect(again.rangeIds()).toEqual([1]);
    await again.close();
    const third = await openLog(env);
    expect(third.rangeIds()).toEqual([1]);
    expect(third.range(r2).lastIndex).toBe(0);
    await third.close();
  });

  it('fails everybody once a write has failed (trap L1)', async () => {
    const env = testEnv(1);
    const poisons: Error[] = [];
    const log = await openLog(env, { onPoison: (error) => poisons.push(error) });
    await log.append([{ rangeId: r1, hardState: undefined, entries: entries(1, 2, 1) }]);
    env.disk.fault = (op) => (op.kind === 'sync' ? new Error('EIO') : undefined);
    const first = log.append([{ rangeId: r1, hardState: undefined, entries: entries(3, 3, 1) }]);
    await expect(first).rejects.toThrow(StorePoisonedError);
    env.disk.fault = undefined;
    const second = log.append([{ rangeId: r1, hardState: undefined, entries: entries(4, 4, 1) }]);
    await expect(second).rejects.toThrow(StorePoisonedError);
    expect(() => log.truncate(r1, { index: 1, term: 1 })).toThrow(StorePoisonedError);
    expect(poisons.length).toBe(1);
    await log.close();
  });

  it('rests on bytes that were written again after an fsync that failed (trap L7)', async () => {
    const env = testEnv(1);
    const path = `${directory}/0000000001.log`;
    const log = await openLog(env);
    await log.append([{ rangeId: r1, hardState: undefined, entries: entries(1, 2, 1) }]);
    env.disk.fault = (op) => (op.kind === 'sync' ? new Error('EIO') : undefined);
    const lost = log.append([{ rangeId: r1, hardState: undefined, entries: entries(3, 3, 1) }]);
    await expect(lost).rejects.toThrow(StorePoisonedError);
    await log.close();
    // The process ends; what it could not sync is in the page cache still, and an fsync would not write it.
    const replaced: string[] = [];
    env.disk.fault = (op) => {
      if (op.kind === 'replace') replaced.push(op.path);
      return undefined;
    };
    const again = await openLog(env);
    const found = describeLog(again);
    expect(found).toContain('3@1');
    expect(replaced).toEqual([path, `${directory}/segments`]);
    // Once more, after the power was lost, and after a clean stop: nothing is written again.
    env.disk.crash();
    const third = await openLog(env);
    expect(describeLog(third)).toBe(found);
    await third.close();
    replaced.length = 0;
    await (await openLog(env)).close();
    expect(replaced).toEqual([`${directory}/segments`]);
  });

  it('starts new segments and removes old ones, carrying slow ranges along', async () => {
    const env = testEnv(1);
    const options = { segmentBytes: 4000, segmentsMax: 3 };
    const log = await openLog(env, options);
    await log.append([{ rangeId: r2, hardState: hard(1, 1, 0), entries: entries(1, 3, 1) }]);
    for (let i = 1; i <= 600; i++) {
      await log.append([{ rangeId: r1, hardState: undefined, entries: [entry(i, 1)] }]);
      if (i % 50 === 0) log.truncate(r1, { index: i - 5, term: 1 });
    }
    expect(log.segmentCount).toBeLessThanOrEqual(4);
    expect(env.disk.paths().length).toBeLessThanOrEqual(6);
    const before = describeLog(log);
    await log.close();
    const again = await openLog(env, options);
    expect(describeLog(again)).toBe(before);
    await again.close();
  });

  it('refuses a missing segment, a missing list and a damaged list', async () => {
    const env = testEnv(1);
    const log = await openLog(env, { segmentBytes: 500, segmentsMax: 100 });
    for (let i = 1; i <= 60; i++) {
      await log.append([{ rangeId: r1, hardState: undefined, entries: [entry(i, 1)] }]);
    }
    const before = describeLog(log);
    await log.close();
    const paths = env.disk.paths();
    expect(paths.length).toBeGreaterThan(5);
    for (const path of paths) {
      const content = env.disk.peek(path);
      env.disk.poke(path, undefined);
      await expect(openLog(env), path).rejects.toThrow(CorruptionError);
      env.disk.poke(path, content);
    }
    const list = paths.find((path) => path.endsWith('segments')) ?? '';
    for (let bit = 0; bit < (env.disk.peek(list)?.length ?? 0) * 8; bit++) {
      env.disk.flipBit(list, bit);
      await expect(openLog(env), `bit ${bit}`).rejects.toThrow(CorruptionError);
      env.disk.flipBit(list, bit);
    }
    const again = await openLog(env);
    expect(describeLog(again)).toBe(before);
    await again.close();
  });

  it('crashed at every byte of the last write, has it whole or not at all', async () => {
    const env = testEnv(1);
    const path = `${directory}/0000000001.log`;
    const log = await openLog(env);
    await log.append([{ rangeId: r1, hardState: hard(1, 1, 1), entries: entries(1, 4, 1) }]);
    const older = describeLog(log);
    const intact = env.disk.peek(path)?.length ?? 0;
    await log.append([
      { rangeId: r1, hardState: hard(2, 1, 4), entries: entries(3, 8, 2) },
      { rangeId: r2, hardState: undefined, entries: [entry(1, 1, 'x'.repeat(1500))] },
    ]);
    const newer = describeLog(log);
    // A crash leaves the list as the start wrote it.
    const list = env.disk.peek(`${directory}/segments`);
    await log.close();
    const whole = env.disk.peek(path) ?? Buffer.alloc(0);
    for (let size = intact; size <= whole.length; size++) {
      for (const zeros of [0, 512]) {
        env.disk.poke(`${directory}/segments`, list);
        env.disk.poke(path, Buffer.concat([whole.subarray(0, size), Buffer.alloc(zeros)]));
        if (zeros > 0 && size % 512 !== 0) continue;
        const again = await openLog(env);
        const expected = size === whole.length ? newer : older;
        expect(describeLog(again), `cut at ${size}`).toBe(expected);
        // What is appended now must survive too.
        await again.append([{ rangeId: r1, hardState: undefined, entries: entries(5, 5, 3) }]);
        const grown = describeLog(again);
        await again.close();
        const third = await openLog(env);
        expect(describeLog(third), `cut at ${size}`).toBe(grown);
        await third.close();
      }
    }
  });

  it('refuses any flipped bit (trap L3)', async () => {
    const env = testEnv(1);
    const path = `${directory}/0000000001.log`;
    const log = await openLog(env);
    await log.append([{ rangeId: r1, hardState: hard(1, 1, 1), entries: entries(1, 3, 1) }]);
    await log.reset(r2, { index: 9, term: 3 }, hard(3, 0, 9));
    log.truncate(r1, { index: 2, term: 1 });
    await log.append([{ rangeId: r1, hardState: hard(2, 1, 3), entries: entries(4, 5, 2) }]);
    await log.append([{ rangeId: r2, hardState: undefined, entries: entries(10, 10, 3) }]);
    const before = describeLog(log);
    await log.close();
    const bits = (env.disk.peek(path)?.length ?? 0) * 8;
    for (let bit = 0; bit < bits; bit++) {
      env.disk.flipBit(path, bit);
      await expect(openLog(env), `bit ${bit}`).rejects.toThrow(CorruptionError);
      env.disk.flipBit(path, bit);
    }
    const again = await openLog(env);
    expect(describeLog(again)).toBe(before);
    await again.close();
  });

  it('keeps what it promised through random work, crashes and disk errors', async () => {
    for (let seed = 1; seed <= 60; seed++) await randomTrial(seed);
  });
});

/** A log under random load; after each crash it must be a state between the promised and the latest one. */
async function randomTrial(seed: number): Promise<void> {
  const random = new SeededRandom(seed);
  const env: Env & { disk: MemoryDisk } = testEnv(seed);
  const options = { segmentBytes: 600 + random.below(4000), segmentsMax: 2 + random.below(3) };
  let log = await openLog(env, options);
  /** States that a crash may leave: those since the last one known to be durable, oldest first. */
  let states = [describeLog(log)];
  for (let round = 0; round < 6; round++) {
    for (let step = 0; step < 40; step++) {
      const id = asRangeId(1 + random.below(4));
      const range = log.range(id);
      const choice = random.below(20);
      let promise: Promise<void> | undefined;
      if (choice < 12) {
        const room = range.lastIndex + 1 - Math.max(range.firstIndex, range.hardState.commit + 1);
        const first =
          range.lastIndex + 1 - (random.below(4) === 0 && room > 0 ? random.below(room) : 0);
        const term = range.hardState.term + random.below(2);
        const added = entries(first, first + random.below(4), Math.max(1, term));
        const last = first + added.length - 1;
        const commit = Math.min(last, Math.max(range.hardState.commit, last - random.below(5)));
        const hardState = random.below(2) === 0 ? hard(term, 1, commit) : undefined;
        promise = log.append([{ rangeId: id, hardState, entries: added }]);
      } else if (choice < 16) {
        const { commit } = range.hardState;
        if (commit >= range.firstIndex) {
          const index = range.firstIndex + random.below(commit - range.firstIndex + 1);
          log.truncate(id, { index, term: range.term(index) ?? 0 });
        }
      } else if (choice === 16) {
        const index = range.lastIndex + random.below(5);
        promise = log.reset(id, { index, term: 9 }, hard(9, 1, index));
      } else if (choice === 17) promise = log.remove(id);
      states.push(describeLog(log));
      const mark = states.length - 1;
      if (promise !== undefined && random.below(3) === 0) {
        await promise;
        states = states.slice(mark);
      } else promise?.catch(() => undefined);
      if (random.below(5) === 0) await new Promise((resolve) => setImmediate(resolve));
    }
    if (random.below(3) === 0) {
      const kind = random.below(2) === 0 ? 'sync' : 'write';
      env.disk.fault = (op) => (op.kind === kind ? new Error('EIO') : undefined);
      const last = log.append([{ rangeId: asRangeId(9), hardState: hard(1, 1, 0), entries: [] }]);
      states.push(describeLog(log));
      await expect(last, `seed ${seed}`).rejects.toThrow(StorePoisonedError);
      env.disk.fault = undefined;
    }
    if (random.below(2) === 0) env.disk.crash();
    else env.disk.kill();
    log = await openLog(env, options);
    const found = describeLog(log);
    expect(states.includes(found), `seed ${seed}`).toBe(true);
    states = [found];
  }
  await log.close();
}
