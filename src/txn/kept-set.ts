/**
 * Keys and spans, each with the snapshot at which it was read, in bounded memory: what was too much to be kept apart is joined,
 * and counts as more than was read, since the earliest of it.
 *
 * INVARIANT: what is remembered of a key is the earliest lock or read that no rollback has undone.
 */
import {
  compareTimestamps,
  strongerOf,
  type LockStrength,
  type Snapshot,
  type Span,
  type Timestamp,
} from '../kv/index.ts';
import { SpanSet } from './span-set.ts';

/** Undefined snapshot: the transaction was born serializable. */
export interface ReadMark {
  readonly snapshot: Snapshot | undefined;
  /** Of the transaction when it read: a rollback to a savepoint before it undoes it. */
  readonly sequence: number;
}

interface KeptKey extends ReadMark {
  readonly key: Buffer;
  lock: LockStrength;
}

interface KeptSpan extends ReadMark {
  readonly start: Buffer;
  readonly end: Buffer;
}

export interface KeptEntry {
  readonly span: Span;
  readonly from: Timestamp;
  /** Joined with others: `get` does not know it any more. */
  readonly isJoined: boolean;
}

const entryOverheadBytes = 160;

export class KeptSet {
  readonly #maxBytes: number;
  readonly #keys = new Map<string, KeptKey>();
  #spans: KeptSpan[] = [];
  #bytes = 0;
  #joined: { readonly snapshot: Snapshot; readonly spans: SpanSet } | undefined;

  constructor(maxBytes: number) {
    this.#maxBytes = maxBytes;
  }

  addKey(key: Buffer, lock: LockStrength, { snapshot, sequence }: ReadMark): void {
    const name = key.toString('latin1');
    const known = this.#keys.get(name);
    if (known !== undefined) {
      if (lock !== 'none') known.lock = known.lock === 'none' ? lock : strongerOf(known.lock, lock);
      return;
    }
    this.#keys.set(name, { key, lock, snapshot, sequence });
    this.#grow(key.length);
  }

  addSpan(start: Buffer, end: Buffer, { snapshot, sequence }: ReadMark): void {
    this.#spans.push({ start, end, snapshot, sequence });
    this.#grow(start.length + end.length);
  }

  /** The key by itself, not as part of a span. */
  get(
    key: Buffer,
  ): { readonly lock: LockStrength; readonly snapshot: Snapshot | undefined } | undefined {
    return this.#keys.size === 0 ? undefined : this.#keys.get(key.toString('latin1'));
  }

  /** Forgets `key`, unless it was read before the savepoint with this sequence. */
  drop(key: Buffer, savepoint: number): void {
    const name = key.toString('latin1');
    const kept = this.#keys.get(name);
    if (kept === undefined || kept.sequence <= savepoint) return;
    this.#keys.delete(name);
    this.#bytes -= key.length + entryOverheadBytes;
  }

  /** Forgets what was read behind the savepoint with this sequence. */
  rollbackTo(savepoint: number): void {
    for (const [name, { key, sequence }] of this.#keys) {
      if (sequence <= savepoint) continue;
      this.#keys.delete(name);
      this.#bytes -= key.length + entryOverheadBytes;
    }
    this.#spans = this.#spans.filter(({ start, end, sequence }) => {
      const stays = sequence <= savepoint;
      if (!stays) this.#bytes -= start.length + end.length + entryOverheadBytes;
      return stays;
    });
  }

  /** All that has a snapshot, and where that stands. */
  list(): KeptEntry[] {
    const found: KeptEntry[] = [];
    for (const { key, snapshot } of this.#keys.values()) {
      if (snapshot === undefined) continue;
      found.push({ span: { start: key, end: undefined }, from: snapshot.at, isJoined: false });
    }
    for (const { start, end, snapshot } of this.#spans) {
      if (snapshot !== undefined)
        found.push({ span: { start, end }, from: snapshot.at, isJoined: false });
    }
    if (this.#joined === undefined) return found;
    const { snapshot, spans } = this.#joined;
    for (const span of spans.list()) found.push({ span, from: snapshot.at, isJoined: true });
    return found;
  }

  #grow(bytes: number): void {
    this.#bytes += bytes + entryOverheadBytes;
    if (this.#bytes > this.#maxBytes) this.#join();
  }

  #join(): void {
    for (const { key, snapshot } of this.#keys.values()) this.#joinOne(key, undefined, snapshot);
    for (const { start, end, snapshot } of this.#spans) this.#joinOne(start, end, snapshot);
    this.#keys.clear();
    this.#spans = [];
    this.#bytes = 0;
  }

  #joinOne(start: Buffer, end: Buffer | undefined, snapshot: Snapshot | undefined): void {
    if (snapshot === undefined) return;
    const spans = this.#joined?.spans ?? new SpanSet(this.#maxBytes);
    spans.add(start, end);
    const before = this.#joined?.snapshot;
    const isEarlier = before !== undefined && compareTimestamps(before.at, snapshot.at) <= 0;
    this.#joined = { snapshot: isEarlier ? before : snapshot, spans };
  }
}
