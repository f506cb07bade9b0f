/**
 * PageCache: what LevelDB holds in some spans of keys, verified and packed, so that reading hot data does not
 * enter LevelDB. A page says: every key that LevelDB has in [start, end) is in this page, with this value; so
 * the cache knows of absent keys, too.
 *
 * INVARIANT 1: outside of a change (`beginChange` to `endChange`) every page equals what LevelDB holds.
 * During one, pages may lag behind LevelDB; the frozen overlay hides the keys that differ.
 * INVARIANT 2: pages do not overlap.
 *
 * Filling is what could break the first one: rows read from an old state of LevelDB must not become a page
 * after it has changed. Hence tickets: one is given out, only between changes, with the reader that is made
 * then, and is good until the next change begins.
 *
 * Pages stand in a ring; a hand goes round when room is needed and takes what was not read since it last
 * came by (clock, or second chance). What is only ever written loses credit with each update, too.
 */
import { compareBytes } from '../util/index.ts';
import { type ByteMapCursor, ByteMap } from './byte-map.ts';
import { type CachePage, type Row, packPages } from './cache-page.ts';
import { type LayerValue } from './merge-iterator.ts';

export interface PageCacheOptions {
  /** Memory for pages; 0 = no cache. */
  readonly bytesMax: number;
  /** Rows are packed into pages of about this size. Default 16 KiB. */
  readonly pageBytes?: number | undefined;
}

/**
 * Credit of a page that was just filled or read; an update costs 1. Twelve updates of a page cost about as
 * much as reading it from LevelDB again.
 */
const creditMax = 12;
/** The hand leaves a page this much, so that it finds it again only if nobody reads it meanwhile. */
const creditSecond = 6;
/** Work of one slice of `update`, in keys looked at; rewriting a page counts as many. */
const updateSlice = 512;
const rewriteWork = 8;

export class PageCache {
  readonly pageBytes: number;
  readonly #bytesMax: number;
  readonly #pages = new ByteMap<CachePage>();
  readonly #ring: CachePage[] = [];
  #hand = 0;
  #bytes = 0;
  #changing = 0;
  #epoch = 0;

  constructor(options: PageCacheOptions) {
    this.#bytesMax = options.bytesMax;
    this.pageBytes = options.pageBytes ?? 16 * 1024;
  }

  get bytes(): number {
    return this.#bytes;
  }

  get pages(): number {
    return this.#ring.length;
  }

  /** What one scan may fill, so that a long one leaves most of the cache alone. */
  get fillBytesMax(): number {
    return this.#bytesMax / 4;
  }

  /** With more than this, pages come from scans only. */
  get warmBytesMax(): number {
    return this.#bytesMax * 0.75;
  }

  /** Null when LevelDB has no such key, undefined when the cache does not know. */
  get(key: Buffer): Buffer | null | undefined {
    const page = this.holding(key);
    return page === undefined ? undefined : (page.get(key) ?? null);
  }

  /** The page with start <= key < end. */
  holding(key: Buffer): CachePage | undefined {
    const page = this.#pages.floor(key);
    if (page === undefined || compareBytes(key, page.end) >= 0) return undefined;
    page.credit = creditMax;
    return page;
  }

  /** The page with start < key <= end: where a reverse scan from `key` begins. */
  endingAt(key: Buffer): CachePage | undefined {
    const page = this.#pages.lower(key);
    if (page === undefined || compareBytes(key, page.end) > 0) return undefined;
    page.credit = creditMax;
    return page;
  }

  /** LevelDB is about to change: from now until `endChange` nothing can be filled. */
  beginChange(): void {
    this.#changing++;
    this.#epoch++;
  }

  endChange(): void {
    this.#changing--;
  }

  /** To be taken when the native reader is made; undefined while LevelDB changes. */
  ticket(): number | undefined {
    return this.#changing === 0 ? this.#epoch : undefined;
  }

  /**
   * `rows`, in order, are all that the reader saw in [start, end). Nothing happens when LevelDB has begun to
   * change since the ticket.
   */
  fill(ticket: number, start: Buffer, end: Buffer, rows: readonly Row[]): void {
    if (ticket !== this.#epoch) return;
    // From the end to the start: what is not yet covered becomes pages.
    let to = end;
    let rowsTo = rows.length;
    while (compareBytes(start, to) < 0) {
      const before = this.#pages.lower(to);
      if (before !== undefined && compareBytes(before.end, to) >= 0) {
        to = before.start;
        rowsTo = lowerBound(rows, to, rowsTo);
        continue;
      }
      const isGap = before === undefined || compareBytes(before.end, start) <= 0;
      const from = isGap ? start : before.end;
      const rowsFrom = isGap ? 0 : lowerBound(rows, from, rowsTo);
      this.#addGap(from, to, rows, { from: rowsFrom, to: rowsTo });
      to = from;
      rowsTo = rowsFrom;
    }
    this.#evict();
  }

  /**
   * Writes entries of a flush, from the cursor on, into the pages that hold their keys; LevelDB has them. True
   * when more remains: to be called again after other work had its turn.
   */
  update(cursor: ByteMapCursor<LayerValue>): boolean {
    if (this.#ring.length === 0) return false;
    let work = 0;
    while (cursor.key !== undefined && work < updateSlice) {
      const page = this.#pages.floor(cursor.key);
      if (page === undefined || compareBytes(cursor.key, page.end) >= 0) {
        work++;
        cursor.next();
        continue;
      }
      const keys: Buffer[] = [];
      const values: LayerValue[] = [];
      while (cursor.key !== undefined && compareBytes(cursor.key, page.end) < 0) {
        keys.push(cursor.key);
        values.push(cursor.value ?? null);
        cursor.next();
      }
      work += rewriteWork + keys.length;
      this.#rewrite(page, keys, values);
    }
    this.#evict();
    return cursor.key !== undefined;
  }

  /** Drops the pages that touch [start, end). */
  drop(start: Buffer, end: Buffer): void {
    for (;;) {
      const page = this.#pages.lower(end);
      if (page === undefined || compareBytes(page.end, start) <= 0) return;
      this.#remove(page);
    }
  }

  #addGap(
    start: Buffer,
    end: Buffer,
    rows: readonly Row[],
    span: { readonly from: number; readonly to: number },
  ): void {
    for (const page of packPages(start, end, rows, span, this.pageBytes)) this.#add(page);
    // Small neighbours become one page, lest short scans leave crumbs.
    this.#joinAt(end);
    this.#joinAt(start);
  }

  /** Joins the pages that meet at `key`, if together they are one page at most. */
  #joinAt(key: Buffer): void {
    const left = this.#pages.lower(key);
    const right = this.#pages.get(key);
    if (left === undefined || right === undefined || compareBytes(left.end, key) !== 0) return;
    if (left.rowBytes + right.rowBytes > this.pageBytes) return;
    const joined = left.joined(right);
    joined.credit = Math.max(left.credit, right.credit);
    this.#remove(right);
    this.#replace(left, joined);
  }

  #rewrite(page: CachePage, keys: readonly Buffer[], values: readonly LayerValue[]): void {
    const credit = page.credit - 1;
    if (credit <= 0) {
      this.#remove(page);
      return;
    }
    const changed = page.withChanges(keys, values);
    if (changed.rowBytes <= this.pageBytes * 2) {
      changed.credit = credit;
      this.#replace(page, changed);
      return;
    }
    this.#remove(page);
    const rows = changed.rows();
    const span = { from: 0, to: rows.length };
    for (const part of packPages(page.start, page.end, rows, span, this.pageBytes)) {
      part.credit = credit;
      this.#add(part);
    }
  }

  #add(page: CachePage): void {
    if (page.credit === 0) page.credit = creditMax;
    page.slot = this.#ring.length;
    this.#ring.push(page);
    this.#pages.set(page.start, page);
    this.#bytes += page.sizeBytes;
  }

  /** Both start at the same key. */
  #replace(page: CachePage, next: CachePage): void {
    next.slot = page.slot;
    this.#ring[page.slot] = next;
    this.#pages.set(page.start, next);
    this.#bytes += next.sizeBytes - page.sizeBytes;
  }

  #remove(page: CachePage): void {
    this.#pages.delete(page.start);
    this.#bytes -= page.sizeBytes;
    const last = this.#ring.pop();
    if (last === undefined || last === page) return;
    this.#ring[page.slot] = last;
    last.slot = page.slot;
  }

  #evict(): void {
    while (this.#bytes > this.#bytesMax) {
      if (this.#hand >= this.#ring.length) this.#hand = 0;
      const page = this.#ring[this.#hand];
      if (page === undefined) return;
      if (page.credit > creditSecond) page.credit = creditSecond;
      else this.#remove(page);
      // A page that took the place of a removed one waits for the next round.
      this.#hand++;
    }
  }
}

/** Index of the first of rows [0, to) whose key is >= `key`. */
function lowerBound(rows: readonly Row[], key: Buffer, to: number): number {
  let low = 0;
  let high = to;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (compareBytes((rows[middle] as Row)[0], key) < 0) low = middle + 1;
    else high = middle;
  }
  return low;
}
