/**
 * Iterates over layers of one sorted map: cursors of in-memory layers, newest first, above an optional
 * base that is read in pages. The newest layer that holds a key decides; `null` there is a deletion. There
 * are few layers: up to 31.
 */
import { compareBytes } from '../util/index.ts';
import { type EngineIterator } from './engine.ts';
import { type ByteMapCursor } from './byte-map.ts';

/** What an in-memory layer says of a key: a value, or null for a deletion that hides older layers. */
export type LayerValue = Buffer | null;

/** Steps before other work gets its turn: a walk over a million rows in memory would keep the event loop for seconds. */
const stepsPerTurn = 1_024;

export class MergeIterator implements EngineIterator {
  readonly #cursors: readonly ByteMapCursor<LayerValue>[];
  readonly #base: EngineIterator | undefined;
  readonly #reverse: boolean;
  readonly #turn: (() => Promise<void>) | undefined;
  #steps = 0;
  #page: [key: Buffer, value: Buffer][] = [];
  #pageAt = 0;
  #baseDone: boolean;
  #closed = false;

  constructor(options: {
    cursors: readonly ByteMapCursor<LayerValue>[];
    base: EngineIterator | undefined;
    reverse: boolean;
    /** Lets the event loop go on; without it nobody else gets a turn. */
    turn?: () => Promise<void>;
  }) {
    this.#cursors = options.cursors;
    this.#base = options.base;
    this.#reverse = options.reverse;
    this.#turn = options.turn;
    this.#baseDone = options.base === undefined;
  }

  async next(max: number): Promise<[key: Buffer, value: Buffer][]> {
    const out: [Buffer, Buffer][] = [];
    while (out.length < max && !this.#closed) {
      if (this.#pageAt === this.#page.length && !this.#baseDone && this.#base !== undefined) {
        this.#page = await this.#base.next(max - out.length);
        this.#pageAt = 0;
        if (this.#page.length === 0) this.#baseDone = true;
        continue;
      }
      if (this.#steps === stepsPerTurn && this.#turn !== undefined) {
        this.#steps = 0;
        await this.#turn();
        continue;
      }
      if (!this.#step(out)) break;
      this.#steps++;
    }
    return out;
  }

  /** Takes the smallest (or largest) key of all layers; false when none is left. */
  #step(out: [Buffer, Buffer][]): boolean {
    const row = this.#page[this.#pageAt];
    let best = row?.[0];
    let value: LayerValue | undefined = row?.[1];
    /** Whether the page has the key, and which cursors do: bit i for cursor i. */
    let inPage = row !== undefined;
    let inCursors = 0;
    // Oldest first, so that of equal keys the newest layer is looked at last and wins.
    for (let i = this.#cursors.length - 1; i >= 0; i--) {
      const cursor = this.#cursors[i] as ByteMapCursor<LayerValue>;
      if (cursor.key === undefined) continue;
      const order = best === undefined ? 1 : compareBytes(cursor.key, best);
      if (order === 0) {
        inCursors |= 1 << i;
      } else {
        if (best !== undefined && (this.#reverse ? order < 0 : order > 0)) continue;
        inPage = false;
        inCursors = 1 << i;
      }
      best = cursor.key;
      value = cursor.value;
    }
    if (best === undefined) return false;
    if (inPage && inCursors === 0 && row !== undefined) {
      out.push(row);
      this.#pageAt++;
      return true;
    }
    if (inPage) this.#pageAt++;
    for (let i = 0; inCursors !== 0; i++, inCursors >>>= 1) {
      if ((inCursors & 1) === 1) (this.#cursors[i] as ByteMapCursor<LayerValue>).next();
    }
    if (value !== null && value !== undefined) out.push([best, value]);
    return true;
  }

  async close(): Promise<void> {
    this.#closed = true;
    await this.#base?.close();
  }
}
