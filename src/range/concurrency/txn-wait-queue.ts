/**
 * The transaction wait queue of one range: who waits for a transaction whose record lives here. Its
 * edges, over all ranges, are the wait-for graph of the cluster.
 *
 * Deadlocks (trap X13): while P waits here for E, it searches backwards from itself: who waits for P,
 * who waits for those, ... each step one 'query-txn' to that transaction's anchor. Meeting E closes a
 * cycle. All members find the same cycle and agree on the victim, which alone fails: the lowest
 * priority, then the youngest, then the largest id.
 *
 * INVARIANT: an entry exists while somebody waits, and a while after, so that the age of a
 * transaction without a record can be measured.
 */
import { compareTimestamps, type FinishedTxn, type TxnId, type TxnMeta } from '../../kv/index.ts';

export interface PushWaiter {
  readonly pusher: TxnMeta | undefined;
  readonly wake: () => void;
}

interface Entry {
  readonly firstSeenMs: number;
  lastSeenMs: number;
  readonly waiters: Set<PushWaiter>;
}

const forgetAfterMs = 10_000;
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
      entry = { firstSeenMs: nowMs, lastSeenMs: nowMs, waiters: new Set() };
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

  /** The transactions that wait for `pushee` here, each once. */
  waitersOf(pushee: TxnId): TxnMeta[] {
    const found = new Map<TxnId, TxnMeta>();
    for (const { pusher } of this.#entries.get(pushee)?.waiters ?? []) {
      if (pusher !== undefined) found.set(pusher.id, pusher);
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
 * Searches the wait-for graph backwards from `pusher` for `pushee`. Returns the cycle, pushee last, or
 * undefined. `waitersOf` asks the anchor of a transaction who waits for it.
 */
export async function findCycle(
  pusher: TxnMeta,
  pushee: TxnMeta,
  waitersOf: (txn: TxnMeta) => Promise<readonly TxnMeta[]>,
): Promise<TxnMeta[] | undefined> {
  const cameFrom = new Map<TxnId, TxnMeta | undefined>([[pusher.id, undefined]]);
  const frontier: TxnMeta[] = [pusher];
  for (let i = 0; i < frontier.length && i < maxSearched; i++) {
    const txn = frontier[i];
    if (txn === undefined) break;
    for (const waiter of await waitersOf(txn)) {
      if (cameFrom.has(waiter.id)) continue;
      cameFrom.set(waiter.id, txn);
      if (waiter.id !== pushee.id) {
        frontier.push(waiter);
        continue;
      }
      const cycle: TxnMeta[] = [];
      for (let at: TxnMeta | undefined = waiter; at !== undefined; at = cameFrom.get(at.id)) {
        cycle.push(at);
      }
      return cycle.reverse();
    }
  }
  return undefined;
}

/** The member of a cycle that has to fail: all members come to the same answer. */
export function victimOf(cycle: readonly TxnMeta[]): TxnMeta | undefined {
  return cycle.reduce<TxnMeta | undefined>((victim, txn) => {
    if (victim === undefined) return txn;
    if (txn.priority !== victim.priority) return txn.priority < victim.priority ? txn : victim;
    const age = compareTimestamps(txn.minTimestamp, victim.minTimestamp);
    if (age !== 0) return age > 0 ? txn : victim;
    return txn.id > victim.id ? txn : victim;
  }, undefined);
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
