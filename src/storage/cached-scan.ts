/**
 * CachedScan: a scan of what LevelDB holds, from cached pages as far as they go and from a native iterator
 * behind them; what the native one reads becomes pages.
 *
 * Pages are looked up one by one as the scan goes on, and a native iterator is made only when a page is
 * missing: most scans make none. That shows the state at the time of the scan's creation as long as LevelDB does not
 * change. Hence `pin`: just before LevelDB changes, every scan that is open takes the pages ahead
 * of it, and a native iterator (whose view is that of its creation) for the rest.
 *
 * A scan that begins while a flush is under way may see LevelDB before or after it: the frozen
 * overlay, which the scan reads too, hides all that the flush writes.
 */
import { compareBytes, nextKey } from '../util/index.ts';
import { type CachePage, type Row } from './cache-page.ts';
import { type EngineIterator } from './engine.ts';
import { type PageCache } from './page-cache.ts';

/** Pages a scan takes when it is pinned; the rest is left to a native iterator. */
const pinnedPagesMax = 64;

export interface ScanSpan {
  readonly start: Buffer;
  readonly end: Buffer;
  readonly reverse: boolean;
}

/** Rows [from, to) of a page. */
interface Piece {
  readonly page: CachePage;
  from: number;
  to: number;
}

export class CachedScan implements EngineIterator {
  readonly #cache: PageCache;
  readonly #openLevel: (span: ScanSpan) => EngineIterator;
  readonly #reverse: boolean;
  /** [start, end) is what is neither in a piece nor left to the native iterator. */
  #start: Buffer;
  #end: Buffer;
  /** Pieces in the order of the scan: the one that is being read, and behind it those taken by `pin`. */
  readonly #pieces: Piece[] = [];
  #level: EngineIterator | undefined;
  #filler: PageFiller | undefined;
  #closed = false;

  /** `openLevel` makes a native iterator whose view is that of the call. */
  constructor(cache: PageCache, span: ScanSpan, openLevel: (span: ScanSpan) => EngineIterator) {
    this.#cache = cache;
    this.#openLevel = openLevel;
    this.#reverse = span.reverse;
    this.#start = span.start;
    this.#end = span.end;
  }

  /** `max` is what the caller would like; there may be more. Empty at the end only. */
  async next(max: number): Promise<Row[]> {
    const cached = this.#nextCached(max);
    if (cached.length > 0 || (this.#level === undefined && this.#atEnd())) return cached;
    if (this.#level === undefined) {
      const span = { start: this.#start, end: this.#end, reverse: this.#reverse };
      this.#level = this.#openLevel(span);
      this.#filler = new PageFiller(this.#cache, span);
    }
    const rows = await this.#level.next(max);
    if (rows.length === 0) this.#filler?.finish();
    else this.#filler?.take(rows);
    return rows;
  }

  /** To be called just before LevelDB changes. */
  pin(): void {
    if (this.#closed) return;
    if (this.#level === undefined) {
      while (this.#pieces.length < pinnedPagesMax && this.#takePiece());
      if (!this.#atEnd()) {
        this.#level = this.#openLevel({
          start: this.#start,
          end: this.#end,
          reverse: this.#reverse,
        });
      }
    }
  }

  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    this.#pieces.length = 0;
    this.#filler?.stop();
    await this.#level?.close();
  }

  #nextCached(max: number): Row[] {
    const rows: Row[] = [];
    while (rows.length < max) {
      const piece = this.#pieces[0];
      if (piece === undefined) {
        if (this.#level !== undefined || !this.#takePiece()) break;
        continue;
      }
      const { page } = piece;
      const count = Math.min(max - rows.length, piece.to - piece.from);
      if (this.#reverse) {
        const stop = piece.to - count;
        for (let i = piece.to - 1; i >= stop; i--) rows.push([page.key(i), page.value(i)]);
        piece.to = stop;
      } else {
        const stop = piece.from + count;
        for (let i = piece.from; i < stop; i++) rows.push([page.key(i), page.value(i)]);
        piece.from = stop;
      }
      if (piece.from === piece.to) this.#pieces.shift();
    }
    return rows;
  }

  /** Takes the next page, if the cache has it. */
  #takePiece(): boolean {
    if (this.#atEnd()) return false;
    const page = this.#reverse ? this.#cache.endingAt(this.#end) : this.#cache.holding(this.#start);
    if (page === undefined) return false;
    const from = compareBytes(page.start, this.#start) < 0 ? page.lowerBound(this.#start) : 0;
    const to = compareBytes(page.end, this.#end) > 0 ? page.lowerBound(this.#end) : page.count;
    this.#pieces.push({ page, from, to });
    if (this.#reverse) this.#end = page.start;
    else this.#start = page.end;
    return true;
  }

  #atEnd(): boolean {
    return this.#closed || compareBytes(this.#start, this.#end) >= 0;
  }
}

/** Makes pages of the rows that a native iterator reads one after the other. */
class PageFiller {
  readonly #cache: PageCache;
  readonly #reverse: boolean;
  /** Rows in [start, end) were not read, or wait in `rows`. */
  #start: Buffer;
  #end: Buffer;
  #ticket: number | undefined;
  #bytesLeft: number;
  #rows: Row[] = [];
  #rowBytes = 0;

  /** To be made together with the native iterator. */
  constructor(cache: PageCache, span: ScanSpan) {
    this.#cache = cache;
    this.#reverse = span.reverse;
    this.#start = span.start;
    this.#end = span.end;
    this.#bytesLeft = cache.fillBytesMax;
    this.#ticket = this.#bytesLeft > 0 ? cache.ticket() : undefined;
  }

  take(rows: readonly Row[]): void {
    if (this.#ticket === undefined) return;
    for (const row of rows) {
      this.#rows.push(row);
      this.#rowBytes += row[0].length + row[1].length;
    }
    if (this.#rowBytes < this.#cache.pageBytes) return;
    this.#bytesLeft -= this.#rowBytes;
    this.#fill();
    if (this.#bytesLeft <= 0) this.#ticket = undefined;
  }

  /** The iterator has come to the end of its span. */
  finish(): void {
    if (this.#ticket === undefined) return;
    if (this.#reverse) this.#rows.reverse();
    this.#cache.fill(this.#ticket, this.#start, this.#end, this.#rows);
    this.#ticket = undefined;
  }

  /** No more rows come, or they come too late. */
  stop(): void {
    this.#fill();
    this.#ticket = undefined;
  }

  #fill(): void {
    const rows = this.#rows;
    const last = rows[rows.length - 1];
    if (this.#ticket === undefined || last === undefined) return;
    this.#rows = [];
    this.#rowBytes = 0;
    if (this.#reverse) {
      rows.reverse();
      this.#cache.fill(this.#ticket, last[0], this.#end, rows);
      this.#end = last[0];
    } else {
      const end = nextKey(last[0]);
      this.#cache.fill(this.#ticket, this.#start, end, rows);
      this.#start = end;
    }
  }
}
