/**
 * The refresher owns the transaction's timestamps and what it has read. Moving the read timestamp from
 * t to t' is right when nothing that was read changed in (t, t']: then every read would give the same
 * at t' (traps X2, X10).
 *
 * Under 'read-committed' that goes for one statement: the next one reads where the clock is when it begins and owes the
 * earlier ones nothing. What those have written or locked goes on standing at their snapshots.
 *
 * INVARIANT: `version` changes with the read timestamp; a read sent under another version, or answered
 *   during a refresh that does not know of it, does not count.
 */
import {
  compareTimestamps,
  kvSettings,
  laterTimestamp,
  type BatchResponse,
  type IsolationLevel,
  type SequenceSpan,
  type Snapshot,
  type Span,
  type Timestamp,
  type TxnMeta,
} from '../kv/index.ts';
import { type ClusterTxn } from './cluster-txn.ts';
import { type RefreshRequest } from './kept-reads.ts';
import { SpanSet } from './span-set.ts';

export class Refresher {
  readonly #txn: ClusterTxn;
  readonly #reads: SpanSet;
  /** Rows of which only that they are there was asked. */
  readonly #rows: SpanSet;
  #meta: TxnMeta;
  #movable: boolean;
  /** Undefined: born serializable, so nothing needs to know where a single write or lock stands. */
  #snapshot: Snapshot | undefined;
  #version = 0;
  #refreshing: Promise<void> | undefined;

  constructor(txn: ClusterTxn, meta: TxnMeta, options: { readonly movable: boolean }) {
    this.#txn = txn;
    const maxBytes = txn.parts.settings.get(kvSettings.maxRefreshSpansBytes);
    this.#reads = new SpanSet(maxBytes);
    this.#rows = new SpanSet(maxBytes);
    this.#meta = meta;
    this.#movable = options.movable;
    this.setIsolation(meta.isolation);
  }

  /** Before anything was read, locked or written. */
  setIsolation(isolation: IsolationLevel): void {
    if (isolation !== this.#meta.isolation) this.#meta = { ...this.#meta, isolation };
    this.#snapshot = isolation === 'serializable' ? undefined : { at: this.#meta.readTimestamp };
  }

  get meta(): TxnMeta {
    const { sequence } = this.#txn;
    if (this.#meta.sequence !== sequence) this.#meta = { ...this.#meta, sequence };
    return this.#meta;
  }

  get isSerializable(): boolean {
    return this.#meta.isolation === 'serializable';
  }

  /** Of the present statement. */
  get snapshot(): Snapshot | undefined {
    return this.#snapshot;
  }

  /** True when the statement that begins now reads at `now`, which is this node's clock, and knows no node's clock yet. */
  beginStatement(now: Timestamp, uncertaintyLimit: Timestamp): boolean {
    if (this.#meta.isolation !== 'read-committed') return false;
    this.#reads.clear();
    this.#rows.clear();
    const readTimestamp = laterTimestamp(now, this.#meta.readTimestamp);
    this.#snapshot = { at: readTimestamp };
    this.#meta = { ...this.#meta, uncertaintyLimit };
    this.#setRead(readTimestamp);
    return true;
  }

  becomeSerializable(): void {
    this.#meta = { ...this.#meta, isolation: 'serializable' };
  }

  get version(): number {
    return this.#version;
  }

  /** The refresh under way; settles without a failure. */
  get refreshing(): Promise<void> | undefined {
    return this.#refreshing;
  }

  /** Nothing was read yet, so the next read may be made wherever its range likes. */
  get mayBeMovedByRange(): boolean {
    return this.#movable && !this.hasRead;
  }

  get movable(): boolean {
    return this.#movable;
  }

  get hasRead(): boolean {
    return this.#reads.size > 0 || this.#rows.size > 0;
  }

  /** Ask whether all that was read is the same at `to`. */
  refreshes(to: Timestamp): RefreshRequest[] {
    const from = this.#meta.readTimestamp;
    const ask = (existence: boolean) => {
      return (span: Span): RefreshRequest => ({ kind: 'refresh', span, from, to, existence });
    };
    return [...this.#reads.list().map(ask(false)), ...this.#rows.list().map(ask(true))];
  }

  noteRead(start: Buffer, end: Buffer | undefined): void {
    if (this.#movable) this.#reads.add(start, end);
  }

  /** There was a row; its value was not looked at. */
  noteRow(key: Buffer): void {
    if (this.#movable) this.#rows.add(key, undefined);
  }

  /** Nobody has heard of the transaction before `now`. */
  setAnchor(anchor: Buffer, now: Timestamp): void {
    const minTimestamp = laterTimestamp(this.#meta.minTimestamp, now);
    this.#meta = { ...this.#meta, anchor, minTimestamp };
  }

  ignoreSequences(from: number, to: number): void {
    const ignored = this.#meta.ignoredSequences.filter((span) => span.from < from);
    this.#meta = { ...this.#meta, ignoredSequences: [...ignored, { from, to }] };
  }

  /** At the end of the transaction: these writes leave nothing. */
  dropWrites(spans: readonly SequenceSpan[]): void {
    if (spans.length === 0) return;
    const ignoredSequences = [...this.#meta.ignoredSequences, ...spans];
    this.#meta = { ...this.#meta, ignoredSequences };
  }

  /** The timestamps may not move any more: somebody has been told of them. */
  fix(): void {
    this.#movable = false;
  }

  movedByRange(txn: TxnMeta | undefined): void {
    if (txn === undefined) return;
    if (compareTimestamps(txn.readTimestamp, this.#meta.readTimestamp) > 0) {
      this.#setRead(txn.readTimestamp);
    }
    this.noteWrite(txn);
  }

  /** A range laid the transaction's writes down later than was asked. */
  noteWrite(txn: TxnMeta | undefined): void {
    if (txn !== undefined) this.raiseWrite(txn.writeTimestamp);
  }

  /** The commit has to stand at `to` at least. */
  raiseWrite(to: Timestamp): void {
    const writeTimestamp = laterTimestamp(this.#meta.writeTimestamp, to);
    this.#meta = { ...this.#meta, writeTimestamp };
  }

  /** Moves the read timestamp to `to` at least; fails as `ClusterTxn.retry` when something that was read has changed. */
  async refreshTo(to: Timestamp): Promise<void> {
    while (this.#refreshing !== undefined) await this.#refreshing;
    if (compareTimestamps(to, this.#meta.readTimestamp) <= 0) return;
    if (!this.#movable) {
      this.#txn.fail({ kind: 'txn-retry', reason: 'the timestamp of the transaction is fixed' });
    }
    const work = this.#refresh(to);
    this.#refreshing = work.then(
      () => undefined,
      () => undefined,
    );
    try {
      await work;
    } finally {
      this.#refreshing = undefined;
    }
  }

  async #refresh(to: Timestamp): Promise<void> {
    if (this.hasRead) {
      const { router, counters } = this.#txn.parts;
      counters.refreshes++;
      const header = this.#txn.header({}, false);
      const response = await this.#txn.unlessStopped(router.sendBatch(header, this.refreshes(to)));
      this.#txn.checkOpen();
      if (response.kind === 'error') {
        if (response.error.kind !== 'refresh-failed') return this.#txn.fail(response.error);
        counters.refreshesFailed++;
        return this.#txn.retry('a value that was read has changed');
      }
    }
    this.#setRead(to);
  }

  #setRead(to: Timestamp): void {
    this.#version++;
    if (this.#snapshot !== undefined) this.#snapshot.at = to;
    const writeTimestamp = laterTimestamp(this.#meta.writeTimestamp, to);
    this.#meta = { ...this.#meta, readTimestamp: to, writeTimestamp };
  }
}

/** Where a transaction that met `response` can go on; undefined when it cannot. */
export function retryTimestamp(
  response: Extract<BatchResponse, { kind: 'error' }>,
): Timestamp | undefined {
  const { error, now } = response;
  switch (error.kind) {
    case 'write-too-old':
    case 'read-within-uncertainty':
      return laterTimestamp(error.existing, now);
    case 'txn-pushed':
      return laterTimestamp(error.retryAt, now);
    default:
      return undefined;
  }
}
