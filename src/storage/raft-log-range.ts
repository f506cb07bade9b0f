/**
 * The live part of one range's log, in memory, and which segments it needs.
 *
 * INVARIANT 1: entries are contiguous from base.index + 1; checksums run in parallel.
 * INVARIANT 2: replaying the segments from `firstSegment` on gives this state: the oldest of the segment of
 *   the latest base record (which repeats the hard state) and that of the first live entry.
 */
import { type Entry, type HardState } from '../raft/index.ts';
import { assert } from '../util/index.ts';
import { entryOverheadBytes } from './raft-log-format.ts';
import { type RangeLog } from './raft-log-types.ts';

export const emptyHardState: HardState = { term: 0, vote: 0, commit: 0 };

/** Consecutive entries whose records stand in one segment. */
interface SegmentRun {
  readonly segment: number;
  readonly firstIndex: number;
}

export class RangeLogState implements RangeLog {
  readonly rangeId: number;
  hardState: HardState = emptyHardState;
  baseIndex = 0;
  baseTerm = 0;
  /** Checksum of the entry at `baseIndex`; 0 when it is not known (a reset). */
  basePrevious = 0;
  /** Segment of the latest base record; undefined while none was written or read. */
  baseSegment: number | undefined;
  sizeBytes = 0;
  #entries: Entry[] = [];
  #checksums: number[] = [];
  #runs: SegmentRun[] = [];

  constructor(rangeId: number) {
    this.rangeId = rangeId;
  }

  get firstIndex(): number {
    return this.baseIndex + 1;
  }

  get lastIndex(): number {
    return this.baseIndex + this.#entries.length;
  }

  term(index: number): number | undefined {
    if (index === this.baseIndex) return this.baseTerm;
    return this.#entries[index - this.baseIndex - 1]?.term;
  }

  entries(from: number, to: number, maxBytes: number): Entry[] {
    assert(from > this.baseIndex, 'entries before the first index are gone');
    assert(to <= this.lastIndex + 1, 'entries behind the last index do not exist');
    const out: Entry[] = [];
    let bytes = 0;
    for (let index = from; index < to; index++) {
      const entry = this.#entries[index - this.baseIndex - 1] as Entry;
      bytes += entry.data.length;
      if (out.length > 0 && bytes > maxBytes) break;
      out.push(entry);
    }
    return out;
  }

  /** Checksum of the entry at `index`, for the chain. */
  checksum(index: number): number {
    return index === this.baseIndex
      ? this.basePrevious
      : (this.#checksums[index - this.baseIndex - 1] ?? 0);
  }

  /** Drops what is at and behind `entry.index` (firstIndex <= it <= lastIndex + 1), then adds it. */
  push(entry: Entry, checksum: number, segment: number): void {
    const keep = entry.index - this.baseIndex - 1;
    if (keep < this.#entries.length) this.#cut(keep);
    this.#entries.push(entry);
    this.#checksums.push(checksum);
    this.sizeBytes += entry.data.length + entryOverheadBytes;
    const run = this.#runs.at(-1);
    if (run?.segment !== segment) this.#runs.push({ segment, firstIndex: entry.index });
  }

  /** Forgets the entries up to `index`, which exists. */
  truncate(index: number): void {
    const count = index - this.baseIndex;
    const term = this.term(index);
    assert(term !== undefined, 'a log is truncated at an entry that it has');
    this.basePrevious = this.checksum(index);
    this.baseTerm = term;
    for (let i = 0; i < count; i++) {
      this.sizeBytes -= (this.#entries[i] as Entry).data.length + entryOverheadBytes;
    }
    this.#entries = this.#entries.slice(count);
    this.#checksums = this.#checksums.slice(count);
    this.baseIndex = index;
    while (this.#entries.length === 0 ? this.#runs.length > 0 : this.#runEndsBy(index)) {
      this.#runs.shift();
    }
  }

  reset(base: { index: number; term: number; previous: number }): void {
    this.#entries = [];
    this.#checksums = [];
    this.#runs = [];
    this.sizeBytes = 0;
    this.baseIndex = base.index;
    this.baseTerm = base.term;
    this.basePrevious = base.previous;
  }

  /** The oldest segment that recovery needs for this range; undefined when nothing was written yet. */
  get firstSegment(): number | undefined {
    const entries = this.#runs[0]?.segment;
    if (entries === undefined || this.baseSegment === undefined) return this.baseSegment;
    return Math.min(entries, this.baseSegment);
  }

  /** All live records are (about to be) written anew to `segment`. */
  moveTo(segment: number): void {
    this.baseSegment = segment;
    this.#runs = this.#entries.length === 0 ? [] : [{ segment, firstIndex: this.firstIndex }];
  }

  /** Gives the entries memory of their own: recovery decodes them out of whole segments. */
  copyEntries(): void {
    for (let i = 0; i < this.#entries.length; i++) {
      const entry = this.#entries[i] as Entry;
      this.#entries[i] = { ...entry, data: Buffer.from(entry.data) };
    }
  }

  #runEndsBy(index: number): boolean {
    const next = this.#runs[1];
    return next !== undefined && next.firstIndex <= index + 1;
  }

  #cut(keep: number): void {
    for (let i = keep; i < this.#entries.length; i++) {
      this.sizeBytes -= (this.#entries[i] as Entry).data.length + entryOverheadBytes;
    }
    this.#entries.length = keep;
    this.#checksums.length = keep;
    const firstGone = this.baseIndex + 1 + keep;
    while ((this.#runs.at(-1)?.firstIndex ?? -1) >= firstGone) this.#runs.pop();
  }
}
