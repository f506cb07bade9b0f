/**
 * The transaction wait queue of one range: who waits for a transaction whose record lives here. Its
 * edges, over all ranges, are the wait-for graph of the cluster.
 *
 * Deadlocks (trap X13): while P waits here for E, it searches backwards from itself: who waits for P,
 * who waits for those, ... each step one 'query-txn' to that transaction's anchor. Meeting E closes a
 * cycle. All members find the same cycle and agree on the victim, which alone fails: the lowest
 * priority, then the youngest, then the largest id. Behind a row that hundreds wait for its own search may not get
 * to the cycle: another member that goes on finding it fails then.
 *
 * A client that waits in one of its transactions keeps all of them (`TxnMeta.siblings`): who waits for any of these waits for it.
 *
 * INVARIANT: an entry exists while somebody waits, and a while after, so that the age of a
 * transaction without a record can be measured.
 */
import {
  compareTimestamps,
  type FinishedTxn,
  type TxnId,
  type TxnMeta,
  type TxnSibling,
  type TxnWaiter,
} from '../../kv/index.ts';

export interface PushWaiter {
  /** Undefined: not a transaction. */
  readonly pusher: TxnWaiter | undefined;
  readonly wake: () => void;
}

interface Entry {
  readonly firstSeenMs: number;
  lastSeenMs: number;
  readonly waiters: Set<PushWaiter>;
  /** The waiters that found a deadlock, again and again. */
  readonly suspicions: Map<TxnId, Suspicion>;
}

interface Suspicion {
  readonly sinceMs: number;
  lastMs: number;
}

const forgetAfterMs = 10_000;
/** Between two searches of one waiter there is a push's way at most. */
const suspicionGapMs = 1_000;
const maxIdleEntries = 1_024;

export class TxnWaitQueue {
  readonly #entries = new Map<TxnId, Entry>();

  /** Notes that somebody asks for `pushee`; returns when that was first done, on the monotonic clock. */
  seen(pushee: TxnId, nowMs: number): number {
    let entry = this.#entries.get(pushee);
    if (
      entry === undefined ||
      (entry.waiters.size === 0 && nowMs - entry.lastSeenMs > forgetAfterMs)
    ) {
      if (this.#entries.size >= maxIdleEntries) this.#forgetIdle(nowMs);
      entry = {
        firstSeenMs: nowMs,
        lastSeenMs: nowMs,
        waiters: new Set(),
        suspicions: new Map(),
      };
      this.#entries.set(pushee, entry);
    }
    entry.lastSeenMs = nowMs;
    return entry.firstSeenMs;
  }

  enter(pushee: TxnId, waiter: PushWaiter, nowMs: number): void {
    this.seen(pushee, nowMs);
    this.#entries.get(pushee)?.waiters.add(waiter);
  }

  leave(pushee: TxnId, waiter: PushWaiter): void {
    this.#entries.get(pushee)?.waiters.delete(waiter);
  }

  /** `pusher` has found that `pushee` waits for it; returns since when it has been finding that. */
  suspect(pushee: TxnId, pusher: TxnId, nowMs: number): number {
    const suspicions = this.#entries.get(pushee)?.suspicions;
    if (suspicions === undefined) return nowMs;
    const before = suspicions.get(pusher);
    if (before !== undefined && nowMs - before.lastMs <= suspicionGapMs) {
      before.lastMs = nowMs;
      return before.sinceMs;
    }
    for (const [id, { lastMs }] of suspicions) {
      if (nowMs - lastMs > suspicionGapMs) suspicions.delete(id);
    }
    suspicions.set(pusher, { sinceMs: nowMs, lastMs: nowMs });
    return nowMs;
  }

  /** The transactions that wait for `pushee` here, each once. */
  waitersOf(pushee: TxnId): TxnWaiter[] {
    const found = new Map<TxnId, TxnWaiter>();
    for (const { pusher } of this.#entries.get(pushee)?.waiters ?? []) {
      if (pusher !== undefined) found.set(pusher.txn.id, pusher);
    }
    return [...found.values()];
  }

  /** `pushee` has finished or changed: its pushers look again. */
  wake(pushee: TxnId): void {
    for (const waiter of this.#entries.get(pushee)?.waiters ?? []) waiter.wake();
  }

  get hasWaiters(): boolean {
    for (const { waiters } of this.#entries.values()) if (waiters.size > 0) return true;
    return false;
  }

  wakeAll(): void {
    for (const pushee of this.#entries.keys()) this.wake(pushee);
  }

  clear(): void {
    this.wakeAll();
    this.#entries.clear();
  }

  #forgetIdle(nowMs: number): void {
    for (const [pushee, entry] of this.#entries) {
      if (entry.waiters.size === 0 && nowMs - entry.lastSeenMs > forgetAfterMs) {
        this.#entries.delete(pushee);
      }
    }
  }
}

const maxSearched = 256;

/**
 * Searches the wait-for graph backwards from `pusher` for `pushee`. Returns the cycle or undefined: each member waits for
 * the next, the last for `pusher`. `waitersOf` asks the anchor of a transaction who waits for it.
 */
export async function findCycle(
  pusher: TxnWaiter,
  pushee: TxnMeta,
  waitersOf: (txn: TxnSibling) => Promise<readonly TxnWaiter[]>,
): Promise<TxnWaiter[] | undefined> {
  const waitsFor = new Map<TxnId, TxnWaiter | undefined>([[pusher.txn.id, undefined]]);
  const frontier: TxnWaiter[] = [pusher];
  for (let i = 0; i < frontier.length && i < maxSearched; i++) {
    const member = frontier[i];
    if (member === undefined) break;
    const { txn } = member;
    const waits = await Promise.all([txn, ...(txn.siblings ?? [])].map(waitersOf));
    for (const waiter of waits.flat()) {
      if (waitsFor.has(waiter.txn.id)) continue;
      waitsFor.set(waiter.txn.id, member);
      if (!isOfClient(waiter.txn, pushee.id)) {
        frontier.push(waiter);
        continue;
      }
      const cycle: TxnWaiter[] = [pusher];
      let at: TxnWaiter | undefined = waiter;
      while (at !== undefined && at !== pusher) {
        cycle.push(at);
        at = waitsFor.get(at.txn.id);
      }
      return cycle;
    }
  }
  return undefined;
}

function isOfClient({ id, siblings }: TxnMeta, txnId: TxnId): boolean {
  return id === txnId || siblings?.some((sibling) => sibling.id === txnId) === true;
}

/** How many members of its cycle have to fail before `id`; all members come to the same order. */
export function victimsBefore(cycle: readonly TxnWaiter[], id: TxnId): number {
  return cycle
    .map(({ txn }) => txn)
    .sort(
      (a, b) =>
        a.priority - b.priority ||
        compareTimestamps(b.minTimestamp, a.minTimestamp) ||
        (a.id > b.id ? -1 : 1),
    )
    .findIndex((txn) => txn.id === id);
}

/** A finished transaction as resolution needs it. */
export function finishedFrom(txn: TxnMeta, status: FinishedTxn['status']): FinishedTxn {
  return {
    id: txn.id,
    epoch: txn.epoch,
    status,
    timestamp: txn.writeTimestamp,
    ignoredSequences: txn.ignoredSequences,
  };
}
