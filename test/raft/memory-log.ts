/** A replica's log in memory, with the LogReader view that the core sees. */
import { type Entry, type LogReader, type SnapshotMeta } from '../../src/raft/index.ts';
import { assert } from '../../src/util/index.ts';

export class MemoryLog implements LogReader {
  private base: { index: number; term: number } = { index: 0, term: 0 };
  private list: Entry[] = [];

  get firstIndex(): number {
    return this.base.index + 1;
  }

  get lastIndex(): number {
    return this.base.index + this.list.length;
  }

  term(index: number): number | undefined {
    if (index === this.base.index) return this.base.term;
    return index < this.base.index ? undefined : this.list[index - this.base.index - 1]?.term;
  }

  entries(from: number, to: number, maxBytes: number): Entry[] {
    assert(from >= this.firstIndex && from < to && to <= this.lastIndex + 1, 'a range of the log');
    const found: Entry[] = [];
    let bytes = 0;
    for (const entry of this.list.slice(from - this.firstIndex, to - this.firstIndex)) {
      bytes += entry.data.length;
      if (found.length > 0 && bytes > maxBytes) break;
      found.push(entry);
    }
    return found;
  }

  /** True when the entry is in the log, or compacted. */
  matchesEntry(entry: Entry): boolean {
    return entry.index < this.firstIndex || this.term(entry.index) === entry.term;
  }

  append(entries: readonly Entry[]): void {
    const first = entries[0];
    if (first === undefined) return;
    assert(first.index >= this.firstIndex && first.index <= this.lastIndex + 1, 'no gap');
    this.list = [...this.list.slice(0, first.index - this.firstIndex), ...entries];
  }

  reset(snapshot: SnapshotMeta): void {
    this.base = { index: snapshot.index, term: snapshot.term };
    this.list = [];
  }

  compact(upTo: number): void {
    const term = this.term(upTo);
    if (upTo <= this.base.index || term === undefined) return;
    this.list = this.list.slice(upTo - this.base.index);
    this.base = { index: upTo, term };
  }

  copy(): MemoryLog {
    const copy = new MemoryLog();
    copy.base = this.base;
    copy.list = this.list.slice();
    return copy;
  }
}
