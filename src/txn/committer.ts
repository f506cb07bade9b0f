/**
 * The end of a transaction.
 *
 * One range: refreshes, writes and end-txn are one batch and one consensus round; no intent and no
 * record is ever written (1PC).
 *
 * Several ranges: a parallel commit where it may be one (`parallel-commit.ts`). Otherwise the writes of all but the anchor's
 * range go out as intents in parallel; then the anchor's writes and the record are one batch. With its application
 * the transaction is committed and answered; the intents are resolved behind the answer.
 */
import {
  compareTimestamps,
  containsKey,
  equalTimestamps,
  KvFailure,
  requestSpan,
  type BatchResponse,
  type BufferedVersion,
  type BufferedWrite,
  type CommitOptions,
  type CommitTrigger,
  type EndTxnRequest,
  type KvError,
  type KvRequest,
  type Span,
  type Timestamp,
  type WriteBuffer,
} from '../kv/index.ts';
import { addressOf } from '../encoding/index.ts';
import { emptyBytes, yieldTurn } from '../util/index.ts';
import { cleanUp } from './clean-up.ts';
import { type ClusterTxn } from './cluster-txn.ts';
import {
  concludeCommit,
  isAhead,
  keptRefreshes,
  maxMoves,
  moveOrFail,
  proveUpTo,
  writeOf,
  type CommitPlan,
} from './commit-steps.ts';
import { anchorOf, by, endRequest } from './end-request.ts';
import { commitInParallel, mayCommitInParallel } from './parallel-commit.ts';
import { isInside } from './router.ts';
import { fewPerRange } from './spans-per-range.ts';

/** More refreshes than this do not travel with the commit; they are made when it needs them. */
const maxRefreshesInBatch = 256;
/** Intents leave in pieces of this size: entries of the log that go back to the system on their own (cli/memory.ts). */
const pieceWrites = 2_000;
const pieceBytes = 256 << 10;
const piecesAtOnce = 4;
/** More than this is not written together with the commit: it would be one command. */
const onePhaseWrites = 4_000;
const onePhaseBytes = 1 << 20;

export async function commitWrites(txn: ClusterTxn, options: CommitOptions): Promise<Timestamp> {
  const { trigger } = options;
  await txn.flushed();
  const { buffer } = txn;
  if (buffer.size > onePhaseWrites || buffer.bytes > onePhaseBytes) {
    await txn.flushBulk();
    await txn.flushed();
  }
  txn.assumed.visit(emptyBytes, undefined, (key) => {
    if (txn.buffer.get(key) !== undefined) return;
    txn.fail({ kind: 'txn-retry', reason: 'an assumed value was not written' });
  });
  const hasWrites = txn.buffer.size > 0 || txn.intents.size > 0 || trigger !== undefined;
  if (!hasWrites) return endWithoutWrites(txn);
  const entries = txn.buffer.entries();
  if (entries.some(({ key, write }) => write.value === undefined && txn.buffer.mustBeAbsent(key))) {
    await txn.checkInserts();
  }
  const first = entries[0];
  if (first !== undefined) txn.prepareToLock(first.key);
  const writes = entries.map(({ key, write }): KvRequest => {
    const { value, sequence } = write;
    const parts = { key, sequence, ...unchangedSince(txn, key, write) };
    const expected = txn.assumes ? txn.assumed.get(key) : undefined;
    if (expected !== undefined && txn.buffer.mustBeAbsent(key)) {
      // Either the assumption is wrong or the insert: only a real read can tell.
      return txn.fail({ kind: 'condition-failed', key, existing: expected });
    }
    if (expected !== undefined) return { kind: 'conditional-put', value, expected, ...parts };
    if (value === undefined) return { kind: 'delete', ...parts };
    return { kind: txn.buffer.mustBeAbsent(key) ? 'insert' : 'put', value, ...parts };
  });
  if (txn.intents.size === 0) {
    const committed = await commitInOnePhase(txn, writes, options);
    if (committed !== undefined) return committed;
  }
  return commitOverRanges(txn, writes, options);
}

/** Of a write by an earlier statement, or of a key that an earlier one has locked: where that stood. */
function unchangedSince(
  { kept, refresher }: ClusterTxn,
  key: Buffer,
  { snapshot }: BufferedWrite,
): { readonly unchangedSince?: Timestamp } {
  if (snapshot === undefined) return {};
  const locked = kept.since(key) ?? snapshot;
  const earlier = compareTimestamps(locked.at, snapshot.at) < 0 ? locked : snapshot;
  return earlier === refresher.snapshot ? {} : { unchangedSince: earlier.at };
}

/** Nothing to make durable: the transaction was right at its read timestamp. Who hears of its end finds its locks free. */
async function endWithoutWrites(txn: ClusterTxn): Promise<Timestamp> {
  const { readTimestamp } = txn.meta;
  txn.end('committed');
  if (txn.locks.size > 0) txn.free(cleanUp(txn), 'releasing locks');
  await txn.released();
  return readTimestamp;
}

/**
 * Undefined: the writes are not all in one range, or theirs is closed ahead of the clock. That one moves writes up on every try, farther
 * than the reads have been refreshed meanwhile; only an intent holds a place.
 */
async function commitInOnePhase(
  txn: ClusterTxn,
  writes: readonly KvRequest[],
  { trigger, deadline }: CommitOptions,
): Promise<Timestamp | undefined> {
  txn.heartbeater.muted = true;
  for (let moves = 0; moves < maxMoves; moves++) {
    txn.checkOpen();
    const { router } = txn.parts;
    const { mayMove, refreshes } = refreshesInBatch(txn);
    const end = endRequest(txn, { onePhase: true, lockSpans: [], trigger, ...by(txn, deadline) });
    let response =
      refreshes.length <= maxRefreshesInBatch
        ? await router.sendToOneRange(txn.header({}, mayMove), [...refreshes, ...writes, end])
        : undefined;
    response ??= await commitBesideReads(txn, writes, end);
    if (response === undefined) {
      txn.heartbeater.muted = false;
      return undefined;
    }
    if (response.kind === 'ok') return concludeCommit(txn, response.results.at(-1), []);
    if (response.error.kind === 'ambiguous-result') return settleOnePhase(txn, response.error);
    await moveOrFail(txn, response);
    if (isAhead(txn)) {
      txn.heartbeater.muted = false;
      return undefined;
    }
  }
  return txn.fail({ kind: 'txn-retry', reason: 'too much contention at commit' });
}

/** The answer was lost: its range tells whether the commit was applied, and sees to it that it will not be later if it was not. */
async function settleOnePhase(txn: ClusterTxn, lost: KvError): Promise<Timestamp> {
  txn.parts.counters.onePhaseCommitsSettled++;
  const settle = endRequest(txn, { commit: false, onePhase: true, lockSpans: [] });
  let response: BatchResponse | undefined;
  try {
    response = await txn.parts.router.sendToOneRange(txn.header({}, false), [settle]);
  } catch (error) {
    // Whatever became of the question, it does not say that the commit was not made.
    if (error instanceof KvFailure) return txn.fail(lost);
    throw error;
  }
  const result = response?.kind === 'ok' ? response.results[0] : undefined;
  if (result?.kind !== 'end-txn') return txn.fail(lost);
  if (result.status === 'committed') return concludeCommit(txn, result, []);
  txn.checkOpen();
  return txn.fail({
    kind: 'txn-retry',
    reason: 'the answer to a commit was lost; it was not made',
  });
}

/** What a commit in one phase brings along, so that its range can see to it that all of it holds where it commits. */
function refreshesInBatch(txn: ClusterTxn): {
  readonly mayMove: boolean;
  readonly refreshes: readonly KvRequest[];
} {
  const { refresher, meta } = txn;
  const kept = keptRefreshes(txn, meta.writeTimestamp);
  // Below 'serializable' reads only matter when the range would have to move them: that is rare, and then it says so.
  if (!refresher.isSerializable) return { mayMove: !refresher.hasRead, refreshes: kept };
  if (!refresher.movable) return { mayMove: false, refreshes: kept };
  return { mayMove: true, refreshes: [...refresher.refreshes(meta.readTimestamp), ...kept] };
}

/** The reads are too many, or of other ranges; undefined when the writes are, too. */
async function commitBesideReads(
  txn: ClusterTxn,
  writes: readonly KvRequest[],
  end: EndTxnRequest,
): Promise<BatchResponse | undefined> {
  const { router } = txn.parts;
  if (keptRefreshes(txn, txn.meta.writeTimestamp).length === 0) {
    return router.sendToOneRange(txn.header({}, false), [...writes, end]);
  }
  const range = await router.rangeOf(anchorOf(txn));
  if (!writes.every((write) => isInside(range, requestSpan(write)))) return undefined;
  const notAbove = txn.meta.writeTimestamp;
  await proveUpTo(txn, notAbove);
  return router.sendToOneRange(txn.header({}, false), [...writes, { ...end, notAbove }]);
}

async function commitOverRanges(
  txn: ClusterTxn,
  writes: readonly KvRequest[],
  options: CommitOptions,
): Promise<Timestamp> {
  const plan = await planOf(txn, writes, options.trigger);
  const committed = mayCommitInParallel(txn, plan, options.trigger)
    ? await commitInParallel(txn, plan, options)
    : undefined;
  return committed ?? commitInTwoPhases(txn, plan, options);
}

async function planOf(
  txn: ClusterTxn,
  writes: readonly KvRequest[],
  trigger: CommitTrigger | undefined,
): Promise<CommitPlan> {
  const anchorRange = await txn.parts.router.rangeOf(anchorOf(txn));
  const atAnchor: KvRequest[] = [];
  const elsewhere: KvRequest[] = [];
  for (const write of writes) {
    const { key } = writeOf(write);
    txn.intents.add(key, undefined);
    if (containsKey(anchorRange, addressOf(key))) atAnchor.push(write);
    else elsewhere.push(write);
  }
  const flushed = flushedSpans(txn, writes).filter((span) => !isFrozen(span, trigger));
  return { atAnchor, elsewhere, flushed, lockSpans: txn.intents.list() };
}

async function commitInTwoPhases(
  txn: ClusterTxn,
  { atAnchor, elsewhere, flushed, lockSpans }: CommitPlan,
  { trigger, deadline }: CommitOptions,
): Promise<Timestamp> {
  const writes = [...atAnchor, ...elsewhere];
  let [separate, together] = isAhead(txn) ? [writes, []] : [elsewhere, atAnchor];
  for (let moves = 0; moves < maxMoves; moves++) {
    txn.checkOpen();
    await reachAgreement(txn, separate, flushed);
    txn.heartbeater.muted = true;
    const notAbove = txn.meta.writeTimestamp;
    const end = endRequest(txn, { lockSpans, trigger, notAbove, ...by(txn, deadline) });
    const { router } = txn.parts;
    const response = await router.sendToOneRange(txn.header({}, false), [...together, end]);
    if (response?.kind === 'ok') return concludeCommit(txn, response.results.at(-1), lockSpans);
    if (response !== undefined) await moveOrFail(txn, response);
    // The anchor's range was split meanwhile, or moves every write up: they hold their place as intents.
    separate = writes;
    together = [];
    txn.heartbeater.muted = false;
  }
  return txn.fail({ kind: 'txn-retry', reason: 'too much contention at commit' });
}

/**
 * Lays the intents down and brings reads and writes to one timestamp. Every range that was written to
 * hears of the final timestamp before the commit can be answered: its node's clock is beyond it from
 * then on, which is what the local uncertainty limit of later transactions rests on (trap X3).
 */
export async function reachAgreement(
  txn: ClusterTxn,
  writes: readonly KvRequest[],
  flushed: readonly Span[],
): Promise<void> {
  let laying = writes;
  // Ranges may have moved intents up further than anybody was told, for writes that were undone behind the answer. A commit below
  // one of those would take it for undone as well, and with it what was written there before.
  let ownIntents = txn.hasUndoneIntents;
  let laid = ownIntents ? txn.intents.list() : flushed;
  for (let moves = 0; moves < maxMoves; moves++) {
    const at = txn.meta.writeTimestamp;
    const notes = laid.map((span): KvRequest => ({
      kind: 'refresh',
      span,
      from: at,
      to: at,
      ownIntents,
    }));
    ownIntents = false;
    const batch = [...laying, ...notes];
    await writeIntents(txn, () => batch);
    await proveUpTo(txn, txn.meta.writeTimestamp);
    if (equalTimestamps(at, txn.meta.writeTimestamp)) return;
    // An intent may stand below the commit: laid down again it would be moved up again where ranges are closed ahead.
    const spans = laying.map((write): Span => ({ start: writeOf(write).key, end: undefined }));
    laid = fewPerRange(txn.parts.router, [...laid, ...spans]);
    laying = [];
  }
  txn.fail({ kind: 'txn-retry', reason: 'too much contention at commit' });
}

/** Where intents were written before the commit. */
export function flushedSpans(txn: ClusterTxn, writes: readonly KvRequest[]): readonly Span[] {
  const now = new Set(writes.map((write) => writeOf(write).key.toString('latin1')));
  const spans = txn.intents
    .list()
    .filter((span) => span.end !== undefined || !now.has(span.start.toString('latin1')));
  return fewPerRange(txn.parts.router, spans);
}

/** The right side of a merge cannot answer, and nobody asks it again: whoever reads its keys later asks the left side. */
function isFrozen({ start }: Span, trigger: CommitTrigger | undefined): boolean {
  return trigger?.kind === 'merge' && containsKey(trigger.right, addressOf(start));
}

/** `batch` is asked for whenever it is sent: another statement may have begun since. */
export async function writeIntents(
  txn: ClusterTxn,
  batch: () => readonly KvRequest[],
): Promise<void> {
  for (let moves = 0; moves < maxMoves; moves++) {
    txn.checkOpen();
    const writes = batch();
    if (writes.length === 0) return;
    const sent = txn.parts.router.sendBatch(txn.header({}, false), writes);
    txn.noteSent(sent);
    const response = await txn.unlessStopped(sent);
    if (response.kind === 'ok') {
      txn.refresher.noteWrite(response.txn);
      return;
    }
    await moveOrFail(txn, response);
  }
  txn.fail({ kind: 'txn-retry', reason: 'too much contention on a write' });
}

/**
 * Lays all writes of `buffer` down as intents, every version of them, so that savepoints still work.
 * The pieces are small enough for their ranges to do other things between them, and a few of them are
 * under way at a time. All versions of a key are in one piece.
 */
export async function flushWrites(txn: ClusterTxn, buffer: WriteBuffer): Promise<void> {
  const versions = buffer.versions();
  let next = 0;
  const piece = (): { readonly writes: readonly BufferedVersion[]; readonly bytes: number } => {
    const writes: BufferedVersion[] = [];
    let bytes = 0;
    for (; next < versions.length; next++) {
      const version = versions[next];
      if (version === undefined) break;
      const { key, write } = version;
      const full = writes.length >= pieceWrites || bytes >= pieceBytes;
      if (full && versions[next - 1]?.key !== key) break;
      writes.push(version);
      bytes += key.length + (write.value?.length ?? 0);
    }
    return { writes, bytes };
  };
  let failed = false;
  let turn = Promise.resolve();
  const worker = async (): Promise<void> => {
    while (!failed && next < versions.length) {
      try {
        // Where the range is here, a piece is evaluated within one turn of the event loop: one at a time.
        turn = turn.then(() => yieldTurn(txn.parts.env));
        await turn;
        const { writes, bytes } = piece();
        await txn.paceBulk(bytes);
        await writeIntents(txn, () => writes.map((version) => requestOf(txn, version)));
      } catch (error) {
        failed = true;
        throw error;
      }
    }
  };
  // All of them have come to an end before a failure is reported.
  const ends = await Promise.allSettled(Array.from({ length: piecesAtOnce }, worker));
  for (const end of ends) if (end.status === 'rejected') throw end.reason;
}

function requestOf(txn: ClusterTxn, { key, write, insert }: BufferedVersion): KvRequest {
  const { value, sequence } = write;
  const parts = { key, sequence, ...unchangedSince(txn, key, write) };
  if (value === undefined) return { kind: 'delete', ...parts };
  return { kind: insert ? 'insert' : 'put', value, ...parts };
}
