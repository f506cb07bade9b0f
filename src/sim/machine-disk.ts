/**
 * A disk of a machine: files that take time, and whatever is wrong with them at present. It outlives the
 * processes that use it. The store's folder is all that lies on it; the engine's barrier counts as a sync of `engine` in it.
 */
import { DiskError, MemoryDisk, type DiskOperation } from './memory-disk.ts';
import { type SeededRandom } from './random.ts';
import { type World } from './world.ts';

/** What a path of a store belongs to. */
export type DiskArea = 'log' | 'clock' | 'engine' | 'snapshot' | 'identity';

function areaOf(path: string): DiskArea {
  const name = path.slice(path.indexOf('/') + 1);
  if (name.startsWith('raft')) return 'log';
  if (name.startsWith('engine')) return 'engine';
  if (name.startsWith('snapshot-') || name.startsWith('install-')) return 'snapshot';
  return name === 'CLOCK' ? 'clock' : 'identity';
}

/** A moment in the life of a store: just before or after it writes, syncs or replaces something. */
export interface DiskMoment {
  readonly area: DiskArea;
  readonly operation: 'write' | 'sync' | 'replace' | 'remove';
  readonly stage: 'before' | 'after';
  /** The how manyth of these, from 1. */
  readonly nth: number;
}

/** Something that is wrong for a while; a node that ends itself for it stays down for `downMs`. */
export interface Trouble {
  readonly durationMs: number;
  readonly downMs: number;
}

/** Nodes notice an operation that hung or failed not at once. */
const noticeMs = 20_000;

export interface MachineDiskParts {
  readonly world: World;
  readonly random: SeededRandom;
  /** The folder of the store on it. */
  readonly path: string;
  readonly diskMs: { readonly min: number; readonly max: number };
  /** Runs `done` in the process that asked. */
  readonly tell: (done: () => void) => void;
  /** The log, the engine or the clock's bound could not be written: the node has to end itself. */
  readonly onFailure: () => void;
}

export class MachineDisk {
  readonly files: MemoryDisk;
  readonly #parts: MachineDiskParts;
  readonly #timeRandom: SeededRandom;
  #slow = { factor: 1, untilMs: 0 };
  #stalledUntilMs = 0;
  #failing: { readonly sticky: boolean } | undefined;
  #troubledUntilMs = 0;
  #downMs = 500;
  /** Some file holds something else than was written. */
  isDamaged = false;
  #trap: { readonly moment: DiskMoment; left: number; readonly spring: () => void } | undefined;

  constructor(parts: MachineDiskParts) {
    this.#parts = parts;
    this.#timeRandom = parts.random.fork();
    this.files = new MemoryDisk({
      random: parts.random.fork(),
      delay: (operation) => this.#delay(operation),
    });
    this.files.fault = (operation) => this.#fault(operation);
    this.files.watch = (operation, stage) => this.#watch(operation, stage);
    this.files.onFull = (path) => this.#failed(path);
  }

  /** The node may end itself, or refuse to start, because of what is wrong here or was until just now. */
  get isTroubled(): boolean {
    return this.isDamaged || this.#parts.world.nowMs < this.#troubledUntilMs;
  }

  /** For how long a node that ended itself for this disk stays down. */
  get downMs(): number {
    return this.#downMs;
  }

  /** Every operation takes so many times as long, for some time. */
  slowDown(factor: number, trouble: Trouble): void {
    this.#slow = { factor, untilMs: this.#parts.world.nowMs + trouble.durationMs };
    this.#note(trouble);
  }

  /** Operations that begin within that time end after it. */
  stall(trouble: Trouble): void {
    this.#stalledUntilMs = this.#parts.world.nowMs + trouble.durationMs;
    this.#note(trouble);
  }

  /** No room but for so many more bytes, for some time. */
  fill(roomBytes: number, trouble: Trouble): void {
    const capacityBytes = this.files.usedBytes + roomBytes;
    this.files.capacityBytes = capacityBytes;
    this.#note(trouble);
    this.#parts.world.after(trouble.durationMs, () => {
      if (this.files.capacityBytes === capacityBytes) this.#empty();
    });
  }

  /** The next write or sync of the log, the engine or the clock's bound fails; sticky: all of this process do. */
  failWrites(sticky: boolean, downMs: number): void {
    this.#failing = { sticky };
    this.#downMs = downMs;
  }

  /** The next process finds a disk that works. */
  processEnded(): void {
    this.#failing = undefined;
  }

  /** Calls `spring` once at that moment. */
  trap(moment: DiskMoment, spring: () => void): void {
    this.#trap = { moment, left: moment.nth, spring };
  }

  /** Nothing is wrong any more; what failed stays failed, what is damaged damaged. */
  heal(): void {
    this.#slow = { factor: 1, untilMs: 0 };
    this.#stalledUntilMs = 0;
    this.#failing = undefined;
    this.#trap = undefined;
    this.#empty();
  }

  #empty(): void {
    this.files.capacityBytes = Number.MAX_SAFE_INTEGER;
  }

  #note({ durationMs, downMs }: Trouble): void {
    const untilMs = this.#parts.world.nowMs + durationMs + noticeMs;
    this.#troubledUntilMs = Math.max(this.#troubledUntilMs, untilMs);
    this.#downMs = downMs;
  }

  /** The engine makes its state durable. */
  async engineSync(): Promise<void> {
    const operation = { kind: 'sync', path: `${this.#parts.path}/engine` } as const;
    await this.#delay(operation);
    this.#watch(operation, 'before');
    const error = this.#fault(operation);
    if (error !== undefined) throw error;
  }

  async #delay({ kind }: DiskOperation): Promise<void> {
    if (kind === 'read' || kind === 'list') return;
    const { world, diskMs } = this.#parts;
    const factor = world.nowMs < this.#slow.untilMs ? this.#slow.factor : 1;
    const ms = (diskMs.min + this.#timeRandom.float() * (diskMs.max - diskMs.min)) * factor;
    const atMs = Math.max(world.nowMs + ms, this.#stalledUntilMs);
    await new Promise<void>((resolve) => {
      world.at(atMs, () => this.#parts.tell(resolve));
    });
  }

  #fault(operation: DiskOperation): Error | undefined {
    if (this.#failing === undefined || !changes(operation)) return undefined;
    const { sticky } = this.#failing;
    if (!sticky && !isVital(operation.path)) return undefined;
    if (!sticky) this.#failing = undefined;
    this.#failed(operation.path);
    return new DiskError('EIO', `${operation.kind} ${operation.path}`);
  }

  #failed(path: string): void {
    this.#note({ durationMs: 0, downMs: this.#downMs });
    if (isVital(path)) this.#parts.onFailure();
  }

  #watch(operation: DiskOperation, stage: 'before' | 'after'): void {
    const trap = this.#trap;
    if (trap === undefined || stage !== trap.moment.stage) return;
    if (operation.kind !== trap.moment.operation) return;
    if (areaOf(operation.path) !== trap.moment.area || --trap.left > 0) return;
    this.#trap = undefined;
    trap.spring();
  }
}

/** A snapshot that cannot be written may be given up, and the store go on. */
function isVital(path: string): boolean {
  const area = areaOf(path);
  return area === 'log' || area === 'engine' || area === 'clock';
}

function changes({ kind }: DiskOperation): boolean {
  return (
    kind === 'write' ||
    kind === 'replace' ||
    kind === 'sync' ||
    kind === 'sync-dir' ||
    kind === 'truncate'
  );
}
