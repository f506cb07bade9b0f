/** A LevelEngine on a real temporary directory. */
import { mkdtempSync, rmSync } from 'node:fs';
import { open, readFile, readdir } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { LevelEngine, type LevelEngineOptions } from '../../src/storage/index.ts';
import { testEnv } from './env.ts';

export function temporaryDirectory(): { readonly path: string; remove(): void } {
  const path = mkdtempSync(join(tmpdir(), 'skein-level-'));
  return { path, remove: () => rmSync(path, { recursive: true, force: true }) };
}

export async function syncPath(path: string): Promise<void> {
  const file = await open(path, 'r').catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return undefined;
    throw error;
  });
  if (file === undefined) return;
  await file.sync();
  await file.close();
}

export function openLevel(
  directory: string,
  options: Partial<LevelEngineOptions> = {},
): Promise<LevelEngine> {
  const { timers, log } = testEnv(1);
  const disk: LevelEngineOptions['env']['disk'] = {
    list: async (dir) => (await readdir(dir)).sort(),
    readFile: (path) => readFile(path).catch(() => undefined),
  };
  return LevelEngine.open({ env: { timers, log, disk }, directory, syncPath, ...options });
}
