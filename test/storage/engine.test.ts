import {
  cpSync,
  readFileSync,
  readdirSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { execFileSync } from 'node:child_process';
import { join } from 'node:path';
import { ClassicLevel } from 'classic-level';
import { describe, expect, it } from 'vitest';
import { foreignFiles } from '../../src/cli/start-files.ts';
import {
  CorruptionError,
  LevelEngine,
  MemoryEngine,
  StorePoisonedError,
  type EngineSnapshot,
  type EngineWrite,
} from '../../src/storage/index.ts';
import { bytes, engineCompliance, rows, write, type EngineFixture } from './engine-compliance.ts';
import { openLevel, temporaryDirectory } from './level.ts';
import { SeededRandom } from '../random.ts';

engineCompliance('MemoryEngine', async () => {
  let engine = new MemoryEngine();
  const fixture: EngineFixture = {
    get engine() {
      return engine;
    },
    openReaders: () => engine.openReaders,
    reopen: async () => {
      await engine.barrier();
      engine = engine.crash(undefined);
    },
    stop: () => engine.close(),
  };
  return fixture;
});

for (const flushBytes of [1, 4 * 1024 * 1024]) {
  engineCompliance(`LevelEngine (flushBytes ${flushBytes})`, async () => {
    const directory = temporaryDirectory();
    let engine = await openLevel(directory.path, { flushBytes });
    const fixture: EngineFixture = {
      get engine() {
        return engine;
      },
      openReaders: () => engine.openReaders,
      reopen: async () => {
        await engine.close();
        engine = await openLevel(directory.path, { flushBytes });
      },
      stop: async () => {
        await engine.close();
        directory.remove();
      },
    };
    return fixture;
  });
}

describe('MemoryEngine', () => {
  it('loses any subset of the batches behind the barrier in a crash, each whole (trap L5)', async () => {
    const seen = new Set<string>();
    for (let seed = 1; seed <= 60; seed++) {
      const engine = new MemoryEngine();
      engine.apply([write('a', '0'), write('b', '0')]);
      await engine.barrier();
      engine.apply([write('a', '1'), write('b', '1')]);
      engine.apply([write('c', '2'), write('d', '2')]);
      const after = engine.crash(new SeededRandom(seed));
      expect(() => engine.get(bytes('a'))).toThrow(StorePoisonedError);
      seen.add(await rows(after));
    }
    expect([...seen].sort()).toEqual(['a=0 b=0', 'a=0 b=0 c=2 d=2', 'a=1 b=1', 'a=1 b=1 c=2 d=2']);
  });

  it('is poisoned by a barrier that fails', async () => {
    const poisons: Error[] = [];
    const engine = new MemoryEngine({
      barrierDelay: () => Promise.reject(new Error('EIO')),
      onPoison: (error) => poisons.push(error),
    });
    await expect(engine.barrier()).rejects.toThrow(StorePoisonedError);
    expect(() => engine.apply([])).toThrow(StorePoisonedError);
    expect(poisons.length).toBe(1);
  });
});

describe('LevelEngine', () => {
  it('agrees with MemoryEngine through random work', async () => {
    for (let seed = 1; seed <= 6; seed++) await differential(seed);
  });

  it('makes writers wait for room', async () => {
    const directory = temporaryDirectory();
    const engine = await openLevel(directory.path, { flushBytes: 1000, overlayBytesMax: 2000 });
    expect(engine.waitForRoom()).toBeUndefined();
    engine.apply([write('a', 'x'.repeat(3000))]);
    const room = engine.waitForRoom();
    expect(room).toBeDefined();
    await room;
    expect(engine.overlayBytes).toBe(0);
    expect(engine.waitForRoom()).toBeUndefined();
    await engine.close();
    directory.remove();
  });

  it('lets others have their turn while a long scan finds everything in memory', async () => {
    const directory = temporaryDirectory();
    const engine = await openLevel(directory.path, { flushBytes: 4 << 20 });
    const count = 10_000;
    const key = (i: number): string => `k${String(i).padStart(5, '0')}`;
    const turnsOf = async (options: { deleted: boolean }): Promise<number> => {
      let turns = 0;
      let scanning = true;
      const takeTurn = (): void => {
        turns++;
        if (scanning) setImmediate(takeTurn);
      };
      setImmediate(takeTurn);
      const iterator = engine.iterate({ start: bytes('k'), end: bytes('l') });
      let found = 0;
      for (let page = await iterator.next(256); page.length > 0; page = await iterator.next(256)) {
        found += page.length;
      }
      scanning = false;
      await iterator.close();
      expect(found).toBe(options.deleted ? 0 : count);
      return turns;
    };
    engine.apply(Array.from({ length: count }, (_, i) => write(key(i), 'v')));
    await engine.barrier();
    // The first one reads LevelDB and fills the cache of pages.
    await turnsOf({ deleted: false });
    expect(await turnsOf({ deleted: false })).toBeGreaterThanOrEqual(9);
    // Deletions in the overlay make no row at all.
    engine.apply(Array.from({ length: count }, (_, i) => write(key(i), undefined)));
    expect(await turnsOf({ deleted: true })).toBeGreaterThanOrEqual(9);
    await engine.close();
    directory.remove();
  });

  it('notices a changed value, by key and by scan, and is poisoned', async () => {
    for (const how of ['get', 'scan', 'moved'] as const) {
      const directory = temporaryDirectory();
      const first = await openLevel(directory.path);
      first.apply([write('a', 'one'), write('b', 'two')]);
      await first.close();
      const raw = new ClassicLevel<Buffer, Buffer>(directory.path, {
        keyEncoding: 'buffer',
        valueEncoding: 'buffer',
      });
      const stored = (await raw.get(bytes(how === 'moved' ? 'b' : 'a'))) ?? Buffer.alloc(0);
      if (how !== 'moved') stored[1] = (stored[1] ?? 0) ^ 4;
      await raw.put(bytes('a'), stored);
      await raw.close();
      const poisons: Error[] = [];
      const engine = await openLevel(directory.path, { onPoison: (error) => poisons.push(error) });
      if (how === 'scan') {
        const iterator = engine.iterate({ start: bytes('a'), end: bytes('z') });
        await expect(iterator.next(5)).rejects.toThrow(CorruptionError);
        await iterator.close();
      } else expect(() => engine.get(bytes('a'))).toThrow(CorruptionError);
      expect(() => engine.get(bytes('b'))).toThrow(StorePoisonedError);
      expect(poisons.length).toBe(1);
      await engine.close();
      directory.remove();
    }
  });

  it('is poisoned when syncing fails (trap L7)', async () => {
    const directory = temporaryDirectory();
    const poisons: Error[] = [];
    let broken = false;
    const engine = await openLevel(directory.path, {
      syncPath: () => (broken ? Promise.reject(new Error('EIO')) : Promise.resolve()),
      onPoison: (error) => poisons.push(error),
    });
    engine.apply([write('a', '1')]);
    broken = true;
    await expect(engine.barrier()).rejects.toThrow(StorePoisonedError);
    broken = false;
    await expect(engine.barrier()).rejects.toThrow(StorePoisonedError);
    expect(() => engine.apply([write('a', '2')])).toThrow(StorePoisonedError);
    expect(poisons.length).toBe(1);
    await engine.close();
    directory.remove();
  });

  // prlimit belongs to Linux; the error it provokes is what a full disk gives, too.
  it.runIf(process.platform === 'linux')(
    'is poisoned by a failed write, and opens again with what the last barrier covered (trap L1)',
    async () => {
      const directory = temporaryDirectory();
      const poisons: Error[] = [];
      const limit = (bytesMax: string): void => {
        execFileSync('prlimit', ['--pid', String(process.pid), `--fsize=${bytesMax}:unlimited`]);
      };
      const engine = await openLevel(directory.path, { onPoison: (error) => poisons.push(error) });
      engine.apply([write('a', 'x'.repeat(10_000))]);
      await engine.barrier();
      limit('20000');
      engine.apply([write('b', 'y'.repeat(50_000)), write('c', '')]);
      await expect(engine.barrier()).rejects.toThrow(StorePoisonedError);
      limit('unlimited');
      expect(() => engine.apply([write('d', '')])).toThrow(StorePoisonedError);
      await expect(engine.barrier()).rejects.toThrow(StorePoisonedError);
      expect(poisons.length).toBe(1);
      await engine.close();
      const again = await openLevel(directory.path);
      expect(again.get(bytes('a'))?.length).toBe(10_000);
      expect(again.get(bytes('b')) === undefined).toBe(again.get(bytes('c')) === undefined);
      expect(again.get(bytes('d'))).toBeUndefined();
      await again.close();
      directory.remove();
    },
  );

  it('barriers that are asked for at the same time take turns', async () => {
    const directory = temporaryDirectory();
    const engine = await openLevel(directory.path, { files: foreignFiles });
    for (let round = 0; round < 10; round++) {
      const barriers: Promise<void>[] = [];
      for (let i = 0; i < 4; i++) {
        engine.apply([write(`${round} ${i}`, 'x'.repeat(1000))]);
        barriers.push(engine.barrier());
        await new Promise((resolve) => setImmediate(resolve));
      }
      await Promise.all(barriers);
    }
    await engine.close();
    const again = await openLevel(directory.path, { files: foreignFiles });
    expect(again.get(bytes('9 3'))?.length).toBe(1000);
    await again.close();
    directory.remove();
  });

  it('syncs the logs, the manifest, new tables and the directory', async () => {
    const directory = temporaryDirectory();
    let synced: string[] = [];
    const engine = await openLevel(directory.path, {
      syncPath: async (path) => {
        synced.push(path.slice(directory.path.length).replace(/\d+/g, 'N'));
      },
    });
    synced = [];
    engine.apply([write('a', '1')]);
    await engine.barrier();
    expect(synced).toEqual(['/N.log', '/CURRENT', '/MANIFEST-N', '']);
    await engine.close();
    directory.remove();
  });

  it('after a crash has everything up to the barrier and whole batches only (trap L5)', async () => {
    const directory = temporaryDirectory();
    const copy = temporaryDirectory();
    const engine = await openLevel(directory.path, { flushBytes: 1 });
    const counted = (value: number): EngineWrite[] =>
      ['a', 'b', 'c'].map((key) => write(key, String(value).padEnd(50 + value * 10)));
    for (let i = 1; i <= 5; i++) engine.apply(counted(i));
    await engine.barrier();
    const name = readdirSync(directory.path).find((file) => file.endsWith('.log')) ?? '';
    const synced = statSync(join(directory.path, name)).size;
    for (let i = 6; i <= 20; i++) {
      engine.apply(counted(i));
      while (engine.overlayBytes > 0) await new Promise((resolve) => setImmediate(resolve));
    }
    const written = statSync(join(directory.path, name)).size;
    expect(written).toBeGreaterThan(synced);
    const seen = new Set<number>();
    for (let size = synced; size <= written; size += 211) {
      rmSync(copy.path, { recursive: true });
      cpSync(directory.path, copy.path, { recursive: true });
      truncateSync(join(copy.path, name), size);
      const survivor = await openLevel(copy.path);
      const values = ['a', 'b', 'c'].map((key) => Number(survivor.get(bytes(key))?.toString()));
      expect(new Set(values).size, `cut at ${size}`).toBe(1);
      seen.add(values[0] ?? 0);
      await survivor.close();
    }
    expect(Math.min(...seen)).toBe(5);
    expect(seen.size).toBeGreaterThan(10);
    await engine.close();
    directory.remove();
    copy.remove();
  });

  it('refuses a store whose log lost records (trap L3)', async () => {
    const directory = temporaryDirectory();
    const engine = await openLevel(directory.path);
    for (let i = 0; i < 20; i++) {
      engine.apply([write(`k${i}`, 'v'.repeat(200))]);
      await engine.barrier();
    }
    await engine.close();
    const name = readdirSync(directory.path).find((file) => file.endsWith('.log')) ?? '';
    const path = join(directory.path, name);
    const log = readFileSync(path);
    log[600] = (log[600] ?? 0) ^ 1;
    writeFileSync(path, log);
    await expect(openLevel(directory.path)).rejects.toThrow(CorruptionError);
    directory.remove();
  });
});

/** Both engines get the same writes and must give the same answers; the level one is reopened now and then. */
async function differential(seed: number): Promise<void> {
  const random = new SeededRandom(seed);
  const directory = temporaryDirectory();
  const flushBytes = [200, 5000, 100_000][seed % 3] ?? 0;
  let level: LevelEngine = await openLevel(directory.path, { flushBytes });
  const memory = new MemoryEngine();
  const snapshots: [EngineSnapshot, EngineSnapshot][] = [];
  const keys = 20 + random.below(300);
  const key = (): string => `k${String(random.below(keys)).padStart(3, '0')}`;
  const same = async (
    a: EngineSnapshot | LevelEngine,
    b: EngineSnapshot | MemoryEngine,
  ): Promise<void> => {
    const options = {
      start: key(),
      end: random.below(4) === 0 ? '\xff' : key(),
      reverse: random.below(2) === 0,
      page: 1 + random.below(40),
    };
    expect(await rows(a, options), `seed ${seed}`).toBe(await rows(b, options));
    const one = bytes(key());
    expect(a.get(one), `seed ${seed}`).toEqual(b.get(one));
  };
  for (let step = 0; step < 600; step++) {
    const choice = random.below(100);
    if (choice < 60) {
      const writes: EngineWrite[] = [];
      for (let i = random.below(12); i >= 0; i--) {
        const value = random.below(4) === 0 ? undefined : 'v'.repeat(random.below(40)) + step;
        writes.push(write(key(), value));
      }
      level.apply(writes);
      memory.apply(writes);
    } else if (choice < 85) await same(level, memory);
    else if (choice < 88) {
      const [start, end] = [bytes(key()), bytes(key())];
      await Promise.all([level.clear(start, end), memory.clear(start, end)]);
    } else if (choice < 91) snapshots.push([level.snapshot(), memory.snapshot()]);
    else if (choice < 95) {
      const pair = snapshots[random.below(Math.max(1, snapshots.length))];
      if (pair !== undefined) await same(pair[0], pair[1]);
    } else if (choice < 97) {
      const [pair] = snapshots.splice(random.below(Math.max(1, snapshots.length)), 1);
      pair?.[0].close();
      pair?.[1].close();
    } else if (choice < 99) await level.barrier();
    else {
      for (const pair of snapshots.splice(0)) {
        pair[0].close();
        pair[1].close();
      }
      await level.close();
      level = await openLevel(directory.path, { flushBytes });
    }
  }
  for (const pair of snapshots.splice(0)) {
    pair[0].close();
    pair[1].close();
  }
  expect(await rows(level), `seed ${seed}`).toBe(await rows(memory));
  expect([level.openReaders, memory.openReaders], `seed ${seed}`).toEqual([0, 0]);
  await level.close();
  directory.remove();
}
