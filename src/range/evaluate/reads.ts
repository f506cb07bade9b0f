/** Evaluation of get, scan and refresh. */
import {
  compareTimestamps,
  KvFailure,
  laterTimestamp,
  PageBuilder,
  type HeldStrength,
  type KvRequest,
  type LockStrength,
  type ScanRequest,
  type Span,
  type Timestamp,
  type TxnMeta,
} from '../../kv/index.ts';
import {
  decodeHead,
  headKey,
  HeadReader,
  headSpan,
  keepsRow,
  keyOfHead,
  mvccGet,
  mvccScan,
  type EngineReader,
  type FoundIntent,
  type MvccGet,
  type MvccReadOptions,
} from '../../storage/index.ts';
import { nextKey, unreachable } from '../../util/index.ts';
import { failed, invalid, ok, type EvaluationContext, type Outcome } from './context.ts';
import { hasGone, mvccExists } from './existence.ts';
import { refreshedUpTo } from './timestamps.ts';

/** A scan request looks at no more than this before it hands over a page. */
const maxScannedBytes = 8 << 20;
const refreshPage = 256;

export function evaluateGet(
  ctx: EvaluationContext,
  request: Extract<KvRequest, { kind: 'get' }>,
): Outcome | Promise<Outcome> {
  const { key, lock } = request;
  if (lock !== 'none' && ctx.txn !== undefined) {
    const { locks } = ctx.state;
    const free = locks.blockers(key, ctx.txn, lock).length === 0;
    if (!free && ctx.header.waitPolicy === 'skip') return ok({ kind: 'get', value: undefined });
    if (!free || !locks.tryAcquire(key, ctx.txn, lock)) {
      return { kind: 'locked', key, strength: lock };
    }
  }
  const read = request.existence === true ? mvccExists : mvccGet;
  const got = read(ctx.batch, key, readOptions(ctx, lock));
  return got instanceof Promise
    ? got.then((later) => answerGet(ctx, request, later))
    : answerGet(ctx, request, got);
}

function readOptions(ctx: EvaluationContext, lock: LockStrength): MvccReadOptions {
  const { finished } = ctx.state;
  return {
    timestamp: ctx.readTimestamp,
    txn: ctx.txn,
    failOnNewer: lock !== 'none',
    passesUpdates: lock === 'key-share',
    ignoreIntents: false,
    leftOut: lock === 'none' ? ctx.leftOut : undefined,
    // What is locked is written next, as a rule, and resolved with that: no need to sweep up behind it.
    finished: (txnId, key) =>
      lock === 'none' ? finished.met(txnId, key) : finished.outcomeOf(txnId),
  };
}

function answerGet(
  ctx: EvaluationContext,
  request: Extract<KvRequest, { kind: 'get' }>,
  got: MvccGet,
): Outcome {
  switch (got.kind) {
    case 'value':
      ctx.markRead(request.key, undefined, ctx.readTimestamp);
      return ok({ kind: 'get', value: got.value });
    case 'intent':
      if (request.lock !== 'none' && ctx.header.waitPolicy === 'skip') {
        return ok({ kind: 'get', value: undefined });
      }
      return {
        kind: 'intents',
        intents: [got],
        strength: queuesFor(request.lock, got),
      };
    case 'uncertain':
    case 'newer':
      return newerFound(got);
    default:
      return unreachable(got);
  }
}

/** Undefined: it waits until it may see the value, as a plain read does. */
function queuesFor(lock: LockStrength, { keepsRow }: FoundIntent): HeldStrength | undefined {
  return lock === 'none' || (lock === 'key-share' && keepsRow) ? undefined : lock;
}

export function newerFound(
  got: Extract<MvccGet, { kind: 'uncertain' | 'newer' }>,
): Extract<Outcome, { kind: 'raise-read' }> {
  const { key, existing } = got;
  return {
    kind: 'raise-read',
    to: existing,
    error:
      got.kind === 'newer'
        ? { kind: 'write-too-old', key, existing }
        : { kind: 'read-within-uncertainty', key, existing },
  };
}

export async function evaluateScan(ctx: EvaluationContext, request: ScanRequest): Promise<Outcome> {
  if (request.program !== undefined && ctx.state.port.rowPrograms === undefined) {
    return invalid('row programs are not available here');
  }
  try {
    while (true) {
      const outcome = await scanOnce(ctx, request);
      if (outcome !== undefined) return outcome;
    }
  } catch (error) {
    // A row program failed: the answer to the request, not a fault of the replica.
    if (error instanceof KvFailure) return failed(error.kvError);
    throw error;
  }
}

/** Undefined: intents that rows have to be left out for have become known; scan again. */
async function scanOnce(
  ctx: EvaluationContext,
  request: ScanRequest,
): Promise<Outcome | undefined> {
  const { start, end, reverse, lock } = request;
  const program =
    request.program === undefined
      ? undefined
      : ctx.state.port.rowPrograms?.compile(request.program);
  const builder = new PageBuilder(request, program);
  const { locks } = ctx.state;
  const { txn } = ctx;
  const skip = ctx.header.waitPolicy === 'skip' && lock !== 'none';
  let scannedBytes = 0;
  let lockedKey: Buffer | undefined;
  const lockedKeys: Buffer[] | undefined =
    program !== undefined && lock !== 'none' && txn?.isolation !== 'serializable' ? [] : undefined;
  // Rows are locked one by one as they pass the program; those locked before a wait stay locked.
  const visit = (key: Buffer, value: Buffer): boolean => {
    scannedBytes += key.length + value.length;
    if (lock === 'none' || txn === undefined) {
      return builder.row(key, value) || scannedBytes >= maxScannedBytes;
    }
    if (skip && isTaken(ctx, key, txn, lock)) return false;
    const full = builder.row(key, value);
    if (builder.grew && !locks.tryAcquire(key, txn, lock)) {
      lockedKey = key;
      return true;
    }
    if (builder.grew) lockedKeys?.push(key);
    return full || scannedBytes >= maxScannedBytes;
  };
  const ended = await mvccScan(
    ctx.batch,
    { start, end, reverse, ...readOptions(ctx, lock), ignoreIntents: skip },
    visit,
  );
  if (lockedKey !== undefined && lock !== 'none') {
    return { kind: 'locked', key: lockedKey, strength: lock };
  }
  switch (ended.kind) {
    case 'done': {
      if (noteSkipped(ctx, ended.skippedIntents ?? [])) return undefined;
      builder.finish();
      const { resume } = ended;
      const read = scannedPart(request, resume);
      ctx.markRead(read.start, read.end, ctx.readTimestamp);
      const { keys, values } = builder;
      return ok({ kind: 'scan', keys, values, resume, ...(lockedKeys && { lockedKeys }) });
    }
    case 'intents': {
      const [first] = ended.intents;
      const isSkipping = ctx.header.waitPolicy === 'skip';
      if (lock === 'none' && !isSkipping && scannedBytes > 0 && first !== undefined) {
        // What lies before the conflict is a page of its own: the wait does not throw it away.
        builder.finish();
        const resume = reverse ? { start, end: nextKey(first.key) } : { start: first.key, end };
        const read = scannedPart(request, resume);
        ctx.markRead(read.start, read.end, ctx.readTimestamp);
        return ok({ kind: 'scan', keys: builder.keys, values: builder.values, resume });
      }
      return {
        kind: 'intents',
        intents: ended.intents,
        strength: first === undefined ? undefined : queuesFor(lock, first),
      };
    }
    case 'uncertain':
    case 'newer':
      return newerFound(ended);
    default:
      return unreachable(ended);
  }
}

/** What lies below an intent may be outdated: SKIP LOCKED leaves such rows out, whatever the strength. */
function isTaken(
  { state: { locks } }: EvaluationContext,
  key: Buffer,
  txn: TxnMeta,
  lock: HeldStrength,
): boolean {
  if (locks.blockers(key, txn, lock).length > 0) return true;
  return locks.conflicts(key, txn.id, 'share').some(({ intent }) => intent !== undefined);
}

/** Adds intents that a scan passed over to the lock table; true when one of them is new there. */
function noteSkipped(ctx: EvaluationContext, skipped: readonly FoundIntent[]): boolean {
  const { locks } = ctx.state;
  let found = false;
  for (const met of skipped) {
    const { key, intent } = met;
    if (intent.txnId === ctx.txn?.id || locks.holderOf(key, intent.txnId)?.intent !== undefined)
      continue;
    locks.addIntent(met);
    found = true;
  }
  return found;
}

/** The part of a scan's span that it has really read (traps X2, X15). */
function scannedPart(
  request: ScanRequest,
  resume: { readonly start: Buffer; readonly end: Buffer } | undefined,
): { readonly start: Buffer; readonly end: Buffer } {
  if (resume === undefined) return { start: request.start, end: request.end };
  return request.reverse
    ? { start: resume.end, end: request.end }
    : { start: request.start, end: resume.start };
}

/**
 * Any committed version above `from`, and any intent of another transaction at or below the new
 * timestamp, lets a refresh fail. Versions above the new timestamp count too: they are rare and
 * looking for what lies below them costs more than the retry.
 */
export async function evaluateRefresh(
  ctx: EvaluationContext,
  request: Extract<KvRequest, { kind: 'refresh' }>,
): Promise<Outcome> {
  const { txn } = ctx;
  const { from, existence } = request;
  const above = request.ownIntents === true ? await ownIntentsAbove(ctx, request.span) : undefined;
  if (above !== undefined) return { kind: 'raise-write', to: above };
  const to = refreshedUpTo(request, txn);
  if (to === undefined) return ok({ kind: 'refresh' });
  const changed = (key: Buffer, record: Buffer): boolean | Promise<boolean> => {
    const head = decodeHead(record);
    const { intent } = head;
    const passes = existence === true && keepsRow(head);
    if (intent !== undefined && intent.txnId !== txn?.id && !passes) {
      const finished = ctx.state.finished.outcomeOf(intent.txnId);
      if (finished?.status !== 'aborted') {
        // An intent that is known to be committed is a version.
        const at = finished?.timestamp;
        if (at === undefined && compareTimestamps(intent.timestamp, to) <= 0) return true;
        const isPart = at !== undefined && compareTimestamps(intent.timestamp, at) <= 0;
        if (isPart && compareTimestamps(at, from) > 0) return true;
      }
    }
    if (existence === true) return hasGone(ctx.state.port.engine, key, head, { from, to });
    return head.timestamp !== undefined && compareTimestamps(head.timestamp, from) > 0;
  };
  const { span } = request;
  const found = await findInSpan(ctx, span, changed);
  if (found !== undefined) return failed({ kind: 'refresh-failed', key: found });
  ctx.markRead(span.start, span.end, to);
  return ok({ kind: 'refresh' });
}

/** The latest intent of the transaction itself in `span`; undefined when none stands above its write timestamp. */
async function ownIntentsAbove(ctx: EvaluationContext, span: Span): Promise<Timestamp | undefined> {
  const { txn } = ctx;
  if (txn === undefined) return undefined;
  let latest = txn.writeTimestamp;
  await findInSpan(ctx, span, (_key, record) => {
    const { intent } = decodeHead(record);
    if (intent?.txnId === txn.id) latest = laterTimestamp(latest, intent.timestamp);
    return false;
  });
  return compareTimestamps(latest, txn.writeTimestamp) > 0 ? latest : undefined;
}

/** The first key of `span` whose head record passes `test`. Looks at the committed state only. */
async function findInSpan(
  ctx: EvaluationContext,
  span: Span,
  test: (key: Buffer, record: Buffer) => boolean | Promise<boolean>,
): Promise<Buffer | undefined> {
  const { engine } = ctx.state.port;
  if (span.end === undefined) {
    const record = engine.get(headKey(span.start));
    return record !== undefined && (await test(span.start, record)) ? span.start : undefined;
  }
  const iterator = engine.iterate(headSpan(span.start, span.end));
  try {
    while (true) {
      const page = await iterator.next(refreshPage);
      if (page.length === 0) return undefined;
      for (const [engineKey, record] of page) {
        const key = keyOfHead(engineKey);
        const passes = test(key, record);
        if (passes instanceof Promise ? await passes : passes) return key;
      }
    }
  } finally {
    await iterator.close();
  }
}

/** Where a page of intents ended. */
export interface IntentPage {
  readonly keys: readonly Buffer[];
  /** Of the records at these keys. */
  readonly bytes: number;
  /** Records looked at. */
  readonly heads: number;
  /** What of the span was not looked at. */
  readonly rest: Span | undefined;
}

/** Keys of `span` that hold an intent of `txnId`, up to one of the limits. */
export async function intentsOf(
  engine: EngineReader,
  span: Span,
  txnId: string,
  limits: { readonly keys: number; readonly bytes: number; readonly heads: number },
): Promise<IntentPage> {
  if (span.end === undefined) return { keys: [span.start], bytes: 0, heads: 1, rest: undefined };
  const { end } = span;
  const keys: Buffer[] = [];
  const head = new HeadReader();
  let bytes = 0;
  let heads = 0;
  const iterator = engine.iterate(headSpan(span.start, end));
  try {
    while (true) {
      const page = await iterator.next(refreshPage);
      if (page.length === 0) return { keys, bytes, heads, rest: undefined };
      for (const [engineKey, record] of page) {
        head.read(record);
        const full = keys.length >= limits.keys || bytes >= limits.bytes || heads >= limits.heads;
        const key = keyOfHead(engineKey);
        if (full) return { keys, bytes, heads, rest: { start: key, end } };
        heads++;
        if (head.intent?.txnId !== txnId) continue;
        keys.push(key);
        bytes += engineKey.length + record.length;
      }
    }
  } finally {
    await iterator.close();
  }
}
