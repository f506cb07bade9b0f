/**
 * Drives a LevelEngine with a page cache so small that pages are filled, rewritten, split and evicted all the
 * time, and compares every answer with a plain sorted model as it was when the reader was made.
 */
import assert from 'node:assert/strict';
import {
  type EngineIterator,
  type EngineReader,
  type EngineWrite,
} from '../../src/storage/index.ts';
import { bytes, write } from './engine-compliance.ts';
import { openLevel, temporaryDirectory } from './level.ts';
import { SeededRandom } from '../random.ts';

type ModelRow = readonly [key: string, value: string];

/** A sorted map; `rows()` is a list that never changes. */
class Model {
  readonly #values = new Map<string, string>();
  #rows: readonly ModelRow[] | undefined;

  write(key: string, value: string | undefined): void {
    if (value === undefined) this.#values.delete(key);
    else this.#values.set(key, value);
    this.#rows = undefined;
  }

  clear(start: string, end: string): void {
    for (const key of this.#values.keys()) if (key >= start && key < end) this.#values.delete(key);
    this.#rows = undefined;
  }

  rows(): readonly ModelRow[] {
    this.#rows ??= [...this.#values].sort(([a], [b]) => (a < b ? -1 : 1));
    return this.#rows;
  }
}

interface OpenScan {
  readonly name: string;
  readonly reader: EngineReader;
  readonly iterator: EngineIterator;
  readonly expected: readonly ModelRow[];
  at: number;
}

interface OpenSnapshot {
  readonly reader: EngineReader & { close(): void };
  readonly rows: readonly ModelRow[];
}

/** What the run has seen, to show that it reached what it is for. */
export interface DriveReport {
  checked: number;
  pagesMost: number;
  levelReads: number;
}

export async function drivePageCache(seed: number, steps: number): Promise<DriveReport> {
  const drive = new Drive(seed);
  return drive.run(steps);
}

class Drive {
  readonly #seed: number;
  readonly #random: SeededRandom;
  readonly #model = new Model();
  readonly #keys: string[];
  readonly #report: DriveReport = { checked: 0, pagesMost: 0, levelReads: 0 };
  #scans: OpenScan[] = [];
  #snapshots: OpenSnapshot[] = [];
  #step = 0;

  constructor(seed: number) {
    this.#seed = seed;
    this.#random = new SeededRandom(seed);
    const count = 30 + this.#random.below(400);
    // Of several lengths, many the very next of another.
    this.#keys = Array.from({ length: count }, (_, i) =>
      `key${String(i >> 2).padStart(3, '0')}`.concat('\0'.repeat(i % 4)),
    ).sort();
  }

  async run(steps: number): Promise<DriveReport> {
    const random = this.#random;
    const pick = <T>(choices: readonly T[]): T => choices[random.below(choices.length)] as T;
    const directory = temporaryDirectory();
    const options = {
      flushBytes: pick([1, 700, 5000, 20_000]),
      pageCacheBytes: pick([3000, 30_000, 200_000]),
      pageBytes: pick([60, 200, 1000]),
    };
    const engine = await openLevel(directory.path, options);
    const reads = random.below(70);
    for (this.#step = 0; this.#step < steps; this.#step++) {
      const choice = random.below(100);
      if (choice < reads * 0.5) this.#get(engine, this.#model.rows(), '');
      else if (choice < reads) this.#open(engine, this.#model.rows(), 'scan');
      else if (choice < 76) this.#apply(engine, () => true);
      else if (choice < 92) await this.#advance();
      else if (choice < 94) await this.#clear(engine);
      else if (choice < 95)
        this.#snapshots.push({ reader: engine.snapshot(), rows: this.#model.rows() });
      else if (choice < 97) this.#readSnapshot();
      else if (choice < 98) await this.#closeSnapshot();
      else if (choice < 99) await engine.barrier();
      else await new Promise((resolve) => setImmediate(resolve));
      while (this.#scans.length > 6) await this.#advance();
      this.#report.pagesMost = Math.max(this.#report.pagesMost, engine.cacheStats.pages);
      assert.ok(
        engine.cacheStats.bytes <= options.pageCacheBytes,
        this.#name('the cache is too large'),
      );
    }
    while (this.#snapshots.length > 0) await this.#closeSnapshot();
    this.#open(engine, this.#model.rows(), 'the end');
    while (this.#scans.length > 0) await this.#advance();
    assert.equal(engine.openReaders, 0, this.#name('open readers'));
    this.#report.levelReads = engine.cacheStats.levelReads;
    await engine.close();
    directory.remove();
    return this.#report;
  }

  #name(what: string): string {
    return `${what} (seed ${this.#seed}, step ${this.#step})`;
  }

  #key(): string {
    const key = this.#keys[this.#random.below(this.#keys.length)] ?? '';
    return this.#random.below(8) === 0 ? `${key}\x01` : key;
  }

  /** Two keys in order, mostly near to each other. */
  #span(): [start: string, end: string] {
    const random = this.#random;
    if (random.below(12) === 0) return ['', '\xff'];
    const from = random.below(this.#keys.length);
    const length = random.below(random.below(3) === 0 ? this.#keys.length : 20);
    const start = this.#keys[from] ?? '';
    return [start, this.#keys[from + length] ?? '\xff'];
  }

  #apply(
    engine: { apply(writes: readonly EngineWrite[]): void },
    allowed: (key: string) => boolean,
  ): void {
    const random = this.#random;
    const writes: EngineWrite[] = [];
    const many = random.below(10) === 0;
    for (let i = random.below(many ? 200 : 8); i >= 0; i--) {
      const key = this.#key();
      if (!allowed(key)) continue;
      const size = random.below(30) === 0 ? 500 : random.below(20);
      const value = random.below(4) === 0 ? undefined : `${this.#step}${'v'.repeat(size)}`;
      writes.push(write(key, value));
      this.#model.write(key, value);
    }
    engine.apply(writes);
  }

  #get(reader: EngineReader, rows: readonly ModelRow[], what: string): void {
    const key = this.#key();
    const expected = rows.find(([candidate]) => candidate === key)?.[1];
    const got = reader.get(bytes(key))?.toString('latin1');
    assert.equal(got, expected, this.#name(`get ${what}${JSON.stringify(key)}`));
    this.#report.checked++;
  }

  #open(reader: EngineReader, rows: readonly ModelRow[], what: string): void {
    const [start, end] = this.#span();
    const reverse = this.#random.below(3) === 0;
    const expected = rows.filter(([key]) => key >= start && key < end);
    if (reverse) expected.reverse();
    const iterator = reader.iterate({ start: bytes(start), end: bytes(end), reverse });
    const arrow = reverse ? '<-' : '->';
    const name = this.#name(`${what} ${JSON.stringify(start)} ${arrow} ${JSON.stringify(end)}`);
    this.#scans.push({ name, reader, iterator, expected, at: 0 });
  }

  /** Reads on in one of the open scans, and closes it at its end or before. */
  async #advance(): Promise<void> {
    const index = this.#random.below(Math.max(1, this.#scans.length));
    const scan = this.#scans[index];
    if (scan === undefined) return;
    const max = 1 + this.#random.below(this.#random.below(3) === 0 ? 200 : 12);
    const page = await scan.iterator.next(max);
    const got = page.map(([key, value]) => [key.toString('latin1'), value.toString('latin1')]);
    const expected = scan.expected.slice(scan.at, scan.at + max);
    assert.deepEqual(got, expected, `${scan.name}, read on at step ${this.#step}`);
    this.#report.checked += got.length;
    scan.at += got.length;
    if (got.length > 0 && this.#random.below(6) > 0) return;
    this.#scans.splice(index, 1);
    await scan.iterator.close();
  }

  /** Clears a span, while scans go on and writes come to other keys. */
  async #clear(
    engine: EngineReader & {
      apply(writes: readonly EngineWrite[]): void;
      clear(start: Buffer, end: Buffer): Promise<void>;
    },
  ): Promise<void> {
    const [start, end] = this.#span();
    if (start === '' && this.#random.below(4) > 0) return;
    const clearing = engine.clear(bytes(start), bytes(end));
    for (let i = this.#random.below(4); i > 0; i--) {
      if (this.#random.below(2) === 0) this.#apply(engine, (key) => key < start || key >= end);
      else await this.#advance();
    }
    await clearing;
    this.#model.clear(start, end);
  }

  #readSnapshot(): void {
    const snapshot = this.#snapshots[this.#random.below(Math.max(1, this.#snapshots.length))];
    if (snapshot === undefined) return;
    if (this.#random.below(2) === 0) this.#get(snapshot.reader, snapshot.rows, 'of a snapshot ');
    else this.#open(snapshot.reader, snapshot.rows, 'snapshot');
  }

  /** Its scans go before it. */
  async #closeSnapshot(): Promise<void> {
    const index = this.#random.below(Math.max(1, this.#snapshots.length));
    const [snapshot] = this.#snapshots.splice(index, 1);
    if (snapshot === undefined) return;
    for (const scan of this.#scans)
      if (scan.reader === snapshot.reader) await scan.iterator.close();
    this.#scans = this.#scans.filter((scan) => scan.reader !== snapshot.reader);
    snapshot.reader.close();
  }
}
