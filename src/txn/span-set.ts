/**
 * A set of keys and spans with bounded memory: what a transaction has read, or where it may have left
 * locks. When it grows too large, neighbours are joined to spans that cover more than was put in.
 *
 * INVARIANT: everything that was added is covered (trap X2: a superset is always safe).
 */
import { joinedSpan, KeptBytes, SortedMap, type Span } from '../kv/index.ts';
import { compareBytes, equalBytes, emptyBytes } from '../util/index.ts';

const entryOverheadBytes = 48;
/** More keys than this get memory of their own: as they come, each holds on to what else was written just then. */
const keptFrom = 256;

export class SpanSet {
  readonly #maxBytes: number;
  /** Spans by start key; spans with one start keep the larger end. */
  readonly #spans = new SortedMap<Buffer | undefined>();
  #bytes = 0;
  #memory: KeptBytes | undefined;

  constructor(maxBytes: number) {
    this.#maxBytes = maxBytes;
  }

  get size(): number {
    return this.#spans.size;
  }

  add(start: Buffer, end: Buffer | undefined): void {
    if (end === undefined) {
      if (this.has(start)) return;
    } else {
      const known = this.#spans.get(start);
      if (known !== undefined && compareBytes(end, known) <= 0) return;
    }
    const before = this.#spans.size;
    this.#spans.set(this.#kept(start), end === undefined ? undefined : this.#kept(end));
    if (this.#spans.size === before) return;
    this.#bytes += start.length + (end?.length ?? 0) + entryOverheadBytes;
    if (this.#bytes > this.#maxBytes) this.#condense();
  }

  #kept(key: Buffer): Buffer {
    if (this.#spans.size < keptFrom) return key;
    this.#memory ??= new KeptBytes();
    return this.#memory.keep(key);
  }

  has(key: Buffer): boolean {
    const below = this.#spans.floor(key);
    if (below === undefined) return false;
    return below.value === undefined
      ? equalBytes(below.key, key)
      : compareBytes(key, below.value) < 0;
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
    this.#memory = undefined;
  }

  /**
   * Joins neighbours until a quarter of the entries is left: those stay apart that differ earliest, so
   * that what is covered beside is small and different tables are not joined.
   */
  #condense(): void {
    const spans = this.list();
    const apart = spans.map((span, i) => {
      const before = spans[i - 1];
      return before === undefined ? 0 : commonPrefix(before.end ?? before.start, span.start);
    });
    const cuts = Math.max(1, Math.floor(spans.length / 4));
    const limit = apart.toSorted((a, b) => a - b)[cuts] ?? 0;
    const perSpan = Math.ceil(spans.length / cuts);
    this.clear();
    let last: Span | undefined;
    let count = 0;
    const put = (): void => {
      if (last === undefined) return;
      this.#spans.set(last.start, last.end);
      this.#bytes += last.start.length + (last.end?.length ?? 0) + entryOverheadBytes;
    };
    for (const [i, span] of spans.entries()) {
      const far = (apart[i] ?? 0) < limit;
      // Where all differ alike, an even number of neighbours is joined.
      const both: Span | undefined =
        last === undefined || far || count >= perSpan ? undefined : joinedSpan(last, span);
      if (both === undefined) put();
      count = both === undefined ? 1 : count + 1;
      last = both ?? span;
    }
    put();
  }
}

function commonPrefix(a: Buffer, b: Buffer): number {
  const length = Math.min(a.length, b.length);
  let i = 0;
  while (i < length && a[i] === b[i]) i++;
  return i;
}
