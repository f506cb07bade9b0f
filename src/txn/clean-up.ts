/**
 * What a finished transaction leaves behind: intents and locks to resolve, a record to remove. Runs
 * behind the answer; when it does not get through, whoever meets the remains pushes and cleans up.
 */
import {
  recordKeyOf,
  type FinishedTxn,
  type KvRequest,
  type RangeDescriptor,
  type Span,
  type TxnMeta,
  type TxnStatus,
} from '../kv/index.ts';
import { type ClusterTxn } from './cluster-txn.ts';
import { isInside } from './router.ts';

/** Spans resolved by one batch. */
const spansPerBatch = 256;

/** After a rollback: ends the transaction at its anchor, then everywhere else. */
export async function cleanUp(txn: ClusterTxn): Promise<void> {
  const { meta, parts } = txn;
  if (meta.anchor === undefined) return;
  const spans = [...txn.intents.list(), ...txn.locks.list()];
  const header = txn.header({}, false);
  const response = await parts.router.sendBatch(header, [
    {
      kind: 'end-txn',
      anchor: meta.anchor,
      commit: false,
      lockSpans: spans,
      onePhase: false,
      inFlightWrites: [],
      trigger: undefined,
    },
  ]);
  if (response.kind === 'error') {
    // It may have committed after all: only its record tells, to whoever meets what it left.
    const { kind } = response.error;
    parts.env.log.warn({ txn: meta.id, error: kind }, 'a rollback was left to others');
    return;
  }
  const [ended] = response.results;
  const unresolved = ended?.kind === 'end-txn' && ended.unresolved === true;
  const range = parts.router.cachedRangeOf(meta.anchor);
  const remote = (span: Span): boolean => range === undefined || !isInside(range, span);
  await resolve(txn, unresolved ? spans : spans.filter(remote), finished(meta, 'aborted'));
}

/** After a commit: `intents` become values, `locks` go; then the record is of no more use. */
export async function cleanUpCommitted(
  txn: ClusterTxn,
  remains: {
    readonly meta: TxnMeta;
    readonly intents: readonly Span[];
    readonly locks: readonly Span[];
    readonly hasRecord: boolean;
  },
): Promise<void> {
  const { meta, intents, locks } = remains;
  const done = finished(meta, 'committed');
  const resolved = await resolve(txn, intents, done);
  await resolve(txn, locks, done);
  if (!remains.hasRecord || !resolved || meta.anchor === undefined) return;
  const record = { start: recordKeyOf(meta.anchor, meta.id), end: undefined };
  await resolve(txn, [record], done);
}

/** All ranges at once; each of them in pages of its own making. */
async function resolve(
  txn: ClusterTxn,
  spans: readonly Span[],
  done: FinishedTxn,
): Promise<boolean> {
  const { router } = txn.parts;
  const groups = new Map<RangeDescriptor | undefined, Span[]>();
  for (const span of spans) {
    const range = router.cachedRangeOf(span.start);
    const group = groups.get(range);
    if (group === undefined) groups.set(range, [span]);
    else group.push(span);
  }
  const results = await Promise.all(
    Array.from(groups.values(), (group) => resolveInTurn(txn, group, done)),
  );
  return results.every((resolved) => resolved);
}

async function resolveInTurn(
  txn: ClusterTxn,
  spans: readonly Span[],
  done: FinishedTxn,
): Promise<boolean> {
  const header = { ...txn.header({}, false), txn: undefined };
  for (let i = 0; i < spans.length; i += spansPerBatch) {
    const requests = spans
      .slice(i, i + spansPerBatch)
      .map((span): KvRequest => ({ kind: 'resolve-locks', span, txn: done }));
    const response = await txn.parts.router.sendBatch(header, requests);
    if (response.kind === 'error') {
      const { kind } = response.error;
      txn.parts.env.log.warn({ txn: done.id, error: kind }, 'intents are left to be cleaned up');
      return false;
    }
  }
  return true;
}

function finished(meta: TxnMeta, status: TxnStatus): FinishedTxn {
  return {
    id: meta.id,
    epoch: meta.epoch,
    status,
    timestamp: meta.writeTimestamp,
    ignoredSequences: meta.ignoredSequences,
  };
}
