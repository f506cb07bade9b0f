/** Administrative requests: splits, transfers, replica changes, and what a range can say about itself. */
import {
  inRange,
  replicaOnStore,
  containsSpan,
  type AdminRequest,
  type BatchResponse,
  type KvError,
  type KvResult,
  type RangeInfo,
  type StoreId,
} from '../../kv/index.ts';
import { computeStats } from '../../storage/index.ts';
import { sleep, unreachable } from '../../util/index.ts';
import { tellRemoved } from '../store/intake.ts';
import { type Store } from '../store/store.ts';
import { changeReplicas } from './change-replicas.ts';
import { relocate } from './relocate.ts';
import { mergeRight, type MergeDeps } from './merge.ts';
import { type Replica } from './replica.ts';
import { splitAt, unsplitAt } from './split.ts';
import { refusalOfStore, resolvePlacement } from './targets.ts';
import { transferLease } from './transfer.ts';

const splitWaitMs = 10_000;
const splitRetryMs = 50;

export async function executeAdmin(
  store: Store,
  replica: Replica,
  request: AdminRequest,
): Promise<BatchResponse> {
  if (request.kind === 'span-stats') return countSpan(store, replica, request);
  if (request.kind === 'check-consistency') return checkConsistency(store, replica, request);
  if (request.kind === 'admin-freeze') return freeze(store, replica, request);
  const error = replica.checkLease(store.clock.now()) ?? (await perform(store, replica, request));
  const now = store.clock.now();
  if (error !== undefined) return { kind: 'error', now, error, index: 0 };
  return { kind: 'ok', now, txn: undefined, results: [resultOf(store, replica, request)] };
}

function perform(
  store: Store,
  replica: Replica,
  request: Exclude<AdminRequest, SpanStatsRequest | FreezeRequest | CheckRequest>,
): Promise<KvError | undefined> {
  const { db } = store.deps;
  switch (request.kind) {
    case 'range-info':
    case 'admin-draw-placement':
      return Promise.resolve(undefined);
    case 'admin-split':
      return splitWhenPossible(store, replica, request);
    case 'admin-unsplit':
      return replica.exclusively(() => unsplitAt(replica, db, request.key));
    case 'admin-merge':
      return replica.exclusively(() => mergeRight(replica, mergeDeps(store)));
    case 'admin-transfer-lease':
      return replica.exclusively(() => giveLease(store, replica, request.to));
    case 'admin-change-replicas':
      return replica.exclusively(() => change(store, replica, request));
    case 'admin-relocate':
      return replica.exclusively(() => move(store, replica, request));
    default:
      return unreachable(request);
  }
}

async function giveLease(
  store: Store,
  replica: Replica,
  to: StoreId,
): Promise<KvError | undefined> {
  const { descriptor } = replica;
  const heir = replicaOnStore(descriptor, to);
  if (heir === undefined) return invalid(`unable to find store ${to} ${inRange(descriptor)}`);
  if (heir.kind !== 'voter') return invalid(`store ${to} has no vote ${inRange(descriptor)}`);
  return transferLease(replica, to, store.settings.transferTimeoutMs);
}

async function change(
  store: Store,
  replica: Replica,
  { add, remove }: Extract<AdminRequest, { kind: 'admin-change-replicas' }>,
): Promise<KvError | undefined> {
  for (const { storeId } of add) {
    const refusal = refusalOfStore(store, replica.descriptor, storeId);
    if (refusal !== undefined) return invalid(refusal);
  }
  return changeReplicas(replica, changeDeps(store), { add, remove, purpose: 'rebalance' });
}

async function move(
  store: Store,
  replica: Replica,
  request: Extract<AdminRequest, { kind: 'admin-relocate' }>,
): Promise<KvError | undefined> {
  const placement = resolvePlacement(store, replica.descriptor, request);
  if (typeof placement === 'string') return invalid(placement);
  return relocate(replica, changeDeps(store), placement, request.leaseholder);
}

function invalid(reason: string): KvError {
  return { kind: 'invalid-request', reason };
}

export function mergeDeps(store: Store): MergeDeps {
  return {
    db: store.deps.db,
    awaitDurable: (at, of, index) => store.durableReplicas.await(at, of, index),
  };
}

async function freeze(
  store: Store,
  replica: Replica,
  { right, txnId }: FreezeRequest,
): Promise<BatchResponse> {
  const frozen = await replica.mergeWatch.freeze(right, txnId);
  const now = store.clock.now();
  if ('kind' in frozen) return { kind: 'error', now, error: frozen, index: 0 };
  return { kind: 'ok', now, txn: undefined, results: [{ kind: 'admin-freeze', frozen }] };
}

export function changeDeps(store: Store): Parameters<typeof changeReplicas>[1] {
  return {
    db: store.deps.db,
    tellRemoved: (to, replica) => tellRemoved(store.deps.transport, to, replica.rangeId),
  };
}

function resultOf(
  store: Store,
  replica: Replica,
  request: Exclude<AdminRequest, SpanStatsRequest | CheckRequest>,
): KvResult {
  switch (request.kind) {
    case 'range-info':
      return { kind: 'range-info', info: rangeInfo(replica) };
    case 'admin-draw-placement':
      return { kind: 'placement', to: store.queues.drawPlacement(replica) };
    default:
      return { kind: 'admin', range: replica.descriptor };
  }
}

/** What the leaseholder says about its range. */
export function rangeInfo(replica: Replica): RangeInfo {
  return {
    ...replica.stats,
    range: replica.descriptor,
    leaseholder: replica.lease.holder(),
    gcThreshold: replica.lease.gcThreshold,
    queriesPerSecond: replica.queriesPerSecond,
  };
}

type SplitRequest = Extract<AdminRequest, { kind: 'admin-split' }>;
type FreezeRequest = Extract<AdminRequest, { kind: 'admin-freeze' }>;
type CheckRequest = Extract<AdminRequest, { kind: 'check-consistency' }>;
type SpanStatsRequest = Extract<AdminRequest, { kind: 'span-stats' }>;

/** Whoever asks does not wait for longer in one go: connections and callers have limits of their own. */
const checkAnsweredMs = 2_000;

async function checkConsistency(
  store: Store,
  replica: Replica,
  { mode, since }: CheckRequest,
): Promise<BatchResponse> {
  const error = replica.checkLease(store.clock.now());
  if (error !== undefined) return { kind: 'error', now: store.clock.now(), error, index: 0 };
  const check = await Promise.race([
    store.consistency.check(replica, mode, since),
    sleep(store.env, checkAnsweredMs).then(() => undefined),
  ]);
  const results = [{ kind: 'check-consistency', check }] as const;
  return { kind: 'ok', now: store.clock.now(), txn: undefined, results };
}

/** While replicas move, which takes a second or so, there is no split: whoever asks for one waits. */
async function splitWhenPossible(
  store: Store,
  replica: Replica,
  { splitKey, expiration }: SplitRequest,
): Promise<KvError | undefined> {
  const { env, deps } = store;
  const deadlineMs = env.clock.monotonicMs() + splitWaitMs;
  for (;;) {
    const error = await replica.exclusively(() => splitAt(replica, deps.db, splitKey, expiration));
    if (error?.kind !== 'unavailable' || env.clock.monotonicMs() >= deadlineMs) return error;
    if (!store.running || replica.destroyed) return error;
    await sleep(env, splitRetryMs);
  }
}

/** Reads the span in a snapshot of now; requests go on meanwhile. */
async function countSpan(
  store: Store,
  replica: Replica,
  { start, end }: SpanStatsRequest,
): Promise<BatchResponse> {
  const now = store.clock.now();
  const error: KvError | undefined = containsSpan(replica.descriptor, start, end)
    ? replica.checkLease(now)
    : { kind: 'range-key-mismatch', ranges: [replica.descriptor] };
  if (error !== undefined) return { kind: 'error', now, error, index: 0 };
  const snapshot = store.engineSnapshot();
  try {
    const stats = await computeStats(snapshot, start, end);
    return { kind: 'ok', now, txn: undefined, results: [{ kind: 'span-stats', stats }] };
  } finally {
    snapshot.close();
  }
}
