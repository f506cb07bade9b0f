/** The request that ends a transaction at its anchor. */
import { KvFailure, type CommitOptions, type EndTxnRequest } from '../kv/index.ts';
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

/** The deadline of a commit that is sent now. */
export function by(deadline: CommitOptions['deadline']): Pick<EndTxnRequest, 'deadline'> {
  return deadline === undefined ? {} : { deadline: deadline() };
}

export function anchorOf(txn: ClusterTxn): Buffer {
  const { anchor } = txn.meta;
  if (anchor === undefined) {
    throw new KvFailure({ kind: 'invalid-request', reason: 'a commit trigger without a write' });
  }
  return anchor;
}
