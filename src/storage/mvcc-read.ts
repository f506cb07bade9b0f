/**
 * MVCC reads. The head record decides almost always: when its committed version is at or below the
 * read timestamp nothing else is touched. Only a head whose committed version is newer sends the read to
 * the history.
 *
 * Order of judgement, for a read at `timestamp` with uncertainty limit `limit`:
 *   1. an own intent (same epoch): its newest write that the read may see is the value;
 *   2. another's intent at or below max(timestamp, limit) - any, for a locking read that it is in the way of: 'intent'; if
 *      its transaction is known to have ended it counts as what its resolution will leave;
 *   3. the committed version: at or below timestamp: the value; else for a locking read 'newer',
 *      at or below limit 'uncertain', else the history is asked the same.
 * Another's intent above both never hides the committed version below it.
 */
import {
  compareTimestamps,
  type FinishedTxn,
  type SequenceSpan,
  type Timestamp,
  type TxnMeta,
} from '../kv/index.ts';
import { nextKey } from '../util/index.ts';
import { CorruptionError, type EngineReader } from './engine.ts';
import { headKey, headSpan, keyOfHead, versionTimestamp, versionsUpTo } from './engine-keys.ts';
import { HeadReader, decodeVersion } from './head-record.ts';
import {
  type FoundIntent,
  type HeadRecord,
  type Intent,
  type MvccGet,
  type MvccReadOptions,
  type MvccScanEnd,
  type MvccScanOptions,
  type MvccVisitor,
} from './mvcc-types.ts';

/** A scan reports at most this many conflicting intents: enough to resolve a page of them at once. */
export const scanIntentsMax = 128;

const firstPage = 16;
const pageMax = 512;

const nothing: MvccGet = { kind: 'value', value: undefined, timestamp: undefined };

const getReader = new HeadReader();

export function mvccGet(
  reader: EngineReader,
  key: Buffer,
  options: MvccReadOptions,
): MvccGet | Promise<MvccGet> {
  const record = reader.get(headKey(key));
  if (record === undefined) return nothing;
  const head = getReader;
  head.read(record);
  const { timestamp } = options;
  const plain = head.intent === undefined;
  if (plain && isAtOrBelow(head, timestamp)) {
    return {
      kind: 'value',
      value: head.value,
      timestamp: { wall: head.wall, logical: head.logical },
    };
  }
  const ended = endOf(head, key, options);
  const skipped = options.ignoreIntents && ended === undefined ? head.intent : undefined;
  const judged = judge(head, key, options, ended);
  if (judged !== undefined) return withIntent(judged, skipped);
  const older = readHistory(reader, key, options);
  return skipped === undefined ? older : older.then((got) => withIntent(got, skipped));
}

/**
 * The newest committed value, when nobody is about to change it; undefined also when that is not
 * known. No timestamp, no lease: what a replica says here may be long out of date.
 */
export function mvccPeek(reader: EngineReader, key: Buffer): Buffer | undefined {
  const record = reader.get(headKey(key));
  if (record === undefined) return undefined;
  getReader.read(record);
  return getReader.intent === undefined ? getReader.value : undefined;
}

/**
 * Feeds the visible live rows of [start, end) to `visitor`, in order. The rows are pieces of engine
 * memory that never change; the visitor may keep but not write them.
 */
export async function mvccScan(
  reader: EngineReader,
  options: MvccScanOptions,
  visitor: MvccVisitor,
): Promise<MvccScanEnd> {
  const { start, end, reverse, timestamp } = options;
  if (start.compare(end) >= 0) return { kind: 'done', resume: undefined };
  const head = new HeadReader();
  const intents: FoundIntent[] = [];
  const skipped: FoundIntent[] = [];
  const iterator = reader.iterate({ ...headSpan(start, end), reverse });
  try {
    for (let size = firstPage; ; size = Math.min(size * 2, pageMax)) {
      const page = await iterator.next(size);
      if (page.length === 0) break;
      for (const [engineKey, record] of page) {
        head.read(record);
        const key = keyOfHead(engineKey);
        let value = head.value;
        if (!(isAtOrBelow(head, timestamp) && head.intent === undefined)) {
          const ended = endOf(head, key, options);
          if (options.ignoreIntents && ended === undefined && head.intent !== undefined) {
            skipped.push({ key, intent: head.intent, keepsRow: keepsRow(head) });
          }
          const got = judge(head, key, options, ended) ?? (await readHistory(reader, key, options));
          if (got.kind === 'intent') {
            intents.push(got);
            if (intents.length >= scanIntentsMax) return { kind: 'intents', intents };
            continue;
          }
          if (intents.length > 0) continue;
          if (got.kind !== 'value') return got;
          value = got.value;
        }
        if (value === undefined || intents.length > 0) continue;
        if (visitor(key, value)) {
          return done(restOf(key, start, end, reverse), skipped);
        }
      }
      // Conflicts must be dealt with first: looking through one page more for others is enough.
      if (intents.length > 0) return { kind: 'intents', intents };
    }
  } finally {
    await iterator.close();
  }
  return intents.length > 0 ? { kind: 'intents', intents } : done(undefined, skipped);
}

/** What is left of [start, end) behind the row `key`. */
function restOf(
  key: Buffer,
  start: Buffer,
  end: Buffer,
  reverse: boolean,
): { start: Buffer; end: Buffer } | undefined {
  const rest = reverse ? { start, end: key } : { start: nextKey(key), end };
  return rest.start.compare(rest.end) < 0 ? rest : undefined;
}

function done(
  resume: { start: Buffer; end: Buffer } | undefined,
  skipped: readonly FoundIntent[],
): MvccScanEnd {
  return skipped.length === 0
    ? { kind: 'done', resume }
    : { kind: 'done', resume, skippedIntents: skipped };
}

function withIntent(got: MvccGet, skipped: Intent | undefined): MvccGet {
  return skipped === undefined || got.kind !== 'value' ? got : { ...got, skippedIntent: skipped };
}

function isAtOrBelow(head: HeadReader, timestamp: Timestamp): boolean {
  return (
    head.committed &&
    (head.wall < timestamp.wall ||
      (head.wall === timestamp.wall && head.logical <= timestamp.logical))
  );
}

/** How the transaction of another's intent is known to have ended. */
function endOf(
  { intent }: HeadReader,
  key: Buffer,
  { txn, finished }: MvccReadOptions,
): FinishedTxn | undefined {
  if (intent === undefined || intent.txnId === txn?.id) return undefined;
  const ended = finished?.(intent.txnId, key);
  return ended !== undefined && intent.epoch <= ended.epoch ? ended : undefined;
}

/** Undefined: the history decides. */
function judge(
  head: HeadReader,
  key: Buffer,
  options: MvccReadOptions,
  ended: FinishedTxn | undefined,
): MvccGet | undefined {
  const { timestamp, txn, failOnNewer } = options;
  const intent = head.intent;
  if (intent !== undefined) {
    if (txn !== undefined && intent.txnId === txn.id) {
      const own = intent.epoch === txn.epoch ? newestVisible(intent, txn) : undefined;
      if (own !== undefined) {
        return { kind: 'value', value: own.value, timestamp: intent.timestamp };
      }
    } else if (ended !== undefined) {
      const got = judgeEnded(intent, ended, key, options);
      if (got !== undefined) return got;
    } else if (options.leftOut?.has(intent.txnId) === true) {
      return nothing;
    } else if (!options.ignoreIntents) {
      const keeps = keepsRow(head);
      const excludes = failOnNewer && !(options.passesUpdates === true && keeps);
      if (excludes || compareTimestamps(intent.timestamp, uncertaintyLimit(timestamp, txn)) <= 0) {
        return { kind: 'intent', key, intent, keepsRow: keeps };
      }
    }
  }
  if (!head.committed) return nothing;
  const committed = { wall: head.wall, logical: head.logical };
  if (isAtOrBelow(head, timestamp))
    return { kind: 'value', value: head.value, timestamp: committed };
  if (failOnNewer) return { kind: 'newer', key, existing: committed };
  if (compareTimestamps(committed, uncertaintyLimit(timestamp, txn)) <= 0) {
    return { kind: 'uncertain', key, existing: committed };
  }
  return undefined;
}

/**
 * The intent of a transaction that is known to have ended, read as its resolution will leave it.
 * Undefined: it leaves nothing that this read sees.
 */
function judgeEnded(
  intent: Intent,
  ended: FinishedTxn,
  key: Buffer,
  { timestamp, txn, failOnNewer }: MvccReadOptions,
): MvccGet | undefined {
  if (ended.status !== 'committed') return undefined;
  const write = committedWrite(intent, ended);
  if (write === undefined) return undefined;
  const existing = ended.timestamp;
  if (compareTimestamps(existing, timestamp) <= 0) {
    return { kind: 'value', value: write.value, timestamp: existing };
  }
  if (failOnNewer) return { kind: 'newer', key, existing };
  if (compareTimestamps(existing, uncertaintyLimit(timestamp, txn)) > 0) return undefined;
  return { kind: 'uncertain', key, existing };
}

/**
 * What the commit of `txn` makes of its intent: the newest write that was not rolled back to a savepoint. Nothing of an intent of another
 * epoch, and of one above the commit: a request that came late, when the transaction had committed and its intents were gone, has
 * laid it down (trap X7).
 */
export function committedWrite(
  intent: Intent,
  { epoch, timestamp, ignoredSequences }: FinishedTxn,
): ReturnType<typeof newestVisible> {
  if (intent.epoch !== epoch || compareTimestamps(intent.timestamp, timestamp) > 0)
    return undefined;
  return newestKept(intent, ignoredSequences);
}

/** The newest write that was not rolled back to a savepoint. */
export function newestKept(
  intent: Intent,
  ignoredSequences: FinishedTxn['ignoredSequences'],
): ReturnType<typeof newestVisible> {
  return newestVisible(intent, { sequence: Number.MAX_SAFE_INTEGER, ignoredSequences });
}

function uncertaintyLimit(timestamp: Timestamp, txn: TxnMeta | undefined): Timestamp {
  return txn !== undefined && compareTimestamps(txn.uncertaintyLimit, timestamp) > 0
    ? txn.uncertaintyLimit
    : timestamp;
}

/** See `FoundIntent`; false without an intent. */
export function keepsRow({ value, intent }: Pick<HeadRecord, 'value' | 'intent'>): boolean {
  return (
    value !== undefined &&
    intent?.value !== undefined &&
    intent.history.every((write) => write.value !== undefined)
  );
}

/** The newest write of an intent that its own transaction may see now: not rolled back, not made later. */
export function newestVisible(
  intent: Intent,
  txn: {
    readonly sequence: number;
    readonly ignoredSequences: readonly SequenceSpan[];
  },
): { readonly sequence: number; readonly value: Buffer | undefined } | undefined {
  if (isVisible(intent.sequence, txn)) return intent;
  for (let i = intent.history.length - 1; i >= 0; i--) {
    const write = intent.history[i];
    if (write !== undefined && isVisible(write.sequence, txn)) return write;
  }
  return undefined;
}

function isVisible(
  sequence: number,
  txn: { readonly sequence: number; readonly ignoredSequences: readonly SequenceSpan[] },
): boolean {
  if (sequence > txn.sequence) return false;
  for (const span of txn.ignoredSequences) {
    if (sequence >= span.from && sequence <= span.to) return false;
  }
  return true;
}

/** The newest older version at or below max(timestamp, uncertainty limit), judged like a head. */
async function readHistory(
  reader: EngineReader,
  key: Buffer,
  options: MvccReadOptions,
): Promise<MvccGet> {
  const limit = uncertaintyLimit(options.timestamp, options.txn);
  const iterator = reader.iterate(versionsUpTo(key, limit));
  try {
    const [row] = await iterator.next(1);
    if (row === undefined) return nothing;
    const timestamp = versionTimestamp(row[0]);
    if (compareTimestamps(timestamp, limit) > 0) {
      throw new CorruptionError('an older version stands out of order');
    }
    if (compareTimestamps(timestamp, options.timestamp) > 0) {
      return { kind: 'uncertain', key, existing: timestamp };
    }
    return { kind: 'value', value: decodeVersion(row[1]), timestamp };
  } finally {
    await iterator.close();
  }
}
