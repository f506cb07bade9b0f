/**
 * CachePage: the rows LevelDB holds in [start, end), packed into one piece of memory, so that a page is a
 * handful of objects for the garbage collector whatever it holds. Rows are handed out as views of that memory.
 *
 *   memory = offsets (32 bits each) | key 0 | value 0 | key 1 | value 1 | ...
 *
 * Row i has its key at [offsets[2i], offsets[2i + 1]) and its value from there to offsets[2i + 2].
 *
 * INVARIANT: a page never changes; `credit` and `slot` belong to the PageCache.
 * INVARIANT: `start` and `end` have memory of their own: as map keys they outlive the page.
 */
import { type LayerValue } from './merge-iterator.ts';

export type Row = [key: Buffer, value: Buffer];

/** Memory of a page beside its bytes, roughly: the objects and its place in the cache. */
const pageOverheadBytes = 512;

export class CachePage {
  readonly start: Buffer;
  readonly end: Buffer;
  /** Number of rows. */
  readonly count: number;
  /** How long the page may stay unread, see PageCache. */
  credit = 0;
  /** Its place in the ring of the PageCache. */
  slot = -1;
  readonly #memory: Buffer;
  readonly #offsets: Uint32Array;
  /** Length of the prefix that all keys share; only what follows is compared in a search. */
  readonly #prefixBytes: number;

  constructor(start: Buffer, end: Buffer, packed: PagePacker) {
    this.start = start;
    this.end = end;
    this.count = packed.count;
    this.#memory = packed.memory;
    this.#offsets = packed.offsets;
    this.#prefixBytes = this.count === 0 ? 0 : this.#sharedPrefix();
  }

  /** Keys and values. */
  get rowBytes(): number {
    return this.#memory.length - this.#offsets.byteLength;
  }

  /** All it costs to keep. */
  get sizeBytes(): number {
    return this.#memory.length + this.start.length + this.end.length + pageOverheadBytes;
  }

  /** Index of the first key >= `key`. */
  lowerBound(key: Buffer): number {
    const memory = this.#memory;
    const offsets = this.#offsets;
    const prefix = this.#prefixBytes;
    let low = 0;
    let high = this.count;
    if (high === 0) return 0;
    const first = offsets[0] as number;
    const loop = key.length < prefix ? key.length : prefix;
    for (let i = 0; i < loop; i++) {
      const difference = (memory[first + i] as number) - (key[i] as number);
      if (difference !== 0) return difference < 0 ? high : 0;
    }
    if (key.length < prefix) return 0;
    while (low < high) {
      const middle = (low + high) >>> 1;
      const at = offsets[middle * 2] as number;
      const length = (offsets[middle * 2 + 1] as number) - at;
      const shorter = length < key.length ? length : key.length;
      let difference = length - key.length;
      for (let i = prefix; i < shorter; i++) {
        const here = (memory[at + i] as number) - (key[i] as number);
        if (here !== 0) {
          difference = here;
          break;
        }
      }
      if (difference < 0) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  /** Whether row `index` has this key. */
  isAt(index: number, key: Buffer): boolean {
    if (index >= this.count) return false;
    const at = this.#offsets[index * 2] as number;
    if ((this.#offsets[index * 2 + 1] as number) - at !== key.length) return false;
    for (let i = key.length - 1; i >= 0; i--) if (this.#memory[at + i] !== key[i]) return false;
    return true;
  }

  get(key: Buffer): Buffer | undefined {
    const index = this.lowerBound(key);
    return this.isAt(index, key) ? this.value(index) : undefined;
  }

  key(index: number): Buffer {
    return this.#memory.subarray(this.#offsets[index * 2], this.#offsets[index * 2 + 1]);
  }

  value(index: number): Buffer {
    return this.#memory.subarray(this.#offsets[index * 2 + 1], this.#offsets[index * 2 + 2]);
  }

  /** The page as it is after writing `values[i]` at `keys[i]`; the keys rise and lie in [start, end). */
  withChanges(keys: readonly Buffer[], values: readonly LayerValue[]): CachePage {
    const at: number[] = [];
    const replaced: boolean[] = [];
    let count = this.count;
    let bytes = this.rowBytes;
    for (let i = 0; i < keys.length; i++) {
      const key = keys[i] as Buffer;
      const value = values[i] as LayerValue;
      const index = this.lowerBound(key);
      const found = this.isAt(index, key);
      at.push(index);
      replaced.push(found);
      if (found) {
        count--;
        bytes -= this.#offset(index + 1) - this.#offset(index);
      }
      if (value !== null) {
        count++;
        bytes += key.length + value.length;
      }
    }
    const packer = new PagePacker(count, bytes);
    let next = 0;
    for (let i = 0; i < keys.length; i++) {
      const index = at[i] as number;
      this.copyRows(packer, next, index);
      next = replaced[i] === true ? index + 1 : index;
      const value = values[i] as LayerValue;
      if (value !== null) packer.add(keys[i] as Buffer, value);
    }
    this.copyRows(packer, next, this.count);
    return new CachePage(this.start, this.end, packer);
  }

  /** This page and the one that begins where it ends. */
  joined(next: CachePage): CachePage {
    const packer = new PagePacker(this.count + next.count, this.rowBytes + next.rowBytes);
    this.copyRows(packer, 0, this.count);
    next.copyRows(packer, 0, next.count);
    return new CachePage(this.start, next.end, packer);
  }

  /** Appends rows [from, to). */
  copyRows(packer: PagePacker, from: number, to: number): void {
    if (from < to) packer.copy(this.#memory, this.#offsets, from, to);
  }

  rows(): Row[] {
    const out: Row[] = [];
    for (let i = 0; i < this.count; i++) out.push([this.key(i), this.value(i)]);
    return out;
  }

  /** Where row `index` begins. */
  #offset(index: number): number {
    return this.#offsets[index * 2] as number;
  }

  #sharedPrefix(): number {
    const memory = this.#memory;
    const first = this.#offset(0);
    const last = this.#offset(this.count - 1);
    const firstLength = (this.#offsets[1] as number) - first;
    const lastLength = (this.#offsets[this.count * 2 - 1] as number) - last;
    const shorter = firstLength < lastLength ? firstLength : lastLength;
    let shared = 0;
    while (shared < shorter && memory[first + shared] === memory[last + shared]) shared++;
    return shared;
  }
}

/** Writes rows, whose number and bytes are known, into the memory of a page. */
export class PagePacker {
  readonly count: number;
  readonly memory: Buffer;
  readonly offsets: Uint32Array;
  #row = 0;
  #at: number;

  constructor(count: number, rowBytes: number) {
    this.count = count;
    const offsetBytes = (count * 2 + 1) * 4;
    this.memory = Buffer.allocUnsafeSlow(offsetBytes + rowBytes);
    this.offsets = new Uint32Array(this.memory.buffer, this.memory.byteOffset, count * 2 + 1);
    this.#at = offsetBytes;
    this.offsets[0] = offsetBytes;
  }

  add(key: Buffer, value: Buffer): void {
    this.memory.set(key, this.#at);
    this.#at += key.length;
    this.offsets[this.#row * 2 + 1] = this.#at;
    this.memory.set(value, this.#at);
    this.#at += value.length;
    this.offsets[++this.#row * 2] = this.#at;
  }

  /** Rows [from, to) of another page. */
  copy(memory: Buffer, offsets: Uint32Array, from: number, to: number): void {
    const start = offsets[from * 2] as number;
    memory.copy(this.memory, this.#at, start, offsets[to * 2]);
    const moved = this.#at - start;
    const target = (this.#row - from) * 2;
    for (let i = from * 2 + 1; i <= to * 2; i++) {
      this.offsets[target + i] = (offsets[i] as number) + moved;
    }
    this.#row += to - from;
    this.#at = this.offsets[this.#row * 2] as number;
  }
}

/** A copy with memory of its own; up to 64 bytes it lives on the heap. */
export function ownCopy(bytes: Buffer): Buffer {
  const out = Buffer.allocUnsafeSlow(bytes.length);
  out.set(bytes);
  return out;
}

/** Packs rows [from, to) as pages of about `pageBytes` that cover [start, end). */
export function packPages(
  start: Buffer,
  end: Buffer,
  rows: readonly Row[],
  span: { readonly from: number; readonly to: number },
  pageBytes: number,
): CachePage[] {
  const pages: CachePage[] = [];
  let pageStart = ownCopy(start);
  let { from } = span;
  do {
    let to = from;
    let bytes = 0;
    for (; to < span.to && (bytes < pageBytes || to === from); to++) {
      const row = rows[to] as Row;
      bytes += row[0].length + row[1].length;
    }
    const packer = new PagePacker(to - from, bytes);
    for (let i = from; i < to; i++) {
      const row = rows[i] as Row;
      packer.add(row[0], row[1]);
    }
    const pageEnd = ownCopy(to < span.to ? (rows[to] as Row)[0] : end);
    pages.push(new CachePage(pageStart, pageEnd, packer));
    pageStart = pageEnd;
    from = to;
  } while (from < span.to);
  return pages;
}
