/**
 * MemoryEngine: the Engine for tests and simulation, with the crash behaviour of the real one. What was
 * applied before the last barrier survives a crash; of the later batches any subset may, each whole
 * (trap L5).
 */
import { type Random } from '../util/index.ts';
import { ByteMap, type ByteMapView } from './byte-map.ts';
import {
  StorePoisonedError,
  type Engine,
  type EngineIterator,
  type EngineSnapshot,
  type EngineWrite,
} from './engine.ts';
import { MergeIterator, type LayerValue } from './merge-iterator.ts';

export interface MemoryEngineOptions {
  /** Awaited by every barrier before it takes effect: simulated disk time; may throw a disk error. */
  readonly barrierDelay?: (() => Promise<void>) | undefined;
  readonly onPoison?: ((error: Error) => void) | undefined;
}

type Unsynced =
  | { readonly kind: 'writes'; readonly writes: readonly EngineWrite[] }
  | { readonly kind: 'clear'; readonly start: Buffer; readonly end: Buffer };

const freezeEmpty = (): ByteMapView<LayerValue> => new ByteMap<LayerValue>().freeze();

export class MemoryEngine implements Engine {
  readonly #options: MemoryEngineOptions;
  #map: ByteMap<LayerValue>;
  #durable: ByteMapView<LayerValue>;
  /** Everything since `#durable`, oldest first. */
  #unsynced: Unsynced[] = [];
  #bytes = 0;
  #openReaders = 0;
  #poison: Error | undefined;

  constructor(options: MemoryEngineOptions = {}, from = freezeEmpty()) {
    this.#options = options;
    this.#map = new ByteMap(from);
    this.#durable = from;
    for (const cursor = from.cursor(); cursor.key !== undefined; cursor.next()) {
      this.#bytes += cursor.key.length + (cursor.value?.length ?? 0);
    }
  }

  /** Iterators and snapshots that were not closed: 0 in a test that ends well (trap L12). */
  get openReaders(): number {
    return this.#openReaders;
  }

  get(key: Buffer): Buffer | undefined {
    this.#check();
    return this.#map.get(key) ?? undefined;
  }

  iterate(options: { start: Buffer; end: Buffer; reverse?: boolean }): EngineIterator {
    this.#check();
    return this.#iterateView(this.#map.freeze(), options);
  }

  apply(writes: readonly EngineWrite[]): void {
    this.#check();
    this.#unsynced.push({ kind: 'writes', writes });
    for (const write of writes) this.#write(write.key, write.value);
  }

  waitForRoom(): undefined {
    this.#check();
    return undefined;
  }

  async clear(start: Buffer, end: Buffer): Promise<void> {
    this.#check();
    await Promise.resolve();
    this.#check();
    this.#unsynced.push({ kind: 'clear', start, end });
    this.#clear(start, end);
  }

  snapshot(): EngineSnapshot {
    this.#check();
    const view = this.#map.freeze();
    let open = true;
    this.#openReaders++;
    return {
      get: (key) => {
        this.#check();
        return view.get(key) ?? undefined;
      },
      iterate: (options) => {
        this.#check();
        return this.#iterateView(view, options);
      },
      close: () => {
        if (open) this.#openReaders--;
        open = false;
      },
    };
  }

  async barrier(): Promise<void> {
    this.#check();
    const view = this.#map.freeze();
    const last = this.#unsynced.at(-1);
    try {
      await (this.#options.barrierDelay?.() ?? Promise.resolve());
    } catch (error) {
      this.poison(error instanceof Error ? error : new Error(String(error)));
    }
    this.#check();
    // Another barrier may have made more than this one durable in the meantime.
    const count = last === undefined ? 0 : this.#unsynced.indexOf(last) + 1;
    if (count === 0) return;
    this.#durable = view;
    this.#unsynced.splice(0, count);
  }

  sizeBytes(): Promise<number> {
    return Promise.resolve(this.#bytes);
  }

  close(): Promise<void> {
    this.#poison ??= new StorePoisonedError('the engine is closed');
    return Promise.resolve();
  }

  /** As after a write error: every later call fails. */
  poison(cause: Error): void {
    if (this.#poison !== undefined) return;
    this.#poison = new StorePoisonedError(`the store failed: ${cause.message}`, { cause });
    this.#options.onPoison?.(this.#poison);
  }

  /**
   * Ends this engine as a crash would and returns what a restart finds: everything up to the last barrier
   * and a random subset of the later batches. Without `random` nothing later survives.
   */
  crash(random: Random | undefined): MemoryEngine {
    const map = new ByteMap(this.#durable);
    const survivor = new MemoryEngine(this.#options);
    const odds = random === undefined ? 0 : ([0, 0.5, 0.9, 1][random.u32() % 4] ?? 0);
    survivor.#map = map;
    for (const batch of this.#unsynced) {
      if (random === undefined || random.float() >= odds) continue;
      if (batch.kind === 'clear') survivor.#clear(batch.start, batch.end, random);
      else for (const write of batch.writes) survivor.#write(write.key, write.value);
    }
    this.#poison ??= new StorePoisonedError('the machine crashed');
    // What survived the crash is on the disk.
    return new MemoryEngine(this.#options, map.freeze());
  }

  #write(key: Buffer, value: Buffer | undefined): void {
    const previous = value === undefined ? this.#map.delete(key) : this.#map.set(key, value);
    if (previous !== undefined) this.#bytes -= key.length + (previous?.length ?? 0);
    if (value !== undefined) this.#bytes += key.length + value.length;
  }

  /** `random`: a clear that was under way in a crash, and got through with only some of the keys. */
  #clear(start: Buffer, end: Buffer, random?: Random): void {
    const cursor = this.#map.freeze().cursor({ start, end });
    const odds = random === undefined || random.float() < 0.5 ? 1 : 0.5;
    for (; cursor.key !== undefined; cursor.next()) {
      if (odds < 1 && random !== undefined && random.float() >= odds) continue;
      this.#write(cursor.key, undefined);
    }
  }

  #iterateView(
    view: ByteMapView<LayerValue>,
    options: { start: Buffer; end: Buffer; reverse?: boolean },
  ): EngineIterator {
    const iterator = new MergeIterator({
      cursors: [view.cursor(options)],
      base: undefined,
      reverse: options.reverse === true,
    });
    let open = true;
    this.#openReaders++;
    return {
      next: (max) => {
        this.#check();
        return iterator.next(max);
      },
      close: () => {
        if (open) this.#openReaders--;
        open = false;
        return iterator.close();
      },
    };
  }

  #check(): void {
    // A fresh error each time: its stack tells who came too late.
    if (this.#poison !== undefined) {
      throw new StorePoisonedError(this.#poison.message, { cause: this.#poison });
    }
  }
}
