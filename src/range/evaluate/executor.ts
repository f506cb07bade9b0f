/**
 * The executor of one range: what happens to a batch between its arrival and its answer.
 *
 *   latch -> lease check -> locks -> evaluate -> remember reads -> propose -> applied -> answer
 *
 * A conflict with another transaction ends an attempt: the latches are released, the wait is made,
 * and the batch starts again. A later timestamp starts it again without letting go of the latches.
 *
 * INVARIANT 1: reads enter the timestamp cache before their latches are released and before anything
 *   is answered (T2, X1).
 * INVARIANT 2: nothing is answered or proposed unless the lease under which it was evaluated still
 *   holds in the same synchronous step.
 */
import {
  compareTimestamps,
  containsKey,
  containsRequest,
  laterTimestamp,
  recordKeyOf,
  isPlainRead,
  untilPast,
  zeroTimestamp,
  type BatchRequest,
  type BatchResponse,
  type FinishedTxn,
  type Handover,
  type KvError,
  type KvRequest,
  type KvResult,
  type Span,
  type Timestamp,
  type TxnId,
  type TxnMeta,
  type TxnRecord,
} from '../../kv/index.ts';
import { createMvccBatch, mvccGet } from '../../storage/index.ts';
import { assert, unreachable, yieldTurn } from '../../util/index.ts';
import { ConflictWaits, maxPushWaitMs, maxWaitMs } from '../concurrency/conflict-waits.ts';
import { FinishedTxns } from '../concurrency/finished-txns.ts';
import { handOver, takeOver } from '../concurrency/handover.ts';
import { IntentSweeper } from '../concurrency/intent-sweeper.ts';
import { Latches } from '../concurrency/latches.ts';
import { LockTable, type LockUse } from '../concurrency/lock-table.ts';
import { Pusher } from '../concurrency/pusher.ts';
import { TimestampCache } from '../concurrency/timestamp-cache.ts';
import { TxnTombstones } from '../concurrency/txn-tombstones.ts';
import { finishedFrom, TxnWaitQueue } from '../concurrency/txn-wait-queue.ts';
import { RangeLoad } from '../load/range-load.ts';
import { type LowWater, type RangeExecutor, type ReplicaPort } from '../ports.ts';
import { EvaluationContext, raiseWrite, type Outcome, type RangeState } from './context.ts';
import { evaluate } from './evaluate.ts';
import { evaluateInconsistent } from './inconsistent.ts';
import { latchSpans } from './latch-spans.ts';
import { intentsOf, type IntentPage } from './reads.ts';
import { mayWait, ResolveLater } from './resolve-later.ts';
import { resolvePage, ResolvePages, type Resolve } from './resolve-pages.ts';
import {
  meet,
  movedRead,
  obstructedUpTo,
  oldestNeeded,
  standingOf,
  withLocalLimit,
  writesVersion,
} from './timestamps.ts';
import { isWrite } from './writes.ts';

/** `lowWater`: of an executor that was given up under this lease. */
export function createRangeExecutor(port: ReplicaPort, lowWater?: LowWater): RangeExecutor {
  return new Executor(port, lowWater ?? { reads: port.leaseStart, txns: port.leaseStart });
}

/** How one attempt at a batch ended. */
type Attempt =
  /** `at`: what was done or read stands there; nobody is told before the clock has passed it. */
  | { readonly kind: 'answer'; readonly response: BatchResponse; readonly at?: Timestamp }
  /** Evaluate again with this transaction; `relatch` when a plain read moves. */
  | { readonly kind: 'again'; readonly txn: TxnMeta | undefined; readonly relatch: boolean }
  /** A resolution goes on with `rest`, under new latches. */
  | { readonly kind: 'next-page'; readonly rest: readonly Resolve[] }
  | { readonly kind: 'wait'; readonly for: Conflict; readonly index: number };

type Conflict = Extract<Outcome, { kind: 'locked' | 'intents' | 'wait-push' }>;

/** A batch that moves up this often without success gives up; the sender tries again. */
const maxAttempts = 1_000;

class Executor implements RangeExecutor {
  readonly #port: ReplicaPort;
  readonly #state: RangeState;
  readonly #latches = new Latches();
  readonly #waits: ConflictWaits;
  readonly #pusher: Pusher;
  readonly load: RangeLoad;
  readonly #sweeper: IntentSweeper;
  readonly #later: ResolveLater;
  /** Requests under way, whether they hold latches or not. */
  #running = 0;
  /** A split has handed locks over, and no lease has begun since. */
  #inherited = false;

  constructor(port: ReplicaPort, lowWater: LowWater) {
    this.#port = port;
    const sweeper = new IntentSweeper(port.env, (span, txn) => pusher.resolveHere([span], txn));
    this.#sweeper = sweeper;
    const finished = new FinishedTxns((txn, key) => sweeper.note(txn, key));
    this.#state = {
      port,
      locks: new LockTable(() => port.env.clock.monotonicMs()),
      reads: new TimestampCache(lowWater.reads),
      tombstones: new TxnTombstones(lowWater.txns),
      pushes: new TxnWaitQueue(),
      finished,
    };
    const pusher = new Pusher(port, finished, (batch) => this.#resolve(batch, false));
    this.#pusher = pusher;
    this.#later = new ResolveLater(port.env, (batch, all) => this.#resolveNow(batch, all));
    this.#waits = new ConflictWaits({ ...this.#state, pusher });
    this.load = new RangeLoad(port.env, () => port.loadSplitThreshold);
  }

  execute(received: BatchRequest): Promise<BatchResponse> {
    const { clock } = this.#port;
    clock.observe(received.header.timestamp);
    const batch = meet(clock, received);
    this.load.count(batch);
    if (batch.header.consistency === 'inconsistent') {
      return evaluateInconsistent(this.#port, batch);
    }
    if (batch.requests.every((request) => request.kind === 'resolve-locks')) {
      return this.#resolve(batch, true);
    }
    const fast = this.#readOneKey(batch);
    return fast === undefined ? this.#serve(batch) : Promise.resolve(fast);
  }

  leaseAcquired(start: Timestamp, before?: 'split' | Handover): void {
    const inherited = this.#inherited;
    this.#inherited = false;
    if (inherited && before === 'split') return;
    // Locks are worth keeping even when others have led: nothing depends on them, and they save their holders a retry.
    if (!inherited || before !== undefined) this.#forget();
    const { reads, tombstones } = this.#state;
    // Before the split something may have been read ahead of the clock: a right side that is led in a later term stands above that, too.
    reads.reset(inherited ? laterTimestamp(start, reads.ceiling) : start);
    if (before === undefined || before === 'split') tombstones.reset(start);
    else {
      tombstones.reset(zeroTimestamp);
      takeOver(before, this.#state);
    }
  }

  leaseLost(): void {
    this.#inherited = false;
    this.#forget();
  }

  #forget(): void {
    this.#state.locks.clear(this.#leaseError());
    this.#state.pushes.clear();
    this.#sweeper.clear();
  }

  split(splitKey: Buffer, right: RangeExecutor): void {
    assert(right instanceof Executor, 'both sides of a split have the same kind of executor');
    const { locks, reads, tombstones, pushes, finished } = this.#state;
    const there = right.#state;
    right.#inherited = true;
    reads.copyTo(there.reads, splitKey);
    tombstones.copyTo(there.tombstones);
    finished.copyTo(there.finished);
    this.load.divide(right.load);
    locks.moveTo(there.locks, splitKey);
    pushes.wakeAll();
  }

  get lowWater(): LowWater {
    return { reads: this.#state.reads.ceiling, txns: this.#state.tombstones.ceiling };
  }

  async settle(txn: TxnMeta, spans: readonly Span[]): Promise<FinishedTxn | undefined> {
    this.#running++;
    try {
      return await this.#waits.settle(txn, spans);
    } finally {
      this.#running--;
    }
  }

  async resolveCommitted({ meta, lockSpans }: TxnRecord, drops: boolean): Promise<boolean> {
    const finished = finishedFrom(meta, 'committed');
    const isDone = await this.#pusher.resolveEverywhere(lockSpans, finished);
    if (!isDone || !drops || meta.anchor === undefined) return isDone;
    const start = recordKeyOf(meta.anchor, meta.id);
    return this.#pusher.resolveEverywhere([{ start, end: undefined }], finished);
  }

  locks(): Iterable<LockUse> {
    return this.#state.locks.uses();
  }

  handOver(): Handover {
    const { locks, tombstones } = this.#state;
    return handOver(locks, tombstones);
  }

  absorb(handover: Handover): void {
    takeOver(handover, this.#state);
  }

  async exclude(keys: readonly Buffer[]): Promise<() => void> {
    const guard = this.#latches.acquire(
      keys.map((start) => ({ start, end: undefined, write: true, timestamp: zeroTimestamp })),
    );
    await this.#latches.granted(guard);
    return () => this.#latches.release(guard);
  }

  async quiesce(): Promise<() => void> {
    const guard = await this.#latches.acquireAll();
    return () => this.#latches.release(guard);
  }

  retire(restMs: number): LowWater | undefined {
    const { locks, pushes } = this.#state;
    const isNeeded =
      this.#running > 0 ||
      this.#latches.size > 0 ||
      locks.size > 0 ||
      pushes.hasWaiters ||
      !this.#sweeper.idle ||
      this.load.idleMs < restMs;
    return isNeeded ? undefined : this.lowWater;
  }

  /** The hot path: one plain read of one key that nothing is in the way of, in one synchronous step. */
  #readOneKey(batch: BatchRequest): BatchResponse | undefined {
    const request = batch.requests[0];
    if (batch.requests.length !== 1 || request?.kind !== 'get' || request.lock !== 'none') {
      return undefined;
    }
    const { key } = request;
    const port = this.#port;
    const txn = withLocalLimit(port, batch.header.txn, batch.header.observed);
    const now = port.clock.now();
    const timestamp = txn?.readTimestamp ?? now;
    if (txn === undefined && port.closed.ahead > now.wall) return undefined;
    if (this.#latches.blocksRead(key, timestamp)) return undefined;
    if (!containsKey(port.descriptor, key)) return undefined;
    if ((port.checkLease(timestamp) ?? port.checkHistory(timestamp)) !== undefined)
      return undefined;
    if (txn !== undefined && this.#state.finished.isAborted(txn.id)) return undefined;
    const got = mvccGet(port.engine, key, {
      timestamp,
      txn,
      failOnNewer: false,
      ignoreIntents: false,
      finished: (txnId, at) => this.#state.finished.met(txnId, at),
    });
    if (got instanceof Promise) {
      // The history decides: the general path asks again, under latches.
      got.catch(() => undefined);
      return undefined;
    }
    if (got.kind !== 'value') return undefined;
    this.#state.reads.addPoint(key, timestamp, txn?.id);
    return this.#done(txn, [{ kind: 'get', value: got.value }], now);
  }

  /**
   * Resolution of any number of intents, in commands of bounded size; others get their turn between
   * them. What was done stays done when a later one fails.
   *
   * Intents of a committed transaction do not grow any more: they are looked for without latches, and
   * each command latches only the keys that it resolves. An aborted one may still have a write on its
   * way: those spans are latched.
   *
   * `isBehind`: nobody here waits for it.
   */
  async #resolve(batch: BatchRequest, isBehind: boolean): Promise<BatchResponse> {
    this.#running++;
    try {
      const requests: Resolve[] = [];
      for (const request of batch.requests) {
        if (request.kind !== 'resolve-locks') continue;
        requests.push(request);
        // Final facts; from here on reads go through these intents.
        this.#state.finished.add(request.txn);
      }
      const refused = this.#refusal(requests, undefined);
      if (refused !== undefined) return this.#failure(refused, undefined);
      for (const { txn, span } of requests) {
        if (txn.status === 'committed') this.#state.locks.release(txn.id, span);
      }
      return isBehind && requests.every(mayWait)
        ? await this.#later.add(batch, requests)
        : await this.#resolveNow(batch, requests);
    } finally {
      this.#running--;
    }
  }

  async #resolveNow(batch: BatchRequest, requests: readonly Resolve[]): Promise<BatchResponse> {
    const lease = this.#port.leaseSequence;
    const { generation } = this.#port.descriptor;
    const pages = new ResolvePages((page) => this.#serve({ ...batch, requests: page }));
    for (const request of requests) {
      const { span, txn } = request;
      if (pages.failure !== undefined) break;
      if (span.end !== undefined && txn.status === 'committed') {
        await this.#resolveCommitted(span, txn, pages);
      } else await pages.add(request);
    }
    const failure = await pages.finish();
    if (failure !== undefined) return failure;
    // What was looked for without latches may have left this store meanwhile: that none was found proves nothing then (trap T5).
    const refused = this.#refusal(requests, undefined);
    if (refused !== undefined) return this.#failure(refused, undefined);
    if (lease !== this.#port.leaseSequence || generation !== this.#port.descriptor.generation) {
      return this.#failure(this.#leaseError(), undefined);
    }
    const results = requests.map((): KvResult => ({ kind: 'resolve-locks' }));
    return this.#done(undefined, results, this.#port.clock.now());
  }

  async #resolveCommitted(span: Span, txn: FinishedTxn, pages: ResolvePages): Promise<void> {
    let rest: Span | undefined = span;
    while (rest !== undefined && pages.failure === undefined) {
      const page: IntentPage = await intentsOf(this.#port.engine, rest, txn.id, resolvePage);
      await pages.addFound(page, txn);
      rest = page.rest;
      if (page.keys.length === 0) await yieldTurn(this.#port.env);
    }
    // Its locks without intents go with the last page.
    pages.whenDone(() => this.#state.locks.release(txn.id, span));
  }

  async #serve(batch: BatchRequest): Promise<BatchResponse> {
    this.#running++;
    try {
      let requests = batch.requests;
      let txn = batch.header.txn;
      const leftOut = new Set<TxnId>();
      const beganMs = this.#port.env.clock.monotonicMs();
      const pushDeadlineMs = beganMs + maxPushWaitMs;
      const untilMs = beganMs + maxWaitMs;
      for (let attempts = 0; attempts < maxAttempts;) {
        const spans = latchSpans(requests, txn, this.#port.clock.now());
        const guard = this.#latches.acquire(spans);
        let attempt: Attempt;
        try {
          if (guard.waitingFor > 0) await this.#latches.granted(guard);
          do {
            attempts++;
            attempt = await this.#attempt(batch, requests, txn, leftOut);
            if (attempt.kind === 'again') txn = attempt.txn;
          } while (attempt.kind === 'again' && !attempt.relatch && attempts < maxAttempts);
        } finally {
          this.#latches.release(guard);
        }
        if (attempt.kind === 'answer') {
          const { response, at } = attempt;
          if (at !== undefined) await untilPast(this.#port.env, this.#port.clock, at);
          return response;
        }
        if (attempt.kind === 'again') continue;
        if (attempt.kind === 'next-page') {
          requests = attempt.rest;
          attempts = 0;
          continue;
        }
        attempts = 0;
        const met = { conflict: attempt.for, leftOut, untilMs };
        const error = await this.#wait(batch, requests, txn, met);
        if (error !== undefined) return this.#failure(error, attempt.index);
        if (this.#port.env.clock.monotonicMs() >= pushDeadlineMs) {
          requests = requests.map((request) =>
            request.kind === 'push-txn' ? { ...request, wait: false } : request,
          );
        }
      }
      return this.#failure({ kind: 'txn-retry', reason: 'too much contention' }, undefined);
    } finally {
      this.#running--;
    }
  }

  async #wait(
    batch: BatchRequest,
    requests: readonly KvRequest[],
    txn: TxnMeta | undefined,
    met: {
      readonly conflict: Conflict;
      readonly leftOut: Set<TxnId>;
      /** On the monotonic clock. */
      readonly untilMs: number;
    },
  ): Promise<KvError | undefined> {
    const { header } = batch;
    const { conflict, leftOut, untilMs } = met;
    switch (conflict.kind) {
      case 'locked':
        assert(txn !== undefined, 'only transactions queue for locks');
        return this.#waits.forLock(conflict.key, txn, conflict.strength, header, untilMs);
      case 'intents': {
        const first = conflict.intents[0];
        const { strength } = conflict;
        if (txn === undefined || strength === undefined || first === undefined) {
          const readAt = obstructedUpTo(this.#port, txn, header.observed);
          const writes = requests.some(writesVersion);
          // A lock that the writer is not in the way of waits for the value alone, whatever its policy.
          const isLocking = !requests.every(isPlainRead);
          const by = isLocking ? { ...header, waitPolicy: 'block' as const } : header;
          const how = { writes, untilMs };
          const error = await this.#waits.forIntents(conflict.intents, txn, readAt, by, how);
          const isTaken = error?.kind === 'lock-not-available' && !error.timedOut;
          if (!isTaken || header.waitPolicy !== 'skip' || first === undefined) return error;
          const { txnId } = first.intent;
          if (leftOut.has(txnId)) return error;
          leftOut.add(txnId);
          return undefined;
        }
        for (const found of conflict.intents) this.#state.locks.addIntent(found);
        return this.#waits.forLock(first.key, txn, strength, header, untilMs);
      }
      case 'wait-push': {
        const push = requests.find((request) => request.kind === 'push-txn');
        assert(push?.kind === 'push-txn', 'only a push waits for a pushee');
        return this.#waits.forPushee(push);
      }
      default:
        return unreachable(conflict);
    }
  }

  /** One evaluation under latches. */
  async #attempt(
    batch: BatchRequest,
    requests: readonly KvRequest[],
    arrived: TxnMeta | undefined,
    leftOut: ReadonlySet<TxnId>,
  ): Promise<Attempt> {
    const { header } = batch;
    const refused = this.#refusal(requests, arrived);
    if (refused !== undefined) return this.#answer(this.#failure(refused, undefined));
    const port = this.#port;
    const lease = port.leaseSequence;
    const now = port.clock.now();
    const end = requests.find((request) => request.kind === 'end-txn');
    const onePhase = end?.kind === 'end-txn' && end.commit && end.onePhase;
    const limited = withLocalLimit(port, arrived, header.observed);
    const closed = requests.some(writesVersion) ? port.openForWrites() : undefined;
    const { txn, at } = standingOf(this.#state, requests, limited, {
      now,
      floorWall: closed?.floor ?? 0,
      // A commit that brings its refreshes may read where it writes.
      movesReads:
        onePhase && header.canForwardReadTimestamp && limited?.isolation === 'serializable',
    });
    const oldest = oldestNeeded(requests, { txn, at });
    const forgotten = port.checkHistory(oldest);
    if (forgotten !== undefined) return this.#answer(this.#failure(forgotten, undefined));
    const ctx = new EvaluationContext(this.#state, {
      header,
      batch: createMvccBatch(port.engine),
      now,
      at,
      oldest,
      txn,
      onePhase,
      leftOut,
    });
    // A write, or the note of a commit that is near: from here on nobody takes values up to there for younger than they are.
    if (compareTimestamps(ctx.writeTimestamp, now) > 0) port.closed.noteAhead(ctx.writeTimestamp);
    // From here until the write is applied nothing at or above it is closed.
    const write = closed?.beginWrite(ctx.writeTimestamp);
    try {
      return await this.#evaluateAll(ctx, requests, lease);
    } finally {
      if (write !== undefined) closed?.endWrite(write);
    }
  }

  async #evaluateAll(
    ctx: EvaluationContext,
    requests: readonly KvRequest[],
    lease: number,
  ): Promise<Attempt> {
    const results: KvResult[] = [];
    for (const [index, request] of requests.entries()) {
      const step = evaluate(ctx, request);
      const outcome = step instanceof Promise ? await step : step;
      if (outcome.kind === 'ok') {
        results.push(outcome.result);
        continue;
      }
      return this.#stopped(ctx, requests, outcome, index, lease);
    }
    return this.#conclude(ctx, requests, results, lease);
  }

  #stopped(
    ctx: EvaluationContext,
    requests: readonly KvRequest[],
    outcome: Exclude<Outcome, { kind: 'ok' }>,
    index: number,
    lease: number,
  ): Attempt {
    switch (outcome.kind) {
      case 'error':
        if (this.#lost(ctx, lease)) return this.#answer(this.#failure(this.#leaseError(), index));
        this.#remember(ctx);
        return this.#answer(this.#failure(outcome.error, index));
      case 'locked':
      case 'intents':
      case 'wait-push':
        return { kind: 'wait', for: outcome, index };
      case 'raise-write':
        // Without a transaction the next attempt stands above it.
        if (ctx.txn === undefined) this.#port.closed.noteAhead(outcome.to);
        return {
          kind: 'again',
          txn: ctx.txn === undefined ? undefined : raiseWrite(ctx.txn, outcome.to),
          relatch: false,
        };
      case 'raise-read': {
        const txn = movedRead(ctx, outcome);
        if (txn === undefined) return this.#answer(this.#failure(outcome.error, index));
        return { kind: 'again', txn, relatch: requests.some(isPlainRead) };
      }
      default:
        return unreachable(outcome);
    }
  }

  /** Everything was evaluated: remember the reads, propose the effects. */
  async #conclude(
    ctx: EvaluationContext,
    requests: readonly KvRequest[],
    results: readonly KvResult[],
    lease: number,
  ): Promise<Attempt> {
    if (this.#lost(ctx, lease)) return this.#answer(this.#failure(this.#leaseError(), undefined));
    this.#remember(ctx);
    const { writes, stats } = ctx.batch;
    if (writes.length > 0 || ctx.clears.length > 0 || ctx.trigger !== undefined) {
      const outcome = await this.#port.propose(
        {
          writes,
          statsDelta: stats,
          trigger: ctx.trigger,
          clears: ctx.clears,
          timestamp: ctx.now,
          ...(ctx.committed && { committed: ctx.committed }),
        },
        lease,
      );
      if (outcome.kind === 'rejected') {
        return this.#answer(this.#failure(outcome.error, undefined));
      }
      if (outcome.kind === 'ambiguous') {
        const error: KvError = { kind: 'ambiguous-result', reason: outcome.reason };
        return this.#answer(this.#failure(error, undefined));
      }
    }
    for (const run of ctx.afterApply) run();
    if (ctx.unresolved.length > 0) {
      assert(ctx.txn === undefined, 'a resolution comes without a transaction');
      return { kind: 'next-page', rest: ctx.unresolved };
    }
    const answers = ctx.txn === undefined ? results : this.#withWaits(requests, results);
    const response = this.#done(ctx.txn, answers, this.#port.clock.now());
    // Coordinators wait for the commits of their transactions themselves.
    return ctx.txn === undefined
      ? { kind: 'answer', response, at: ctx.at }
      : { kind: 'answer', response };
  }

  /** Tells a transaction for which of its writes others wait. */
  #withWaits(requests: readonly KvRequest[], results: readonly KvResult[]): readonly KvResult[] {
    const { locks } = this.#state;
    if (locks.size === 0) return results;
    return results.map((result, i) => {
      const request = requests[i];
      const isAwaited =
        result.kind === 'write' &&
        request !== undefined &&
        isWrite(request) &&
        locks.isAwaited(request.key);
      return isAwaited ? { kind: 'write', isAwaited } : result;
    });
  }

  #done(txn: TxnMeta | undefined, results: readonly KvResult[], now: Timestamp): BatchResponse {
    return this.#port.closesAhead
      ? { kind: 'ok', now, txn, results, closesAhead: true }
      : { kind: 'ok', now, txn, results };
  }

  #remember(ctx: EvaluationContext): void {
    for (const { start, end, timestamp, own } of ctx.marks) {
      this.#state.reads.add(start, end, timestamp, own ? ctx.txn?.id : undefined);
    }
  }

  /** Why the batch cannot be served here and now. */
  #refusal(requests: readonly KvRequest[], txn: TxnMeta | undefined): KvError | undefined {
    const range = this.#port.descriptor;
    for (const request of requests) {
      if (!containsRequest(range, request)) return { kind: 'range-key-mismatch', ranges: [range] };
    }
    const timestamp = txn === undefined ? this.#port.clock.now() : txn.writeTimestamp;
    const lease = this.#port.checkLease(timestamp);
    if (lease !== undefined) return lease;
    const ends = requests.some((request) => request.kind === 'end-txn' && !request.commit);
    if (txn !== undefined && !ends && this.#state.finished.isAborted(txn.id)) {
      return { kind: 'txn-aborted', reason: 'another transaction has aborted this one' };
    }
    return undefined;
  }

  #lost(ctx: EvaluationContext, lease: number): boolean {
    return (
      this.#port.leaseSequence !== lease ||
      this.#port.checkLease(laterTimestamp(ctx.readTimestamp, ctx.writeTimestamp)) !== undefined ||
      this.#port.checkHistory(ctx.oldest) !== undefined
    );
  }

  #leaseError(): KvError {
    const { rangeId, descriptor: range } = this.#port;
    return (
      this.#port.checkLease(this.#port.clock.now()) ?? {
        kind: 'not-leaseholder',
        rangeId,
        leaseholder: undefined,
        range,
      }
    );
  }

  #failure(error: KvError, index: number | undefined): BatchResponse {
    return { kind: 'error', now: this.#port.clock.now(), error, index };
  }

  #answer(response: BatchResponse): Attempt {
    return { kind: 'answer', response };
  }
}
