/**
 * The log as the algorithm sees it: the durable log of the driver, and behind it (replacing whatever
 * the durable log still has there) the entries that are not known to be durable.
 *
 *     compacted | durable entries (reader)      | unstable entries (memory)      |
 *               ^firstIndex                      ^offset       ^toWrite           ^lastIndex+1
 *
 * `commit`, `handedOut` and `applied` are cursors: applied <= handedOut <= commit <= lastIndex.
 *
 * INVARIANT: committed entries are never replaced.
 * INVARIANT: an entry is handed out for applying only when it is in this replica's own durable log.
 * Otherwise a crash could leave a state machine ahead of its log, and a replica whose log ends before
 * its state cannot answer for what it acknowledged.
 */
import { assert, must } from '../util/index.ts';
import { type Entry, type HardState, type LogReader, type SnapshotMeta } from './types.ts';
import { WriteQueue } from './write-queue.ts';

/** Counted for each entry besides its data: the headers on disk and wire. */
const entryOverheadBytes = 32;

export function entryBytes(entry: Entry): number {
  return entry.data.length + entryOverheadBytes;
}

export class LogView {
  commit: number;
  applied: number;
  readonly writes = new WriteQueue();
  private readonly reader: LogReader;
  /** Given to the driver for applying. Followers are told of no commit beyond it. */
  handedOut: number;
  private unstable: Entry[] = [];
  /** Index of the first unstable entry: all before it are durable. */
  private offset: number;
  /** Index of the first entry that was not handed to the driver for writing. */
  private toWrite: number;
  /** Accepted, not known to be installed. */
  private snapshot: SnapshotMeta | undefined;
  private snapshotToWrite = false;

  constructor(reader: LogReader, commit: number, applied: number) {
    this.reader = reader;
    this.commit = Math.max(commit, applied);
    this.applied = applied;
    this.handedOut = applied;
    this.offset = reader.lastIndex + 1;
    this.toWrite = this.offset;
    assert(this.commit <= reader.lastIndex, 'the log holds every entry known to be committed');
    assert(applied >= reader.firstIndex - 1, 'no entry is compacted before it is applied');
  }

  get firstIndex(): number {
    return this.snapshot === undefined ? this.reader.firstIndex : this.snapshot.index + 1;
  }

  get lastIndex(): number {
    return this.offset + this.unstable.length - 1;
  }

  get lastTerm(): number {
    return must(this.term(this.lastIndex), 'the term of the last index');
  }

  /** Everything up to it is in the own durable log. */
  get durableIndex(): number {
    return this.offset - 1;
  }

  get snapshotPending(): boolean {
    return this.snapshot !== undefined;
  }

  /** Undefined when compacted or beyond the end. */
  term(index: number): number | undefined {
    if (index >= this.offset) return this.unstable[index - this.offset]?.term;
    if (this.snapshot === undefined) return this.reader.term(index);
    return index === this.snapshot.index ? this.snapshot.term : undefined;
  }

  matches(index: number, term: number): boolean {
    return this.term(index) === term;
  }

  /** Whether a log that ends like this is at least as complete as ours (paper 5.4.1). */
  isUpToDate(lastIndex: number, lastTerm: number): boolean {
    return lastTerm > this.lastTerm || (lastTerm === this.lastTerm && lastIndex >= this.lastIndex);
  }

  /**
   * The largest index at or before `index` whose term is at most `term`, and its term (0 when that is
   * compacted): where a log with `term` at `index` may agree with this one. Skips whole terms.
   */
  agreement(index: number, term: number): { index: number; term: number } {
    let at = Math.min(index, this.lastIndex);
    for (; at > 0; at--) {
      const have = this.term(at);
      if (have === undefined) return { index: at, term: 0 };
      if (have <= term) return { index: at, term: have };
    }
    return { index: 0, term: 0 };
  }

  /** [from, to) in order: at least one when from < to, then as many as fit `maxBytes`. */
  entries(from: number, to: number, maxBytes: number): Entry[] {
    if (from >= to) return [];
    assert(from >= this.firstIndex, 'entries are read where they are not compacted');
    assert(to <= this.lastIndex + 1, 'entries are read up to the end of the log');
    const found: Entry[] = [];
    let bytes = 0;
    if (from < this.offset) {
      const durableTo = Math.min(to, this.offset);
      for (const entry of this.reader.entries(from, durableTo, maxBytes)) {
        bytes += entryBytes(entry);
        if (found.length > 0 && bytes > maxBytes) return found;
        found.push(entry);
      }
      if (from + found.length < durableTo) return found;
    }
    for (let at = from + found.length; at < to; at++) {
      const entry = must(this.unstable[at - this.offset], 'an unstable entry');
      bytes += entryBytes(entry);
      if (found.length > 0 && bytes > maxBytes) return found;
      found.push(entry);
    }
    return found;
  }

  /**
   * Takes the entries of a leader: skips those that are there, replaces from the first that differs.
   * They follow an index that matches.
   */
  merge(entries: readonly Entry[]): void {
    const start = entries.findIndex((entry) => !this.matches(entry.index, entry.term));
    if (start >= 0) this.append(entries.slice(start));
  }

  /** Appends at the index of the first entry, replacing what is there and behind. */
  append(entries: readonly Entry[]): void {
    const first = must(entries[0], 'entries to append').index;
    assert(first > this.commit, 'committed entries are not replaced');
    assert(first <= this.lastIndex + 1, 'the log has no gap');
    if (first <= this.lastIndex) this.writes.replaced(first);
    if (first < this.offset) {
      this.offset = first;
      this.unstable = [];
    } else {
      this.unstable.length = first - this.offset;
    }
    this.toWrite = Math.min(this.toWrite, first);
    for (const entry of entries) this.unstable.push(entry);
  }

  /** Moves the commit index forward; false when it is not behind. */
  commitTo(index: number): boolean {
    if (index <= this.commit) return false;
    assert(index <= this.lastIndex, 'only entries of the log are committed');
    this.commit = index;
    return true;
  }

  /** Begins anew behind a snapshot: everything the log held is given up. */
  restore(snapshot: SnapshotMeta): void {
    assert(snapshot.index > this.commit, 'a snapshot never goes back');
    this.writes.replaced(0);
    this.snapshot = snapshot;
    this.snapshotToWrite = true;
    this.commit = snapshot.index;
    this.handedOut = snapshot.index;
    this.unstable = [];
    this.offset = snapshot.index + 1;
    this.toWrite = this.offset;
  }

  get hasWrite(): boolean {
    return this.snapshotToWrite || this.toWrite <= this.lastIndex;
  }

  /** What has to be written and was not handed out before; `hardState` is what is written with it. */
  takeWrite(hardState: HardState): { entries: Entry[]; snapshot: SnapshotMeta | undefined } {
    const entries = this.unstable.slice(this.toWrite - this.offset);
    const snapshot = this.snapshotToWrite ? this.snapshot : undefined;
    this.toWrite = this.lastIndex + 1;
    this.snapshotToWrite = false;
    const last = entries.at(-1) ?? snapshot;
    this.writes.push({
      last: last === undefined ? undefined : { term: last.term, index: last.index },
      hasEntries: entries.length > 0,
      hardState,
      snapshot,
      durableTo: entries.at(-1)?.index ?? 0,
    });
    return { entries, snapshot };
  }

  /** A write of this log became durable. */
  written(write: {
    readonly snapshot: SnapshotMeta | undefined;
    readonly durableTo: number;
  }): void {
    if (write.snapshot !== undefined && write.snapshot === this.snapshot) {
      this.applied = Math.max(this.applied, write.snapshot.index);
      this.snapshot = undefined;
    }
    if (write.durableTo < this.offset) return;
    this.unstable = this.unstable.slice(write.durableTo + 1 - this.offset);
    this.offset = write.durableTo + 1;
  }

  get hasCommitted(): boolean {
    return this.handedOut < Math.min(this.commit, this.durableIndex);
  }

  /** The next committed and durable entries that were not handed out, up to `maxBytes`. */
  takeCommitted(maxBytes: number): Entry[] {
    const to = Math.min(this.commit, this.durableIndex) + 1;
    const entries = this.entries(this.handedOut + 1, to, maxBytes);
    this.handedOut += entries.length;
    return entries;
  }

  appliedTo(index: number): void {
    assert(index <= this.handedOut, 'only entries that were handed out are applied');
    this.applied = Math.max(this.applied, index);
  }

  /** True when a committed configuration change waits to be applied. */
  hasUnappliedConfig(): boolean {
    for (let from = this.applied + 1; from <= this.commit;) {
      const page = this.entries(from, this.commit + 1, scanBytes);
      if (page.some((entry) => entry.kind === 'config')) return true;
      from += page.length;
    }
    return false;
  }
}

const scanBytes = 1 << 20;
