/**
 * Two-phase commit, from the client's side: how a transaction becomes prepared, and how any node ends one. Why it is certain
 * to commit afterwards is told at its record (`range/evaluate/two-phase.ts`).
 *
 * A lost answer is looked after, not guessed at: a prepared transaction ends only because somebody asked for it, so what is found later is
 * what one of those who asked has done.
 */
import {
  KvFailure,
  untilCommitIsPast,
  type KvRequest,
  type KvResult,
  type PreparedTxn,
  type Timestamp,
  type TxnMeta,
  type TxnOptions,
  type TxnRecord,
  type TxnStatus,
} from '../kv/index.ts';
import { cleanUpCommitted, finished, resolve } from './clean-up.ts';
import { type ClusterTxn, type TxnParts } from './cluster-txn.ts';
import { maxMoves, moveOrFail } from './commit-steps.ts';
import { flushedSpans, reachAgreement } from './committer.ts';
import { anchorOf, by, endRequest, withoutTxn } from './end-request.ts';

/** An end whose answer is lost is asked for so often again. */
const maxTries = 3;

export async function prepareTxn(
  txn: ClusterTxn,
  options: Parameters<ClusterTxn['prepare']>[0],
): Promise<void> {
  if (txn.assumes) txn.fail({ kind: 'txn-retry', reason: 'an assumed value was not checked' });
  txn.prepareToLock(txn.meta.anchor ?? options.anchor);
  await txn.flush();
  const { id, minTimestamp } = txn.meta;
  try {
    await options.register({ id, anchor: anchorOf(txn), minTimestamp });
  } catch (error) {
    txn.end('aborted');
    throw error;
  }
  const lockSpans = [...txn.intents.list(), ...txn.locks.list()];
  for (let moves = 0; moves < maxMoves; moves++) {
    txn.checkOpen();
    await reachAgreement(txn, [], flushedSpans(txn, []));
    txn.heartbeater.muted = true;
    const notAbove = txn.meta.writeTimestamp;
    const last = by(txn, options.deadline);
    const response = await txn.parts.router.sendBatch(txn.header({}, false), [
      endRequest(txn, { lockSpans, twoPhase: 'prepare', notAbove, ...last }),
    ]);
    if (response.kind === 'ok') {
      txn.end('prepared');
      return;
    }
    await moveOrFail(txn, response);
    txn.heartbeater.muted = false;
  }
  txn.fail({ kind: 'txn-retry', reason: 'too much contention at the first phase of a commit' });
}

export async function endPrepared(
  parts: TxnParts,
  prepared: PreparedTxn,
  end: 'commit' | 'abort',
  { strict: isStrict = false }: Pick<TxnOptions, 'strict'>,
): Promise<boolean> {
  const ended = await finish(parts, prepared, end);
  if (ended === undefined) return false;
  if (end === 'commit') await untilCommitIsPast(parts, ended, { isStrict });
  return true;
}

/** When in time the transaction stands that was ended here; undefined: it is not prepared (any more). */
async function finish(
  parts: TxnParts,
  prepared: PreparedTxn,
  end: 'commit' | 'abort',
): Promise<Timestamp | undefined> {
  /** Set when the answer to an end was lost. */
  let doubted: Timestamp | undefined;
  for (let tries = 0; tries < maxTries; tries++) {
    const { record, status } = await stateOf(parts, prepared, doubted !== undefined);
    if (record === undefined) {
      if (doubted !== undefined && status === undefined) break;
      return status === (end === 'commit' ? 'committed' : 'aborted') ? doubted : undefined;
    }
    const { meta, lockSpans } = record;
    const response = await parts.router.sendBatch({ ...withoutTxn, txn: meta }, [
      {
        kind: 'end-txn',
        anchor: prepared.anchor,
        commit: end === 'commit',
        onePhase: false,
        lockSpans,
        inFlightWrites: [],
        trigger: undefined,
        twoPhase: 'finish',
      },
    ]);
    if (response.kind === 'ok') {
      parts.background(cleanUp(parts, record, response.results[0]), 'ending a prepared one');
      return meta.writeTimestamp;
    }
    const { error } = response;
    if (error.kind === 'ambiguous-result') doubted = meta.writeTimestamp;
    // 'txn-aborted': somebody else was faster, or a try of this one whose answer was lost.
    else if (error.kind !== 'txn-aborted') {
      throw doubted === undefined ? new KvFailure(error) : lost();
    }
  }
  throw lost();
}

function lost(): KvFailure {
  const reason = 'the answer to the end of a prepared transaction was lost';
  return new KvFailure({ kind: 'ambiguous-result', reason });
}

async function cleanUp(
  parts: TxnParts,
  { meta, lockSpans }: TxnRecord,
  answer: KvResult | undefined,
): Promise<void> {
  if (answer?.kind !== 'end-txn') return;
  const remains = { meta, intents: lockSpans, locks: [] };
  if (answer.status === 'committed') await cleanUpCommitted(parts, remains, answer);
  else await resolve(parts, lockSpans, finished(meta, 'aborted'));
}

export async function stateOfPrepared(
  parts: TxnParts,
  prepared: PreparedTxn,
): Promise<'open' | 'prepared' | 'ended'> {
  const { anchor, minTimestamp } = prepared;
  const result = await ask(parts, {
    kind: 'push-txn',
    anchor,
    pushee: pusheeOf(prepared),
    pusher: undefined,
    pushKind: 'touch',
    pushTo: minTimestamp,
    wait: false,
  });
  if (result?.kind !== 'push-txn') return 'open';
  const { status } = result.pushee;
  if (status === 'prepared') return 'prepared';
  return status === 'committed' || status === 'aborted' ? 'ended' : 'open';
}

function pusheeOf({ id, anchor, minTimestamp }: PreparedTxn): TxnMeta {
  return {
    id,
    anchor,
    epoch: 0,
    isolation: 'serializable',
    priority: 1,
    readTimestamp: minTimestamp,
    writeTimestamp: minTimestamp,
    minTimestamp,
    uncertaintyLimit: minTimestamp,
    sequence: 0,
    ignoredSequences: [],
  };
}

/** `record`: of a prepared transaction; otherwise what is known of its end. */
async function stateOf(
  parts: TxnParts,
  { id, anchor }: PreparedTxn,
  isInDoubt: boolean,
): Promise<{
  readonly record: TxnRecord | undefined;
  readonly status: TxnStatus | undefined;
}> {
  const nothing = { record: undefined, status: undefined };
  try {
    const result = await ask(parts, { kind: 'query-txn', anchor, txnId: id });
    if (result?.kind !== 'query-txn') return nothing;
    const { record, finished: end } = result;
    if (record?.status === 'prepared') return { record, status: 'prepared' };
    return { record: undefined, status: record?.status ?? end?.status };
  } catch (error) {
    if (isInDoubt) return nothing;
    throw error;
  }
}

async function ask(parts: TxnParts, request: KvRequest): Promise<KvResult | undefined> {
  const response = await parts.router.sendBatch(withoutTxn, [request]);
  if (response.kind === 'error') throw new KvFailure(response.error);
  return response.results[0];
}
