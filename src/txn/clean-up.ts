/**
 * What a finished transaction leaves behind: intents and locks to resolve, a record to remove. Runs
 * behind the answer; when it does not get through, whoever meets the remains pushes and cleans up.
 */
import {
  recordKeyOf,
  zeroTimestamp,
  type EndTxnRequest,
  type EndTxnResult,
  type FinishedTxn,
  type KvRequest,
  type RangeDescriptor,
  type Span,
  type TxnMeta,
  type TxnStatus,
} from '../kv/index.ts';
import { type ClusterTxn, type TxnParts } from './cluster-txn.ts';
import { endRequest, withoutTxn } from './end-request.ts';
import { isInside } from './router.ts';
import { fewPerRange } from './spans-per-range.ts';

/** Spans resolved by one batch. */
const spansPerBatch = 256;
/** A commit is made explicit in so many tries whose answer is lost, then left to whoever meets an intent. */
const explicitTries = 3;

/** After a rollback: ends the transaction at its anchor, then everywhere else; one that has only locked, everywhere at once. */
export async function cleanUp(txn: ClusterTxn): Promise<void> {
  const { meta, parts } = txn;
  if (meta.anchor === undefined) return;
  const spans = [...txn.intents.list(), ...locksBeside(txn)];
  const atOnce = spansFarFromAnchor(txn, meta.anchor, spans);
  const done = finished(meta, 'aborted');
  const [response] = await Promise.all([
    parts.router.sendBatch(txn.header({}, false), [
      endRequest(txn, { commit: false, lockSpans: spans }),
    ]),
    resolve(parts, [...atOnce], done),
  ]);
  if (response.kind === 'error') {
    // It may have committed after all: only its record tells, to whoever meets what it left.
    const { kind } = response.error;
    parts.env.log.warn({ txn: meta.id, error: kind }, 'a rollback was left to others');
    return;
  }
  const [ended] = response.results;
  // A parallel commit that somebody has found complete before this came, or a prepared transaction.
  if (ended?.kind !== 'end-txn' || ended.status !== 'aborted') return;
  const isLeftHere = isLeft(ended);
  await resolve(
    parts,
    spans.filter((span) => !atOnce.has(span) && isLeftHere(span)),
    done,
  );
}

/** Empty while the end at the anchor may come to another result. */
function spansFarFromAnchor(
  txn: ClusterTxn,
  anchor: Buffer,
  spans: readonly Span[],
): ReadonlySet<Span> {
  if (txn.status === 'open' || txn.intents.size > 0) return new Set();
  const range = txn.parts.router.cachedRangeOf(anchor);
  return new Set(spans.filter((span) => range === undefined || !isInside(range, span)));
}

/** What the range that ended the transaction has not settled itself. */
function isLeft({ settledIn }: EndTxnResult): (span: Span) => boolean {
  return (span) => settledIn === undefined || !isInside(settledIn, span);
}

export interface Remains {
  /** As committed. */
  readonly meta: TxnMeta;
  readonly intents: readonly Span[];
  readonly locks: readonly Span[];
}

/** Of a transaction that commits as `meta`, with `intents`. */
export function remainsOf(txn: ClusterTxn, meta: TxnMeta, intents: readonly Span[]): Remains {
  return { meta, intents, locks: locksBeside(txn) };
}

/** Where the transaction has locks and no intent: the others go with theirs. */
function locksBeside({ intents, locks }: ClusterTxn): Span[] {
  return locks.list().filter(({ start, end }) => end !== undefined || !intents.has(start));
}

/** After a commit: `intents` become values, `locks` go; then the record is of no more use. */
export async function cleanUpCommitted(
  parts: TxnParts,
  { meta, intents, locks }: Remains,
  answer: EndTxnResult,
): Promise<void> {
  if (meta.anchor === undefined) return;
  const remaining = intents.filter(isLeft(answer));
  const done = finished(meta, 'committed');
  const resolved = await resolve(parts, [...remaining, ...locks.filter(isLeft(answer))], done);
  if (remaining.length === 0 || !resolved) return;
  const record = { start: recordKeyOf(meta.anchor, meta.id), end: undefined };
  await resolve(parts, [record], done);
}

/** Right behind a parallel commit: whoever waits for `keys` need not wait until the record says that it is one. */
export async function announce(
  { meta, parts }: ClusterTxn,
  keys: readonly Buffer[],
): Promise<void> {
  const txn = finished(meta, 'committed');
  // When it does not arrive, the resolution says the same.
  await parts.router.sendBatch(
    withoutTxn,
    keys.map((start): KvRequest => ({
      kind: 'announce-commit',
      span: { start, end: undefined },
      txn,
    })),
  );
}

/** After a parallel commit: its record has to say so before the first of its intents goes (trap X4). */
export async function makeExplicit(
  txn: ClusterTxn,
  remains: Remains,
  commit: EndTxnRequest,
): Promise<void> {
  const { env, router } = txn.parts;
  for (let tries = 1; ; tries++) {
    const response = await router.sendBatch({ ...withoutTxn, txn: remains.meta }, [commit]);
    const [answer] = response.kind === 'ok' ? response.results : [];
    if (answer?.kind === 'end-txn') return cleanUpCommitted(txn.parts, remains, answer);
    const error = response.kind === 'error' ? response.error.kind : 'a wrong answer';
    // It is the same however often it is said.
    if (error === 'ambiguous-result' && tries < explicitTries) continue;
    const details = { txn: remains.meta.id, error };
    if (error === 'txn-aborted')
      env.log.error(details, 'a transaction that has committed was aborted');
    else env.log.warn(details, 'a parallel commit is left to be recovered');
    return;
  }
}

/** Behind a rollback to the savepoint with sequence `since`: locks that were taken after it are free, waits for others end. */
export async function releaseLocks(
  { meta, locks, intents, parts }: ClusterTxn,
  since: number,
): Promise<void> {
  const requests = fewPerRange(parts.router, [...locks.list(), ...intents.list()]).map(
    (span): KvRequest => ({
      kind: 'release-locks',
      span,
      txnId: meta.id,
      since,
    }),
  );
  const response = await parts.router.sendBatch(withoutTxn, requests);
  if (response.kind === 'ok') return;
  const { kind } = response.error;
  parts.env.log.warn({ txn: meta.id, error: kind }, 'locks are kept until their transaction ends');
}

/** Intents of which a rollback to a savepoint has left nothing go; the others stay as they are. */
export async function removeUndone({ meta, intents, parts }: ClusterTxn): Promise<void> {
  const open = { ...finished(meta, 'pending'), timestamp: zeroTimestamp };
  await resolve(parts, fewPerRange(parts.router, intents.list()), open);
}

/** All ranges at once; each of them in pages of its own making. */
export async function resolve(
  parts: TxnParts,
  spans: readonly Span[],
  done: FinishedTxn,
): Promise<boolean> {
  const { router } = parts;
  const groups = new Map<RangeDescriptor | undefined, Span[]>();
  for (const span of spans) {
    const range = router.cachedRangeOf(span.start);
    const group = groups.get(range);
    if (group === undefined) groups.set(range, [span]);
    else group.push(span);
  }
  const results = await Promise.all(
    Array.from(groups.values(), (group) => resolveInTurn(parts, group, done)),
  );
  return results.every((resolved) => resolved);
}

async function resolveInTurn(
  parts: TxnParts,
  spans: readonly Span[],
  done: FinishedTxn,
): Promise<boolean> {
  for (let i = 0; i < spans.length; i += spansPerBatch) {
    const requests = spans
      .slice(i, i + spansPerBatch)
      .map((span): KvRequest => ({ kind: 'resolve-locks', span, txn: done }));
    const response = await parts.router.sendBatch(withoutTxn, requests);
    if (response.kind === 'error') {
      const { kind } = response.error;
      parts.env.log.warn({ txn: done.id, error: kind }, 'intents are left to be cleaned up');
      return false;
    }
  }
  return true;
}

export function finished(meta: TxnMeta, status: TxnStatus): FinishedTxn {
  return {
    id: meta.id,
    epoch: meta.epoch,
    status,
    timestamp: meta.writeTimestamp,
    ignoredSequences: meta.ignoredSequences,
  };
}
