/**
 * LevelEngine: the Engine over LevelDB.
 *
 *   apply ──> active overlay ──> frozen overlay ──(one unsynced batch)──> LevelDB
 *   reads:    newest first, through all three; pages of LevelDB are cached (see PageCache)
 *
 * Applied batches go into the active overlay, a sorted map in memory. When it is large enough it is
 * frozen and written to LevelDB as one batch in the background, while a new active overlay fills. One
 * frozen overlay is one LevelDB batch, so applied batches stay all or nothing; keys written often
 * (applied indexes, hot rows) cost one write per flush.
 *
 * LevelDB's own promises are not enough, so none is relied on: after any failed write it may lose later
 * acknowledged ones (trap L1), it does not verify what it reads (L4), it closes log files without fsync
 * and never syncs the directory (L5, L6). Hence: the first error poisons the store; every value
 * carries a checksum; `barrier` syncs LevelDB's files and directory itself.
 */
import { ClassicLevel } from 'classic-level';
import { type Disk, type DiskWatch, type Env } from '../util/index.ts';
import { ByteMap, type ByteMapView } from './byte-map.ts';
import { CachedScan, type ScanSpan } from './cached-scan.ts';
import {
  CorruptionError,
  StorePoisonedError,
  type Engine,
  type EngineIterator,
  type EngineSnapshot,
  type EngineWrite,
} from './engine.ts';
import { type ForeignFiles } from './foreign-files.ts';
import { SyncedFiles, isManifest, isTable } from './level-engine-synced.ts';
import { LevelPages } from './level-pages.ts';
import { MergeIterator, type LayerValue } from './merge-iterator.ts';
import { PageCache } from './page-cache.ts';
import { openSealed, sealValue } from './sealed-value.ts';

export interface LevelEngineOptions {
  /** The disk is only used to look at LevelDB's directory: LevelDB opens its files itself. */
  readonly env: Pick<Env, 'timers' | 'log'> & { readonly disk: Pick<Disk, 'list' | 'readFile'> };
  readonly directory: string;
  /** fsyncs an existing file or directory; a file that is gone by now is no error. */
  readonly syncPath: (path: string) => Promise<void>;
  /** Keeps and checks a list of what is durable (see SyncedFiles). Default: LevelDB's own word is taken for it. */
  readonly files?: ForeignFiles;
  /** Tables are verified at the start up to this size in sum. Default 1 GiB. */
  readonly verifyBytesMax?: number;
  /** Watches writes and fsyncs; without it a disk that does not answer is waited for for ever. */
  readonly watch?: DiskWatch;
  /** Called once, at the first error: the store must not go on. */
  readonly onPoison?: (error: Error) => void;
  /** The overlay is flushed when it reaches this size: small enough for the processor's caches. Default 1 MiB. */
  readonly flushBytes?: number;
  /** `waitForRoom` makes writers wait beyond this size. Default 64 MiB. */
  readonly overlayBytesMax?: number;
  /** LevelDB's block cache. Default 32 MiB. */
  readonly cacheBytes?: number;
  /** Cached pages of rows; 0 = none. Default 32 MiB. */
  readonly pageCacheBytes?: number;
  /** Size of such a page, roughly. Default 16 KiB. */
  readonly pageBytes?: number;
}

type Level = ClassicLevel<Buffer, Buffer>;
type Layer = ByteMapView<LayerValue>;
type LevelSnapshot = ReturnType<Level['snapshot']>;
interface IterateOptions {
  readonly start: Buffer;
  readonly end: Buffer;
  readonly reverse?: boolean;
}

/** Memory of an entry beside its bytes, roughly. */
const entryOverheadBytes = 64;
/** Rows asked for when a get missed: about a page of rows of usual size. */
const warmRows = 64;
const lastKey = Buffer.from([0xff]);
/** Operations put into a LevelDB batch before other work gets its turn. */
const flushSlice = 256;

export class LevelEngine implements Engine {
  readonly #options: LevelEngineOptions;
  readonly #db: Level;
  readonly #synced: SyncedFiles | undefined;
  readonly #cache: PageCache;
  /** Scans that must be pinned before LevelDB changes. */
  readonly #scans = new Set<CachedScan>();
  #levelReads = 0;
  readonly #flushBytes: number;
  readonly #overlayBytesMax: number;
  #active = new ByteMap<LayerValue>();
  #activeBytes = 0;
  #frozen: Layer | undefined;
  #frozenBytes = 0;
  #flushing: Promise<void> | undefined;
  /** The latest one that has begun, and the one that begins behind it. */
  #barrier: Promise<void> | undefined;
  #nextBarrier: Promise<void> | undefined;
  #room: { readonly promise: Promise<void>; readonly resolve: () => void } | undefined;
  #poison: Error | undefined;
  #closed = false;
  #openReaders = 0;
  /** A page is being read for a get that missed. */
  #isWarming = false;
  /** Closing of native readers under way. */
  readonly #closing = new Set<Promise<void>>();
  /** Table files never change once LevelDB has made them: synced by an earlier barrier. */
  #syncedTables = new Set<string>();

  private constructor(options: LevelEngineOptions, db: Level, synced: SyncedFiles | undefined) {
    this.#options = options;
    this.#db = db;
    this.#synced = synced;
    this.#cache = new PageCache({
      bytesMax: options.pageCacheBytes ?? 32 * 1024 * 1024,
      pageBytes: options.pageBytes,
    });
    this.#flushBytes = options.flushBytes ?? 1024 * 1024;
    this.#overlayBytesMax = options.overlayBytesMax ?? 64 * 1024 * 1024;
  }

  /** Throws CorruptionError when LevelDB had to drop anything, or cannot read its files. */
  static async open(options: LevelEngineOptions): Promise<LevelEngine> {
    const { files, directory, verifyBytesMax = 1024 * 1024 * 1024 } = options;
    const synced =
      files === undefined ? undefined : await SyncedFiles.check(files, directory, verifyBytesMax);
    const db: Level = new ClassicLevel(directory, {
      keyEncoding: 'buffer',
      valueEncoding: 'buffer',
      cacheSize: options.cacheBytes ?? 32 * 1024 * 1024,
      writeBufferSize: 16 * 1024 * 1024,
      maxFileSize: 8 * 1024 * 1024,
    });
    try {
      await db.open();
    } catch (error) {
      throw explainOpen(directory, error);
    }
    const engine = new LevelEngine(options, db, synced);
    try {
      await refuseDroppedData(options);
      // LevelDB has made a manifest and a log file, and synced neither them nor the directory.
      await engine.#syncFiles();
    } catch (error) {
      await db.close();
      throw error;
    }
    return engine;
  }

  /** Iterators and snapshots that were not closed: 0 in a test that ends well (trap L12). */
  get openReaders(): number {
    return this.#openReaders;
  }

  /** Bytes that are applied and not yet in LevelDB. */
  get overlayBytes(): number {
    return this.#activeBytes + this.#frozenBytes;
  }

  /** Gets and native iterators that entered LevelDB so far, and what the page cache holds. */
  get cacheStats(): {
    readonly levelReads: number;
    readonly pages: number;
    readonly bytes: number;
  } {
    return { levelReads: this.#levelReads, pages: this.#cache.pages, bytes: this.#cache.bytes };
  }

  get(key: Buffer): Buffer | undefined {
    this.#check();
    let found = this.#active.get(key);
    if (found === undefined && this.#frozen !== undefined) found = this.#frozen.get(key);
    if (found === undefined) found = this.#cache.get(key);
    if (found !== undefined) return found ?? undefined;
    this.#warmUp(key);
    return this.#getStored(key, undefined);
  }

  async #fill(scan: CachedScan): Promise<void> {
    try {
      await scan.next(warmRows);
    } finally {
      this.#isWarming = false;
      this.#scans.delete(scan);
      await scan.close();
    }
  }

  /**
   * Gets find pages too: while the cache has room, the page that begins at a missed key is read in the
   * background, one at a time. A full cache is left to the scans, or gets of much data would empty it.
   */
  #warmUp(key: Buffer): void {
    if (this.#isWarming || this.#cache.bytes >= this.#cache.warmBytesMax) return;
    this.#isWarming = true;
    const span = { start: key, end: lastKey, reverse: false };
    const scan = new CachedScan(this.#cache, span, this.#openLevel);
    this.#scans.add(scan);
    this.#closeLater(this.#fill(scan));
  }

  iterate(options: IterateOptions): EngineIterator {
    this.#check();
    return this.#iterateLayers(this.#layers(), undefined, options);
  }

  apply(writes: readonly EngineWrite[]): void {
    this.#check();
    for (const { key, value } of writes) {
      const previous = this.#active.set(key, value ?? null);
      if (previous === undefined) this.#activeBytes += entryOverheadBytes + key.length;
      else this.#activeBytes -= previous?.length ?? 0;
      this.#activeBytes += value?.length ?? 0;
    }
    if (this.#activeBytes >= this.#flushBytes && this.#flushing === undefined) this.#startFlush();
  }

  waitForRoom(): Promise<void> | undefined {
    this.#check();
    if (this.overlayBytes < this.#overlayBytesMax) return undefined;
    if (this.#room === undefined) {
      let resolve = (): void => {};
      const promise = new Promise<void>((done) => {
        resolve = done;
      });
      this.#room = { promise, resolve };
    }
    return this.#room.promise;
  }

  async clear(start: Buffer, end: Buffer): Promise<void> {
    this.#check();
    if (start.compare(end) >= 0) return;
    // Only while nothing of the span waits in the overlay: it would come back with the next flush.
    await this.#flushAll();
    await this.#guard(async () => {
      this.#beginChange();
      this.#cache.drop(start, end);
      await this.#db.clear({ gte: start, lt: end });
      this.#cache.endChange();
    });
  }

  snapshot(): EngineSnapshot {
    this.#check();
    const layers = this.#layers();
    const level = this.#db.snapshot();
    let open = true;
    this.#openReaders++;
    return {
      get: (key) => {
        this.#check();
        for (const layer of layers) {
          const found = layer.get(key);
          if (found !== undefined) return found ?? undefined;
        }
        return this.#getStored(key, level);
      },
      iterate: (options) => {
        this.#check();
        return this.#iterateLayers(layers, level, options);
      },
      close: () => {
        if (!open) return;
        open = false;
        this.#openReaders--;
        this.#closeLater(level.close());
      },
    };
  }

  async barrier(): Promise<void> {
    this.#check();
    this.#nextBarrier ??= this.#barrierBehind(this.#barrier);
    return this.#nextBarrier;
  }

  /** One after the other, because they keep one list of what is synced; those that wait for their turn share it. */
  async #barrierBehind(running: Promise<void> | undefined): Promise<void> {
    // Its failure is told to those who wait for it, and poisons what follows here.
    await running?.catch(() => undefined);
    this.#barrier = this.#nextBarrier;
    this.#nextBarrier = undefined;
    await this.#flushAll();
    await this.#guard(() => this.#syncFiles());
  }

  async sizeBytes(): Promise<number> {
    this.#check();
    const stored = await this.#guard(() =>
      this.#db.approximateSize(Buffer.from([0x00]), Buffer.from([0xff])),
    );
    return stored + this.overlayBytes;
  }

  /** Flushes the overlay, without making it durable. Readers that are still open are closed. */
  async close(): Promise<void> {
    if (this.#closed) return;
    if (this.#poison === undefined) {
      try {
        await this.#flushAll();
      } catch (error) {
        this.#options.env.log.error({ err: error }, 'the state engine failed while closing');
      }
    }
    this.#closed = true;
    await this.#flushing;
    await Promise.all(this.#closing);
    await this.#db.close();
  }

  #layers(): Layer[] {
    const layers: Layer[] = [];
    if (this.#active.size > 0) layers.push(this.#active.freeze());
    if (this.#frozen !== undefined) layers.push(this.#frozen);
    return layers;
  }

  #iterateLayers(
    layers: readonly Layer[],
    level: LevelSnapshot | undefined,
    options: IterateOptions,
  ): EngineIterator {
    const span = { start: options.start, end: options.end, reverse: options.reverse === true };
    let scan: CachedScan | undefined;
    if (level === undefined) {
      scan = new CachedScan(this.#cache, span, this.#openLevel);
      this.#scans.add(scan);
    }
    const base = scan ?? this.#levelPages(span, level);
    const cursors = layers.map((layer) => layer.cursor(options));
    const merged = new MergeIterator({ cursors, base, reverse: span.reverse, turn: this.#turn });
    let open = true;
    this.#openReaders++;
    return {
      next: (max) => {
        this.#check();
        return merged.next(max);
      },
      close: async () => {
        if (!open) return;
        open = false;
        this.#openReaders--;
        if (scan !== undefined) this.#scans.delete(scan);
        await merged.close();
      },
    };
  }

  readonly #openLevel = (span: ScanSpan): LevelPages => this.#levelPages(span, undefined);

  /** Without a snapshot the view is that of the call. */
  #levelPages(span: ScanSpan, level: LevelSnapshot | undefined): LevelPages {
    this.#levelReads++;
    const stored = this.#db.iterator({
      gte: span.start,
      lt: span.end,
      reverse: span.reverse,
      ...(level === undefined ? {} : { snapshot: level }),
      fillCache: true,
      highWaterMarkBytes: 256 * 1024,
    });
    return new LevelPages(stored, (error) => this.#failed(error));
  }

  #beginChange(): void {
    for (const scan of this.#scans) scan.pin();
    this.#scans.clear();
    this.#cache.beginChange();
  }

  #getStored(key: Buffer, level: LevelSnapshot | undefined): Buffer | undefined {
    this.#levelReads++;
    try {
      const stored =
        level === undefined ? this.#db.getSync(key) : this.#db.getSync(key, { snapshot: level });
      return stored === undefined ? undefined : openSealed(key, stored);
    } catch (error) {
      throw this.#failed(error);
    }
  }

  #startFlush(): void {
    this.#flushing = this.#flushOnce();
  }

  /** Writes what is applied now to LevelDB, and whatever piles up meanwhile if it is much. */
  async #flushOnce(): Promise<void> {
    try {
      do await this.#flushActive();
      while (this.#activeBytes >= this.#flushBytes && this.#poison === undefined);
    } catch (error) {
      this.#failed(error);
    }
    this.#flushing = undefined;
  }

  async #flushActive(): Promise<void> {
    if (this.#active.size === 0) return;
    const { directory } = this.#options;
    const frozen = this.#active.freeze();
    this.#frozen = frozen;
    this.#frozenBytes = this.#activeBytes;
    this.#active = new ByteMap<LayerValue>();
    this.#activeBytes = 0;
    const batch = this.#db.batch();
    let count = 0;
    for (const cursor = frozen.cursor(); cursor.key !== undefined; cursor.next()) {
      const { value } = cursor;
      if (value === null || value === undefined) batch.del(cursor.key);
      else batch.put(cursor.key, sealValue(cursor.key, value));
      if (++count % flushSlice === 0) await this.#turn();
    }
    this.#beginChange();
    await this.#watched('write', directory, () => batch.write({ sync: false }));
    for (const cursor = frozen.cursor(); this.#cache.update(cursor);) await this.#turn();
    this.#cache.endChange();
    // Until now it hid what differed between the cached pages and LevelDB.
    this.#frozen = undefined;
    this.#frozenBytes = 0;
    if (this.overlayBytes < this.#overlayBytesMax) {
      this.#room?.resolve();
      this.#room = undefined;
    }
  }

  /** Resolves when everything applied before the call is in LevelDB. */
  async #flushAll(): Promise<void> {
    // The flush under way may have begun before the last apply.
    for (let i = 0; i < 2 && (this.#active.size > 0 || this.#flushing !== undefined); i++) {
      if (this.#flushing === undefined) this.#startFlush();
      await this.#flushing;
      this.#check();
    }
  }

  readonly #turn = (): Promise<void> =>
    new Promise((resolve) => this.#options.env.timers.immediate(resolve));

  /** Makes durable what LevelDB has written: its log files, new tables, the manifest and all names. */
  async #syncFiles(): Promise<void> {
    const { env, directory, syncPath } = this.#options;
    const names = await env.disk.list(directory);
    const tables = new Set<string>();
    await this.#synced?.begin(names);
    for (const name of names) {
      if (isTable(name)) {
        tables.add(name);
        const grown = await this.#synced?.read(name);
        if (grown !== true && this.#syncedTables.has(name)) continue;
      } else if (name.endsWith('.log') || isManifest(name)) {
        await this.#synced?.read(name);
      } else if (name !== 'CURRENT') {
        continue;
      }
      const path = `${directory}/${name}`;
      await this.#watched('fsync', path, () => syncPath(path));
    }
    await this.#watched('fsync', directory, () => syncPath(directory));
    this.#syncedTables = tables;
    await this.#synced?.write(new Set(names));
  }

  #watched<T>(verb: string, path: string, operation: () => Promise<T>): Promise<T> {
    const { watch } = this.#options;
    return watch === undefined ? operation() : watch.run(`${verb} ${path}`, operation);
  }

  async #guard<T>(work: () => Promise<T>): Promise<T> {
    try {
      return await work();
    } catch (error) {
      throw this.#failed(error);
    }
  }

  /** Poisons the store, whatever failed, and returns the error to throw. */
  #failed(error: unknown): Error {
    const cause = levelError(error);
    const known = cause instanceof CorruptionError || cause instanceof StorePoisonedError;
    const shown = known
      ? cause
      : new StorePoisonedError(`the state engine failed: ${cause.message}`, { cause });
    if (this.#poison === undefined) {
      this.#poison = new StorePoisonedError(`the state engine failed: ${cause.message}`, { cause });
      this.#room?.resolve();
      this.#options.env.log.error({ err: cause }, 'the state engine failed');
      this.#options.onPoison?.(shown);
    }
    return shown;
  }

  #closeLater(closing: Promise<void>): void {
    const done = closing
      .catch((error: unknown) => {
        this.#failed(error);
      })
      .then(() => {
        this.#closing.delete(done);
      });
    this.#closing.add(done);
  }

  #check(): void {
    if (this.#poison !== undefined) throw this.#poison;
    if (this.#closed) throw new StorePoisonedError('the engine is closed');
  }
}

/** LevelDB hands over the operating system's error as text alone (`strerror`): gives a full disk its code back. */
function levelError(error: unknown): Error {
  if (!(error instanceof Error)) return new Error(String(error));
  const isFull =
    error.message.startsWith('IO error') &&
    /No space left on device|Disk quota exceeded/.test(error.message);
  return isFull
    ? Object.assign(new Error(error.message, { cause: error }), { code: 'ENOSPC' })
    : error;
}

/** LevelDB says 'Corruption: ...' when its manifest, CURRENT or a table it needs cannot be read. */
function explainOpen(directory: string, error: unknown): unknown {
  const cause = error instanceof Error && error.cause instanceof Error ? error.cause : undefined;
  const code = cause !== undefined && 'code' in cause ? cause.code : undefined;
  if (cause === undefined || code === 'LEVEL_LOCKED') return error;
  if (cause.message.startsWith('IO error') && !cause.message.includes('No such file')) {
    return new StorePoisonedError(`LevelDB cannot open ${directory}: ${cause.message}`, {
      cause: levelError(cause),
    });
  }
  return new CorruptionError(`LevelDB cannot open ${directory}: ${cause.message}`, { cause });
}

/** LevelDB skips damaged parts of its logs without an error and says so only in its LOG file (trap L3). */
async function refuseDroppedData(options: LevelEngineOptions): Promise<void> {
  const text = await options.env.disk.readFile(`${options.directory}/LOG`);
  if (text === undefined) return;
  const line = text
    .toString('utf8')
    .split('\n')
    .find((candidate) => /dropping|ignoring error|corruption/i.test(candidate));
  if (line === undefined) return;
  throw new CorruptionError(`LevelDB lost data in ${options.directory}: ${line}`);
}
