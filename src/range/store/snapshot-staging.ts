/**
 * The file in which an arriving snapshot waits until all of it is there: one frame per chunk, in order.
 *
 *     frame = length u32 | crc32 u32 | chunk
 *
 * Chunks are checked as they arrive and again when they are read, and all of them together against the sum that
 * the sender made. What one call began ends before the next one begins, however they arrive.
 */
import { crc32 } from 'node:zlib';
import { must, type Disk, type DiskFile } from '../../util/index.ts';

/** What a complete file holds. */
export interface StagedContent {
  readonly chunks: number;
  /** CRC-32 of all chunks' bytes, one behind the other. */
  readonly checksum: number;
}

const frameHeaderBytes = 8;

export class StagingFile {
  readonly #disk: Disk;
  readonly #path: string;
  #file: DiskFile | undefined;
  #chunks = 0;
  #checksum = 0;
  #position = 0;
  #givenUp = false;
  #tail: Promise<unknown> = Promise.resolve();

  /** Takes the place of whatever stands at `path`. */
  constructor(disk: Disk, path: string) {
    this.#disk = disk;
    this.#path = path;
    void this.#inOrder(async () => {
      await disk.remove(path);
      this.#file = await disk.open(path);
    });
  }

  /** Undefined on success, otherwise why the snapshot is of no use any more. Rejects when the disk fails. */
  add(sequence: number, checksum: number, data: Buffer): Promise<string | undefined> {
    return this.#inOrder(async () => {
      if (this.#givenUp) return 'the snapshot was given up';
      if (sequence !== this.#chunks) return `chunk ${sequence} where ${this.#chunks} is due`;
      if (crc32(data) !== checksum) return `chunk ${sequence} is damaged`;
      const head = Buffer.alloc(frameHeaderBytes);
      head.writeUInt32BE(data.length, 0);
      head.writeUInt32BE(checksum, 4);
      await must(this.#file).write(this.#position, [head, data]);
      this.#position += frameHeaderBytes + data.length;
      this.#chunks++;
      this.#checksum = crc32(data, this.#checksum);
      return undefined;
    });
  }

  /** Makes the file durable when it holds exactly this; answers as `add` does. */
  complete(content: StagedContent): Promise<string | undefined> {
    return this.#inOrder(async () => {
      if (this.#givenUp) return 'the snapshot was given up';
      if (content.chunks !== this.#chunks) return 'chunks are missing';
      if (content.checksum !== this.#checksum) return 'the chunks are not those that were sent';
      await must(this.#file).sync();
      await this.#close();
      return undefined;
    });
  }

  /** Gives the snapshot up: nothing more is taken, and the file goes. */
  discard(): Promise<void> {
    this.#givenUp = true;
    const end = async (): Promise<void> => {
      await this.#close();
      await this.#disk.remove(this.#path);
    };
    // Whether what came before went well does not matter any more.
    this.#tail = this.#tail.then(end, end);
    return this.#tail.then(() => undefined);
  }

  async #close(): Promise<void> {
    const file = this.#file;
    this.#file = undefined;
    await file?.close();
  }

  /** A step that fails makes all further ones fail. */
  #inOrder<T>(step: () => Promise<T>): Promise<T> {
    const run = this.#tail.then(step);
    this.#tail = run;
    // Callers hear of it, at the latest with their next step.
    run.catch(() => undefined);
    return run;
  }
}

/** Hands over the chunks of a complete file, in order. Throws RangeError when they are not `content`. */
export async function readStaged(
  disk: Disk,
  path: string,
  content: StagedContent,
  take: (chunk: Buffer) => Promise<void>,
): Promise<void> {
  const file = await disk.open(path);
  try {
    const sizeBytes = await file.sizeBytes();
    let chunks = 0;
    let checksum = 0;
    for (let at = 0; at < sizeBytes; chunks++) {
      const head = await file.read(at, frameHeaderBytes);
      const length = head.length === frameHeaderBytes ? head.readUInt32BE(0) : 0;
      const chunk = await file.read(at + frameHeaderBytes, Math.min(length, sizeBytes));
      if (length === 0 || chunk.length !== length || crc32(chunk) !== head.readUInt32BE(4)) {
        throw new RangeError(`${path}: a staged snapshot is damaged at byte ${at}`);
      }
      checksum = crc32(chunk, checksum);
      await take(chunk);
      at += frameHeaderBytes + length;
    }
    if (chunks !== content.chunks || checksum !== content.checksum) {
      throw new RangeError(`${path}: a staged snapshot is not the one that was received`);
    }
  } finally {
    await file.close();
  }
}
