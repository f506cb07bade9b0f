/** What the ways to commit have in common: their requests, moving up, and the conclusion. */
import {
  compareTimestamps,
  KvFailure,
  type BatchResponse,
  type KvRequest,
  type KvResult,
  type Span,
  type Timestamp,
  type TxnMeta,
} from '../kv/index.ts';
import { cleanUpCommitted, remainsOf } from './clean-up.ts';
import { type ClusterTxn } from './cluster-txn.ts';
import { type RefreshRequest } from './kept-reads.ts';
import { retryTimestamp } from './refresher.ts';

/** The writes of a commit over several ranges. */
export interface CommitPlan {
  readonly atAnchor: readonly KvRequest[];
  readonly elsewhere: readonly KvRequest[];
  /** Where intents were written before the commit. */
  readonly flushed: readonly Span[];
  /** Where the transaction will have intents. */
  readonly lockSpans: readonly Span[];
}

/** A commit whose timestamp is moved this often gives up with 'txn-retry'. */
export const maxMoves = 100;

export function writeOf(write: KvRequest): { readonly key: Buffer; readonly sequence: number } {
  switch (write.kind) {
    case 'put':
    case 'insert':
    case 'delete':
    case 'conditional-put':
      return write;
    default:
      break;
  }
  throw new KvFailure({ kind: 'invalid-request', reason: 'not a write' });
}

/** The commit would stand where no clock has been yet. */
export function isAhead({ meta, parts }: ClusterTxn): boolean {
  return compareTimestamps(meta.writeTimestamp, parts.clock.now()) > 0;
}

/** Moves the timestamps so that the batch can be tried again, or fails the transaction. */
export async function moveOrFail(
  txn: ClusterTxn,
  response: Extract<BatchResponse, { kind: 'error' }>,
): Promise<void> {
  const to = retryTimestamp(response);
  if (to === undefined) return txn.fail(response.error);
  // Only the commit has to stand there: what was read below 'serializable' need not.
  if (response.error.kind === 'txn-pushed' && !txn.refresher.isSerializable) {
    return txn.refresher.raiseWrite(to);
  }
  // A write that was moved needs no refresh of its own before the commit, but it saves a round then.
  await txn.refresher.refreshTo(to);
}

/** What has to hold until the commit; the writes in the buffer check themselves. */
export function keptRefreshes(txn: ClusterTxn, to: Timestamp): RefreshRequest[] {
  return txn.kept.refreshes(to, (key) => txn.buffer.get(key) !== undefined);
}

/** Everything that a commit at `to` rests on holds up to there, or the transaction fails. */
export async function proveUpTo(txn: ClusterTxn, to: Timestamp): Promise<void> {
  if (txn.refresher.isSerializable) await txn.refresher.refreshTo(to);
  const refreshes = keptRefreshes(txn, to).filter(({ from }) => compareTimestamps(from, to) < 0);
  if (refreshes.length === 0) return;
  const { router } = txn.parts;
  const response = await txn.unlessStopped(router.sendBatch(txn.header({}, false), refreshes));
  txn.checkOpen();
  if (response.kind === 'error') txn.fail(response.error);
}

/** The transaction is committed, as `answer` says: what it leaves is resolved behind. `intents`: where it has any. */
export function concludeCommit(
  txn: ClusterTxn,
  answer: KvResult | undefined,
  intents: readonly Span[],
): Timestamp {
  if (answer?.kind !== 'end-txn') {
    throw new KvFailure({ kind: 'ambiguous-result', reason: 'the answer to a commit is missing' });
  }
  const { commitTimestamp } = answer;
  const meta: TxnMeta = { ...txn.meta, writeTimestamp: commitTimestamp };
  const remains = remainsOf(txn, meta, intents);
  txn.end('committed');
  if (intents.length > 0 || remains.locks.length > 0) {
    const work = cleanUpCommitted(txn.parts, remains, answer);
    txn.parts.background(work, 'resolving a committed transaction');
  }
  return commitTimestamp;
}
