/**
 * Damage to the files of LevelDB. A store is made once, with a history of batches and a barrier behind the last; each
 * trial damages one file of a copy, opens it and reads everything.
 */
import { cpSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { foreignFiles } from '../../../src/cli/start-files.ts';
import {
  CorruptionError,
  StorePoisonedError,
  type LevelEngine,
} from '../../../src/storage/index.ts';
import { openLevel, temporaryDirectory } from '../level.ts';
import { SeededRandom } from '../../random.ts';
import { damageBytes, firstSeed, trialsOf, type Damage } from './damage.ts';

const sessions = 5;
const batchesOfSession = 30;
const lastKey = Buffer.from([0xff]);
const seqKey = Buffer.from('seq');

type Rows = ReadonlyMap<string, string>;

const home = temporaryDirectory();
const master = join(home.path, 'master');
const copy = join(home.path, 'copy');
/** What the store held after each batch, by the number of the batch. */
const history: Rows[] = [new Map()];
const everyKey = new Set<string>(['seq']);

beforeAll(async () => {
  const random = new SeededRandom(7);
  let rows = new Map<string, string>();
  for (let session = 0; session < sessions; session++) {
    // LevelDB writes its log into a table when it opens: one table for each session but the last.
    const engine = await openLevel(master, { files: foreignFiles });
    for (let batch = 0; batch < batchesOfSession; batch++) {
      rows = new Map(rows);
      const writes = [
        { key: seqKey, value: Buffer.from(String(history.length)) as Buffer | undefined },
      ];
      rows.set('seq', String(history.length));
      for (let i = 0; i < 12; i++) {
        const key = `row ${random.below(2000)}`;
        everyKey.add(key);
        if (random.below(8) === 0) {
          writes.push({ key: Buffer.from(key), value: undefined });
          rows.delete(key);
        } else {
          const value = random
            .below(1 << 30)
            .toString(36)
            .repeat(1 + random.below(20));
          writes.push({ key: Buffer.from(key), value: Buffer.from(value) });
          rows.set(key, value);
        }
      }
      engine.apply(writes);
      history.push(rows);
      await engine.barrier();
    }
    await engine.close();
  }
});

afterAll(() => home.remove());

async function readAll(engine: LevelEngine): Promise<Rows> {
  const rows = new Map<string, string>();
  const iterator = engine.iterate({ start: Buffer.alloc(0), end: lastKey });
  try {
    for (;;) {
      const page = await iterator.next(100);
      if (page.length === 0) break;
      for (const [key, value] of page) rows.set(key.toString('latin1'), value.toString('latin1'));
    }
  } finally {
    await iterator.close();
  }
  return rows;
}

function readByGets(engine: LevelEngine): Rows {
  const rows = new Map<string, string>();
  for (const key of everyKey) {
    const value = engine.get(Buffer.from(key));
    if (value !== undefined) rows.set(key, value.toString('latin1'));
  }
  return rows;
}

/** 'refused', the number of the batch whose state came back, or what is wrong with it. */
async function outcomeOf(
  byGets: boolean,
): Promise<'refused' | number | { readonly wrong: string }> {
  let engine: LevelEngine | undefined;
  try {
    engine = await openLevel(copy, { files: foreignFiles });
    const rows = byGets ? readByGets(engine) : await readAll(engine);
    const seq = Number(rows.get('seq') ?? 0);
    const difference = firstDifference(rows, history[seq] ?? new Map());
    return difference === undefined ? seq : { wrong: `${difference} (state of batch ${seq})` };
  } catch (error) {
    if (!(error instanceof CorruptionError || error instanceof StorePoisonedError)) throw error;
    expect(error.message).toMatch(/\S+ \S+ \S+/);
    return 'refused';
  } finally {
    await engine?.close();
  }
}

function firstDifference(rows: Rows, expected: Rows): string | undefined {
  for (const [key, value] of expected) {
    if (!rows.has(key)) return `${key} is missing`;
    if (rows.get(key) !== value) return `${key} has another value`;
  }
  for (const key of rows.keys()) if (!expected.has(key)) return `${key} should not be there`;
  return undefined;
}

function damageCopy(seed: number, pattern: RegExp): Damage & { readonly name: string } {
  const random = new SeededRandom(seed);
  rmSync(copy, { recursive: true, force: true });
  cpSync(master, copy, { recursive: true });
  const names = readdirSync(master)
    .filter((name) => pattern.test(name))
    .sort();
  const name = names[random.below(names.length)];
  if (name === undefined) throw new Error(`no file is like ${pattern}`);
  const damage = damageBytes(readFileSync(join(master, name)), random);
  writeFileSync(join(copy, name), damage.bytes);
  return { ...damage, name };
}

describe('damaged files of LevelDB', () => {
  it('opens an unharmed copy, with and without the list', async () => {
    for (const withList of [true, false]) {
      rmSync(copy, { recursive: true, force: true });
      cpSync(master, copy, { recursive: true });
      if (!withList) rmSync(join(copy, 'SYNCED'));
      expect(await outcomeOf(withList)).toBe(history.length - 1);
    }
  });

  it('a crash at any step of a barrier or of the start is not taken for damage', async () => {
    const place = temporaryDirectory();
    let durable = 0;
    let applied = 0;
    let crashes = 0;
    const crash = async (): Promise<void> => {
      rmSync(copy, { recursive: true, force: true });
      cpSync(place.path, copy, { recursive: true });
      const survivor = await openLevel(copy, { files: foreignFiles });
      const seq = Number(survivor.get(seqKey)?.toString() ?? 0);
      await survivor.close();
      expect(seq).toBeGreaterThanOrEqual(durable);
      crashes++;
    };
    const options: Parameters<typeof openLevel>[1] = {
      flushBytes: 1,
      syncPath: crash,
      files: {
        readRange: (path, position, length) => foreignFiles.readRange(path, position, length),
        replaceFile: async (path, content) => {
          await crash();
          await foreignFiles.replaceFile(path, content);
          await crash();
        },
      },
    };
    for (let session = 0; session < 3; session++) {
      const engine = await openLevel(place.path, options);
      for (let round = 0; round < 4; round++) {
        for (let i = 0; i < 5; i++) {
          engine.apply([{ key: seqKey, value: Buffer.from(String(++applied).padEnd(500)) }]);
        }
        const goal = applied;
        const barrier = engine.barrier();
        engine.apply([{ key: seqKey, value: Buffer.from(String(++applied)) }]);
        await barrier;
        durable = goal;
      }
      await engine.close();
    }
    expect(crashes).toBeGreaterThan(60);
    place.remove();
  });

  it('a table of a compaction that a crash cut short may be written anew under its name', async () => {
    const place = temporaryDirectory();
    const write = async (engine: LevelEngine, value: string): Promise<void> => {
      engine.apply([{ key: seqKey, value: Buffer.from(value) }]);
      await engine.barrier();
    };
    let engine = await openLevel(place.path, { files: foreignFiles });
    await write(engine, 'in a table');
    await engine.close();
    engine = await openLevel(place.path, { files: foreignFiles });
    // What a compaction has finished before LevelDB counts it: tables under the numbers that come next.
    const names = readdirSync(place.path);
    const table = names.find((name) => name.endsWith('.ldb')) ?? '';
    const latest = Math.max(...names.map((name) => Number(/\d+/.exec(name)?.[0] ?? 0)));
    const outputs = [1, 2, 3, 4].map((i) => `${String(latest + i).padStart(6, '0')}.ldb`);
    for (const output of outputs) cpSync(join(place.path, table), join(place.path, output));
    await write(engine, 'in the log');
    const listed = readFileSync(join(place.path, 'SYNCED'), 'latin1');
    rmSync(copy, { recursive: true, force: true });
    cpSync(place.path, copy, { recursive: true });
    await engine.close();
    place.remove();

    // The first start writes the log into a table; the second compares the list with it.
    let rewritten: string[] = [];
    for (let start = 0; start < 3; start++) {
      const survivor = await openLevel(copy, { files: foreignFiles });
      expect(survivor.get(seqKey)?.toString()).toBe('in the log');
      rewritten = readdirSync(copy).filter((name) => outputs.includes(name));
      await survivor.close();
    }
    expect(listed).toContain(table);
    expect(rewritten).not.toEqual([]);
  });

  const kinds: [string, RegExp][] = [
    ['tables', /\.ldb$/],
    ['the log', /\.log$/],
    ['the manifest', /^MANIFEST/],
    ['CURRENT', /^CURRENT$/],
    ['the list of what is durable', /^SYNCED$/],
  ];
  it.each(kinds)('%s: correct data, or a refusal', { timeout: 600_000 }, async (_kind, pattern) => {
    let refused = 0;
    const complete = history.length - 1;
    const bad: string[] = [];
    const trials = trialsOf(60);
    for (let seed = firstSeed; seed < firstSeed + trials; seed++) {
      const damage = damageCopy(seed, pattern);
      const story = `seed ${seed}: ${damage.name}, ${damage.what}`;
      const outcome = await outcomeOf(seed % 2 === 0).catch((error: unknown) => ({
        wrong: `threw ${String(error)}`,
      }));
      if (outcome === 'refused') refused++;
      else if (typeof outcome === 'object') bad.push(`${story}: ${outcome.wrong}`);
      else if (outcome !== complete) bad.push(`${story}: state of ${outcome} / ${complete}`);
    }
    expect(bad).toEqual([]);
    expect(refused).toBeGreaterThan(0);
  });
});
