/**
 * What a store does with a batch that is addressed to it: who serves it, why it is refused, what it has to wait for before
 * the replica sees it.
 */
import {
  containsRequest,
  isAdminRequest,
  isPlainRead,
  requestSpan,
  type BatchRequest,
  type BatchResponse,
  type KvError,
  type KvRequest,
} from '../../kv/index.ts';
import { StorePoisonedError } from '../../storage/index.ts';
import { nextKey } from '../../util/index.ts';
import { executeAdmin } from '../replica/admin.ts';
import { waitForRoom } from './backpressure.ts';
import { afterAllReplicas } from './remover.ts';
import { type Store } from './store.ts';

export async function serveBatch(store: Store, batch: BatchRequest): Promise<BatchResponse> {
  const { header } = batch;
  if (store.clock.isTooFarAhead(header.timestamp)) {
    const reason = `the clock of node ${header.gatewayNodeId} is too far ahead of node ${store.nodeId}`;
    return refuse(store, { kind: 'invalid-request', reason });
  }
  store.clock.observe(header.timestamp);
  store.counters.batches++;
  try {
    return await serve(store, batch, false);
  } catch (error) {
    if (error instanceof StorePoisonedError) return refuse(store, lastWords(batch));
    throw error;
  }
}

/** The store has failed under the batch: another replica may know of reads, nobody knows how far writes have come. */
function lastWords({ header: { rangeId }, requests }: BatchRequest): KvError {
  return requests.every(isPlainRead)
    ? { kind: 'range-not-found', rangeId }
    : { kind: 'ambiguous-result', reason: 'the store failed' };
}

function serve(store: Store, batch: BatchRequest, hasWaited: boolean): Promise<BatchResponse> {
  const replica = store.replicas.get(batch.header.rangeId);
  const mayServe = store.serving && store.clock.complaint() === undefined;
  if (!mayServe || replica === undefined || !replica.initialised) {
    return refuse(store, absence(store, batch));
  }
  const { descriptor } = replica;
  for (const request of batch.requests) {
    if (!containsRequest(descriptor, request)) return refuse(store, mismatch(store, request));
  }
  const [first] = batch.requests;
  if (first !== undefined && isAdminRequest(first)) {
    if (batch.requests.length > 1) {
      const reason = 'an administrative request stands alone in its batch';
      return refuse(store, { kind: 'invalid-request', reason });
    }
    return executeAdmin(store, replica, first);
  }
  const stuck = batch.requests.every(isPlainRead) ? undefined : replica.stuck();
  if (stuck !== undefined) return refuse(store, stuck);
  const room = hasWaited ? undefined : waitForRoom(store, replica, batch);
  return room === undefined ? replica.execute(batch) : room.then(() => serve(store, batch, true));
}

/** Why a range is not served here: it has never been, is not any more, or has become part of another one. */
function absence(store: Store, { header: { rangeId }, requests: [first] }: BatchRequest): KvError {
  const isAbsorbed = store.serving && store.tombstone(rangeId) === afterAllReplicas;
  return isAbsorbed && first !== undefined
    ? mismatch(store, first)
    : { kind: 'range-not-found', rangeId };
}

function mismatch(store: Store, request: KvRequest): KvError {
  const { start, end } = requestSpan(request);
  const ranges = store.rangesOverlapping(start, end ?? nextKey(start));
  return { kind: 'range-key-mismatch', ranges };
}

function refuse(store: Store, error: KvError): Promise<BatchResponse> {
  return Promise.resolve({ kind: 'error', now: store.clock.now(), error, index: undefined });
}
