/**
 * Ballast: a file in the store that only takes room. A store cannot be started on a full disk, because its recovery
 * writes; whoever deletes the ballast has that room at once, and can then free more by the database's own means.
 *
 * The disk is full for a start when less than the reserve is free: what recovery writes at most (the last segment of
 * the raft log anew, LevelDB's log as a table).
 */
import { sleep, type Disk, type Env, type TimerHandle } from '../util/index.ts';

export const ballastName = 'BALLAST';

const mebibyte = 1 << 20;
const ballastBytesMax = 256 * mebibyte;
const reserveBytesMax = 96 * mebibyte;
/** The ballast must not be what fills the disk: it is written only when so many times its size is free. */
const roomFactor = 4;
const recheckMs = 600_000;
const pieceBytes = mebibyte;
/** Time between two pieces: a new store does not spend its first seconds on writing ballast. */
const pauseMs = 20;

/** 1 % of the volume, at most 256 MiB. */
export function defaultBallastBytes(totalBytes: number): number {
  return Math.min(Math.floor(totalBytes / 100), ballastBytesMax);
}

/** An error with the code of a full disk (`storeFaultOf`). */
class NoRoomError extends Error {
  override readonly name = 'NoRoomError';
  readonly code = 'ENOSPC';
}

/** Before the store is opened. At most 5 % of the volume are asked for. */
export async function refuseFullDisk(disk: Disk, storePath: string): Promise<void> {
  const { freeBytes, totalBytes } = await disk.space(storePath);
  const needed = Math.min(reserveBytesMax, Math.floor(totalBytes / 20));
  if (freeBytes >= needed) return;
  throw new NoRoomError(`a start needs ${inMebibytes(needed)}, ${inMebibytes(freeBytes)} are free`);
}

export function inMebibytes(bytes: number): string {
  return `${Math.floor(bytes / mebibyte)} MiB`;
}

/** Makes the ballast, in the background, and makes it again when it was deleted and there is room. */
export class Ballast {
  readonly #env: Env;
  readonly #storePath: string;
  readonly #wantedBytes: number;
  #timer: TimerHandle | undefined;
  #work: Promise<void> = Promise.resolve();
  #stopped = false;

  /** `wantedBytes` 0 removes it. */
  constructor(env: Env, storePath: string, wantedBytes: number) {
    this.#env = env;
    this.#storePath = storePath;
    this.#wantedBytes = wantedBytes;
  }

  start(): void {
    this.#work = this.adjust().catch((error: unknown) => {
      this.#env.log.warn({ err: error }, 'the ballast could not be made');
    });
    this.#timer = this.#env.timers.after(recheckMs, () => this.start());
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    this.#timer?.cancel();
    await this.#work;
  }

  /** Brings the file to its size, or leaves it as it is for want of room. */
  async adjust(): Promise<void> {
    const { disk, random } = this.#env;
    const path = `${this.#storePath}/${ballastName}`;
    const wanted = this.#wantedBytes;
    const { freeBytes } = await disk.space(this.#storePath);
    const isThere = (await disk.list(this.#storePath)).includes(ballastName);
    if (wanted === 0 && isThere) await disk.remove(path);
    if (wanted === 0 || (!isThere && freeBytes < roomFactor * wanted)) return;
    const file = await disk.open(path);
    try {
      let size = await file.sizeBytes();
      if (size > wanted) await file.truncate(wanted);
      if (size >= wanted || freeBytes < roomFactor * (wanted - size)) return;
      // Random: zeros would take no room on a volume that compresses.
      const piece = random.bytes(pieceBytes);
      while (size < wanted && !this.#stopped) {
        const part = piece.subarray(0, Math.min(piece.length, wanted - size));
        await file.write(size, [part]);
        size += part.length;
        await sleep(this.#env, pauseMs);
      }
      await file.sync();
    } finally {
      await file.close();
    }
  }
}
