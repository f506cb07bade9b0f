/**
 * MemoryDisk: files in memory with the ways of a real disk. A write lives in the page cache until it is
 * synced; a directory entry until its directory is. `crash()` keeps what was synced and, of the rest,
 * whatever chance leaves: writes whole, lost, cut short or with sectors of zeros; names old or new.
 *
 * Faults are injected by `fault` (an error for any operation), `capacityBytes` (ENOSPC), `flipBit`, and by what
 * `watch` does at an operation: end the machine between a write and its sync, for example.
 */
import { type Disk, type DiskFile, type DiskSpace, type Random } from '../util/index.ts';

export interface DiskOperation {
  readonly kind:
    | 'mkdir'
    | 'list'
    | 'open'
    | 'read'
    | 'write'
    | 'sync'
    | 'truncate'
    | 'replace'
    | 'remove'
    | 'rename'
    | 'sync-dir';
  readonly path: string;
}

export interface MemoryDiskOptions {
  readonly random: Random;
  /** Sum of all file sizes; default: no limit. */
  readonly capacityBytes?: number;
  /** Awaited by every operation before it takes effect: simulated disk time. */
  readonly delay?: (operation: DiskOperation) => Promise<void>;
}

/** A change of a file that is not durable yet. */
interface UnsyncedWrite {
  readonly position: number;
  readonly bytes: Buffer;
  /** What it wrote over, and the file size before it. */
  readonly before: Buffer;
  readonly sizeBefore: number;
  /** A truncation has no bytes; it sets this size. */
  readonly truncateTo: number | undefined;
}

const sectorBytes = 512;

export class DiskError extends Error {
  override readonly name = 'DiskError';
  readonly code: string;

  constructor(code: string, message: string) {
    super(`${code}: ${message}`);
    this.code = code;
  }
}

class Inode {
  bytes = Buffer.alloc(0);
  size = 0;
  unsynced: UnsyncedWrite[] = [];

  content(): Buffer {
    return this.bytes.subarray(0, this.size);
  }

  write(position: number, bytes: Buffer): void {
    const end = position + bytes.length;
    this.unsynced.push({
      position,
      bytes: Buffer.from(bytes),
      before: Buffer.from(this.bytes.subarray(position, Math.min(end, this.size))),
      sizeBefore: this.size,
      truncateTo: undefined,
    });
    this.put(position, bytes);
  }

  truncate(size: number): void {
    this.unsynced.push({
      position: size,
      bytes: Buffer.alloc(0),
      before: Buffer.from(this.bytes.subarray(size, this.size)),
      sizeBefore: this.size,
      truncateTo: size,
    });
    this.resize(size);
  }

  put(position: number, bytes: Buffer): void {
    if (position + bytes.length > this.size) this.resize(position + bytes.length);
    bytes.copy(this.bytes, position);
  }

  resize(size: number): void {
    if (size > this.bytes.length) {
      const grown = Buffer.alloc(Math.max(size, this.bytes.length * 2));
      this.bytes.copy(grown, 0, 0, this.size);
      this.bytes = grown;
    }
    if (size < this.size) this.bytes.fill(0, size, this.size);
    this.size = size;
  }

  /** Back to what is durable; returns the changes that were undone, oldest first. */
  undo(): UnsyncedWrite[] {
    const undone = this.unsynced;
    this.unsynced = [];
    for (let i = undone.length - 1; i >= 0; i--) {
      const write = undone[i] as UnsyncedWrite;
      this.resize(write.sizeBefore);
      write.before.copy(this.bytes, write.position);
    }
    return undone;
  }
}

export class MemoryDisk implements Disk {
  readonly #random: Random;
  /** Sum of all file sizes that there is room for. */
  capacityBytes: number;
  readonly #delay: (operation: DiskOperation) => Promise<void>;
  #names = new Map<string, Inode>();
  #durableNames = new Map<string, Inode>();
  #epoch = 0;
  /** The error with which an operation shall fail, or a promise that it waits for before it takes effect. */
  fault: ((operation: DiskOperation) => Error | Promise<void> | undefined) | undefined;
  /** Called before an operation takes effect, and of those that change something also before its caller hears of it. */
  watch: ((operation: DiskOperation, stage: 'before' | 'after') => void) | undefined;

  /** An operation finds no room. */
  onFull: ((path: string) => void) | undefined;

  constructor(options: MemoryDiskOptions) {
    this.#random = options.random;
    this.capacityBytes = options.capacityBytes ?? Number.MAX_SAFE_INTEGER;
    this.#delay = options.delay ?? (() => Promise.resolve());
  }

  /**
   * The disk as one run of a node sees it: every operation fails once `crash` or `kill` ended that run, so
   * what is left of a dead node changes nothing.
   */
  mount(): Disk {
    const epoch = this.#epoch;
    const alive = async <T>(operation: () => Promise<T>): Promise<T> => {
      if (epoch !== this.#epoch) throw new DiskError('EIO', 'the machine crashed');
      return operation();
    };
    return {
      mkdir: (path) => alive(() => this.mkdir(path)),
      list: (dir) => alive(() => this.list(dir)),
      open: (path) => alive(() => this.open(path)),
      readFile: (path) => alive(() => this.readFile(path)),
      replaceFile: (path, content) => alive(() => this.replaceFile(path, content)),
      remove: (path) => alive(() => this.remove(path)),
      syncDir: (dir) => alive(() => this.syncDir(dir)),
      rename: (from, to) => alive(() => this.rename(from, to)),
      space: () => alive(() => this.space()),
    };
  }

  async mkdir(path: string): Promise<void> {
    await this.#begin({ kind: 'mkdir', path });
  }

  async list(dir: string): Promise<string[]> {
    await this.#begin({ kind: 'list', path: dir });
    const names = new Set<string>();
    for (const path of this.#names.keys()) {
      if (path.startsWith(`${dir}/`))
        names.add(
          path
            .slice(dir.length + 1)
            .split('/', 1)
            .join(),
        );
    }
    return [...names].sort();
  }

  async open(path: string): Promise<DiskFile> {
    await this.#begin({ kind: 'open', path });
    let inode = this.#names.get(path);
    if (inode === undefined) {
      inode = new Inode();
      this.#names.set(path, inode);
    }
    return this.#handle(path, inode);
  }

  async readFile(path: string): Promise<Buffer | undefined> {
    await this.#begin({ kind: 'read', path });
    const inode = this.#names.get(path);
    return inode === undefined ? undefined : Buffer.from(inode.content());
  }

  async replaceFile(path: string, content: Buffer): Promise<void> {
    await this.#begin({ kind: 'replace', path });
    this.#reserve(path, content.length);
    const inode = new Inode();
    inode.put(0, content);
    const epoch = this.#epoch;
    this.#names.set(path, inode);
    await this.#begin({ kind: 'sync-dir', path: parentOf(path) }, epoch);
    this.#syncNames(parentOf(path));
    this.#notice({ kind: 'replace', path }, 'after', epoch);
  }

  async remove(path: string): Promise<void> {
    await this.#begin({ kind: 'remove', path });
    this.#names.delete(path);
  }

  /** Directories are prefixes of names here: renaming one renames all below it, and what is durable there stays so. */
  async rename(from: string, to: string): Promise<void> {
    await this.#begin({ kind: 'rename', path: from });
    for (const names of [this.#names, this.#durableNames]) {
      for (const [path, inode] of Array.from(names)) {
        const isBelow = path.startsWith(`${from}/`);
        if (!isBelow && (path !== from || names === this.#durableNames)) continue;
        names.delete(path);
        names.set(to + path.slice(from.length), inode);
      }
    }
  }

  async syncDir(dir: string): Promise<void> {
    await this.#begin({ kind: 'sync-dir', path: dir });
    this.#syncNames(dir);
  }

  #syncNames(dir: string): void {
    for (const path of this.#durableNames.keys()) {
      if (parentOf(path) === dir && !this.#names.has(path)) this.#durableNames.delete(path);
    }
    for (const [path, inode] of this.#names) {
      if (parentOf(path) === dir) this.#durableNames.set(path, inode);
    }
  }

  space(): Promise<DiskSpace> {
    const freeBytes = Math.max(0, this.capacityBytes - this.usedBytes);
    return Promise.resolve({ freeBytes, totalBytes: this.capacityBytes });
  }

  /** The machine loses power: open files and operations under way fail, unsynced changes are up to chance. */
  crash(): void {
    this.#epoch++;
    const paths = new Set([...this.#durableNames.keys(), ...this.#names.keys()]);
    const survivors = new Map<string, Inode>();
    for (const path of [...paths].sort()) {
      const before = this.#durableNames.get(path);
      const after = this.#names.get(path);
      const inode = before === after || this.#random.float() < 0.5 ? before : after;
      if (inode !== undefined) survivors.set(path, inode);
    }
    for (const inode of new Set(survivors.values())) this.#settle(inode);
    this.#names = survivors;
    this.#durableNames = new Map(survivors);
  }

  /** Something was written and not synced. */
  get hasUnsynced(): boolean {
    for (const inode of this.#names.values()) if (inode.unsynced.length > 0) return true;
    return false;
  }

  /** Loses nothing that was written, as when only the process dies. */
  kill(): void {
    this.#epoch++;
  }

  /** Everything is gone, as on a new disk. */
  wipe(): void {
    this.#epoch++;
    this.#names.clear();
    this.#durableNames.clear();
  }

  flipBit(path: string, bit: number): void {
    const inode = this.#names.get(path);
    const at = Math.floor(bit / 8);
    if (inode === undefined || at >= inode.size) throw new RangeError('no such bit');
    inode.bytes[at] = (inode.bytes[at] as number) ^ (1 << (bit % 8));
  }

  /** A file's content as programs see it now. */
  peek(path: string): Buffer | undefined {
    const inode = this.#names.get(path);
    return inode === undefined ? undefined : Buffer.from(inode.content());
  }

  /** Sets a file's durable content; undefined removes it. */
  poke(path: string, content: Buffer | undefined): void {
    if (content === undefined) {
      this.#names.delete(path);
      this.#durableNames.delete(path);
      return;
    }
    const inode = new Inode();
    inode.put(0, content);
    this.#names.set(path, inode);
    this.#durableNames.set(path, inode);
  }

  paths(): string[] {
    return [...this.#names.keys()].sort();
  }

  /** Applies some of what was not synced, some of it torn. */
  #settle(inode: Inode): void {
    for (const write of inode.undo()) {
      const fate = this.#random.u32() % 4;
      if (fate === 0) continue;
      if (write.truncateTo !== undefined) {
        inode.resize(write.truncateTo);
        continue;
      }
      if (fate === 1) {
        const kept = this.#random.u32() % (write.bytes.length + 1);
        inode.put(write.position, write.bytes.subarray(0, kept));
        continue;
      }
      if (fate === 2) inode.put(write.position, this.#dropSectors(write));
      else inode.put(write.position, write.bytes);
    }
  }

  #dropSectors(write: UnsyncedWrite): Buffer {
    const out = Buffer.from(write.bytes);
    const end = write.position + out.length;
    const first = Math.ceil(write.position / sectorBytes) * sectorBytes;
    for (let sector = first; sector < end; sector += sectorBytes) {
      if (this.#random.u32() % 2 === 0) continue;
      out.fill(0, sector - write.position, Math.min(sector + sectorBytes, end) - write.position);
    }
    return out;
  }

  #handle(path: string, inode: Inode): DiskFile {
    const epoch = this.#epoch;
    let open = true;
    const begin = async (kind: DiskOperation['kind']): Promise<void> => {
      if (!open || epoch !== this.#epoch) throw new DiskError('EBADF', `${path} is not open`);
      await this.#begin({ kind, path }, epoch);
    };
    const write = async (position: number, chunks: readonly Buffer[]): Promise<void> => {
      await begin('write');
      const bytes = Buffer.concat(chunks);
      this.#reserve(path, position + bytes.length - inode.size);
      inode.write(position, bytes);
      this.#notice({ kind: 'write', path }, 'after', epoch);
    };
    const sync = async (): Promise<void> => {
      await begin('sync');
      inode.unsynced = [];
      this.#notice({ kind: 'sync', path }, 'after', epoch);
    };
    return {
      sizeBytes: async () => {
        await begin('read');
        return inode.size;
      },
      read: async (position, length) => {
        await begin('read');
        return Buffer.from(inode.content().subarray(position, position + length));
      },
      write,
      writeDurable: async (position, chunks) => {
        await write(position, chunks);
        await sync();
      },
      sync,
      truncate: async (size) => {
        await begin('truncate');
        inode.truncate(size);
      },
      close: () => {
        open = false;
        return Promise.resolve();
      },
    };
  }

  async #begin(operation: DiskOperation, epoch = this.#epoch): Promise<void> {
    await this.#delay(operation);
    this.#notice(operation, 'before', epoch);
    const fault = this.fault?.(operation);
    if (fault instanceof Error) throw fault;
    if (fault === undefined) return;
    await fault;
    if (epoch !== this.#epoch) throw new DiskError('EIO', `${operation.path}: the machine crashed`);
  }

  #notice(operation: DiskOperation, stage: 'before' | 'after', epoch: number): void {
    if (epoch === this.#epoch) this.watch?.(operation, stage);
    if (epoch !== this.#epoch) throw new DiskError('EIO', `${operation.path}: the machine crashed`);
  }

  #reserve(path: string, more: number): void {
    if (more > 0 && this.usedBytes + more > this.capacityBytes) {
      this.onFull?.(path);
      throw new DiskError('ENOSPC', 'no space left on device');
    }
  }

  get usedBytes(): number {
    let used = 0;
    for (const inode of new Set(this.#names.values())) used += inode.size;
    return used;
  }
}

function parentOf(path: string): string {
  return path.slice(0, Math.max(0, path.lastIndexOf('/')));
}
