/**
 * The writes of one transaction that have not left the gateway. Its reads are answered from here
 * first; a rollback to a savepoint forgets the writes behind it.
 *
 * INVARIANT 1: the versions of a key rise in sequence; the last one is what the transaction sees.
 * INVARIANT 2: an insert over the transaction's own live value is a conflict at once; one over its own
 *   deletion needs no check.
 * INVARIANT 3: all versions of a key stand at the snapshot of the first: what follows may build on it.
 */
import { emptyBytes, nextKey } from '../util/index.ts';
import { type ScanOptions, type ScanPage } from './db.ts';
import { type Timestamp } from './hlc.ts';
import { SortedMap } from './sorted-map.ts';

/** Where the reads of one statement (or of all of them) stand: refreshes move it, and all that follows from those reads with it. */
export interface Snapshot {
  at: Timestamp;
}

export interface BufferedWrite {
  readonly sequence: number;
  /** Undefined deletes. */
  readonly value: Buffer | undefined;
  /** Of the statement that made the write; undefined: all reads of the transaction are checked at its commit. */
  readonly snapshot?: Snapshot | undefined;
  /** As in `InsertOptions`. */
  readonly isFresh?: boolean;
}

export interface BufferedVersion {
  readonly key: Buffer;
  readonly write: BufferedWrite;
  /** The store must not hold a live value. */
  readonly insert: boolean;
}

/** An insert that met the transaction's own live value `existing`. */
export interface InsertConflict {
  readonly key: Buffer;
  readonly sequence: number;
  readonly existing: Buffer;
}

const entryOverheadBytes = 64;

export class WriteBuffer {
  readonly #writes = new SortedMap<BufferedWrite[]>();
  /** Keys whose absence from the store is still to be checked, with the sequence of the insert. */
  readonly #inserts = new SortedMap<number>();
  #conflicts: InsertConflict[] = [];
  /** Keys in the order of their writes: what a rollback has to visit. */
  #journal: { readonly sequence: number; readonly key: Buffer; readonly bytes: number }[] = [];
  #bytes = 0;

  /** Number of keys. */
  get size(): number {
    return this.#writes.size;
  }

  get bytes(): number {
    return this.#bytes;
  }

  get pendingInserts(): number {
    return this.#inserts.size;
  }

  put(key: Buffer, write: BufferedWrite): void {
    const versions = this.#writes.get(key);
    const first = versions?.[0];
    if (versions === undefined || first === undefined) this.#writes.set(key, [write]);
    else if (first.snapshot === write.snapshot) versions.push(write);
    else versions.push({ ...write, snapshot: first.snapshot });
    const bytes = key.length + (write.value?.length ?? 0) + entryOverheadBytes;
    this.#journal.push({ sequence: write.sequence, key, bytes });
    this.#bytes += bytes;
  }

  insert(key: Buffer, write: BufferedWrite): void {
    const before = this.get(key);
    if (before === undefined) {
      if (this.#inserts.get(key) === undefined) this.#inserts.set(key, write.sequence);
    } else if (before.value !== undefined) {
      this.#conflicts.push({ key, sequence: write.sequence, existing: before.value });
    }
    this.put(key, write);
  }

  /** The transaction's own newest write of `key`. */
  get(key: Buffer): BufferedWrite | undefined {
    return this.#writes.get(key)?.at(-1);
  }

  /** True when the store must not hold a live value of `key`. */
  mustBeAbsent(key: Buffer): boolean {
    return this.#inserts.get(key) !== undefined;
  }

  /** The first insert that met an own live value. */
  get conflict(): InsertConflict | undefined {
    return this.#conflicts[0];
  }

  /** Keys with a pending check, in order. */
  inserts(): Buffer[] {
    const found: Buffer[] = [];
    this.#inserts.visit(emptyBytes, undefined, (key) => {
      found.push(key);
    });
    return found;
  }

  /** Of those the keys that are not fresh: their statement answers for them. */
  dueInserts(): Buffer[] {
    return this.inserts().filter((key) => {
      const sequence = this.#inserts.get(key);
      const write = this.#writes.get(key)?.find((each) => each.sequence === sequence);
      return write?.isFresh !== true;
    });
  }

  /** The check of this key's insert was made and passed. */
  insertChecked(key: Buffer): void {
    this.#inserts.delete(key);
  }

  /** The newest write of each key, in key order. */
  entries(): { readonly key: Buffer; readonly write: BufferedWrite }[] {
    const found: { key: Buffer; write: BufferedWrite }[] = [];
    this.#writes.visit(emptyBytes, undefined, (key, versions) => {
      const write = versions.at(-1);
      if (write !== undefined) found.push({ key, write });
    });
    return found;
  }

  /** Every write, in order of sequence. */
  history(): { readonly key: Buffer; readonly write: BufferedWrite }[] {
    const found: { key: Buffer; write: BufferedWrite }[] = [];
    this.#writes.visit(emptyBytes, undefined, (key, versions) => {
      for (const write of versions) found.push({ key, write });
    });
    return found.sort((a, b) => a.write.sequence - b.write.sequence);
  }

  /** Every write in key order, the writes of a key in order of sequence. */
  versions(): BufferedVersion[] {
    const found: BufferedVersion[] = [];
    this.#writes.visit(emptyBytes, undefined, (key, versions) => {
      const checked = this.#inserts.size > 0 ? this.#inserts.get(key) : undefined;
      for (const write of versions) {
        found.push({ key, write, insert: checked === write.sequence });
      }
    });
    return found;
  }

  /** Takes in what another buffer holds. */
  append(other: WriteBuffer): void {
    const all = [...this.#marked(), ...other.#marked()];
    all.sort((a, b) => a.write.sequence - b.write.sequence);
    this.clear();
    for (const { key, write, insert } of all) {
      if (insert) this.insert(key, write);
      else this.put(key, write);
    }
  }

  /** Every write, with those that came as inserts and are not checked yet. */
  #marked(): BufferedVersion[] {
    const conflicts = new Set(this.#conflicts.map(({ sequence }) => sequence));
    return this.versions().map(({ key, write, insert }) => ({
      key,
      write,
      insert: insert || conflicts.has(write.sequence),
    }));
  }

  /** Takes the writes of all keys below `end` out of the buffer, into one of their own. */
  takeBelow(end: Buffer): WriteBuffer {
    const taken = new WriteBuffer();
    const sequences = new Set<number>();
    this.#writes.visit(emptyBytes, end, (_key, versions) => {
      for (const write of versions) sequences.add(write.sequence);
    });
    if (sequences.size === 0) return taken;
    for (const { key, write } of this.history()) {
      if (!sequences.has(write.sequence)) continue;
      if (this.#inserts.get(key) === write.sequence) taken.insert(key, write);
      else taken.put(key, write);
    }
    this.forget((sequence) => sequences.has(sequence));
    return taken;
  }

  overlaps(start: Buffer, end: Buffer): boolean {
    return this.#writes.visit(start, end, () => true);
  }

  /** Forgets all writes with a larger sequence number. */
  rollbackTo(sequence: number): void {
    while (true) {
      const last = this.#journal.at(-1);
      if (last === undefined || last.sequence <= sequence) break;
      this.#journal.pop();
      this.#bytes -= last.bytes;
      const versions = this.#writes.get(last.key);
      versions?.pop();
      if (versions?.length === 0) this.#writes.delete(last.key);
      const pending = this.#inserts.get(last.key);
      if (pending !== undefined && pending > sequence) this.#inserts.delete(last.key);
    }
    this.#conflicts = this.#conflicts.filter((conflict) => conflict.sequence <= sequence);
  }

  /** Forgets the writes whose sequence passes `test`, and the checks that came with them. */
  forget(test: (sequence: number) => boolean): void {
    if (!this.#journal.some(({ sequence }) => test(sequence))) return;
    for (const { sequence, key, bytes } of this.#journal) {
      if (!test(sequence)) continue;
      this.#bytes -= bytes;
      const kept = this.#writes.get(key)?.filter((write) => !test(write.sequence)) ?? [];
      if (kept.length > 0) this.#writes.set(key, kept);
      else this.#writes.delete(key);
      const pending = this.#inserts.get(key);
      if (pending !== undefined && test(pending)) this.#inserts.delete(key);
    }
    this.#journal = this.#journal.filter(({ sequence }) => !test(sequence));
    this.#conflicts = this.#conflicts.filter(({ sequence }) => !test(sequence));
  }

  clear(): void {
    this.#writes.clear();
    this.#inserts.clear();
    this.#conflicts = [];
    this.#journal = [];
    this.#bytes = 0;
  }

  /**
   * Lays the buffered writes over one page of stored rows and feeds the live rows of the result to
   * `row`, which returns true to stop behind it. Returns what is left of the span.
   */
  overlay(
    options: Pick<ScanOptions, 'start' | 'end' | 'reverse'>,
    stored: ScanPage,
    row: (key: Buffer, value: Buffer) => boolean,
  ): ScanPage['resume'] {
    const { start, end } = options;
    const reverse = options.reverse === true;
    const covered = {
      start: reverse && stored.resume !== undefined ? stored.resume.end : start,
      end: !reverse && stored.resume !== undefined ? stored.resume.start : end,
    };
    const own: { readonly key: Buffer; readonly value: Buffer | undefined }[] = [];
    const collect = (key: Buffer, versions: BufferedWrite[]): void => {
      own.push({ key, value: versions.at(-1)?.value });
    };
    if (reverse) this.#writes.visitReverse(covered.start, covered.end, collect);
    else this.#writes.visit(covered.start, covered.end, collect);

    let nextOwn = 0;
    let nextStored = 0;
    while (nextOwn < own.length || nextStored < stored.keys.length) {
      const mine = own[nextOwn];
      const theirs = stored.keys[nextStored];
      const order = compareHeads(mine?.key, theirs, reverse);
      if (order >= 0) nextStored++;
      if (order <= 0) nextOwn++;
      const key = order <= 0 ? mine?.key : theirs;
      const value = order <= 0 ? mine?.value : stored.values[nextStored - 1];
      if (key === undefined || value === undefined) continue;
      if (row(key, value)) return restBehind(key, start, end, reverse);
    }
    return stored.resume;
  }
}

/** Negative when `mine` comes first in scan order, zero when both are the same key. */
function compareHeads(
  mine: Buffer | undefined,
  theirs: Buffer | undefined,
  reverse: boolean,
): number {
  if (mine === undefined) return 1;
  if (theirs === undefined) return -1;
  return reverse ? theirs.compare(mine) : mine.compare(theirs);
}

/** What is left of [start, end) when a scan stopped behind the row `key`; undefined when nothing. */
export function restBehind(
  key: Buffer,
  start: Buffer,
  end: Buffer,
  reverse: boolean,
): ScanPage['resume'] {
  if (reverse) return key.compare(start) <= 0 ? undefined : { start, end: key };
  const next = nextKey(key);
  return next.compare(end) >= 0 ? undefined : { start: next, end };
}
