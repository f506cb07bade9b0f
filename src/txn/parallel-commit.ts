/**
 * Parallel commit: the record is staged together with the last writes, so the answer takes one round of consensus instead of
 * two. The record names the writes in flight; once all of them have landed at or below the staged timestamp the
 * transaction is committed, whoever comes to know of it ("CockroachDB: The Resilient Geo-Distributed SQL
 * Database", SIGMOD 2020, section 3.1). Behind the answer the record says so explicitly, then the intents are resolved.
 *
 * A coordinator that falls silent in between is recovered by whoever meets its intents (`range/concurrency/pusher.ts`):
 * its question for a write keeps that write from landing later. So both come to the same result, or the record,
 * where all of them meet, tells the slower one.
 *
 * INVARIANT 1: a write that a staged record names is sent once. Its second delivery could come behind a recovery that
 *   has resolved it, and leave an intent of a finished transaction (trap X8). A lost answer is asked for instead.
 * INVARIANT 2: the transaction goes on in two rounds only when no record was staged, or when some write has not landed,
 *   and never will, at or below the staged timestamp: nobody can hold that record for committed then.
 * INVARIANT 3: whoever has asked for an abort does not believe in a commit unless the record says so.
 */
import {
  allLanded,
  compareTimestamps,
  KvFailure,
  kvSettings,
  queriesOf,
  type BatchResponse,
  type CommitOptions,
  type CommitTrigger,
  type InFlightWrite,
  type KvRequest,
  type KvResult,
  type Timestamp,
  type TxnMeta,
} from '../kv/index.ts';
import { announce, makeExplicit, remainsOf } from './clean-up.ts';
import { type ClusterTxn } from './cluster-txn.ts';
import {
  concludeCommit,
  isAhead,
  moveOrFail,
  proveUpTo,
  writeOf,
  type CommitPlan,
} from './commit-steps.ts';
import { anchorOf, by, endRequest } from './end-request.ts';

/** A record names no more writes than this, nor more bytes of keys: larger commits take two rounds. */
const maxInFlightWrites = 256;
const maxInFlightBytes = 32 << 10;

export function mayCommitInParallel(
  txn: ClusterTxn,
  plan: CommitPlan,
  trigger: CommitTrigger | undefined,
): boolean {
  const { elsewhere, flushed } = plan;
  if (!txn.parts.settings.get(kvSettings.parallelCommits)) return false;
  // Ranges of earlier intents have to hear of the timestamp first; nobody who recovers would tell them (trap X3).
  if (trigger !== undefined || flushed.length > 0) return false;
  // Ranges that are closed ahead of the clock move every write up: none would land where the record says.
  const isMoved = ({ key }: { readonly key: Buffer }): boolean => txn.parts.router.closesAhead(key);
  if (isAhead(txn) || [...plan.atAnchor, ...elsewhere].map(writeOf).some(isMoved)) return false;
  if (elsewhere.length === 0 || elsewhere.length > maxInFlightWrites) return false;
  return elsewhere.reduce((sum, write) => sum + writeOf(write).key.length, 0) <= maxInFlightBytes;
}

/** Undefined: the transaction is not committed, and may go on in two rounds. */
export async function commitInParallel(
  txn: ClusterTxn,
  plan: CommitPlan,
  { deadline }: CommitOptions,
): Promise<Timestamp | undefined> {
  const { counters, router } = txn.parts;
  await proveUpTo(txn, txn.meta.writeTimestamp);
  txn.checkOpen();
  counters.parallelCommits++;
  const staged = txn.meta;
  const inFlightWrites = plan.elsewhere
    .map(writeOf)
    .map(({ key, sequence }) => ({ key, sequence }));
  const notAbove = staged.writeTimestamp;
  const { lockSpans } = plan;
  const stage = endRequest(txn, { lockSpans, inFlightWrites, notAbove, ...by(txn, deadline) });
  const header = txn.header({}, false);
  // Not abandoned when the client cancels: what was sent may commit.
  const [atAnchor, elsewhere] = await Promise.all([
    router.sendToOneRange(header, [...plan.atAnchor, stage]),
    router.sendBatch({ ...header, once: true }, plan.elsewhere),
  ]);
  let record = recordAfter(atAnchor);
  let writes = writesAfter(elsewhere, staged);
  let isInDoubt = record === 'unknown';
  if (record !== 'absent' && writes === 'unknown') {
    writes = await askForWrites(txn, staged, inFlightWrites);
    // Missing now: perhaps because somebody has recovered and resolved them before.
    isInDoubt ||= writes === 'missing';
  }
  if (isInDoubt) record = await askForRecord(txn);

  const isCommitted = record === 'committed' || (record === 'staged' && writes === 'landed');
  if (isCommitted && !txn.isStopped) {
    const awaited = [
      ...awaitedKeys(plan.atAnchor, atAnchor),
      ...awaitedKeys(plan.elsewhere, elsewhere),
    ];
    return conclude(txn, plan, staged, awaited);
  }
  const isKnown = record === 'absent' || (record === 'staged' && writes === 'missing');
  if (!isKnown || (txn.isStopped && record !== 'absent')) return settle(txn, plan);
  txn.checkOpen();
  for (const response of [atAnchor, elsewhere]) {
    if (response?.kind === 'ok') txn.refresher.noteWrite(response.txn);
    else if (response !== undefined && response.error.kind !== 'ambiguous-result') {
      await moveOrFail(txn, response);
    }
  }
  counters.parallelCommitsAgain++;
  return undefined;
}

/** 'absent': none was staged by this commit, and none will be. */
type RecordState = 'staged' | 'committed' | 'absent' | 'unknown';

function recordAfter(response: BatchResponse | undefined): RecordState {
  if (response?.kind === 'ok') return stateOf(response.results.at(-1));
  return response?.error.kind === 'ambiguous-result' ? 'unknown' : 'absent';
}

function stateOf(result: KvResult | undefined): RecordState {
  if (result?.kind !== 'end-txn') return 'unknown';
  if (result.status === 'committed') return 'committed';
  return result.status === 'staging' ? 'staged' : 'absent';
}

/** 'missing': some write is not there at or below the staged timestamp, and will not be. */
type WritesState = 'landed' | 'missing' | 'unknown';

function writesAfter(response: BatchResponse, staged: TxnMeta): WritesState {
  if (response.kind === 'error') {
    return response.error.kind === 'ambiguous-result' ? 'unknown' : 'missing';
  }
  const landedAt = response.txn?.writeTimestamp ?? staged.writeTimestamp;
  return compareTimestamps(landedAt, staged.writeTimestamp) > 0 ? 'missing' : 'landed';
}

async function askForWrites(
  txn: ClusterTxn,
  staged: TxnMeta,
  writes: readonly InFlightWrite[],
): Promise<WritesState> {
  const header = { ...txn.header({}, false), txn: undefined };
  const response = await txn.parts.router.sendBatch(header, queriesOf(staged, writes));
  if (response.kind === 'error') return 'unknown';
  return allLanded(response.results) ? 'landed' : 'missing';
}

/** Never 'absent': a record that is not there may be on its way. */
async function askForRecord(txn: ClusterTxn): Promise<RecordState> {
  const header = { ...txn.header({}, false), txn: undefined };
  const response = await txn.parts.router.sendBatch(header, [
    { kind: 'query-txn', anchor: anchorOf(txn), txnId: txn.meta.id },
  ]);
  const result = response.kind === 'ok' ? response.results[0] : undefined;
  const status = result?.kind === 'query-txn' ? result.record?.status : undefined;
  if (status === 'staging') return 'staged';
  return status === 'committed' ? 'committed' : 'unknown';
}

/** Which of `writes` others wait for. */
function awaitedKeys(writes: readonly KvRequest[], response: BatchResponse | undefined): Buffer[] {
  const results = response?.kind === 'ok' ? response.results : [];
  return writes
    .filter((_, i) => {
      const result = results[i];
      return result?.kind === 'write' && result.isAwaited === true;
    })
    .map((write) => writeOf(write).key);
}

function conclude(
  txn: ClusterTxn,
  plan: CommitPlan,
  staged: TxnMeta,
  awaited: readonly Buffer[],
): Timestamp {
  if (awaited.length > 0) txn.parts.background(announce(txn, awaited), 'announcing a commit');
  const remains = remainsOf(txn, staged, plan.lockSpans);
  txn.end('committed');
  const commit = endRequest(txn, { lockSpans: plan.lockSpans });
  const work = makeExplicit(txn, remains, commit);
  txn.parts.background(work, 'making a parallel commit explicit');
  return staged.writeTimestamp;
}

/**
 * Nobody knows how far it came, or an abort is on its way: an abort at the record decides, unless somebody has found the
 * transaction committed before.
 */
async function settle(txn: ClusterTxn, plan: CommitPlan): Promise<Timestamp> {
  txn.parts.counters.parallelCommitsSettled++;
  const { lockSpans } = plan;
  const response = await txn.parts.router.sendBatch(txn.header({}, false), [
    endRequest(txn, { commit: false, lockSpans }),
  ]);
  if (response.kind === 'error') {
    const reason = 'the answer to a commit was lost, and its record is out of reach';
    throw new KvFailure({ kind: 'ambiguous-result', reason });
  }
  const result = response.results[0];
  if (stateOf(result) === 'committed') return concludeCommit(txn, result, lockSpans);
  txn.checkOpen();
  return txn.fail({ kind: 'txn-retry', reason: 'the answer to a commit was lost; it was undone' });
}
