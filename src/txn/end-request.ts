/** The request that ends a transaction at its anchor. */
import {
  compareTimestamps,
  KvFailure,
  type CommitOptions,
  type EndTxnRequest,
} from '../kv/index.ts';
import { type ClusterTxn } from './cluster-txn.ts';
import { type HeaderBase } from './router.ts';

/** For requests about a transaction that are not its own. */
export const withoutTxn: HeaderBase = {
  txn: undefined,
  waitPolicy: 'block',
  lockTimeoutMs: 0,
  consistency: 'txn',
  canForwardReadTimestamp: false,
};

/** The commit; with more `parts`, another form of it. */
export function endRequest(
  txn: ClusterTxn,
  parts: Pick<EndTxnRequest, 'lockSpans'> & Partial<EndTxnRequest>,
): EndTxnRequest {
  return {
    kind: 'end-txn',
    anchor: anchorOf(txn),
    commit: true,
    onePhase: false,
    inFlightWrites: [],
    trigger: undefined,
    ...parts,
  };
}

/** The deadline of a commit that is sent now. Fails the transaction when it stands above it already. */
export function by(
  txn: ClusterTxn,
  deadline: CommitOptions['deadline'],
): Pick<EndTxnRequest, 'deadline'> {
  if (deadline === undefined) return {};
  const latest = deadline();
  if (compareTimestamps(txn.meta.writeTimestamp, latest) > 0) {
    txn.fail({ kind: 'txn-retry', reason: 'the commit came too late' });
  }
  return { deadline: latest };
}

export function anchorOf(txn: ClusterTxn): Buffer {
  const { anchor } = txn.meta;
  if (anchor === undefined) {
    throw new KvFailure({ kind: 'invalid-request', reason: 'a commit trigger without a write' });
  }
  return anchor;
}
