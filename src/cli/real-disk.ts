/** The machine's disk as Env sees it. */
import { constants } from 'node:fs';
import * as fs from 'node:fs/promises';
import { join } from 'node:path';
import { type Disk, type DiskFile } from '../util/index.ts';

export const realDisk: Disk = {
  async mkdir(path) {
    await fs.mkdir(path, { recursive: true, mode: 0o700 });
  },
  async list(dir) {
    try {
      return (await fs.readdir(dir)).sort();
    } catch (error) {
      if (isMissing(error)) return [];
      throw error;
    }
  },
  async open(path) {
    return new RealFile(path, await fs.open(path, constants.O_RDWR | constants.O_CREAT, 0o600));
  },
  async readFile(path) {
    try {
      return await fs.readFile(path);
    } catch (error) {
      if (isMissing(error)) return undefined;
      throw error;
    }
  },
  async replaceFile(path, content) {
    const temporary = `${path}.new`;
    const handle = await fs.open(temporary, 'w', 0o600);
    try {
      await handle.writeFile(content);
      await handle.datasync();
    } finally {
      await handle.close();
    }
    await fs.rename(temporary, path);
    await syncPath(join(path, '..'));
  },
  async remove(path) {
    await fs.rm(path, { force: true });
  },
  rename: fs.rename,
  syncDir: syncPath,
  async space(dir) {
    const stats = await fs.statfs(dir);
    return { freeBytes: stats.bavail * stats.bsize, totalBytes: stats.blocks * stats.bsize };
  },
};

/** fsyncs a file or a directory; one that is not there (any more) needs nothing. */
export async function syncPath(path: string): Promise<void> {
  let handle: fs.FileHandle;
  try {
    handle = await fs.open(path, 'r');
  } catch (error) {
    if (isMissing(error)) return;
    throw error;
  }
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}

class RealFile implements DiskFile {
  readonly #path: string;
  readonly #handle: fs.FileHandle;
  /** O_DSYNC: one trip to the thread pool writes and syncs; made when it is first needed. */
  #durable: Promise<fs.FileHandle> | undefined;

  constructor(path: string, handle: fs.FileHandle) {
    this.#path = path;
    this.#handle = handle;
  }

  async sizeBytes(): Promise<number> {
    return (await this.#handle.stat()).size;
  }

  read(position: number, length: number): Promise<Buffer> {
    return readAt(this.#handle, position, length);
  }

  async write(position: number, chunks: readonly Buffer[]): Promise<void> {
    await writeAll(this.#handle, position, chunks);
  }

  async writeDurable(position: number, chunks: readonly Buffer[]): Promise<void> {
    this.#durable ??= fs.open(this.#path, constants.O_RDWR | constants.O_DSYNC);
    await writeAll(await this.#durable, position, chunks);
  }
  async sync(): Promise<void> {
    await this.#handle.datasync();
  }

  async truncate(sizeBytes: number): Promise<void> {
    await this.#handle.truncate(sizeBytes);
  }

  async close(): Promise<void> {
    await this.#handle.close();
    await (await this.#durable)?.close();
  }
}

/** Up to `length` bytes from `position`; fewer at the end of the file. */
export async function readAt(
  handle: fs.FileHandle,
  position: number,
  length: number,
): Promise<Buffer> {
  const buffer = Buffer.allocUnsafeSlow(length);
  let filled = 0;
  while (filled < length) {
    const { bytesRead } = await handle.read(buffer, filled, length - filled, position + filled);
    if (bytesRead === 0) break;
    filled += bytesRead;
  }
  return buffer.subarray(0, filled);
}

async function writeAll(
  handle: fs.FileHandle,
  position: number,
  chunks: readonly Buffer[],
): Promise<void> {
  let pending = chunks.filter((chunk) => chunk.length > 0);
  let at = position;
  while (pending.length > 0) {
    const { bytesWritten } = await handle.writev(pending.slice(0, 1000), at);
    at += bytesWritten;
    pending = skip(pending, bytesWritten);
  }
}

/** What is left of `chunks` behind the first `bytes` bytes (a short write). */
function skip(chunks: readonly Buffer[], bytes: number): Buffer[] {
  const rest: Buffer[] = [];
  let left = bytes;
  for (const chunk of chunks) {
    if (left >= chunk.length) left -= chunk.length;
    else {
      rest.push(left > 0 ? chunk.subarray(left) : chunk);
      left = 0;
    }
  }
  return rest;
}

function isMissing(error: unknown): boolean {
  return error instanceof Error && 'code' in error && error.code === 'ENOENT';
}
