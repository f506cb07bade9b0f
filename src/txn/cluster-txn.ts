/**
 * The coordinator of one transaction: the Txn that sql and the range layer's housekeeping see.
 *
 * It is a stack of small pieces, each of which owns one thing: `WriteBuffer` the writes that have not
 * left, `StoredReads` what is asked of the ranges, `SpanSet` what was read and what was locked, `Refresher` the timestamps,
 * `Heartbeater` the life sign, `commit` the end.
 *
 * INVARIANT: `anchor` is set before the first request that can leave a lock or an intent.
 */
import {
  addMicros,
  KvFailure,
  kvSettings,
  PageBuilder,
  SortedMap,
  untilCommitIsPast,
  WriteBuffer,
  type BufferedWrite,
  type ClusterSettings,
  type CommitOptions,
  type HlcClock,
  type InsertOptions,
  type IsolationLevel,
  type KvError,
  type LockStrength,
  type NodeId,
  type PrepareOptions,
  type ReadOptions,
  type RowProgramCompiler,
  type Savepoint,
  type ScanOptions,
  type ScanPage,
  type Timestamp,
  type Txn,
  type TxnMeta,
  type TxnOptions,
} from '../kv/index.ts';
import { addressOf, userTablesStart } from '../encoding/index.ts';
import { within, type Env, type Pace } from '../util/index.ts';
import { type Assumptions } from './assumptions.ts';
import { cleanUp, releaseLocks, removeUndone } from './clean-up.ts';
import { commitWrites, writeIntents } from './committer.ts';
import { Heartbeater } from './heartbeater.ts';
import { HeldKeys } from './held-keys.ts';
import { KeptReads } from './kept-reads.ts';
import { prepareTxn } from './prepared.ts';
import { Refresher } from './refresher.ts';
import { type TxnCounters } from './counters.ts';
import { type HeaderBase, type Router } from './router.ts';
import { SpanSet } from './span-set.ts';
import { StopSign } from './stop-sign.ts';
import { StoredReads } from './stored-reads.ts';
import { WriteFlight } from './write-flight.ts';

export interface TxnParts {
  readonly env: Env;
  readonly router: Router;
  readonly nodeId: NodeId;
  readonly clock: HlcClock;
  readonly settings: ClusterSettings;
  /** What all bulk writes of this node share. */
  readonly bulkPace: Pace;
  readonly rowPrograms: RowProgramCompiler | undefined;
  /** Undefined: nothing is assumed. */
  readonly assumptions: Assumptions | undefined;
  readonly counters: TxnCounters;
  /** Runs work that nobody waits for; its failures are logged. */
  readonly background: (work: Promise<unknown>, what: string) => void;
}

/** Buffered writes beyond this leave as intents, while the next buffer fills. */
const flushBytes = 2 << 20;
/** Who ends a transaction waits no longer for its locks: those of a range that nobody serves go with the heartbeats. */
const maxReleaseMs = 1_000;
/** More inserts than this are checked by laying them down instead of reading each of them. */
const maxInsertChecks = 256;
const localPageBytes = 1 << 20;

export class ClusterTxn implements Txn {
  readonly parts: TxnParts;
  buffer = new WriteBuffer();
  readonly refresher: Refresher;
  readonly heartbeater: Heartbeater;
  /** Where requests have, or may have, left locks or intents. */
  readonly locks: SpanSet;
  /** What has to hold until the commit whatever the level, and what need not be locked again. */
  readonly kept: KeptReads;
  /** Where intents have, or may have, been written. */
  readonly intents: SpanSet;
  /** Values that were assumed, by key: each is checked by the write of its key. */
  readonly assumed = new SortedMap<Buffer>();
  status: Txn['status'] = 'open';
  readonly #held = new HeldKeys();
  /** Batches of writes without an answer. */
  readonly #sent = new Set<Promise<unknown>>();
  readonly #siblings: TxnOptions['siblings'];
  readonly #optimistic: boolean;
  readonly #isBulk: boolean;
  readonly #readOnlyAsOf: boolean;
  readonly #isNearest: boolean;
  readonly #isStrict: boolean;
  /** One per snapshot: what was sent for an earlier statement and is answered late must not count for this one (trap X3). */
  #observedClocks = new Map<NodeId, Timestamp>();
  #savepointSequence = 0;
  #flushedSequence = 0;
  #hasUndoneIntents = false;
  /** When a lock was last asked for. */
  #lockedSequence = 0;
  /** Locks that a rollback to a savepoint gives up: settled when they are free. */
  #releasing: Promise<void> | undefined;
  /** Settled when everything is free that the transaction has given up, or that took too long. */
  #freeing: Promise<unknown> | undefined;
  readonly #flight = new WriteFlight(this);
  #sequence = 0;
  readonly #stored = new StoredReads(this);
  #ended: KvError | undefined;
  #committing = false;
  /** The statement under way was cancelled, or is to be run again: up to the next rollback to a savepoint. */
  #interrupted: 'canceled' | 'retried' | undefined;
  readonly #stop = new StopSign();
  /** Of what it has sent. */
  readonly #isWanted = (): boolean => this.status === 'open' && !this.isStopped;

  constructor(parts: TxnParts, meta: TxnMeta, options: TxnOptions) {
    this.parts = parts;
    this.#readOnlyAsOf = options.asOf !== undefined;
    this.#isNearest = options.nearest === true;
    this.#siblings = options.siblings;
    this.#optimistic = options.optimistic === true;
    this.#isBulk = options.bulk === true;
    const spanBytes = parts.settings.get(kvSettings.maxIntentsBytes);
    this.#isStrict = options.strict === true;
    this.kept = new KeptReads(spanBytes);
    this.locks = new SpanSet(spanBytes);
    this.intents = new SpanSet(spanBytes);
    this.refresher = new Refresher(this, meta, { movable: options.asOf === undefined });
    this.heartbeater = new Heartbeater(this);
    // The beginning was read off this node's clock.
    if (options.asOf === undefined) this.#observedClocks.set(parts.nodeId, meta.minTimestamp);
  }

  get meta(): TxnMeta {
    return this.refresher.meta;
  }

  get past(): Txn['past'] {
    if (!this.#readOnlyAsOf) return undefined;
    return { at: this.meta.readTimestamp, followerReads: this.#stored.followerReads };
  }

  get assumes(): boolean {
    return this.assumed.size > 0;
  }

  async get(key: Buffer, options: ReadOptions = {}): Promise<Buffer | undefined> {
    const assumed = options.mayAssume === true ? this.#assume(key) : undefined;
    if (assumed !== undefined) return assumed;
    const [value] = await this.getMany([key], options);
    return value;
  }

  #assume(key: Buffer): Buffer | undefined {
    this.checkOpen();
    if (
      !this.#optimistic ||
      this.#flight.buffer !== undefined ||
      this.buffer.get(key) !== undefined ||
      this.intents.has(key)
    ) {
      return undefined;
    }
    // What was told once is told again, also when its write was undone meanwhile.
    const value = this.assumed.get(key) ?? this.parts.assumptions?.value(key);
    if (value !== undefined) this.assumed.set(key, value);
    return value;
  }

  /** `error` says that an assumption was wrong: the failure to report instead. */
  disproved(error: KvError): KvError | undefined {
    if (error.kind !== 'condition-failed' || this.assumed.get(error.key) === undefined) {
      return undefined;
    }
    this.parts.assumptions?.failed(error.key);
    return { kind: 'txn-retry', reason: 'an assumed value has changed' };
  }

  async getMany(
    keys: readonly Buffer[],
    options: ReadOptions = {},
  ): Promise<(Buffer | undefined)[]> {
    this.checkOpen();
    const { buffer: inFlight } = this.#flight;
    if (inFlight !== undefined && keys.some((key) => inFlight.get(key))) await this.flushed();
    const lock = options.lock ?? 'none';
    const asked = keys.filter(
      (key) => this.buffer.get(key) === undefined || this.#mustLock(key, lock),
    );
    const values = await this.#stored.keys(asked, options);
    let next = 0;
    return keys.map((key) => {
      const stored = key === asked[next] ? values[next++] : undefined;
      const own = this.buffer.get(key);
      return own === undefined ? stored : own.value;
    });
  }

  #mustLock(key: Buffer, lock: LockStrength): boolean {
    return lock !== 'none' && !this.kept.isLocked(key, lock);
  }

  async scan(options: ScanOptions): Promise<ScanPage> {
    this.checkOpen();
    if (this.#flight.buffer?.overlaps(options.start, options.end) === true) await this.flushed();
    const overlaps = this.buffer.overlaps(options.start, options.end);
    if (!overlaps) return this.#stored.scan(options);
    const locking = (options.lock ?? 'none') !== 'none';
    const compiler = this.parts.rowPrograms;
    if (options.program !== undefined && (locking || compiler === undefined)) {
      // The range must see the writes: the program decides there which rows are locked.
      await this.flushBulk();
      await this.flushed();
      if (this.buffer.overlaps(options.start, options.end)) await this.flush();
      return this.#stored.scan(options);
    }
    const { program: serialized, ...plain } = options;
    const stored = await this.#stored.scan({
      ...plain,
      ...(serialized === undefined ? {} : { maxRows: 0, maxBytes: localPageBytes }),
    });
    const program = serialized === undefined ? undefined : compiler?.compile(serialized);
    const limits = { maxRows: options.maxRows ?? 0, maxBytes: options.maxBytes ?? 0 };
    const builder = new PageBuilder(limits, program);
    const resume = this.buffer.overlay(options, stored, (key, value) => builder.row(key, value));
    builder.finish();
    return { keys: builder.keys, values: builder.values, resume };
  }

  readCurrent(key: Buffer): Promise<Buffer | undefined> {
    this.checkOpen();
    return this.#stored.current(key);
  }

  put(key: Buffer, value: Buffer): void {
    this.#checkWritable();
    this.buffer.put(key, this.#write(value));
  }

  delete(key: Buffer): void {
    this.#checkWritable();
    this.buffer.put(key, this.#write(undefined));
  }

  insert(key: Buffer, value: Buffer, { isFresh = false }: InsertOptions = {}): void {
    this.#checkWritable();
    this.buffer.insert(key, this.#write(value, isFresh));
  }

  #write(value: Buffer | undefined, isFresh = false): BufferedWrite {
    return { sequence: this.#nextSequence(), value, snapshot: this.refresher.snapshot, isFresh };
  }

  async checkInserts(): Promise<void> {
    await this.flushed();
    this.checkOpen();
    this.checkConflict();
    let keys = this.buffer.dueInserts();
    if (keys.length > maxInsertChecks) {
      await this.flushBulk();
      await this.flushed();
      keys = this.buffer.dueInserts();
    }
    if (keys.length === 0) return;
    if (keys.length > maxInsertChecks) return this.flush();
    const values = await this.#stored.keys(keys, { lock: 'update' });
    for (const [i, key] of keys.entries()) {
      const existing = values[i];
      if (existing !== undefined) {
        throw new KvFailure({ kind: 'condition-failed', key, existing });
      }
      this.buffer.insertChecked(key);
    }
  }

  async flushIfLarge(): Promise<void> {
    this.checkOpen();
    if (this.buffer.bytes <= flushBytes) return;
    await this.flushBulk();
  }

  /**
   * Sends rows of tables on their way. Catalog records stay until the commit: a statement of hours must
   * not keep everybody, and its own session, from reading them.
   */
  async flushBulk(): Promise<void> {
    await this.flushed();
    this.checkConflict();
    const { buffer } = this;
    const kept = buffer.takeBelow(userTablesStart);
    this.#takeOff(kept);
    if (this.#flight.buffer !== undefined) this.heartbeater.startNow();
    if (!this.parts.settings.get(kvSettings.writePipelining)) await this.flushed();
  }

  /** Sends all buffered writes out as intents and waits until they are there. */
  async flush(): Promise<void> {
    await this.flushed();
    this.#takeOff(new WriteBuffer());
    await this.flushed();
  }

  /** Waits for writes that are on their way. When they fail they are back in the buffer. */
  async flushed(): Promise<void> {
    this.checkOpen();
    await this.#flight.landed();
    await this.#releasing;
    // What a cancelled statement has sent would move its intents above the commit if it landed behind it.
    if (this.#sent.size > 0) await this.unlessStopped(Promise.allSettled(this.#sent));
    this.checkOpen();
  }

  /** Writes are on their way, also when the statement that sent them does not wait for them any more. */
  noteSent(sent: Promise<unknown>): void {
    this.#sent.add(sent);
    const done = (): void => {
      this.#sent.delete(sent);
    };
    sent.then(done, done);
  }

  /** Everything in the buffer leaves; `kept` takes its place. */
  #takeOff(kept: WriteBuffer): void {
    this.checkOpen();
    this.checkConflict();
    const { buffer } = this;
    this.buffer = kept;
    if (buffer.size === 0) return;
    this.#flushedSequence = this.#sequence;
    this.#flight.start(buffer);
  }

  async hold(key: Buffer): Promise<void> {
    this.#checkWritable();
    if (this.#held.has(key)) return;
    await this.flushed();
    this.prepareToLock(key);
    const sequence = this.#nextSequence();
    this.#flushedSequence = sequence;
    this.intents.add(key, undefined);
    await Promise.all([
      writeIntents(this, () => [{ kind: 'delete', key, sequence }]),
      this.heartbeater.ensureRecord(),
    ]);
    this.checkOpen();
    this.#held.add(key, sequence);
  }

  holds(key: Buffer): boolean {
    return this.status === 'open' && this.#held.has(key);
  }

  savepoint(): Savepoint {
    const sequence = this.#sequence;
    this.#savepointSequence = sequence;
    // What is locked from now on is locked behind it.
    this.#nextSequence();
    return { sequence };
  }

  rollbackTo(savepoint: Savepoint): void {
    const interrupted = this.#interrupted;
    this.#interrupted = undefined;
    if (interrupted === 'canceled') this.#stop.lower();
    this.buffer.rollbackTo(savepoint.sequence);
    this.#held.rollbackTo(savepoint.sequence);
    this.#flight.rolledBack();
    const keepsLocks = interrupted === 'retried' && savepoint.sequence === this.#savepointSequence;
    const hasFlushed = this.#flushedSequence > savepoint.sequence;
    if (hasFlushed) {
      this.#hasUndoneIntents = true;
      this.refresher.ignoreSequences(savepoint.sequence + 1, this.#sequence);
    }
    if (keepsLocks) return;
    this.kept.rollbackTo(savepoint.sequence);
    const hasLocked = hasFlushed || this.#lockedSequence > savepoint.sequence;
    if (hasLocked) this.#release(savepoint.sequence);
    if (hasFlushed) this.free(this.#removeUndone(), 'undoing writes');
  }

  /** Behind the caller's back, but before this transaction locks anything again or waits for a lock. */
  #release(since: number): void {
    const before = this.#releasing;
    const work = Promise.resolve(before).then(() => releaseLocks(this, since));
    const releasing = work.then(
      () => undefined,
      () => undefined,
    );
    this.#releasing = releasing;
    this.free(work, 'giving up locks');
  }

  async released(): Promise<void> {
    await this.#freeing;
  }

  /** Does `work` behind the caller's back; `released` waits for it. */
  free(work: Promise<unknown>, what: string): void {
    this.parts.background(work, what);
    const bounded = within(this.parts.env, maxReleaseMs, work).catch(() => undefined);
    this.#freeing = Promise.all([this.#freeing, bounded]);
  }

  async #removeUndone(): Promise<void> {
    // Writes that still wait somewhere give up with the locks.
    await this.#releasing;
    await this.#flight.settled();
    await removeUndone(this);
  }

  beginStatement({ lockTimeoutMs = 0, isFirst }: Parameters<Txn['beginStatement']>[0] = {}): void {
    this.checkOpen();
    this.#stored.lockTimeoutMs = lockTimeoutMs;
    this.#interrupted = undefined;
    if (isFirst === true) return;
    const { clock, nodeId } = this.parts;
    const now = clock.now();
    const isNew = this.refresher.beginStatement(now, addMicros(now, clock.maxOffsetMicros));
    if (isNew) this.#observedClocks = new Map([[nodeId, now]]);
  }

  setIsolation(isolation: IsolationLevel): void {
    this.refresher.setIsolation(isolation);
  }

  becomeSerializable(): void {
    this.checkOpen();
    this.refresher.becomeSerializable();
  }

  async refreshTo(to: Timestamp): Promise<void> {
    this.checkOpen();
    this.#requireSerializable();
    await this.refresher.refreshTo(to);
  }

  async commit(options: CommitOptions = {}): Promise<Timestamp> {
    const committed =
      options.trigger === undefined && this.#holdsNothing
        ? this.#endReading()
        : await this.#ending(() => commitWrites(this, options));
    // Locks and intents are on their way out already: only the client waits.
    await this.waitOut(committed);
    return committed;
  }

  /** Nothing stands anywhere that would have to be made durable or given up. */
  get #holdsNothing(): boolean {
    return (
      this.buffer.size === 0 &&
      this.buffer.conflict === undefined &&
      this.intents.size === 0 &&
      this.locks.size === 0 &&
      this.assumed.size === 0 &&
      this.#flight.buffer === undefined &&
      this.#freeing === undefined &&
      this.#sent.size === 0
    );
  }

  #endReading(): Timestamp {
    this.checkOpen();
    this.end('committed');
    return this.meta.readTimestamp;
  }

  async prepare(options: PrepareOptions): Promise<void> {
    await this.#ending(() => prepareTxn(this, options));
  }

  async #ending<T>(end: () => Promise<T>): Promise<T> {
    this.checkOpen();
    try {
      this.checkConflict();
      if (this.#isBulk) await this.paceBulk(this.buffer.bytes);
      this.#committing = true;
      this.refresher.dropWrites(this.#held.spans);
      return await end();
    } catch (error) {
      const known = error instanceof KvFailure && error.kvError.kind !== 'ambiguous-result';
      this.end(known ? 'aborted' : 'ambiguous');
      // There is no statement any more that could be run again.
      if (known && error.kvError.kind === 'statement-retry') {
        throw new KvFailure({ ...error.kvError, kind: 'txn-retry' });
      }
      if (known && error.kvError.kind === 'txn-aborted' && this.#ended !== undefined) {
        throw new KvFailure(this.#ended);
      }
      throw error;
    }
  }

  waitOut(committed: Timestamp): Promise<void> {
    return untilCommitIsPast(this.parts, committed, {
      isStrict: this.#isStrict && this.#hasWritten,
    });
  }

  get #hasWritten(): boolean {
    return this.buffer.size > 0 || this.intents.size > 0;
  }

  async rollback(): Promise<void> {
    if (this.status === 'open') this.end('aborted');
    await this.released();
  }

  cancel(): void {
    if (this.status !== 'open' || this.#ended !== undefined) return;
    this.#ended = { kind: 'canceled' };
    this.#stop.raise(new KvFailure(this.#ended));
    // A commit that has been sent is not abandoned: its own answer tells whether the abort was first.
    if (this.#committing) this.parts.background(cleanUp(this), 'cancelling a commit');
  }

  cancelStatement(): void {
    if (this.#committing) return this.cancel();
    if (this.status !== 'open' || this.#ended !== undefined) return;
    this.#interrupted = 'canceled';
    this.#stop.raise(new KvFailure({ kind: 'canceled' }));
  }

  fixedTimestamp(): Timestamp {
    this.#requireSerializable();
    this.refresher.fix();
    return this.meta.readTimestamp;
  }

  #requireSerializable(): void {
    if (this.refresher.isSerializable) return;
    const reason = 'only a serializable transaction has one timestamp';
    throw new KvFailure({ kind: 'invalid-request', reason });
  }

  // For the pieces.

  get savepointSequence(): number {
    return this.#savepointSequence;
  }

  get sequence(): number {
    return this.#sequence;
  }

  header(options: ReadOptions, mayMove: boolean): HeaderBase {
    return {
      txn: this.#withSiblings(this.meta),
      waitPolicy: options.waitPolicy ?? 'block',
      lockTimeoutMs: 0,
      consistency: 'txn',
      canForwardReadTimestamp: mayMove,
      observedClocks: this.#observedClocks,
      isPast: this.#readOnlyAsOf,
      anyReplica: this.intents.size === 0,
      nearest: this.#isNearest,
      isWanted: this.#isWanted,
    };
  }

  #withSiblings(meta: TxnMeta): TxnMeta {
    const txns = this.#siblings?.() ?? [];
    if (txns.length === 0) return meta;
    const siblings = txns.flatMap(({ status, meta: { id, anchor } }) =>
      status !== 'open' || anchor === undefined || id === meta.id ? [] : [{ id, anchor }],
    );
    return siblings.length === 0 ? meta : { ...meta, siblings };
  }

  /** Waits until so many bytes of bulk writes may leave this node. */
  paceBulk(bytes: number): Promise<void> {
    const { bulkPace, settings } = this.parts;
    return bulkPace.take(bytes, settings.get(kvSettings.bulkIoWriteMaxRate));
  }

  /** Before a read that locks. */
  async prepareToLockRead(key: Buffer): Promise<void> {
    if (this.#releasing !== undefined) {
      await this.#releasing;
      this.checkOpen();
    }
    this.prepareToLock(key);
    this.#lockedSequence = this.#sequence;
  }

  /** Before a request that leaves something at `key`: the record gets its place, the heart beats. */
  prepareToLock(key: Buffer): void {
    if (this.meta.anchor === undefined) {
      this.refresher.setAnchor(addressOf(key), this.parts.clock.now());
    }
    this.heartbeater.start();
  }

  /** Resolves as `work` does, or rejects as soon as the transaction is cancelled or aborted. */
  unlessStopped<T>(work: Promise<T>): Promise<T> {
    return this.#stop.unlessRaised(work);
  }

  /** Some of what it has sent was rolled back to a savepoint. */
  get hasUndoneIntents(): boolean {
    return this.#hasUndoneIntents;
  }

  /** Cancelled, or aborted by others: an abort is on its way. */
  get isStopped(): boolean {
    return this.#ended !== undefined;
  }

  checkOpen(): void {
    if (this.#ended !== undefined) throw new KvFailure(this.#ended);
    if (this.#interrupted === 'canceled') throw new KvFailure({ kind: 'canceled' });
    if (this.status !== 'open') {
      throw new KvFailure({ kind: 'txn-aborted', reason: `the transaction is ${this.status}` });
    }
  }

  checkConflict(): void {
    const { conflict } = this.buffer;
    if (conflict === undefined) return;
    const { key, existing } = conflict;
    throw new KvFailure({ kind: 'condition-failed', key, existing });
  }

  #checkWritable(): void {
    this.checkOpen();
    if (!this.#readOnlyAsOf) return;
    throw new KvFailure({ kind: 'invalid-request', reason: 'a read in the past cannot write' });
  }

  #nextSequence(): number {
    this.#sequence++;
    return this.#sequence;
  }

  /** What was read does not hold any more: the statement, or all of the transaction, has to be run anew. */
  retry(reason: string): never {
    if (this.refresher.isSerializable || this.meta.isolation === 'snapshot') {
      return this.fail({ kind: 'txn-retry', reason });
    }
    this.#interrupted = 'retried';
    throw new KvFailure({ kind: 'statement-retry', reason });
  }

  /** Throws `error`; when it leaves nothing to go on with, the transaction ends here. */
  fail(error: KvError): never {
    const final: KvError =
      error.kind === 'refresh-failed'
        ? { kind: 'txn-retry', reason: 'a value that was read has changed' }
        : (this.disproved(error) ?? error);
    if (final.kind === 'txn-retry' || final.kind === 'txn-aborted') this.end('aborted');
    throw new KvFailure(final);
  }

  /** The heartbeat learnt that somebody has aborted the transaction. */
  abortedByOthers(): void {
    if (this.status !== 'open') return;
    this.#ended = { kind: 'txn-aborted', reason: 'another transaction has aborted this one' };
    this.#stop.raise(new KvFailure(this.#ended));
    this.end('aborted');
  }

  end(status: Exclude<Txn['status'], 'open'>): void {
    if (this.status !== 'open') return;
    this.status = status;
    this.heartbeater.stop();
    if (status === 'aborted' && this.meta.anchor !== undefined) {
      this.free(cleanUp(this), 'rolling back');
    }
  }
}
