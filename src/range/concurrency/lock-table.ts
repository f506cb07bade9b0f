/**
 * The lock table of one range: who holds which key, and who waits for it in which order.
 *
 * Two kinds of holders: unreplicated locks, which live only here (trap X14), and intents of other
 * transactions, which evaluation came across and reported. A free lock goes to the first in the
 * queue in the same step in which it becomes free, so nobody overtakes.
 *
 * INVARIANT 1: the holders of a key are compatible with each other; an intent counts as 'no-key-update' when it keeps the row,
 *   else as 'update'.
 * INVARIANT 2: each waiter of a key is incompatible with a holder or with somebody ahead of it; a key without holders has no
 *   queue.
 * INVARIANT 3: `#byTxn` lists exactly the keys that a transaction holds.
 */
import {
  areInConflict,
  covers,
  SortedMap,
  spanContains,
  strongerOf,
  type HeldLock,
  type HeldStrength,
  type KvError,
  type LockOwner,
  type Span,
  type TxnId,
  type TxnMeta,
} from '../../kv/index.ts';
import { compareBytes, emptyBytes, isBetween, type TimerHandle } from '../../util/index.ts';
import { type FoundIntent, type Intent } from '../../storage/index.ts';

/** Keys of one range that are remembered as locked. */
const maxLocks = 100_000;

export interface Holder {
  readonly txn: TxnMeta;
  readonly sinceMs: number;
  /** The unreplicated lock; undefined when only an intent is known. */
  strength: HeldStrength | undefined;
  /** What a known intent counts as. */
  intent: HeldStrength | undefined;
}

export type WaitOutcome =
  /** The lock is held now. */
  | { readonly kind: 'granted' }
  /** Something else happened to the key: look again from the start. */
  | { readonly kind: 'retry' }
  | { readonly kind: 'failed'; readonly error: KvError };

export class Waiter {
  readonly key: Buffer;
  readonly txn: TxnMeta;
  readonly strength: HeldStrength;
  readonly sinceMs: number;
  readonly outcome: Promise<WaitOutcome>;
  settled = false;
  /** Called when the key has other holders than before. */
  holdersChanged: (() => void) | undefined;
  /** Nobody waits for its outcome now: the end of its place in the queue. */
  leaving: TimerHandle | undefined;
  readonly #resolve: (outcome: WaitOutcome) => void;

  constructor(key: Buffer, txn: TxnMeta, strength: HeldStrength, sinceMs: number) {
    this.sinceMs = sinceMs;
    this.key = key;
    this.txn = txn;
    this.strength = strength;
    let settle: (outcome: WaitOutcome) => void = () => undefined;
    this.outcome = new Promise((resolve) => {
      settle = resolve;
    });
    this.#resolve = settle;
  }

  settle(outcome: WaitOutcome): void {
    this.settled = true;
    this.leaving?.cancel();
    this.#resolve(outcome);
  }
}

interface Lock {
  readonly key: Buffer;
  readonly holders: Map<TxnId, Holder>;
  queue: Waiter[];
  /** Readers that wait for an intent. */
  observers: Observer[];
}

interface Observer {
  readonly txnId: TxnId | undefined;
  /** Called once, at the next change. */
  readonly changed: () => void;
}

/** Somebody holds a key, or waits for it. */
export interface LockUse {
  readonly key: Buffer;
  readonly txn: TxnMeta;
  readonly strength: HeldStrength;
  /** An intent. */
  readonly isReplicated: boolean;
  readonly isGranted: boolean;
  /** Somebody waits. */
  readonly isContended: boolean;
  /** On the monotonic clock. */
  readonly sinceMs: number;
}

export class LockTable {
  readonly #locks = new SortedMap<Lock>();
  readonly #byTxn = new Map<TxnId, Set<Lock>>();
  readonly #monotonicMs: () => number;

  constructor(monotonicMs: () => number) {
    this.#monotonicMs = monotonicMs;
  }

  /** Number of keys that are held. */
  get size(): number {
    return this.#locks.size;
  }

  /** The holders of `key` that keep `txnId` from locking it. */
  conflicts(key: Buffer, txnId: TxnId | undefined, strength: HeldStrength): Holder[] {
    const lock = this.#locks.get(key);
    return lock === undefined ? [] : conflictsOf(lock, txnId, strength);
  }

  /**
   * Who keeps `txn` from locking `key`: the holders in conflict or, when there are none, the first waiter in
   * conflict: nobody overtakes. `waiter`: where it stands in the queue already.
   */
  blockers(key: Buffer, txn: TxnMeta, strength: HeldStrength, waiter?: Waiter): readonly TxnMeta[] {
    const lock = this.#locks.get(key);
    if (lock === undefined) return [];
    const ahead = waiter === undefined ? lock.queue.length : lock.queue.indexOf(waiter);
    return blockersOf(lock, txn.id, strength, ahead);
  }

  /** Somebody waits for a holder of `key`. */
  isAwaited(key: Buffer): boolean {
    const lock = this.#locks.get(key);
    return lock !== undefined && (lock.queue.length > 0 || lock.observers.length > 0);
  }

  holderOf(key: Buffer, txnId: TxnId): Holder | undefined {
    return this.#locks.get(key)?.holders.get(txnId);
  }

  /** Takes the lock when that needs no waiting, behind others in the queue or for a holder. */
  tryAcquire(key: Buffer, txn: TxnMeta, strength: HeldStrength): boolean {
    const lock = this.#locks.get(key);
    if (lock === undefined) {
      // Locks only save retries: one too many is not remembered rather than refused (trap X14).
      if (this.#locks.size >= maxLocks) return true;
      this.#hold(this.#make(key), txn, strength);
      return true;
    }
    if (covers(lock.holders.get(txn.id)?.strength, strength)) return true;
    if (this.blockers(key, txn, strength).length > 0) return false;
    this.#hold(lock, txn, strength);
    return true;
  }

  /** Queues up. The key has a conflicting holder or a queue. An upgrade goes to the front. */
  wait(key: Buffer, txn: TxnMeta, strength: HeldStrength): Waiter {
    const lock = this.#locks.get(key) ?? this.#make(key);
    const waiter = new Waiter(key, txn, strength, this.#monotonicMs());
    if (lock.holders.has(txn.id)) lock.queue.unshift(waiter);
    else lock.queue.push(waiter);
    this.#settle(lock);
    return waiter;
  }

  /** The place in the queue that is kept for who comes back to wait. */
  comeBack(key: Buffer, txn: TxnMeta, strength: HeldStrength): Waiter | undefined {
    const waiter = this.#locks
      .get(key)
      ?.queue.find(
        (each) =>
          each.leaving !== undefined && each.txn.id === txn.id && each.strength === strength,
      );
    waiter?.leaving?.cancel();
    if (waiter !== undefined) waiter.leaving = undefined;
    return waiter;
  }

  /** `txnId` waits at `key` for one of `blockers`, or has its place kept. */
  isWaiting(key: Buffer, txnId: TxnId, blockers: ReadonlySet<TxnId>): boolean {
    const lock = this.#locks.get(key);
    if (lock === undefined) return false;
    const isReading = lock.observers.some((observer) => observer.txnId === txnId);
    if (isReading && [...lock.holders.keys()].some((id) => blockers.has(id))) return true;
    return lock.queue.some(
      ({ txn, strength }, ahead) =>
        txn.id === txnId &&
        blockersOf(lock, txnId, strength, ahead).some(({ id }) => blockers.has(id)),
    );
  }

  /** Leaves the queue: the wait timed out or failed. */
  giveUp(waiter: Waiter, outcome: WaitOutcome): void {
    if (waiter.settled) return;
    waiter.settle(outcome);
    const lock = this.#locks.get(waiter.key);
    if (lock === undefined) return;
    lock.queue = lock.queue.filter((other) => other !== waiter);
    this.#settle(lock);
  }

  /**
   * Calls `changed` once, when a holder of `key` goes away or moves; at once when there is none. `txnId`: who waits for that.
   * Returns what ends it.
   */
  observe(key: Buffer, txnId: TxnId | undefined, changed: () => void): () => void {
    const lock = this.#locks.get(key);
    if (lock === undefined) {
      changed();
      return () => undefined;
    }
    const observer: Observer = { txnId, changed };
    lock.observers.push(observer);
    return () => {
      lock.observers = lock.observers.filter((other) => other !== observer);
    };
  }

  /** Evaluation found an intent that the table did not know. */
  addIntent({ key, intent, keepsRow }: FoundIntent): void {
    const strength = keepsRow ? 'no-key-update' : 'update';
    const lock = this.#locks.get(key) ?? this.#make(key);
    const held = lock.holders.get(intent.txnId);
    if (held !== undefined) {
      held.intent = strongerOf(held.intent, strength);
      return;
    }
    this.#index(lock, intent.txnId);
    const sinceMs = this.#monotonicMs();
    const txn = ownerOf(intent);
    lock.holders.set(intent.txnId, { txn, sinceMs, strength: undefined, intent: strength });
    for (const waiter of lock.queue) waiter.holdersChanged?.();
  }

  /** The intent of `txnId` on `key` has moved to a later timestamp: readers look again. */
  intentMoved(key: Buffer): void {
    const lock = this.#locks.get(key);
    if (lock !== undefined) notify(lock);
  }

  /** `txnId` has finished and its locks and intents in `span` are gone. */
  release(txnId: TxnId, span: Span): void {
    const { end } = span;
    if (end === undefined) {
      const lock = this.#locks.get(span.start);
      if (lock?.holders.has(txnId) === true) this.#drop(lock, txnId);
      return;
    }
    for (const lock of this.#byTxn.get(txnId) ?? []) {
      if (isBetween(lock.key, span.start, end)) this.#drop(lock, txnId);
    }
  }

  /** `txnId` has finished: all its unreplicated locks go, known intents stay until they are resolved. */
  releaseUnreplicated(txnId: TxnId): void {
    for (const lock of this.#byTxn.get(txnId) ?? []) {
      const holder = lock.holders.get(txnId);
      if (holder === undefined) continue;
      holder.strength = undefined;
      this.#weakened(lock, txnId, holder);
    }
  }

  /** `txnId` has gone back to a savepoint: what it locked in `span` behind sequence `since` is free; its intents stay. */
  releaseSince(txnId: TxnId, span: Span, since: number): void {
    for (const lock of this.#byTxn.get(txnId) ?? []) {
      const holder = lock.holders.get(txnId);
      if (holder === undefined || holder.txn.sequence <= since) continue;
      if (!spanContains(span, lock.key)) continue;
      holder.strength = undefined;
      this.#weakened(lock, txnId, holder);
    }
  }

  /** The intent of `txnId` on `key` is gone; its unreplicated lock stays. */
  intentGone(txnId: TxnId, key: Buffer): void {
    const lock = this.#locks.get(key);
    const holder = lock?.holders.get(txnId);
    if (lock === undefined || holder === undefined) return;
    holder.intent = undefined;
    this.#weakened(lock, txnId, holder);
  }

  /** Fails all waits of `txnId`. */
  failWaits(txnId: TxnId, error: KvError): void {
    for (const lock of this.#all()) {
      for (const waiter of lock.queue) {
        if (waiter.txn.id === txnId) this.giveUp(waiter, { kind: 'failed', error });
      }
    }
  }

  /** The lease is gone: all waits fail, everything is forgotten. */
  clear(error: KvError): void {
    const locks = this.#all();
    this.#locks.clear();
    this.#byTxn.clear();
    for (const lock of locks) {
      for (const waiter of lock.queue) waiter.settle({ kind: 'failed', error });
      notify(lock);
    }
  }

  /** Who holds and who waits, in the order of the keys; intents that nobody came across are not known. */
  *uses(): Generator<LockUse> {
    for (const { key, holders, queue } of this.#all()) {
      const isContended = queue.length > 0;
      for (const { txn, strength: locked, intent, sinceMs } of holders.values()) {
        const strength = intent === undefined ? locked : strongerOf(locked, intent);
        const isReplicated = intent !== undefined;
        if (strength === undefined) continue;
        yield { key, txn, strength, isReplicated, isGranted: true, isContended, sinceMs };
      }
      for (const { txn, strength, sinceMs } of queue) {
        yield { key, txn, strength, isReplicated: false, isGranted: false, isContended, sinceMs };
      }
    }
  }

  /** The locks that are written down nowhere, in the order of their keys. */
  *unreplicated(): Generator<HeldLock> {
    for (const { key, holders } of this.#all()) {
      for (const { txn: owner, strength } of holders.values()) {
        if (strength !== undefined) yield { key, owner, strength };
      }
    }
  }

  /** Hands the holders at or behind `splitKey` to `right`; who waits for them looks again there (rule T7). */
  moveTo(right: LockTable, splitKey: Buffer): void {
    for (const lock of this.#all()) {
      if (compareBytes(lock.key, splitKey) < 0) continue;
      this.#locks.delete(lock.key);
      const there = right.#make(lock.key);
      for (const [txnId, holder] of lock.holders) {
        this.#unindex(lock, txnId);
        right.#index(there, txnId);
        there.holders.set(txnId, holder);
      }
      for (const waiter of lock.queue) waiter.settle({ kind: 'retry' });
      notify(lock);
    }
  }

  /** `key: holders <- waiters` per line, for tests and lock views. */
  describe(name: (txn: TxnMeta) => string, keyName: (key: Buffer) => string): string {
    return this.#all()
      .map((lock) => {
        const holders = [...lock.holders.values()].map(
          (holder) =>
            `${name(holder.txn)}(${[holder.strength, intentName(holder.intent)].filter(Boolean).join('+')})`,
        );
        const queue = lock.queue.map((waiter) => `${name(waiter.txn)}(${waiter.strength})`);
        return `${keyName(lock.key)}: ${holders.join(' ')}${queue.length === 0 ? '' : ` <- ${queue.join(' ')}`}`;
      })
      .join('\n');
  }

  #all(): Lock[] {
    const locks: Lock[] = [];
    this.#locks.visit(emptyBytes, undefined, (_key, lock) => {
      locks.push(lock);
    });
    return locks;
  }

  #make(key: Buffer): Lock {
    const lock: Lock = { key, holders: new Map(), queue: [], observers: [] };
    this.#locks.set(key, lock);
    return lock;
  }

  #hold(lock: Lock, txn: TxnMeta, strength: HeldStrength): void {
    const held = lock.holders.get(txn.id);
    if (held !== undefined) {
      held.strength = strongerOf(held.strength, strength);
      return;
    }
    this.#index(lock, txn.id);
    const sinceMs = this.#monotonicMs();
    lock.holders.set(txn.id, { txn, sinceMs, strength, intent: undefined });
  }

  /** Of lock and intent one has gone. */
  #weakened(lock: Lock, txnId: TxnId, { strength, intent }: Holder): void {
    if (strength === undefined && intent === undefined) this.#drop(lock, txnId);
    else this.#settle(lock);
  }

  #drop(lock: Lock, txnId: TxnId): void {
    lock.holders.delete(txnId);
    this.#unindex(lock, txnId);
    this.#settle(lock);
    notify(lock);
  }

  /** Gives the lock to whoever is next and may have it. */
  #settle(lock: Lock): void {
    let granted = false;
    while (true) {
      const next = nextOf(lock);
      if (next === undefined) break;
      this.#hold(lock, next.txn, next.strength);
      lock.queue = lock.queue.filter((waiter) => {
        // A request whose answer is late is sent again: whoever has the lock does not wait for itself.
        const isGranted = waiter === next || isCovered(waiter, next);
        if (isGranted) waiter.settle({ kind: 'granted' });
        return !isGranted;
      });
      granted = true;
    }
    if (granted) for (const waiter of lock.queue) waiter.holdersChanged?.();
    if (lock.holders.size === 0) this.#locks.delete(lock.key);
  }

  #index(lock: Lock, txnId: TxnId): void {
    const locks = this.#byTxn.get(txnId);
    if (locks === undefined) this.#byTxn.set(txnId, new Set([lock]));
    else locks.add(lock);
  }

  #unindex(lock: Lock, txnId: TxnId): void {
    const locks = this.#byTxn.get(txnId);
    locks?.delete(lock);
    if (locks?.size === 0) this.#byTxn.delete(txnId);
  }
}

/** `waiter` has what it wants once `granted` has the lock. */
function isCovered(waiter: Waiter, granted: Waiter): boolean {
  return waiter.txn.id === granted.txn.id && covers(granted.strength, waiter.strength);
}

/** The first waiter that nobody keeps from the lock: perhaps behind some that wait for what is not in its way. */
function nextOf(lock: Lock): Waiter | undefined {
  for (const [i, { txn, strength }] of lock.queue.entries()) {
    if (blockersOf(lock, txn.id, strength, i).length === 0) return lock.queue[i];
    // It is in the way of all behind it.
    if (strength === 'update') return undefined;
  }
  return undefined;
}

/** What an intent tells of its transaction. */
export function ownerOf({ txnId, timestamp, ...intent }: Intent): TxnMeta {
  return metaOf({ ...intent, id: txnId, writeTimestamp: timestamp });
}

/** A transaction as far as those know it who wait for it. */
export function metaOf({
  id,
  anchor,
  epoch,
  isolation,
  priority,
  writeTimestamp,
  minTimestamp,
  sequence,
}: LockOwner): TxnMeta {
  return {
    id,
    anchor,
    epoch,
    isolation,
    priority,
    readTimestamp: minTimestamp,
    writeTimestamp,
    minTimestamp,
    uncertaintyLimit: minTimestamp,
    sequence,
    ignoredSequences: [],
  };
}

function conflictsOf(lock: Lock, txnId: TxnId | undefined, strength: HeldStrength): Holder[] {
  const found: Holder[] = [];
  for (const [id, holder] of lock.holders) {
    if (id === txnId) continue;
    if (isInTheWay(holder, strength)) found.push(holder);
  }
  return found;
}

function isInTheWay({ strength, intent }: Holder, wanted: HeldStrength): boolean {
  return (
    (strength !== undefined && areInConflict(strength, wanted)) ||
    (intent !== undefined && areInConflict(intent, wanted))
  );
}

/** `ahead`: how many of the queue must not be overtaken. */
function blockersOf(
  lock: Lock,
  txnId: TxnId,
  strength: HeldStrength,
  ahead: number,
): readonly TxnMeta[] {
  const holders = conflictsOf(lock, txnId, strength);
  if (holders.length > 0) return holders.map((holder) => holder.txn);
  if (lock.holders.has(txnId)) return [];
  for (let i = 0; i < ahead; i++) {
    const other = lock.queue[i];
    if (other === undefined || other.txn.id === txnId) continue;
    if (areInConflict(other.strength, strength)) return [other.txn];
  }
  return [];
}

function intentName(intent: HeldStrength | undefined): string | undefined {
  return intent === 'no-key-update' ? 'intent that keeps the row' : intent && 'intent';
}

function notify(lock: Lock): void {
  const observers = lock.observers;
  lock.observers = [];
  for (const { changed } of observers) changed();
}
