/** One transaction of LocalDb: see there for the scheme. */
import { compareTimestamps, type Timestamp } from './hlc.ts';
import {
  type CommitOptions,
  type InsertOptions,
  type PrepareOptions,
  type ReadOptions,
  type Savepoint,
  type ScanOptions,
  type ScanPage,
  type Txn,
  type TxnOptions,
} from './db.ts';
import { KvFailure, type KvError } from './errors.ts';
import { type TxnId } from './ids.ts';
import { type LocalDb, type LocalOwner } from './local-db.ts';
import { type HeldStrength, type LockStrength } from './lock-strength.ts';
import { PageBuilder } from './page-builder.ts';
import { type IsolationLevel, type Span, type TxnMeta } from './txn.ts';
import { restBehind, WriteBuffer, type BufferedWrite, type Snapshot } from './write-buffer.ts';

const storedPageRows = 512;

interface ReadSpan {
  readonly span: Span;
  /** There was a row; its value was not looked at. */
  readonly existence: boolean;
}

interface KeptSpan {
  readonly span: Span;
  readonly snapshot: Snapshot;
  readonly sequence: number;
}

export class LocalTxn implements Txn, LocalOwner {
  readonly id: TxnId;
  readonly began: Timestamp;
  status: Txn['status'] = 'open';
  readonly assumes = false;
  readonly siblings: TxnOptions['siblings'];
  readonly #db: LocalDb;
  readonly #options: TxnOptions;
  #held: { readonly key: Buffer; readonly sequence: number }[] = [];
  readonly #buffer = new WriteBuffer();
  /** Of the statement under way. */
  #lockTimeoutMs = 0;
  #isolation: IsolationLevel;
  /** Of the present statement, or of all of them. */
  #snapshot: Snapshot;
  #sequence = 0;
  #savepointSequence = 0;
  #fixed = false;
  #canceled = false;
  /** What was read so far, at the present snapshot. */
  #reads: ReadSpan[] = [];
  /** What has to hold until the commit whatever the level. Locks are not among it: here they do not get lost. */
  #kept: KeptSpan[] = [];
  #locked: { readonly key: Buffer; readonly sequence: number }[] = [];
  /** The statement under way was cancelled, or is to be run again: up to the next rollback to a savepoint. */
  #interrupted: 'canceled' | 'retried' | undefined;

  constructor(db: LocalDb, id: TxnId, options: TxnOptions) {
    this.#db = db;
    this.id = id;
    this.#options = options;
    this.siblings = options.siblings;
    this.#isolation = options.isolation ?? 'serializable';
    this.#snapshot = { at: options.asOf ?? db.clock.now() };
    this.began = this.#readTimestamp;
  }

  get #readTimestamp(): Timestamp {
    return this.#snapshot.at;
  }

  get past(): Txn['past'] {
    const { asOf } = this.#options;
    return asOf && { at: asOf, followerReads: 0 };
  }

  get meta(): TxnMeta {
    return {
      id: this.id,
      anchor: undefined,
      epoch: 0,
      isolation: this.#isolation,
      priority: 1,
      readTimestamp: this.#readTimestamp,
      writeTimestamp: this.#readTimestamp,
      minTimestamp: this.began,
      uncertaintyLimit: this.#readTimestamp,
      sequence: this.#sequence,
      ignoredSequences: [],
    };
  }

  async get(key: Buffer, options: ReadOptions = {}): Promise<Buffer | undefined> {
    this.#checkOpen();
    const strength = options.lock ?? 'none';
    if (strength !== 'none' && !(await this.#lockForRead(key, strength, options))) return undefined;
    const own = this.#buffer.get(key);
    if (own !== undefined) return own.value;
    if (options.existence === true && this.#isThere(key)) {
      this.#reads.push({ span: { start: key, end: undefined }, existence: true });
      this.#db.noteRead(this, this.#readTimestamp);
    } else {
      await this.#passPrepared({ start: key, end: undefined }, options);
      if (this.#isLeftOut(key, options)) return undefined;
      this.#noteRead({ start: key, end: undefined }, options);
    }
    return this.#db.readAt(key, this.#readTimestamp);
  }

  /** There is a row, and there was one at the snapshot. */
  #isThere(key: Buffer): boolean {
    const newest = this.#db.newest(key)?.value;
    return newest !== undefined && this.#db.readAt(key, this.#readTimestamp) !== undefined;
  }

  async readCurrent(key: Buffer): Promise<Buffer | undefined> {
    this.#checkOpen();
    return this.#db.readCurrent(key);
  }

  async getMany(
    keys: readonly Buffer[],
    options: ReadOptions = {},
  ): Promise<(Buffer | undefined)[]> {
    const values: (Buffer | undefined)[] = [];
    for (const key of keys) values.push(await this.get(key, options));
    return values;
  }

  async scan(options: ScanOptions): Promise<ScanPage> {
    this.#checkOpen();
    while (true) {
      await this.#passPrepared(options, options);
      if ((options.lock ?? 'none') !== 'none') await this.#passHeld(options, options);
      const pass = this.#scanOnce(options);
      if (pass.kind === 'page') return pass.page;
      await pass.wait;
      this.#checkOpen();
      if (this.#isStale(pass.key)) this.#refresh();
    }
  }

  /** One pass over the snapshot; it ends early at a lock to wait for or a row that has changed since. */
  #scanOnce(
    options: ScanOptions,
  ):
    | { readonly kind: 'page'; readonly page: ScanPage }
    | { readonly kind: 'blocked'; readonly key: Buffer; readonly wait: Promise<void> | undefined } {
    const { start, end } = options;
    const reverse = options.reverse === true;
    const strength = options.lock ?? 'none';
    const builder = new PageBuilder(
      { maxRows: options.maxRows ?? 0, maxBytes: options.maxBytes ?? 0 },
      options.program === undefined ? undefined : this.#compile(options.program),
    );
    let blocked: { key: Buffer; wait: Promise<void> | undefined } | undefined;
    let stopped = false;
    const row = (key: Buffer, value: Buffer): boolean => {
      if (options.waitPolicy === 'skip' && !this.#isFree(key, strength)) return false;
      if (this.#isLeftOut(key, options)) return false;
      stopped = builder.row(key, value);
      if (strength === 'none' || !builder.grew) return stopped;
      if (options.waitPolicy === 'error' && !this.#isFree(key, strength)) notAvailable(key);
      const wait = this.#lock(key, strength, options);
      if (wait !== undefined || this.#isStale(key)) blocked = { key, wait };
      return stopped || blocked !== undefined;
    };
    let rest: ScanPage['resume'] = { start, end };
    while (rest !== undefined && !stopped && blocked === undefined) {
      const span: { start: Buffer; end: Buffer; reverse: boolean } = { ...rest, reverse };
      const stored = this.#db.scanAt(span, this.#readTimestamp, storedPageRows);
      const last = stored.keys.at(-1);
      const resume: ScanPage['resume'] =
        stored.more && last !== undefined
          ? restBehind(last, span.start, span.end, reverse)
          : undefined;
      rest = this.#buffer.overlay(span, { ...stored, resume }, row);
    }
    if (blocked !== undefined) return { kind: 'blocked', ...blocked };
    builder.finish();
    const read: Span =
      rest === undefined
        ? { start, end }
        : reverse
          ? { start: rest.end, end }
          : { start, end: rest.start };
    this.#noteRead(read, options);
    return { kind: 'page', page: { keys: builder.keys, values: builder.values, resume: rest } };
  }

  put(key: Buffer, value: Buffer): void {
    this.#checkWritable();
    this.#buffer.put(key, this.#versionOf(value));
  }

  delete(key: Buffer): void {
    this.#checkWritable();
    this.#buffer.put(key, this.#versionOf(undefined));
  }

  insert(key: Buffer, value: Buffer, { isFresh = false }: InsertOptions = {}): void {
    this.#checkWritable();
    this.#buffer.insert(key, this.#versionOf(value, isFresh));
  }

  #versionOf(value: Buffer | undefined, isFresh = false): BufferedWrite {
    return { sequence: ++this.#sequence, value, snapshot: this.#snapshot, isFresh };
  }

  async checkInserts(): Promise<void> {
    this.#checkOpen();
    this.#checkConflict();
    for (const key of this.#buffer.dueInserts()) {
      await this.#lockForRead(key, 'update', {});
      this.#noteRead({ start: key, end: undefined }, {});
      this.#checkAbsent(key);
      this.#buffer.insertChecked(key);
    }
  }

  /** Nothing is kept back here. */
  async flush(): Promise<void> {}

  async flushIfLarge(): Promise<void> {
    this.#checkOpen();
  }

  async hold(key: Buffer): Promise<void> {
    this.#checkWritable();
    if (this.holds(key)) return;
    this.#sequence++;
    await this.#lockForRead(key, 'update', {});
    this.#held.push({ key, sequence: this.#sequence });
    this.#db.held.set(key, this);
  }

  holds(key: Buffer): boolean {
    return this.status === 'open' && this.#held.some((held) => held.key.equals(key));
  }

  savepoint(): Savepoint {
    // What is locked from now on is locked behind it.
    this.#savepointSequence = this.#sequence++;
    return { sequence: this.#savepointSequence };
  }

  rollbackTo(savepoint: Savepoint): void {
    this.#buffer.rollbackTo(savepoint.sequence);
    this.#letGo(({ sequence }) => sequence > savepoint.sequence);
    const keepsLocks =
      this.#interrupted === 'retried' && savepoint.sequence === this.#savepointSequence;
    this.#interrupted = undefined;
    if (keepsLocks) return;
    const stays = ({ sequence }: { readonly sequence: number }): boolean =>
      sequence <= savepoint.sequence;
    this.#kept = this.#kept.filter(stays);
    const kept = this.#locked.filter(stays);
    const before = new Set(kept.map(({ key }) => key.toString('latin1')));
    const given = this.#locked.filter(({ key }) => !before.has(key.toString('latin1')));
    this.#locked = kept;
    this.#db.release(
      this,
      given.map(({ key }) => key),
    );
  }

  async released(): Promise<void> {
    // Locks of one process go at once.
  }

  beginStatement(options: { readonly lockTimeoutMs?: number } = {}): void {
    this.#checkOpen();
    this.#lockTimeoutMs = options.lockTimeoutMs ?? 0;
    this.#interrupted = undefined;
    if (this.#isolation !== 'read-committed') return;
    this.#snapshot = { at: this.#db.clock.now() };
    this.#reads = [];
  }

  setIsolation(isolation: IsolationLevel): void {
    this.#isolation = isolation;
  }

  becomeSerializable(): void {
    this.#checkOpen();
    this.#isolation = 'serializable';
  }

  async refreshTo(to: Timestamp): Promise<void> {
    this.#checkOpen();
    this.#requireSerializable();
    // Writes stand where the clock is at the commit.
    this.#db.clock.observe(to);
    if (compareTimestamps(to, this.#readTimestamp) > 0) this.#refresh();
  }

  async commit(options: CommitOptions = {}): Promise<Timestamp> {
    this.#checkOpen();
    try {
      if (options.trigger !== undefined) {
        throw new KvFailure({ kind: 'invalid-request', reason: 'a local database has no ranges' });
      }
      this.#checkConflict();
      await this.#lockWrites();
      const timestamp = this.#validate();
      keepTo(options.deadline, timestamp);
      this.#write(timestamp);
      this.#end('committed');
      return timestamp;
    } catch (error) {
      this.#failedToEnd(error);
    }
  }

  async prepare({ anchor, register, deadline }: PrepareOptions): Promise<void> {
    this.#checkOpen();
    try {
      this.#checkConflict();
      const keys = await this.#lockWrites();
      const { id, began } = this;
      await register({ id, anchor, minTimestamp: began });
      this.#checkOpen();
      const timestamp = this.#validate();
      keepTo(deadline, timestamp);
      const end = (status: 'committed' | 'aborted'): void => {
        if (status === 'committed') this.#write(timestamp);
        this.#end(status);
      };
      this.status = 'prepared';
      this.#db.prepared.add({ id, began, keys, timestamp, end });
    } catch (error) {
      this.#failedToEnd(error);
    }
  }

  #failedToEnd(error: unknown): never {
    this.#end('aborted');
    if (!(error instanceof KvFailure) || error.kvError.kind !== 'statement-retry') throw error;
    // There is no statement any more that could be run again.
    throw new KvFailure({ ...error.kvError, kind: 'txn-retry' });
  }

  async #lockWrites(): Promise<Buffer[]> {
    const entries = this.#buffer.entries();
    for (const { key, write } of entries) {
      // A put over a row leaves a row there; while the lock was waited for the row may have gone.
      const leavesRow = (): boolean =>
        write.value !== undefined && this.#db.newest(key)?.value !== undefined;
      if (leavesRow()) await this.#lock(key, 'no-key-update', {});
      this.#checkOpen();
      if (!leavesRow()) await this.#lock(key, 'update', {});
      this.#checkOpen();
    }
    return entries.map(({ key }) => key);
  }

  #write(timestamp: Timestamp): void {
    for (const { key, write } of this.#buffer.entries()) {
      this.#db.write(key, write.value, timestamp);
    }
  }

  #letGo(given: (held: { readonly sequence: number }) => boolean): void {
    const gone = this.#held.filter(given);
    this.#held = this.#held.filter((held) => !given(held));
    for (const { key } of gone) this.#db.held.delete(key);
    this.#db.release(
      this,
      gone.map(({ key }) => key),
    );
  }

  /** A locking scan meets held keys, as it would meet their intents. */
  async #passHeld({ start, end }: ScanOptions, options: ReadOptions): Promise<void> {
    for (;;) {
      let held: Buffer | undefined;
      this.#db.held.visit(start, end, (key, owner) => {
        if (owner === this) return false;
        held = key;
        return true;
      });
      if (held === undefined) return;
      if (options.waitPolicy === 'error') notAvailable(held);
      await this.#db.lock(held, this, 'share', options.lockTimeoutMs ?? this.#lockTimeoutMs);
      this.#db.release(this, [held]);
      this.#checkOpen();
    }
  }

  /** A read waits for what prepared transactions may have written before it, unless it is to leave that out. */
  async #passPrepared(span: Span, options: ReadOptions): Promise<void> {
    if (options.waitPolicy === 'skip') return;
    for (;;) {
      const key = this.#db.prepared.firstKey(span, undefined, this.#readTimestamp);
      if (key === undefined) return;
      if (options.waitPolicy === 'error') notAvailable(key);
      await this.#db.lock(key, this, 'share', options.lockTimeoutMs ?? this.#lockTimeoutMs);
      this.#db.release(this, [key]);
      this.#checkOpen();
    }
  }

  #isLeftOut(key: Buffer, { waitPolicy }: ReadOptions): boolean {
    if (waitPolicy !== 'skip') return false;
    const span = { start: key, end: undefined };
    return this.#db.prepared.firstKey(span, undefined, this.#readTimestamp) !== undefined;
  }

  async rollback(): Promise<void> {
    if (this.status === 'open') this.#end('aborted');
  }

  cancel(): void {
    if (this.status !== 'open') return;
    this.#canceled = true;
    this.#db.stopWaiting(this, { kind: 'canceled' });
  }

  cancelStatement(): void {
    if (this.status !== 'open') return;
    this.#interrupted = 'canceled';
    this.#db.stopWaiting(this, { kind: 'canceled' });
  }

  fixedTimestamp(): Timestamp {
    this.#requireSerializable();
    this.#fixed = true;
    return this.#readTimestamp;
  }

  #requireSerializable(): void {
    if (this.#isolation === 'serializable') return;
    const reason = 'only a serializable transaction has one timestamp';
    throw new KvFailure({ kind: 'invalid-request', reason });
  }

  /** Checks, in the synchronous step that also writes, that the transaction may commit now. */
  #validate(): Timestamp {
    const written = this.#buffer.entries();
    if (written.length === 0) return this.#readTimestamp;
    for (const key of this.#buffer.inserts()) this.#checkAbsent(key);
    if (this.#fixed) {
      const read = this.#db.latestReadOfOthers(this);
      const disturbed =
        written.some(({ key }) => this.#isStale(key)) ||
        (read !== undefined && compareTimestamps(read, this.#readTimestamp) > 0);
      if (disturbed) this.#retry('the fixed commit timestamp is taken');
      return this.#readTimestamp;
    }
    if (this.#isolation === 'serializable') this.#refresh();
    for (const { key, write } of written) this.#checkUnchanged(key, write.snapshot);
    for (const { span, snapshot } of this.#kept) {
      if (this.#hasChanged(span, snapshot)) this.#retry('what has to hold has changed');
    }
    return this.#db.clock.now();
  }

  /** First committer wins: nobody has written `key` since the statement that writes it, as far as that cannot be moved. */
  #checkUnchanged(key: Buffer, snapshot: Snapshot | undefined): void {
    const span = { start: key, end: undefined };
    if (snapshot === undefined || !this.#hasChanged(span, snapshot)) return;
    if (snapshot === this.#snapshot) this.#refresh();
    else this.#retry('a row that was locked or written has changed');
  }

  #hasChanged(span: Span, { at }: Snapshot): boolean {
    return this.#db.changedSince(span, at) !== undefined;
  }

  #isOutdated({ span, existence }: ReadSpan): boolean {
    return existence ? !this.#isThere(span.start) : this.#hasChanged(span, this.#snapshot);
  }

  /** Moves the read timestamp to now; fails when something that was read has changed. */
  #refresh(): void {
    if (this.#fixed) this.#retry('the commit timestamp is fixed');
    if (this.#reads.some((read) => this.#isOutdated(read))) {
      const reason = 'a value that was read has changed';
      if (this.#isolation !== 'read-committed') this.#retry(reason);
      this.#interrupted = 'retried';
      throw new KvFailure({ kind: 'statement-retry', reason });
    }
    this.#snapshot.at = this.#db.clock.now();
  }

  async #lockForRead(key: Buffer, strength: HeldStrength, options: ReadOptions): Promise<boolean> {
    this.#checkWritable();
    if (options.waitPolicy === 'skip' && !this.#isFree(key, strength)) return false;
    if (options.waitPolicy === 'error' && !this.#isFree(key, strength)) notAvailable(key);
    await this.#lock(key, strength, options);
    this.#checkOpen();
    const isKnown = options.existence === true && this.#isThere(key);
    if (!isKnown && this.#isStale(key)) this.#refresh();
    return true;
  }

  #lock(key: Buffer, strength: HeldStrength, options: ReadOptions): Promise<void> | undefined {
    this.#locked.push({ key, sequence: this.#sequence });
    return this.#db.lock(key, this, strength, options.lockTimeoutMs ?? this.#lockTimeoutMs);
  }

  #isFree(key: Buffer, strength: LockStrength): boolean {
    return strength === 'none' || this.#db.isFree(key, this, strength);
  }

  #isStale(key: Buffer): boolean {
    const newest = this.#db.newest(key)?.timestamp;
    return newest !== undefined && compareTimestamps(newest, this.#readTimestamp) > 0;
  }

  #noteRead(span: Span, { untilCommit }: ReadOptions): void {
    this.#db.noteRead(this, this.#readTimestamp);
    if (this.#options.asOf !== undefined) return;
    this.#reads.push({ span, existence: false });
    if (untilCommit !== true) return;
    this.#kept.push({ span, snapshot: this.#snapshot, sequence: this.#sequence });
  }

  #compile(program: Buffer): ReturnType<NonNullable<LocalDb['rowPrograms']>['compile']> {
    const compiler = this.#db.rowPrograms;
    if (compiler === undefined) {
      throw new KvFailure({ kind: 'invalid-request', reason: 'no row programs here' });
    }
    return compiler.compile(program);
  }

  #checkConflict(): void {
    const conflict = this.#buffer.conflict;
    if (conflict === undefined) return;
    throw new KvFailure({
      kind: 'condition-failed',
      key: conflict.key,
      existing: conflict.existing,
    });
  }

  #checkAbsent(key: Buffer): void {
    const existing = this.#db.newest(key)?.value;
    if (existing !== undefined) throw new KvFailure({ kind: 'condition-failed', key, existing });
  }

  #checkWritable(): void {
    this.#checkOpen();
    if (this.#options.asOf === undefined) return;
    throw new KvFailure({ kind: 'invalid-request', reason: 'a read in the past cannot write' });
  }

  #checkOpen(): void {
    if (this.#canceled || this.#interrupted === 'canceled') {
      throw new KvFailure({ kind: 'canceled' });
    }
    if (this.status !== 'open') {
      throw new KvFailure({ kind: 'txn-aborted', reason: `the transaction is ${this.status}` });
    }
  }

  #retry(reason: string): never {
    this.#end('aborted');
    throw new KvFailure({ kind: 'txn-retry', reason });
  }

  #end(status: 'committed' | 'aborted'): void {
    this.status = status;
    const error: KvError = { kind: 'txn-aborted', reason: 'the transaction has ended' };
    this.#db.stopWaiting(this, error);
    this.#letGo(() => true);
    this.#db.release(
      this,
      this.#locked.map(({ key }) => key),
    );
    this.#locked = [];
  }
}

function notAvailable(key: Buffer): never {
  throw new KvFailure({ kind: 'lock-not-available', key, timedOut: false });
}

function keepTo(deadline: CommitOptions['deadline'], timestamp: Timestamp): void {
  const latest = deadline?.();
  if (latest !== undefined && compareTimestamps(timestamp, latest) > 0) {
    throw new KvFailure({ kind: 'txn-retry', reason: 'the commit came too late' });
  }
}
