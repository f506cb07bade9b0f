/**
 * What has to hold from its reading until the commit whatever the isolation level: keys that were locked, because a lock may
 * be lost with its leaseholder (trap X14), and reads that ask for it (`ReadOptions.untilCommit`). A row with a lock of
 * 'key-share' has to be there, all else has to be as it was.
 *
 * A key that the commit writes needs no check of its own: its write is made on the condition that nobody has changed it since
 * it was locked (`since`), unless that was joined with others. One that was written down is forgotten unless a savepoint lies between lock and write: otherwise
 * whatever undoes the write undoes the lock.
 *
 * 'serializable' checks all reads at its commit and only remembers here what it need not lock again.
 */
import {
  covers,
  type HeldStrength,
  type KvRequest,
  type LockStrength,
  type Snapshot,
  type Timestamp,
} from '../kv/index.ts';
import { KeptSet, type ReadMark } from './kept-set.ts';

export type RefreshRequest = Extract<KvRequest, { kind: 'refresh' }>;

export class KeptReads {
  readonly #unchanged: KeptSet;
  /** Rows that others may change: what is read of one later is its own entry in the other set. */
  readonly #existing: KeptSet;

  constructor(maxBytes: number) {
    this.#unchanged = new KeptSet(maxBytes);
    this.#existing = new KeptSet(maxBytes);
  }

  key(key: Buffer, lock: LockStrength, mark: ReadMark): void {
    this.#unchanged.addKey(key, lock, mark);
  }

  /** A row was found and locked by 'key-share'. */
  row(key: Buffer, mark: ReadMark): void {
    this.#existing.addKey(key, 'key-share', mark);
  }

  span(start: Buffer, end: Buffer, mark: ReadMark): void {
    this.#unchanged.addSpan(start, end, mark);
  }

  /** The key is certainly locked as strongly as that. */
  isLocked(key: Buffer, wanted: HeldStrength): boolean {
    return [this.#unchanged, this.#existing].some((kept) => {
      const lock = kept.get(key)?.lock ?? 'none';
      return lock !== 'none' && covers(lock, wanted);
    });
  }

  /** Where the reads stood that saw `key` first and must not be outdated when it is written; not of what was joined with others. */
  since(key: Buffer): Snapshot | undefined {
    return this.#unchanged.get(key)?.snapshot;
  }

  /** An intent on `key` is there. `savepoint`: the sequence of the latest one. */
  writtenDown(key: Buffer, savepoint: number): void {
    this.#unchanged.drop(key, savepoint);
    this.#existing.drop(key, savepoint);
  }

  /** Forgets what was read behind the savepoint with this sequence. */
  rollbackTo(savepoint: number): void {
    this.#unchanged.rollbackTo(savepoint);
    this.#existing.rollbackTo(savepoint);
  }

  /** Proves up to `to`, or where the batch writes, that what is kept holds but for keys with a `since` that `isWritten`. */
  refreshes(to: Timestamp, isWritten: (key: Buffer) => boolean): RefreshRequest[] {
    const requests: RefreshRequest[] = [];
    const add = (kept: KeptSet, existence: boolean): void => {
      for (const { span, from, isJoined } of kept.list()) {
        if (!isJoined && span.end === undefined && isWritten(span.start)) continue;
        requests.push({ kind: 'refresh', span, from, to, untilCommit: true, existence });
      }
    };
    add(this.#unchanged, false);
    add(this.#existing, true);
    return requests;
  }
}
