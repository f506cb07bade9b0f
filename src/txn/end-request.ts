/** The request that ends a transaction at its anchor. */
import { KvFailure, type EndTxnRequest } from '../kv/index.ts';
import { type ClusterTxn } from './cluster-txn.ts';

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

export function anchorOf(txn: ClusterTxn): Buffer {
  const { anchor } = txn.meta;
  if (anchor === undefined) {
    throw new KvFailure({ kind: 'invalid-request', reason: 'a commit trigger without a write' });
  }
  return anchor;
}
