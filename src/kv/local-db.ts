/**
 * LocalDb: ordered keys and transactions of all isolation levels in the memory of one process, with the meaning
 * that `txn` has over a cluster. For tests of the layers above, and as the model that the cluster's
 * own tests compare with.
 *
 * Optimistic with locks: plain reads take a snapshot and are remembered; locking reads wait in the
 * key's queue; a commit locks what it writes, checks in one synchronous step that nothing it read
 * has changed since, and lays all writes down at a new timestamp.
 */
import {
  assert,
  compareBytes,
  emptyBytes,
  nextKey,
  type TimerHandle,
  type Timers,
} from '../util/index.ts';
import { type KeyState, type RangeCheck, type RangeInfo, type RowProgramCompiler } from './api.ts';
import { type RangeDescriptor } from './descriptor.ts';
import { type Db, type Txn, type TxnOptions } from './db.ts';
import { KvFailure, type KvError } from './errors.ts';
import { compareTimestamps, zeroTimestamp, type HlcClock, type Timestamp } from './hlc.ts';
import { asRangeId, asReplicaId, asStoreId, asTxnId, type NodeId, type TxnId } from './ids.ts';
import { LocalFeed } from './local-feed.ts';
import { areInConflict, covers, strongerOf, type HeldStrength } from './lock-strength.ts';
import { LocalPrepared } from './local-prepared.ts';
import { LocalTxn } from './local-txn.ts';
import { allActive, type Memberships } from './membership.ts';
import { type ChangedValue, type FeedOptions, type SpanFeed } from './range-feed.ts';
import { SortedMap } from './sorted-map.ts';
import { zeroSpanStats, type SpanStats } from './span-stats.ts';
import { type PreparedTxn } from './txn.ts';

/** Versions of one key, oldest first. */
interface Version {
  readonly timestamp: Timestamp;
  readonly value: Buffer | undefined;
}

interface Waiter {
  readonly owner: LocalOwner;
  readonly strength: HeldStrength;
  readonly timer: TimerHandle | undefined;
  granted(): void;
  failed(error: KvError): void;
}

interface KeyLock {
  readonly key: Buffer;
  readonly holders: Map<LocalOwner, HeldStrength>;
  queue: Waiter[];
}

/** What the lock table needs to know of a transaction. */
export interface LocalOwner {
  readonly id: TxnId;
  readonly began: Timestamp;
  /** Others of the same client: they wait while this one does. */
  readonly siblings?: (() => readonly Pick<Txn, 'meta'>[]) | undefined;
}

export interface LocalDbOptions {
  readonly clock: HlcClock;
  readonly nodeId: NodeId;
  readonly rowPrograms?: RowProgramCompiler;
  /** For lock timeouts; without it a wait that has one fails at once. */
  readonly timers?: Timers;
}

const keyspaceStart: Buffer = Buffer.from([0x02]);
const keyspaceEnd: Buffer = Buffer.from([0xff]);
const maxAttempts = 100;

export class LocalDb implements Db {
  readonly clock: HlcClock;
  readonly nodeId: NodeId;
  readonly rowPrograms: RowProgramCompiler | undefined;
  readonly prepared = new LocalPrepared();
  /** Keys that are held (`Txn.hold`), by whom. */
  readonly held = new SortedMap<LocalOwner>();
  readonly #timers: Timers | undefined;
  readonly #data = new SortedMap<Version[]>();
  /** What reads below their thresholds would miss. */
  readonly #cleared: {
    readonly start: Buffer;
    readonly end: Buffer;
    readonly threshold: Timestamp;
  }[] = [];
  readonly #locks = new SortedMap<KeyLock>();
  /** Start keys of the ranges that `split` made, with their range ids. */
  readonly #splits = new SortedMap<{ readonly id: number; stickyUntil: Timestamp }>();
  readonly #feeds = new Set<LocalFeed>();
  #nextTxn = 1;
  #nextRangeId = 2;
  /** The latest read and whose it was, and the latest of anybody else: for fixed commit timestamps. */
  #lastReads: { owner: LocalOwner; timestamp: Timestamp }[] = [];

  constructor(options: LocalDbOptions) {
    this.clock = options.clock;
    this.nodeId = options.nodeId;
    this.rowPrograms = options.rowPrograms;
    this.#timers = options.timers;
  }

  begin(options: TxnOptions = {}): Txn {
    const id = `${this.nodeId.toString(16).padStart(8, '0')}${(this.#nextTxn++).toString(16).padStart(24, '0')}`;
    return new LocalTxn(this, asTxnId(id), options);
  }

  async run<T>(options: TxnOptions, body: (txn: Txn) => Promise<T>): Promise<T> {
    for (let attempt = 1; ; attempt++) {
      const txn = this.begin(options);
      try {
        const result = await body(txn);
        await txn.commit();
        return result;
      } catch (error) {
        await txn.rollback();
        if (!(error instanceof KvFailure) || !isRestartable(error.kvError)) throw error;
        if (attempt === maxAttempts) throw error;
      }
    }
  }

  async endPrepared({ id }: PreparedTxn, end: 'commit' | 'abort'): Promise<boolean> {
    return this.prepared.end(id, end === 'commit' ? 'committed' : 'aborted');
  }

  /** Nothing is abandoned here. */
  async stateOfPrepared({ id }: PreparedTxn): Promise<'open' | 'prepared' | 'ended'> {
    return this.prepared.has(id) ? 'prepared' : 'ended';
  }

  async readCurrent(key: Buffer): Promise<Buffer | undefined> {
    return this.newest(key)?.value;
  }

  async stateOfKey(key: Buffer): Promise<KeyState> {
    return { committed: await this.readCurrent(key), writer: undefined };
  }

  async increment(key: Buffer, by: bigint): Promise<bigint> {
    const before = this.newest(key)?.value;
    const value = (before === undefined ? 0n : before.readBigInt64BE()) + by;
    const after = Buffer.alloc(8);
    after.writeBigInt64BE(value);
    this.write(key, after, this.clock.now());
    return value;
  }

  async ranges(start: Buffer, end: Buffer): Promise<RangeInfo[]> {
    const ranges = await this.rangeDescriptors(start, end);
    return ranges.map((range) => ({
      ...this.#statsOf(range.startKey, range.endKey),
      range,
      leaseholder: range.replicas[0],
      gcThreshold: zeroTimestamp,
      queriesPerSecond: 0,
    }));
  }

  async rangeDescriptors(start: Buffer, end: Buffer): Promise<RangeDescriptor[]> {
    const starts = [{ key: keyspaceStart, id: 1, stickyUntil: zeroTimestamp }];
    this.#splits.visit(emptyBytes, undefined, (key, split) => {
      starts.push({ key, ...split });
    });
    const found: RangeDescriptor[] = [];
    for (const [index, { key: startKey, id, stickyUntil }] of starts.entries()) {
      const endKey = starts[index + 1]?.key ?? keyspaceEnd;
      if (startKey.compare(end) >= 0 || endKey.compare(start) <= 0) continue;
      found.push({
        rangeId: asRangeId(id),
        startKey,
        endKey,
        replicas: [
          { nodeId: this.nodeId, storeId: asStoreId(1), replicaId: asReplicaId(1), kind: 'voter' },
        ],
        nextReplicaId: asReplicaId(2),
        stickyUntil,
        generation: 1,
      });
    }
    return found;
  }

  feed(options: FeedOptions): SpanFeed {
    const past: ChangedValue[] = [];
    for (const { start, end } of options.spans) {
      this.#data.visit(start, end, (key, versions) => {
        for (const [index, { timestamp, value }] of versions.entries()) {
          const previous = versions[index - 1]?.value;
          past.push({ kind: 'value', key, value, timestamp, previous });
        }
      });
    }
    const feed = new LocalFeed(
      { timers: this.#timers, clock: this.clock, feeds: this.#feeds },
      options,
    );
    for (const change of past) feed.publish(change);
    return feed;
  }

  async spanStats(start: Buffer, end: Buffer): Promise<SpanStats> {
    return this.#statsOf(start, end);
  }

  /** There is one copy of everything. */
  async checkConsistency(start: Buffer, end: Buffer): Promise<RangeCheck[]> {
    const ranges = await this.rangeDescriptors(start, end);
    return ranges.map((range) => ({ range, status: 'consistent', detail: '', durationMicros: 0 }));
  }

  #statsOf(start: Buffer, end: Buffer): SpanStats {
    let liveCount = 0;
    let liveBytes = 0;
    let sizeBytes = 0;
    let keyBytes = 0;
    let keyCount = 0;
    let versionCount = 0;
    this.#data.visit(start, end, (key, versions) => {
      const live = versions.at(-1)?.value;
      if (live !== undefined) {
        liveCount++;
        liveBytes += key.length + live.length;
      }
      keyCount++;
      versionCount += versions.length;
      keyBytes += versions.length * key.length;
      for (const { value } of versions) sizeBytes += key.length + (value?.length ?? 0);
    });
    const counted = { sizeBytes, liveBytes, liveCount, keyBytes, keyCount, versionCount };
    return { ...zeroSpanStats, ...counted };
  }

  async split(splitKey: Buffer, options: { readonly expiration?: Timestamp } = {}): Promise<void> {
    if (splitKey.compare(keyspaceStart) <= 0 || splitKey.compare(keyspaceEnd) >= 0) {
      throw new KvFailure({ kind: 'invalid-request', reason: 'the split key is outside' });
    }
    const id = this.#splits.get(splitKey)?.id ?? this.#nextRangeId++;
    this.#splits.set(splitKey, { id, stickyUntil: options.expiration ?? zeroTimestamp });
  }

  /** Nothing is merged here by itself. */
  async unsplit(key: Buffer): Promise<void> {
    const split = this.#splits.get(key);
    if (split === undefined) {
      throw new KvFailure({ kind: 'invalid-request', reason: 'no range starts at this key' });
    }
    split.stickyUntil = zeroTimestamp;
  }

  async mergeRight(key: Buffer): Promise<void> {
    let right: Buffer | undefined;
    this.#splits.visit(nextKey(key), undefined, (start) => {
      right = start;
      return true;
    });
    if (right !== undefined) this.#splits.delete(right);
    else {
      const reason = 'the last range has no right neighbour';
      throw new KvFailure({ kind: 'invalid-request', reason });
    }
  }

  async transferLease(): Promise<void> {
    throw new KvFailure({ kind: 'invalid-request', reason: 'there is only one store' });
  }

  async changeReplicas(): Promise<void> {
    throw new KvFailure({ kind: 'invalid-request', reason: 'there is only one store' });
  }

  async relocateRange(): Promise<void> {
    throw new KvFailure({ kind: 'invalid-request', reason: 'there is only one store' });
  }

  async scatter(): Promise<void> {}

  async memberships(): Promise<Memberships> {
    return allActive;
  }

  async setMembership(): Promise<void> {
    throw new KvFailure({ kind: 'invalid-request', reason: 'there is only one node' });
  }

  async clearRange(start: Buffer, end: Buffer, threshold: Timestamp): Promise<void> {
    this.#cleared.push({ start, end, threshold });
    const keys: Buffer[] = [];
    this.#data.visit(start, end, (key) => {
      keys.push(key);
    });
    for (const key of keys) this.#data.delete(key);
  }

  // What transactions use.

  newest(key: Buffer): Version | undefined {
    return this.#data.get(key)?.at(-1);
  }

  readAt(key: Buffer, timestamp: Timestamp): Buffer | undefined {
    this.#checkCleared(key, nextKey(key), timestamp);
    return versionAt(this.#data.get(key), timestamp)?.value;
  }

  /** Live rows of [start, end) at `timestamp`, at most `maxRows`; true when there may be more. */
  scanAt(
    span: { readonly start: Buffer; readonly end: Buffer; readonly reverse: boolean },
    timestamp: Timestamp,
    maxRows: number,
  ): { readonly keys: Buffer[]; readonly values: Buffer[]; readonly more: boolean } {
    this.#checkCleared(span.start, span.end, timestamp);
    const keys: Buffer[] = [];
    const values: Buffer[] = [];
    const visit = (key: Buffer, versions: Version[]): boolean => {
      const value = versionAt(versions, timestamp)?.value;
      if (value === undefined) return false;
      keys.push(key);
      values.push(value);
      return keys.length >= maxRows;
    };
    const more = span.reverse
      ? this.#data.visitReverse(span.start, span.end, visit)
      : this.#data.visit(span.start, span.end, visit);
    return { keys, values, more };
  }

  #checkCleared(from: Buffer, to: Buffer, timestamp: Timestamp): void {
    for (const { start, end, threshold } of this.#cleared) {
      const isMissed = compareTimestamps(timestamp, threshold) < 0;
      if (isMissed && compareBytes(from, end) < 0 && compareBytes(start, to) < 0) {
        throw new KvFailure({ kind: 'below-gc-threshold', timestamp, threshold });
      }
    }
  }

  /** The first key of [start, end) (`end` undefined: of `start` alone) with a version above `after`. */
  changedSince(
    span: { readonly start: Buffer; readonly end: Buffer | undefined },
    after: Timestamp,
  ): Buffer | undefined {
    let changed: Buffer | undefined;
    this.#data.visit(span.start, span.end ?? nextKey(span.start), (key, versions) => {
      const last = versions.at(-1);
      if (last === undefined || compareTimestamps(last.timestamp, after) <= 0) return false;
      changed = key;
      return true;
    });
    changed ??= this.prepared.firstKey(span, after, undefined);
    return changed;
  }

  write(key: Buffer, value: Buffer | undefined, timestamp: Timestamp): void {
    const versions = this.#data.get(key);
    const previous = versions?.at(-1)?.value;
    if (versions === undefined) this.#data.set(key, [{ timestamp, value }]);
    else versions.push({ timestamp, value });
    for (const feed of this.#feeds)
      feed.publish({ kind: 'value', key, value, timestamp, previous });
  }

  noteRead(owner: LocalOwner, timestamp: Timestamp): void {
    const others = this.#lastReads.filter((read) => read.owner !== owner);
    const own = this.#lastReads.find((read) => read.owner === owner);
    const latest =
      own !== undefined && compareTimestamps(own.timestamp, timestamp) > 0
        ? own
        : { owner, timestamp };
    this.#lastReads = [latest, ...others]
      .sort((a, b) => compareTimestamps(b.timestamp, a.timestamp))
      .slice(0, 2);
  }

  /** The latest timestamp at which a transaction other than `owner` has read anything. */
  latestReadOfOthers(owner: LocalOwner): Timestamp | undefined {
    return this.#lastReads.find((read) => read.owner !== owner)?.timestamp;
  }

  // Locks.

  /** True when `owner` could lock `key` at once. */
  isFree(key: Buffer, owner: LocalOwner, strength: HeldStrength): boolean {
    const lock = this.#locks.get(key);
    return lock === undefined || isFree(lock, owner, strength);
  }

  /** Takes the lock or waits for it in the key's queue. Fails with 'deadlock' or 'lock-not-available'. */
  lock(
    key: Buffer,
    owner: LocalOwner,
    strength: HeldStrength,
    lockTimeoutMs: number,
  ): Promise<void> | undefined {
    let lock = this.#locks.get(key);
    if (lock === undefined) {
      lock = { key, holders: new Map(), queue: [] };
      this.#locks.set(key, lock);
    }
    if (covers(lock.holders.get(owner), strength)) return undefined;
    if (isFree(lock, owner, strength)) {
      hold(lock, owner, strength);
      return undefined;
    }
    return this.#wait(lock, owner, strength, lockTimeoutMs);
  }

  #wait(
    lock: KeyLock,
    owner: LocalOwner,
    strength: HeldStrength,
    lockTimeoutMs: number,
  ): Promise<void> {
    return new Promise((resolve, reject) => {
      const failed = (error: KvError): void => reject(new KvFailure(error));
      const timeOut = (): void => {
        this.#removeWaiter(lock, waiter);
        failed({ kind: 'lock-not-available', key: lock.key, timedOut: true });
      };
      const timer = lockTimeoutMs > 0 ? this.#timers?.after(lockTimeoutMs, timeOut) : undefined;
      const waiter: Waiter = { owner, strength, timer, granted: resolve, failed };
      // An upgrade goes first: everybody behind it waits for this holder anyway.
      if (lock.holders.has(owner)) lock.queue.unshift(waiter);
      else lock.queue.push(waiter);
      if (lockTimeoutMs > 0 && timer === undefined) timeOut();
      else this.#breakDeadlock(owner);
    });
  }

  /** Fails all waits of `owner`; its locks stay. */
  stopWaiting(owner: LocalOwner, error: KvError): void {
    const found: { lock: KeyLock; waiter: Waiter }[] = [];
    this.#locks.visit(emptyBytes, undefined, (_key, lock) => {
      for (const waiter of lock.queue) if (waiter.owner === owner) found.push({ lock, waiter });
    });
    for (const { lock, waiter } of found) {
      this.#removeWaiter(lock, waiter);
      waiter.failed(error);
    }
  }

  release(owner: LocalOwner, keys: readonly Buffer[]): void {
    for (const key of keys) {
      const lock = this.#locks.get(key);
      if (lock?.holders.delete(owner) === true) this.#grant(lock);
    }
  }

  #removeWaiter(lock: KeyLock, waiter: Waiter): void {
    waiter.timer?.cancel();
    lock.queue = lock.queue.filter((other) => other !== waiter);
    this.#grant(lock);
  }

  #grant(lock: KeyLock): void {
    while (true) {
      const at = lock.queue.findIndex(({ owner, strength }, i) => isFree(lock, owner, strength, i));
      const [next] = at < 0 ? [] : lock.queue.splice(at, 1);
      if (next === undefined) break;
      next.timer?.cancel();
      hold(lock, next.owner, next.strength);
      next.granted();
    }
    if (lock.queue.length === 0 && lock.holders.size === 0) this.#locks.delete(lock.key);
  }

  /** Looks for a cycle of waits through `start` and fails its youngest member. */
  #breakDeadlock(start: LocalOwner): void {
    const blockers = this.#waitGraph();
    const path: LocalOwner[] = [];
    const seen = new Set<LocalOwner>();
    const isSibling = (owner: LocalOwner, other: LocalOwner): boolean =>
      other === owner || owner.siblings?.().some(({ meta }) => meta.id === other.id) === true;
    const isOfClient = (owner: LocalOwner): boolean => isSibling(start, owner);
    const waitingOf = (owner: LocalOwner): LocalOwner =>
      blockers.has(owner)
        ? owner
        : ([...blockers.keys()].find((other) => isSibling(other, owner)) ?? owner);
    const search = (owner: LocalOwner): boolean => {
      path.push(owner);
      for (const next of blockers.get(owner) ?? []) {
        if (isOfClient(next)) return true;
        if (seen.has(next)) continue;
        seen.add(next);
        if (search(waitingOf(next))) return true;
      }
      path.pop();
      return false;
    };
    while (search(start)) {
      const victim = path.reduce((a, b) => (isYounger(b, a) ? b : a));
      const first = path.indexOf(victim);
      const cycle = [...path.slice(first), ...path.slice(0, first)].map(({ id: txnId }) => ({
        txnId,
        key: undefined,
      }));
      this.stopWaiting(victim, { kind: 'deadlock', cycle });
      if (victim === start) return;
      blockers.delete(victim);
      path.length = 0;
      seen.clear();
    }
  }

  #waitGraph(): Map<LocalOwner, LocalOwner[]> {
    const graph = new Map<LocalOwner, LocalOwner[]>();
    this.#locks.visit(emptyBytes, undefined, (_key, lock) => {
      const ahead = [...lock.holders];
      for (const { owner, strength } of lock.queue) {
        const blockers = graph.get(owner) ?? [];
        for (const [other, held] of ahead) {
          if (other !== owner && areInConflict(strength, held)) blockers.push(other);
        }
        graph.set(owner, blockers);
        ahead.push([owner, strength]);
      }
    });
    return graph;
  }
}

export function isRestartable(error: KvError): boolean {
  return error.kind === 'txn-retry' || error.kind === 'txn-aborted' || error.kind === 'deadlock';
}

function isYounger(a: LocalOwner, b: LocalOwner): boolean {
  return compareTimestamps(a.began, b.began) > 0;
}

/** Nobody overtakes the first `ahead` who wait for what is in its way, except to get more of what it holds. */
function isFree(
  { holders, queue }: KeyLock,
  owner: LocalOwner,
  strength: HeldStrength,
  ahead = queue.length,
): boolean {
  for (const [holder, held] of holders) {
    if (holder !== owner && areInConflict(strength, held)) return false;
  }
  if (holders.has(owner)) return true;
  return !queue.slice(0, ahead).some((waiter) => areInConflict(strength, waiter.strength));
}

function hold({ holders }: KeyLock, owner: LocalOwner, strength: HeldStrength): void {
  holders.set(owner, strongerOf(holders.get(owner), strength));
}

function versionAt(versions: readonly Version[] | undefined, at: Timestamp): Version | undefined {
  if (versions === undefined) return undefined;
  for (let i = versions.length - 1; i >= 0; i--) {
    const version = versions[i];
    assert(version !== undefined, 'inside the list');
    if (compareTimestamps(version.timestamp, at) <= 0) return version;
  }
  return undefined;
}
