/**
 * What has to hold from its reading until the commit whatever the isolation level: keys that were locked, because a lock may
 * be lost with its leaseholder (trap X14), and reads that ask for it (`ReadOptions.untilCommit`).
 *
 * A key that the commit writes needs no check of its own: its write is made on the condition that nobody has changed it since
 * it was locked (`since`). One that was written down is forgotten unless a savepoint lies between lock and write: otherwise
 * whatever undoes the write undoes the lock.
 *
 * 'serializable' checks all reads at its commit and only remembers here what it need not lock again.
 *
 * INVARIANT: what is remembered of a key is the earliest lock or read that no rollback has undone.
 */
import { compareTimestamps, type KvRequest, type Snapshot, type Timestamp } from '../kv/index.ts';
import { SpanSet } from './span-set.ts';

/** Undefined snapshot: the transaction was born serializable. */
export interface ReadMark {
  readonly snapshot: Snapshot | undefined;
  /** Of the transaction when it read: a rollback to a savepoint before it undoes it. */
  readonly sequence: number;
}

export type RefreshRequest = Extract<KvRequest, { kind: 'refresh' }>;

interface KeptKey extends ReadMark {
  readonly key: Buffer;
  isForUpdate: boolean;
}

interface KeptSpan extends ReadMark {
  readonly start: Buffer;
  readonly end: Buffer;
}

const entryOverheadBytes = 160;

export class KeptReads {
  readonly #maxBytes: number;
  readonly #keys = new Map<string, KeptKey>();
  #spans: KeptSpan[] = [];
  #bytes = 0;
  /** What was too much to be kept apart: more than was read, since the earliest of it. */
  #joined: { readonly snapshot: Snapshot; readonly spans: SpanSet } | undefined;

  constructor(maxBytes: number) {
    this.#maxBytes = maxBytes;
  }

  key(key: Buffer, isForUpdate: boolean, { snapshot, sequence }: ReadMark): void {
    const name = key.toString('latin1');
    const known = this.#keys.get(name);
    if (known !== undefined) {
      known.isForUpdate ||= isForUpdate;
      return;
    }
    this.#keys.set(name, { key, isForUpdate, snapshot, sequence });
    this.#grow(key.length);
  }

  span(start: Buffer, end: Buffer, { snapshot, sequence }: ReadMark): void {
    this.#spans.push({ start, end, snapshot, sequence });
    this.#grow(start.length + end.length);
  }

  /** The key is certainly locked for update. */
  isForUpdate(key: Buffer): boolean {
    return this.#keys.get(key.toString('latin1'))?.isForUpdate === true;
  }

  /** Where the reads stood that saw `key` first and must not be outdated when it is written. */
  since(key: Buffer): Snapshot | undefined {
    return this.#keys.size === 0 ? undefined : this.#keys.get(key.toString('latin1'))?.snapshot;
  }

  /** An intent on `key` is there. `savepoint`: the sequence of the latest one. */
  writtenDown(key: Buffer, savepoint: number): void {
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

  /** Proves up to `to`, or where the batch writes, that nobody else has changed what is kept but for keys that `isWritten`. */
  refreshes(to: Timestamp, isWritten: (key: Buffer) => boolean): RefreshRequest[] {
    const requests: RefreshRequest[] = [];
    const add = (start: Buffer, end: Buffer | undefined, { at: from }: Snapshot): void => {
      requests.push({ kind: 'refresh', span: { start, end }, from, to, untilCommit: true });
    };
    for (const { key, snapshot } of this.#keys.values()) {
      if (snapshot !== undefined && !isWritten(key)) add(key, undefined, snapshot);
    }
    for (const { start, end, snapshot } of this.#spans) {
      if (snapshot !== undefined) add(start, end, snapshot);
    }
    const { snapshot, spans } = this.#joined ?? {};
    if (snapshot === undefined || spans === undefined) return requests;
    for (const { start, end } of spans.list()) add(start, end, snapshot);
    return requests;
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
