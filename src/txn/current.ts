/** Requests without a transaction: what they ask for is as of the leaseholder's own now. */
import { KvFailure, type BatchResponse, type KvResult } from '../kv/index.ts';
import { type HeaderBase } from './router.ts';

export const currentHeader: HeaderBase = {
  txn: undefined,
  waitPolicy: 'block',
  lockTimeoutMs: 0,
  consistency: 'current',
  canForwardReadTimestamp: false,
};

/** The answer to a batch of one request. Throws the KvFailure that it was answered with. */
export function resultOf(response: BatchResponse): KvResult {
  if (response.kind === 'error') throw new KvFailure(response.error);
  const [result] = response.results;
  if (result === undefined) throw wrongAnswer();
  return result;
}

export function wrongAnswer(): KvFailure {
  return new KvFailure({ kind: 'corruption', reason: 'an answer does not fit its request' });
}
