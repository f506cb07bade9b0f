/**
 * The range cache: which range holds a key, which of its replicas served last, and whether the others can serve, too. It may be wrong;
 * ranges correct it. Of two descriptors that overlap, the one with the larger generation wins (T8).
 *
 * INVARIANT: the cached descriptors do not overlap; each is filed under its end key.
 */
import {
  containsKey,
  decodeDescriptor,
  encodeDescriptor,
  firstRangeIn,
  keepDescriptor,
  KvFailure,
  SortedMap,
  type Gossip,
  type RangeDescriptor,
  type RangeId,
  type ReplicaDescriptor,
} from '../kv/index.ts';
import { metaLookupSpan } from '../encoding/index.ts';
import { compareBytes, nextKey } from '../util/index.ts';

export interface CachedRange {
  readonly range: RangeDescriptor;
  leaseholder: ReplicaDescriptor | undefined;
  /** As a replica said last: any replica can serve reads of the present. */
  closesAhead: boolean;
}

/** Reads meta records of [start, end), which lies in one range; answers may be old. */
export type MetaScan = (
  range: CachedRange,
  span: { readonly start: Buffer; readonly end: Buffer },
) => Promise<readonly Buffer[]>;

export class RangeCache {
  readonly #gossip: Gossip;
  readonly #scanMeta: MetaScan;
  readonly #ranges = new SortedMap<CachedRange>();
  /** Generations of ranges that nobody served when they were last asked. */
  readonly #doubted = new Map<RangeId, number>();
  /** Lookups under way by the key they look for. */
  readonly #lookups = new Map<string, Promise<CachedRange | undefined>>();

  constructor(gossip: Gossip, scanMeta: MetaScan) {
    this.#gossip = gossip;
    this.#scanMeta = scanMeta;
  }

  /** The range that holds `key`; with `before`, the one that holds the keys just below it. Undefined: not found now. */
  async find(key: Buffer, before: boolean): Promise<CachedRange | undefined> {
    const cached = this.cached(key, before);
    if (cached !== undefined) return cached;
    const name = `${before ? '<' : '='}${key.toString('latin1')}`;
    let lookup = this.#lookups.get(name);
    if (lookup === undefined) {
      lookup = this.#lookUp(key, before).finally(() => this.#lookups.delete(name));
      this.#lookups.set(name, lookup);
    }
    return lookup;
  }

  cached(key: Buffer, before: boolean): CachedRange | undefined {
    let found: CachedRange | undefined;
    this.#ranges.visit(before ? key : nextKey(key), undefined, (_end, entry) => {
      found = entry;
      return true;
    });
    return found !== undefined && holds(found.range, key, before) ? found : undefined;
  }

  insert(range: RangeDescriptor): void {
    const overlapping = this.#overlapping(range);
    if (overlapping.some((old) => old.range.generation > range.generation)) return;
    // Said once more, perhaps by a replica that was left behind: the entry stays the one that is tried, and evicted.
    if (overlapping.some((old) => isSame(old.range, range))) return;
    let leaseholder: ReplicaDescriptor | undefined;
    for (const old of overlapping) {
      this.#ranges.delete(old.range.endKey);
      if (old.range.rangeId !== range.rangeId) continue;
      leaseholder = range.replicas.find(
        (replica) => replica.replicaId === old.leaseholder?.replicaId,
      );
    }
    this.#keep(range, overlapping, leaseholder);
  }

  evict(entry: CachedRange): void {
    if (this.#ranges.get(entry.range.endKey)?.range === entry.range) {
      this.#ranges.delete(entry.range.endKey);
    }
  }

  /**
   * Nobody serves `entry`: it may come from a change of ranges that was never made. The next lookup
   * prefers another descriptor if it finds one.
   */
  doubt(entry: CachedRange): void {
    this.evict(entry);
    this.#doubted.set(entry.range.rangeId, entry.range.generation);
  }

  #isDoubted(range: RangeDescriptor): boolean {
    return this.#doubted.get(range.rangeId) === range.generation;
  }

  /**
   * What the meta records say about `key` overrules the cache, whatever its generations: lookups show
   * the intents of changes too, and when such a change is given up its descriptors are still cached.
   * Of the records that hold the key the committed one comes last.
   */
  #insist(
    found: readonly RangeDescriptor[],
    key: Buffer,
    before: boolean,
  ): CachedRange | undefined {
    const holding = found.filter((range) => holds(range, key, before));
    const range = holding.findLast((each) => !this.#isDoubted(each)) ?? holding.at(-1);
    if (range === undefined) return undefined;
    for (const each of holding) this.#doubted.delete(each.rangeId);
    const overlapping = this.#overlapping(range);
    for (const old of overlapping) this.#ranges.delete(old.range.endKey);
    return this.#keep(range, overlapping, undefined);
  }

  #keep(
    range: RangeDescriptor,
    former: readonly CachedRange[],
    leaseholder: ReplicaDescriptor | undefined,
  ): CachedRange {
    const kept = keepDescriptor(range, ...former.map((old) => old.range));
    const closesAhead = former.length > 0 && former.every((old) => old.closesAhead);
    const entry: CachedRange = { range: kept, leaseholder, closesAhead };
    this.#ranges.set(kept.endKey, entry);
    return entry;
  }

  #overlapping(range: RangeDescriptor): CachedRange[] {
    const found: CachedRange[] = [];
    this.#ranges.visit(nextKey(range.startKey), undefined, (_end, entry) => {
      if (compareBytes(entry.range.startKey, range.endKey) >= 0) return true;
      found.push(entry);
      return false;
    });
    return found;
  }

  async #lookUp(key: Buffer, before: boolean): Promise<CachedRange | undefined> {
    const span = metaLookupSpan(key);
    if (span === undefined) {
      const first = firstRangeIn(this.#gossip);
      if (first === undefined) {
        throw new KvFailure({ kind: 'unavailable', reason: 'the first range is not known yet' });
      }
      this.insert(first);
      return this.cached(key, before);
    }
    // Records are filed under end keys: for keys just below `key` an end at `key` will do.
    let start = before ? span.start.subarray(0, -1) : span.start;
    while (compareBytes(start, span.end) < 0) {
      const holder = await this.find(start, false);
      if (holder === undefined) return undefined;
      // The way there may have passed the range itself: a small cluster's first range holds all.
      const met = this.cached(key, before);
      if (met !== undefined) return met;
      const end = compareBytes(holder.range.endKey, span.end) < 0 ? holder.range.endKey : span.end;
      const records = await this.#scanMeta(holder, { start, end });
      const found = records.map(decodeDescriptor);
      for (const range of found) if (!this.#isDoubted(range)) this.insert(range);
      const known = this.cached(key, before) ?? this.#insist(found, key, before);
      if (known !== undefined) return known;
      start = end;
    }
    return this.cached(key, before);
  }
}

function holds(range: RangeDescriptor, key: Buffer, before: boolean): boolean {
  return before
    ? compareBytes(range.startKey, key) < 0 && compareBytes(range.endKey, key) >= 0
    : containsKey(range, key);
}

function isSame(a: RangeDescriptor, b: RangeDescriptor): boolean {
  return a.generation === b.generation && encodeDescriptor(a).equals(encodeDescriptor(b));
}
