/** LevelDB's files as the state engine looks at them: LevelDB writes and removes them by itself. */
import { open } from 'node:fs/promises';
import { type LevelEngineOptions } from '../storage/index.ts';
import { readAt, realDisk } from './real-disk.ts';

export const foreignFiles: NonNullable<LevelEngineOptions['files']> = {
  async readRange(path, position, length) {
    const file = await open(path, 'r').catch((error: NodeJS.ErrnoException) => {
      if (error.code === 'ENOENT') return undefined;
      throw error;
    });
    if (file === undefined) return undefined;
    try {
      return await readAt(file, position, length);
    } finally {
      await file.close();
    }
  },
  replaceFile: (path, content) => realDisk.replaceFile(path, content),
};
