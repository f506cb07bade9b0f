/**
 * MvccBatch: evaluates the writes of one command over an engine without touching it. The effects pile up
 * in a small sorted map that later reads of the same batch see, and leave as blind engine writes.
 *
 * A put over a committed version moves that version into the history; an intent stands in the head
 * beside the committed version until it is resolved.
 */
import { compareTimestamps, type FinishedTxn, type Timestamp, type TxnMeta } from '../kv/index.ts';
import { assert } from '../util/index.ts';
import { ByteMap } from './byte-map.ts';
import { type EngineIterator, type EngineReader, type EngineWrite } from './engine.ts';
import { headKey, versionKey } from './engine-keys.ts';
import { decodeHead, encodeCommitted, encodeHead, encodeVersion } from './head-record.ts';
import { MergeIterator, type LayerValue } from './merge-iterator.ts';
import { committedWrite, keepsRow, newestKept } from './mvcc-read.ts';
import { StatsSum } from './mvcc-stats.ts';
import {
  type HeadRecord,
  type Intent,
  type MvccBatch,
  type MvccStats,
  type MvccWriteResult,
} from './mvcc-types.ts';

export function createMvccBatch(reader: EngineReader): MvccBatch {
  return new Batch(reader);
}

const emptyHead: HeadRecord = { timestamp: undefined, value: undefined, intent: undefined };
const ok: MvccWriteResult = { kind: 'ok' };

class Batch implements MvccBatch {
  readonly #reader: EngineReader;
  readonly #pending = new ByteMap<LayerValue>();
  readonly #sum = new StatsSum();
  /** The last record that was read below the batch. */
  #lastKey: Buffer | undefined;
  #lastValue: Buffer | undefined;

  constructor(reader: EngineReader) {
    this.#reader = reader;
  }

  get writes(): readonly EngineWrite[] {
    const writes: EngineWrite[] = [];
    for (const cursor = this.#pending.freeze().cursor(); cursor.key !== undefined; cursor.next()) {
      writes.push({ key: cursor.key, value: cursor.value ?? undefined });
    }
    return writes;
  }

  get stats(): MvccStats {
    return this.#sum.result();
  }

  get(engineKey: Buffer): Buffer | undefined {
    const own = this.#pending.get(engineKey);
    if (own !== undefined) return own ?? undefined;
    // A write looks at its key twice, once for its condition; the latches keep it as it is.
    if (this.#lastKey?.equals(engineKey) !== true) {
      this.#lastValue = this.#reader.get(engineKey);
      this.#lastKey = engineKey;
    }
    return this.#lastValue;
  }

  iterate(options: { start: Buffer; end: Buffer; reverse?: boolean }): EngineIterator {
    const base = this.#reader.iterate(options);
    if (this.#pending.size === 0) return base;
    const cursors = [this.#pending.freeze().cursor(options)];
    return new MergeIterator({ cursors, base, reverse: options.reverse === true });
  }

  put(
    key: Buffer,
    value: Buffer | undefined,
    at: {
      readonly timestamp: Timestamp;
      readonly txn: TxnMeta | undefined;
      readonly sequence: number;
      readonly unchangedSince?: Timestamp | undefined;
    },
  ): MvccWriteResult {
    const engineKey = headKey(key);
    const stored = this.get(engineKey);
    const head = stored === undefined ? emptyHead : decodeHead(stored);
    const { txn } = at;
    const intent = head.intent;
    if (intent !== undefined && intent.txnId !== txn?.id) {
      return { kind: 'intent', key, intent, keepsRow: keepsRow(head) };
    }
    const changed = changedSince(key, head, at.unchangedSince);
    if (txn === undefined) {
      if (changed !== undefined) return changed;
      if (head.timestamp !== undefined && compareTimestamps(head.timestamp, at.timestamp) >= 0) {
        return { kind: 'newer', key, existing: head.timestamp };
      }
      this.#moveToHistory(key, head);
      this.#setHead(engineKey, stored, encodeCommitted(at.timestamp, value));
      return ok;
    }
    if (intent !== undefined && intent.epoch > txn.epoch) return ok;
    // The transaction must not commit below it: it was pushed, or moved in a first try whose answer was lost (trap X1).
    if (intent !== undefined && compareTimestamps(intent.timestamp, txn.writeTimestamp) > 0) {
      return { kind: 'newer', key, existing: intent.timestamp };
    }
    if (intent !== undefined && intent.epoch === txn.epoch) {
      const rewritten = rewrite(intent, txn, at.sequence, value);
      if (rewritten !== undefined) {
        this.#setHead(engineKey, stored, encodeHead({ ...head, intent: rewritten }));
      }
      return ok;
    }
    if (changed !== undefined) return changed;
    if (
      head.timestamp !== undefined &&
      (compareTimestamps(head.timestamp, txn.readTimestamp) > 0 ||
        compareTimestamps(head.timestamp, txn.writeTimestamp) >= 0)
    ) {
      return { kind: 'newer', key, existing: head.timestamp };
    }
    const fresh = newIntent(txn, { sequence: at.sequence, value, history: [] });
    this.#setHead(engineKey, stored, encodeHead({ ...head, intent: fresh }));
    return ok;
  }

  resolve(key: Buffer, txn: FinishedTxn): boolean {
    const engineKey = headKey(key);
    const stored = this.get(engineKey);
    if (stored === undefined) return false;
    const head = decodeHead(stored);
    const intent = head.intent;
    if (intent === undefined || intent.txnId !== txn.id) return false;
    switch (txn.status) {
      case 'aborted':
        this.#withoutIntent(engineKey, stored, head);
        return true;
      case 'pending':
      case 'staging':
      case 'prepared': {
        // Of an epoch that has not been heard of here: the news is old, leave the intent alone.
        if (intent.epoch > txn.epoch) return true;
        const undone = txn.status === 'pending' && isUndone(intent, txn.ignoredSequences);
        if (intent.epoch < txn.epoch || undone) {
          this.#withoutIntent(engineKey, stored, head);
          return true;
        }
        if (compareTimestamps(txn.timestamp, intent.timestamp) > 0) {
          const moved: Intent = { ...intent, timestamp: txn.timestamp };
          this.#setHead(engineKey, stored, encodeHead({ ...head, intent: moved }));
        }
        return true;
      }
      case 'committed': {
        if (intent.epoch > txn.epoch) return true;
        const write = committedWrite(intent, txn);
        if (write === undefined) {
          this.#withoutIntent(engineKey, stored, head);
          return true;
        }
        assert(
          head.timestamp === undefined || compareTimestamps(head.timestamp, txn.timestamp) < 0,
          'an intent commits above the version it replaces',
        );
        this.#moveToHistory(key, head);
        this.#setHead(engineKey, stored, encodeCommitted(txn.timestamp, write.value));
        return true;
      }
    }
  }

  putUnversioned(engineKey: Buffer, value: Buffer | undefined): void {
    const before = this.get(engineKey);
    if (before !== undefined) this.#sum.unversioned(engineKey, before, -1);
    if (value !== undefined) this.#sum.unversioned(engineKey, value, 1);
    this.#pending.set(engineKey, value ?? null);
  }

  #setHead(engineKey: Buffer, before: Buffer | undefined, after: Buffer | undefined): void {
    if (before !== undefined) this.#sum.head(engineKey, before, -1);
    if (after !== undefined) this.#sum.head(engineKey, after, 1);
    this.#pending.set(engineKey, after ?? null);
  }

  #withoutIntent(engineKey: Buffer, stored: Buffer, head: HeadRecord): void {
    const after =
      head.timestamp === undefined ? undefined : encodeCommitted(head.timestamp, head.value);
    this.#setHead(engineKey, stored, after);
  }

  /** The committed version of `head` becomes the newest of the older ones. */
  #moveToHistory(key: Buffer, head: HeadRecord): void {
    if (head.timestamp === undefined) return;
    const engineKey = versionKey(key, head.timestamp);
    const stored = encodeVersion(head.value);
    this.#sum.version(engineKey, stored, 1);
    this.#pending.set(engineKey, stored);
  }
}

/** Everything was rolled back to savepoints. */
function isUndone(intent: Intent, ignored: FinishedTxn['ignoredSequences']): boolean {
  return ignored.length > 0 && newestKept(intent, ignored) === undefined;
}

function changedSince(
  key: Buffer,
  { timestamp }: HeadRecord,
  since: Timestamp | undefined,
): Extract<MvccWriteResult, { kind: 'changed' | 'newer' }> | undefined {
  const isChanged =
    timestamp !== undefined && since !== undefined && compareTimestamps(timestamp, since) > 0;
  return isChanged ? { kind: 'changed', key, existing: timestamp } : undefined;
}

/**
 * The intent with one more write of the same epoch; undefined when that write is there already (trap
 * X7). A write that arrives behind a later one takes its place in the history, and moves nothing: the transaction may have
 * committed since at the intent's timestamp.
 */
function rewrite(
  intent: Intent,
  txn: TxnMeta,
  sequence: number,
  value: Buffer | undefined,
): Intent | undefined {
  if (sequence === intent.sequence) return undefined;
  const at = intent.history.findIndex((write) => write.sequence >= sequence);
  if (at !== -1 && intent.history[at]?.sequence === sequence) return undefined;
  if (sequence < intent.sequence) {
    const history = intent.history.slice();
    history.splice(at === -1 ? history.length : at, 0, { sequence, value });
    return { ...intent, history };
  }
  const history = [...intent.history, { sequence: intent.sequence, value: intent.value }];
  return newIntent(txn, { sequence, value, history });
}

function newIntent(txn: TxnMeta, write: Pick<Intent, 'sequence' | 'value' | 'history'>): Intent {
  assert(txn.anchor !== undefined, 'a transaction has an anchor before it writes intents');
  return {
    txnId: txn.id,
    anchor: txn.anchor,
    epoch: txn.epoch,
    priority: txn.priority,
    isolation: txn.isolation,
    minTimestamp: txn.minTimestamp,
    timestamp: txn.writeTimestamp,
    ...write,
  };
}
