/**
 * A disk that stops answering is worse than one that fails: nobody is told. The watch counts how long the oldest
 * operation under way has been waited for, in beats of a timer that runs only while there is one. Beats that
 * come late (the process was stopped, the event loop stood still) count once: time in which this process did
 * not run is not the disk's.
 */
import { type Disk, type DiskFile, type Env, type TimerHandle } from './env.ts';

/** An operation of the disk has not come back within the limit. */
export class DiskStalledError extends Error {
  override readonly name = 'DiskStalledError';
}

export interface DiskWatchOptions {
  /** An operation that is waited for longer than this is given up. */
  readonly limitMs: number;
  /** Called once. */
  readonly onStall: (error: DiskStalledError) => void;
}

const beatMs = 1000;

interface Operation {
  readonly what: string;
  readonly begunAt: number;
}

export class DiskWatch {
  readonly #env: Pick<Env, 'timers'>;
  readonly #options: DiskWatchOptions;
  /** In the order in which they began. */
  readonly #underWay = new Set<Operation>();
  #beats = 0;
  #timer: TimerHandle | undefined;
  #isGivenUp = false;

  constructor(env: Pick<Env, 'timers'>, options: DiskWatchOptions) {
    this.#env = env;
    this.#options = options;
  }

  /** How long the oldest operation under way has been waited for, in whole beats of a second; 0 when there is none. */
  get waitingMs(): number {
    const [oldest] = this.#underWay;
    return oldest === undefined ? 0 : Math.max(0, this.#beats - oldest.begunAt - 1) * beatMs;
  }

  /** Something is under way. */
  get isBusy(): boolean {
    return this.#underWay.size > 0;
  }

  /** `what` names the operation in the error: a verb and a path. */
  async run<T>(what: string, operation: () => Promise<T>): Promise<T> {
    const entry: Operation = { what, begunAt: this.#beats };
    this.#underWay.add(entry);
    if (this.#timer === undefined && !this.#isGivenUp) this.#arm();
    try {
      return await operation();
    } finally {
      this.#underWay.delete(entry);
    }
  }

  #arm(): void {
    this.#timer = this.#env.timers.after(beatMs, () => {
      this.#timer = undefined;
      this.#beats++;
      const [oldest] = this.#underWay;
      if (oldest === undefined) return;
      if (this.waitingMs < this.#options.limitMs) {
        this.#arm();
        return;
      }
      this.#isGivenUp = true;
      const seconds = Math.round(this.waitingMs / 1000);
      this.#options.onStall(
        new DiskStalledError(`the disk has not come back from "${oldest.what}" for ${seconds} s`),
      );
    });
  }
}

/** The same disk, its operations watched. */
export function watchedDisk(disk: Disk, watch: DiskWatch): Disk {
  return {
    mkdir: (path) => watch.run(`mkdir ${path}`, () => disk.mkdir(path)),
    list: (dir) => watch.run(`list ${dir}`, () => disk.list(dir)),
    open: async (path) => {
      const file = await watch.run(`open ${path}`, () => disk.open(path));
      return watchedFile(file, path, watch);
    },
    readFile: (path) => watch.run(`read ${path}`, () => disk.readFile(path)),
    replaceFile: (path, content) =>
      watch.run(`replace ${path}`, () => disk.replaceFile(path, content)),
    remove: (path) => watch.run(`remove ${path}`, () => disk.remove(path)),
    rename: (from, to) => watch.run(`rename ${from}`, () => disk.rename(from, to)),
    syncDir: (dir) => watch.run(`fsync ${dir}`, () => disk.syncDir(dir)),
    space: (dir) => watch.run(`statfs ${dir}`, () => disk.space(dir)),
  };
}

function watchedFile(file: DiskFile, path: string, watch: DiskWatch): DiskFile {
  return {
    sizeBytes: () => watch.run(`stat ${path}`, () => file.sizeBytes()),
    read: (position, length) => watch.run(`read ${path}`, () => file.read(position, length)),
    write: (position, chunks) => watch.run(`write ${path}`, () => file.write(position, chunks)),
    writeDurable: (position, chunks) =>
      watch.run(`write ${path}`, () => file.writeDurable(position, chunks)),
    sync: () => watch.run(`fsync ${path}`, () => file.sync()),
    truncate: (sizeBytes) => watch.run(`truncate ${path}`, () => file.truncate(sizeBytes)),
    close: () => watch.run(`close ${path}`, () => file.close()),
  };
}
