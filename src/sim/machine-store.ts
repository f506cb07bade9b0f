/**
 * A store of a machine as it outlives processes: the disk it lies on and what its engine has made durable. A machine has
 * one or several, each on a disk of its own.
 */
import { leftMarkName, NotDamagedError, quarantineStore } from '../server/index.ts';
import { MemoryEngine } from '../storage/index.ts';
import { type Disk } from '../util/index.ts';
import { MachineDisk, type MachineDiskParts } from './machine-disk.ts';
import { type SeededRandom } from './random.ts';

export interface MachineStoreParts extends MachineDiskParts {
  /** The engine could not be made durable. */
  readonly onPoison: (error: Error) => void;
}

export class MachineStore {
  readonly path: string;
  readonly disk: MachineDisk;
  readonly #parts: MachineStoreParts;
  #engine: MemoryEngine;

  constructor(parts: MachineStoreParts) {
    this.path = parts.path;
    this.disk = new MachineDisk(parts);
    this.#parts = parts;
    this.#engine = this.#newEngine();
  }

  get engine(): MemoryEngine {
    return this.#engine;
  }

  /** It was decommissioned, and its node knows. */
  get hasLeft(): boolean {
    return this.disk.files.peek(`${this.path}/${leftMarkName}`) !== undefined;
  }

  /** The machine loses power, and what was not synced is up to chance. */
  losePower(random: SeededRandom): void {
    this.disk.files.crash();
    this.#engine = this.#engine.crash(random);
  }

  /** The process that used it is no more. LevelDB's own writes are in the page cache: they survive it. */
  processEnded(): void {
    this.disk.files.kill();
    this.#engine = this.#engine.crash(keepAll);
  }

  /** A new disk is in its place. */
  wipe(): void {
    this.disk.files.wipe();
    this.#empty();
  }

  /** `skein store quarantine`: false when no start has refused the store; it stays as it is then. */
  async quarantine(time: string): Promise<boolean> {
    try {
      await quarantineStore(this.disk.files.mount(), this.path, time);
    } catch (error) {
      if (error instanceof NotDamagedError) return false;
      throw error;
    }
    this.#empty();
    return true;
  }

  #empty(): void {
    this.disk.isDamaged = false;
    this.#engine = this.#newEngine();
  }

  #newEngine(): MemoryEngine {
    return new MemoryEngine({
      barrierDelay: () => this.disk.engineSync(),
      onPoison: this.#parts.onPoison,
    });
  }
}

/** As a Random for MemoryEngine.crash: everything survives. */
const keepAll = { u32: () => 3, float: () => 0, bytes: (length: number) => Buffer.alloc(length) };

/** The disks of a machine as one of its processes sees them: each is mounted where its store's folder is. */
export function mountAll(stores: readonly MachineStore[]): Disk {
  const mounted = stores.map(({ path, disk }) => ({ path, disk: disk.files.mount() }));
  const diskOf = (path: string): Disk => {
    const found = mounted.find((each) => path === each.path || path.startsWith(`${each.path}/`));
    if (found === undefined) throw new Error(`nothing is mounted at ${path}`);
    return found.disk;
  };
  return {
    mkdir: (path) => diskOf(path).mkdir(path),
    list: (dir) => diskOf(dir).list(dir),
    open: (path) => diskOf(path).open(path),
    readFile: (path) => diskOf(path).readFile(path),
    replaceFile: (path, content) => diskOf(path).replaceFile(path, content),
    remove: (path) => diskOf(path).remove(path),
    rename: (from, to) => diskOf(from).rename(from, to),
    syncDir: (dir) => diskOf(dir).syncDir(dir),
    space: (dir) => diskOf(dir).space(dir),
  };
}
