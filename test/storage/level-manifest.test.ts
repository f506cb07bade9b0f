/** The count in LevelDB's manifest, against LevelDB itself: it names its next manifest by it when it opens. */
import { ClassicLevel } from 'classic-level';
import { readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { foreignFiles } from '../../src/cli/start-files.ts';
import { type ForeignFiles } from '../../src/storage/foreign-files.ts';
import { LevelManifest } from '../../src/storage/level-manifest.ts';
import { temporaryDirectory } from './level.ts';

function manifestOf(directory: string): string {
  const names = readdirSync(directory).filter((name) => name.startsWith('MANIFEST-'));
  expect(names).toHaveLength(1);
  return names[0] ?? '';
}

it('is read as it grows, over blocks and records in parts', async () => {
  const place = temporaryDirectory();
  const open = async (): Promise<ClassicLevel> => {
    const level = new ClassicLevel(place.path, { writeBufferSize: 64 * 1024 });
    await level.open();
    return level;
  };
  let level = await open();
  const name = manifestOf(place.path);
  const path = join(place.path, name);
  const growing = new LevelManifest(foreignFiles, path);
  const counts: number[] = [];
  // Long keys make long edits: the smallest and the largest of each table stand in them.
  for (let i = 0; i < 100; i++) {
    const key = `${i * 7919}`.padEnd(5000 + i * 13, 'k');
    await level.put(key, 'x'.repeat(70_000));
    counts.push(await growing.nextFile());
  }
  await level.close();
  const nextFile = await growing.nextFile();

  expect(statSync(path).size).toBeGreaterThan(10 * 32 * 1024);
  expect(counts).toEqual(counts.toSorted((a, b) => a - b));
  expect(new Set(counts).size).toBeGreaterThan(10);
  expect(await new LevelManifest(foreignFiles, path).nextFile()).toBe(nextFile);
  level = await open();
  expect(manifestOf(place.path)).toBe(`MANIFEST-${String(nextFile).padStart(6, '0')}`);
  await level.close();
  place.remove();
});

it('finds the count behind the name of a comparator', async () => {
  const name = 'leveldb.BytewiseComparator';
  const edit = Buffer.concat([
    Buffer.from([1, name.length]),
    Buffer.from(name),
    Buffer.from([2, 4, 9, 0, 3, 0x85, 0x02, 4, 0]),
  ]);
  const header = Buffer.from([0, 0, 0, 0, edit.length, 0, 1]);
  const manifest = Buffer.concat([header, edit]);
  const files: ForeignFiles = {
    readRange: async (_path, position, length) => manifest.subarray(position, position + length),
    replaceFile: async () => {},
  };
  expect(await new LevelManifest(files, 'MANIFEST-000001').nextFile()).toBe(2 * 128 + 5);
});
