/** Evaluation of put, insert, delete, conditional-put, increment and clear-range. */
import {
  nextTimestamp,
  type HeldStrength,
  type KvRequest,
  type KvResult,
  type Timestamp,
  type TxnMeta,
} from '../../kv/index.ts';
import {
  decodeHead,
  headKey,
  mvccGet,
  type FoundIntent,
  type MvccGet,
  type MvccWriteResult,
} from '../../storage/index.ts';
import { unreachable } from '../../util/index.ts';
import { failed, invalid, ok, type EvaluationContext, type Outcome } from './context.ts';

export type WriteRequest = Extract<
  KvRequest,
  { kind: 'put' | 'insert' | 'delete' | 'conditional-put' }
>;

export function isWrite(request: KvRequest): request is WriteRequest {
  return (
    request.kind === 'put' ||
    request.kind === 'insert' ||
    request.kind === 'delete' ||
    request.kind === 'conditional-put'
  );
}

export function evaluateWrite(
  ctx: EvaluationContext,
  request: WriteRequest,
): Outcome | Promise<Outcome> {
  const { key } = request;
  const needed = lockInTheWay(ctx, request);
  if (needed !== undefined) return { kind: 'locked', key, strength: needed };
  switch (request.kind) {
    case 'put':
      return write(ctx, request, request.value);
    case 'delete':
      return write(ctx, request, undefined);
    case 'insert':
    case 'conditional-put': {
      const got = currentValue(ctx, key, request.sequence);
      return got instanceof Promise
        ? got.then((later) => writeIf(ctx, request, later))
        : writeIf(ctx, request, got);
    }
    default:
      return unreachable(request);
  }
}

/** The lock that the write has to wait for, if others hold what is in its way: a put over a row leaves a row there. */
function lockInTheWay(
  { txn, batch, state: { locks } }: EvaluationContext,
  request: WriteRequest,
): HeldStrength | undefined {
  const { key } = request;
  if (txn === undefined || locks.conflicts(key, txn.id, 'update').length === 0) return undefined;
  const putsRow = request.kind !== 'insert' && request.kind !== 'delete' && request.value;
  const stored = putsRow ? batch.get(headKey(key)) : undefined;
  if (stored === undefined || decodeHead(stored).value === undefined) return 'update';
  return locks.conflicts(key, txn.id, 'no-key-update').length > 0 ? 'no-key-update' : undefined;
}

/**
 * The condition of a write is judged at its write timestamp: from there on the write itself keeps
 * others off. A replay must not meet its own first try (trap X7), so the read stops below its sequence.
 */
function currentValue(
  ctx: EvaluationContext,
  key: Buffer,
  sequence: number,
): MvccGet | Promise<MvccGet> {
  return mvccGet(ctx.batch, key, {
    timestamp: ctx.writeTimestamp,
    txn: ctx.txn === undefined ? undefined : { ...ctx.txn, sequence: sequence - 1 },
    failOnNewer: true,
    ignoreIntents: false,
  });
}

function writeIf(
  ctx: EvaluationContext,
  request: Extract<WriteRequest, { kind: 'insert' | 'conditional-put' }>,
  got: MvccGet,
): Outcome | Promise<Outcome> {
  const { key } = request;
  switch (got.kind) {
    case 'value': {
      const expected = request.kind === 'insert' ? undefined : request.expected;
      const existing = got.value;
      const holds =
        expected === undefined || existing === undefined
          ? expected === existing
          : expected.equals(existing);
      if (!holds) {
        // The answer tells what is there: a read like any other (trap X1).
        ctx.markRead(key, undefined, ctx.writeTimestamp);
        return failed({ kind: 'condition-failed', key, existing });
      }
      return write(ctx, request, request.value);
    }
    case 'intent':
      return { kind: 'intents', intents: [got], strength: queuesFor(request.value, got) };
    case 'uncertain':
    case 'newer':
      return { kind: 'raise-write', to: nextTimestamp(got.existing) };
    default:
      return unreachable(got);
  }
}

const written: KvResult = { kind: 'write' };

function write(
  ctx: EvaluationContext,
  request: WriteRequest,
  value: Buffer | undefined,
): Outcome | Promise<Outcome> {
  const put = (): MvccWriteResult =>
    ctx.batch.put(request.key, value, {
      timestamp: ctx.writeTimestamp,
      txn: ctx.onePhase ? undefined : intentOwner(ctx),
      sequence: request.sequence,
      unchangedSince: request.unchangedSince ?? presentStatement(ctx),
    });
  let result = put();
  if (result.kind === 'intent' && resolveOnTheWay(ctx, result)) result = put();
  const strength = result.kind === 'intent' ? queuesFor(value, result) : undefined;
  return afterPut(ctx, result, { result: written, strength, before: request.unchangedSince });
}

/**
 * An intent takes the place of one whose transaction has ended, in one command; not so the value of a commit in one phase.
 */
function resolveOnTheWay(ctx: EvaluationContext, { key, intent }: FoundIntent): boolean {
  if (ctx.txn === undefined || ctx.onePhase) return false;
  const { finished, locks } = ctx.state;
  const ended = finished.get(intent.txnId);
  if (ended === undefined || intent.epoch > ended.epoch) return false;
  ctx.batch.resolve(key, ended);
  ctx.afterApply.push(() => locks.release(ended.id, { start: key, end: undefined }));
  return true;
}

/** As which a write waits for an intent: see `lockInTheWay`. */
function queuesFor(value: Buffer | undefined, { keepsRow }: FoundIntent): HeldStrength {
  return value !== undefined && keepsRow ? 'no-key-update' : 'update';
}

/** Below 'serializable' nobody else may have changed what the present statement writes: first committer wins. */
function presentStatement({ txn }: EvaluationContext): Timestamp | undefined {
  return txn === undefined || txn.isolation === 'serializable' ? undefined : txn.readTimestamp;
}

/** A blind write needs no read timestamp: the refresh at commit covers what the transaction has read. */
function intentOwner(ctx: EvaluationContext): TxnMeta | undefined {
  const { txn } = ctx;
  return txn === undefined ? undefined : { ...txn, readTimestamp: txn.writeTimestamp };
}

/**
 * `strength`: how a transaction waits for an intent in the way. `before`: what was written belongs to a statement that nobody can
 * run again.
 */
function afterPut(
  ctx: EvaluationContext,
  put: MvccWriteResult,
  {
    result,
    strength,
    before,
  }: {
    readonly result: KvResult;
    readonly strength?: HeldStrength | undefined;
    readonly before?: Timestamp | undefined;
  },
): Outcome {
  switch (put.kind) {
    case 'ok':
      return ok(result);
    case 'intent':
      if (put.intent.txnId === ctx.txn?.id) {
        return invalid('a one-phase commit over an intent of its own transaction');
      }
      return {
        kind: 'intents',
        intents: [put],
        strength: ctx.txn === undefined ? undefined : strength,
      };
    case 'newer':
      return { kind: 'raise-write', to: nextTimestamp(put.existing) };
    case 'changed': {
      const { key, existing } = put;
      return before === undefined
        ? { kind: 'raise-read', to: existing, error: { kind: 'write-too-old', key, existing } }
        : failed({ kind: 'txn-retry', reason: 'a row that was locked or written has changed' });
    }
    default:
      return unreachable(put);
  }
}

const counterBytes = 8;

export async function evaluateIncrement(
  ctx: EvaluationContext,
  request: Extract<KvRequest, { kind: 'increment' }>,
): Promise<Outcome> {
  const { key, by } = request;
  if (ctx.txn !== undefined) return invalid('a counter is not transactional');
  const got = await currentValue(ctx, key, 1);
  if (got.kind === 'intent') return { kind: 'intents', intents: [got], strength: undefined };
  if (got.kind !== 'value') return { kind: 'raise-write', to: nextTimestamp(got.existing) };
  if (got.value !== undefined && got.value.length !== counterBytes) {
    return invalid('the value is not a counter');
  }
  const value = BigInt.asIntN(64, (got.value?.readBigInt64BE() ?? 0n) + by);
  const stored = Buffer.allocUnsafe(counterBytes);
  stored.writeBigInt64BE(value);
  const put = ctx.batch.put(key, stored, {
    timestamp: ctx.at,
    txn: undefined,
    sequence: 0,
  });
  return afterPut(ctx, put, { result: { kind: 'increment', value } });
}

export function evaluateClearRange(
  ctx: EvaluationContext,
  request: Extract<KvRequest, { kind: 'clear-range' }>,
): Outcome {
  const { start, end, threshold } = request;
  ctx.state.port.raiseGcThreshold(threshold);
  ctx.clears.push({ start, end });
  return ok({ kind: 'clear-range' });
}
