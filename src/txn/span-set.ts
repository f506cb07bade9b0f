/**
 * A set of keys and spans with bounded memory: what a transaction has read, or where it may have left
 * locks. When it grows too large, neighbours are joined to spans that cover more than was put in.
 *
 * INVARIANT: everything that was added is covered (trap X2: a superset is always safe).
 */
import { SortedMap, type Span } from '../kv/index.ts';
import { emptyBytes, maxBytes, nextKey } from '../util/index.ts';

const defaultMaxBytes = 256 << 10;
const entryOverheadBytes = 48;

export class SpanSet {
  readonly #maxBytes: number;
  /** Spans by start key; spans with one start keep the larger end. */
  readonly #spans = new SortedMap<Buffer | undefined>();
  #bytes = 0;

  constructor(maxBytes = defaultMaxBytes) {
    this.#maxBytes = maxBytes;
  }

  get size(): number {
    return this.#spans.size;
  }

  add(start: Buffer, end: Buffer | undefined): void {
    const known = this.#spans.get(start);
    if (known !== undefined) {
      if (end === undefined || end.compare(known) <= 0) return;
      this.#spans.set(start, end);
      return;
    }
    const before = this.#spans.size;
    this.#spans.set(start, end);
    if (this.#spans.size === before) return;
    this.#bytes += start.length + (end?.length ?? 0) + entryOverheadBytes;
    if (this.#bytes > this.#maxBytes) this.#condense();
  }

  has(key: Buffer): boolean {
    const below = this.#spans.floor(key);
    if (below === undefined) return false;
    return below.value === undefined ? below.key.equals(key) : key.compare(below.value) < 0;
  }

  list(): Span[] {
    const spans: Span[] = [];
    this.#spans.visit(emptyBytes, undefined, (start, end) => {
      spans.push({ start, end });
    });
    return spans;
  }

  clear(): void {
    this.#spans.clear();
    this.#bytes = 0;
  }

  /** Joins neighbours until a quarter of the entries is left. */
  #condense(): void {
    const spans = this.list();
    this.clear();
    const group = 4;
    for (let i = 0; i < spans.length; i += group) {
      const first = spans[i];
      if (first === undefined) break;
      let end = first.end ?? nextKey(first.start);
      for (const span of spans.slice(i + 1, i + group)) {
        end = maxBytes(end, span.end ?? nextKey(span.start));
      }
      this.#spans.set(first.start, end);
      this.#bytes += first.start.length + end.length + entryOverheadBytes;
    }
  }
}
