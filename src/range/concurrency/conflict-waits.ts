/**
 * Waiting for other transactions: in the queue of a lock, for an intent to go away, and, at the anchor
 * of a pushed transaction, for its end. No latches are held meanwhile.
 *
 * A waiter first gives the holder a moment, then pushes it. Every waiter pushes every holder in its way, not
 * only the first in the queue, and one that no holder is in the way of pushes whom it must not overtake: the
 * pushes are the edges of the wait-for graph.
 */
import {
  compareTimestamps,
  maxTimestamp,
  type BatchHeader,
  type FinishedTxn,
  type HeldStrength,
  type KvError,
  type KvRequest,
  type Span,
  type Timestamp,
  type TxnId,
  type TxnMeta,
} from '../../kv/index.ts';
import { sleep, within, type TimerHandle } from '../../util/index.ts';
import { type ReplicaPort } from '../ports.ts';
import { type FoundIntent } from '../../storage/index.ts';
import { type FinishedTxns } from './finished-txns.ts';
import { type LockTable, type Waiter } from './lock-table.ts';
import { type Pusher } from './pusher.ts';
import { findCycle, victimsBefore, type PushWaiter, type TxnWaitQueue } from './txn-wait-queue.ts';

/** A conflict that lasts no longer costs no push. */
const pushDelayMs = 25;
const retryDelayMs = 100;
/** From so many on a reader leaves the intents of a finished transaction to those who sweep up. */
const manyIntents = 32;
/** Each member of a deadlock has so long to fail before it is the next one's turn: its own search may not get to the cycle. */
const victimsTimeMs = 2_000;
/** How often a waiting push looks for a deadlock and for abandonment. */
const pollMs = 100;
/** A waiting push answers after this long; its sender pushes again while it is still interested. */
export const maxPushWaitMs = 1_000;
/**
 * Whoever waits for locks or intents is answered after so long, and asks again while it is still interested: nothing waits for ever
 * for a client that has gone.
 */
export const maxWaitMs = 10_000;
/** So long its place in the queue is kept. */
const placeKeptMs = 5_000;

type PushRequest = Extract<KvRequest, { kind: 'push-txn' }>;

export class ConflictWaits {
  readonly #port: ReplicaPort;
  readonly #locks: LockTable;
  readonly #pushes: TxnWaitQueue;
  readonly #finished: FinishedTxns;
  readonly #pusher: Pusher;

  constructor(parts: {
    readonly port: ReplicaPort;
    readonly locks: LockTable;
    readonly pushes: TxnWaitQueue;
    readonly finished: FinishedTxns;
    readonly pusher: Pusher;
  }) {
    this.#port = parts.port;
    this.#locks = parts.locks;
    this.#pushes = parts.pushes;
    this.#finished = parts.finished;
    this.#pusher = parts.pusher;
  }

  /** Undefined: try again, with the lock held or at least free. `untilMs`: on the monotonic clock. */
  async forLock(
    key: Buffer,
    txn: TxnMeta,
    strength: HeldStrength,
    header: BatchHeader,
    untilMs: number,
  ): Promise<KvError | undefined> {
    if (header.waitPolicy === 'error') return this.#unlessGone(key, txn, strength);
    const waiter = this.#locks.comeBack(key, txn, strength) ?? this.#queueUp(key, txn, strength);
    const [blocker] = this.#blockersOf(waiter);
    const timer = this.#timeout(header, () => {
      const error: KvError = { kind: 'lock-not-available', key, timedOut: true };
      this.#locks.giveUp(waiter, { kind: 'failed', error });
    });
    const { env } = this.#port;
    const outcome = await within(env, untilMs - env.clock.monotonicMs(), waiter.outcome);
    timer?.cancel();
    if (outcome === undefined) {
      waiter.leaving = env.timers.after(placeKeptMs, () =>
        this.#locks.giveUp(waiter, { kind: 'retry' }),
      );
      return { kind: 'still-waiting' };
    }
    if (blocker !== undefined) this.#note(key, txn, blocker.id, waiter.sinceMs);
    return outcome.kind === 'failed' ? outcome.error : undefined;
  }

  #queueUp(key: Buffer, txn: TxnMeta, strength: HeldStrength): Waiter {
    const waiter = this.#locks.wait(key, txn, strength);
    if (!waiter.settled) {
      const pushing = new Set<TxnId>();
      waiter.holdersChanged = () => this.#startPushing(waiter, pushing);
      this.#startPushing(waiter, pushing);
    }
    return waiter;
  }

  #note(key: Buffer, waiting: TxnMeta | undefined, blocking: TxnId, sinceMs: number): void {
    const durationMs = this.#port.env.clock.monotonicMs() - sinceMs;
    this.#port.noteContention({
      key,
      waitingTxnId: waiting?.id,
      blockingTxnId: blocking,
      durationMs,
    });
  }

  /** Wait policy 'error': fails unless the holders turn out to be finished. */
  async #unlessGone(
    key: Buffer,
    txn: TxnMeta,
    strength: HeldStrength,
  ): Promise<KvError | undefined> {
    for (const blocker of this.#locks.blockers(key, txn, strength)) {
      const outcome = await this.#pusher.push(blocker, {
        pusher: { txn, key },
        kind: 'touch',
        to: blocker.writeTimestamp,
        wait: false,
      });
      const gone = outcome.kind === 'known' && isFinal(outcome.pushee);
      if (!gone) return { kind: 'lock-not-available', key, timedOut: false };
      await this.#blockerFinished(key, outcome.pushee);
    }
    return undefined;
  }

  #blockersOf(waiter: Waiter): readonly TxnMeta[] {
    if (waiter.settled) return [];
    return this.#locks.blockers(waiter.key, waiter.txn, waiter.strength, waiter);
  }

  #startPushing(waiter: Waiter, pushing: Set<TxnId>): void {
    for (const blocker of this.#blockersOf(waiter)) {
      const { id } = blocker;
      if (pushing.has(id)) continue;
      pushing.add(id);
      const looksFinished = this.#finished.get(id) !== undefined;
      this.#port.env.timers.after(looksFinished ? 0 : pushDelayMs, () => {
        this.#pushUntilGone(waiter, id).then(
          () => {
            pushing.delete(id);
            this.#startPushing(waiter, pushing);
          },
          (error: unknown) => {
            this.#port.env.log.error({ error: String(error) }, 'a push failed');
          },
        );
      });
    }
  }

  async #pushUntilGone(waiter: Waiter, id: TxnId): Promise<void> {
    const { key, txn } = waiter;
    const inTheWay = (): TxnMeta | undefined =>
      this.#blockersOf(waiter).find((blocker) => blocker.id === id);
    for (let blocker = inTheWay(); blocker !== undefined; blocker = inTheWay()) {
      const outcome = await this.#pusher.push(blocker, {
        pusher: { txn, key },
        kind: 'abort',
        to: blocker.writeTimestamp,
        wait: true,
      });
      if (waiter.settled) return;
      if (outcome.kind === 'failed') {
        if (outcome.error.kind === 'deadlock') {
          this.#locks.giveUp(waiter, { kind: 'failed', error: outcome.error });
          return;
        }
        await sleep(this.#port.env, retryDelayMs);
      } else if (isFinal(outcome.pushee)) {
        await this.#blockerFinished(key, outcome.pushee);
        // The resolution was refused (a lost lease, for instance) and the push answers from memory: without
        // a pause this loop would never let the event loop go on.
        if (inTheWay() !== undefined) await sleep(this.#port.env, retryDelayMs);
      } else {
        // A push that does not wait at the anchor must not spin.
        await sleep(this.#port.env, 1);
      }
    }
  }

  async #blockerFinished(key: Buffer, finished: FinishedTxn): Promise<void> {
    if (this.#locks.holderOf(key, finished.id)?.intent !== undefined) {
      await this.#pusher.resolveHere([{ start: key, end: undefined }], finished);
    }
    this.#locks.releaseUnreplicated(finished.id);
    // What its gateway sent again and nobody waits for any more.
    this.#locks.failWaits(finished.id, {
      kind: 'txn-aborted',
      reason: 'the transaction has ended',
    });
  }

  /**
   * A read without a lock, or a write without a transaction, met intents. Unless the policy is 'block' it fails when the
   * first one's transaction stays in the way; a commit under way does not, and is waited for.
   */
  async forIntents(
    intents: readonly FoundIntent[],
    reader: TxnMeta | undefined,
    readTimestamp: Timestamp,
    header: BatchHeader,
    { writes, untilMs }: { readonly writes: boolean; readonly untilMs: number },
  ): Promise<KvError | undefined> {
    const first = intents[0];
    if (first === undefined) return undefined;
    for (const found of intents) this.#locks.addIntent(found);
    const isPatient = header.waitPolicy === 'block';
    let changed = false;
    let tooLate: KvError | undefined;
    let unobserve = (): void => undefined;
    let giveUp: (why: KvError) => void = () => undefined;
    const change = new Promise<void>((resolve) => {
      giveUp = (why) => {
        tooLate ??= why;
        resolve();
      };
      unobserve = this.#locks.observe(first.key, reader?.id, () => {
        changed = true;
        resolve();
      });
    });
    const timers = [
      this.#timeout(header, () =>
        giveUp({ kind: 'lock-not-available', key: first.key, timedOut: true }),
      ),
      this.#port.env.timers.after(Math.max(0, untilMs - this.#port.env.clock.monotonicMs()), () =>
        giveUp({ kind: 'still-waiting' }),
      ),
    ];
    const sinceMs = this.#port.env.clock.monotonicMs();
    const holder = this.#locks.holderOf(first.key, first.intent.txnId);
    const keys = intents
      .filter(({ intent }) => intent.txnId === first.intent.txnId)
      .map(({ key }) => key);
    try {
      if (isPatient && this.#finished.get(first.intent.txnId) === undefined) {
        await Promise.race([change, sleep(this.#port.env, pushDelayMs)]);
      }
      while (!changed && holder !== undefined) {
        if (tooLate !== undefined) return tooLate;
        const push = this.#pusher.push(holder.txn, {
          pusher: reader && { txn: reader, key: first.key },
          kind: writes ? 'abort' : 'timestamp',
          to: readTimestamp,
          wait: isPatient,
        });
        const outcome = await Promise.race([push, change]);
        if (changed) return undefined;
        if (outcome === undefined) continue;
        if (outcome.kind === 'failed') {
          if (outcome.error.kind === 'deadlock') return outcome.error;
          await Promise.race([change, sleep(this.#port.env, retryDelayMs)]);
          continue;
        }
        const { pushee } = outcome;
        const outOfTheWay =
          isFinal(pushee) || (!writes && compareTimestamps(pushee.timestamp, readTimestamp) > 0);
        if (outOfTheWay) {
          // A plain read goes through the intents of a finished transaction: no need to wait for them.
          if (writes || !isFinal(pushee) || keys.length < manyIntents) {
            const spans = keys.map((start) => ({ start, end: undefined }));
            await this.#pusher.resolveHere(spans, pushee);
          }
          return undefined;
        }
        if (isPatient) {
          await sleep(this.#port.env, 1);
        } else {
          if (pushee.status !== 'staging') {
            return { kind: 'lock-not-available', key: first.key, timedOut: false };
          }
          await Promise.race([change, sleep(this.#port.env, pushDelayMs)]);
        }
      }
      return undefined;
    } finally {
      for (const timer of timers) timer?.cancel();
      unobserve();
      this.#note(first.key, reader, first.intent.txnId, sinceMs);
    }
  }

  /** See `RangeExecutor.settle`. Priority above all pushers: only who was abandoned gives way. */
  async settle(txn: TxnMeta, spans: readonly Span[]): Promise<FinishedTxn | undefined> {
    const outcome = await this.#pusher.push(
      { ...txn, priority: Number.MAX_SAFE_INTEGER },
      { pusher: undefined, kind: 'abort', to: txn.minTimestamp, wait: false },
    );
    if (outcome.kind === 'failed' || !isFinal(outcome.pushee)) return undefined;
    this.#locks.releaseUnreplicated(txn.id);
    if (spans.length > 0) await this.#pusher.resolveHere(spans, outcome.pushee);
    return outcome.pushee;
  }

  /** At the anchor: waits a while for news of `pushee`. An error ends the push. */
  async forPushee({ pushee, pusher }: PushRequest): Promise<KvError | undefined> {
    const { env } = this.#port;
    let news = false;
    let wake: () => void = () => undefined;
    const woken = new Promise<void>((resolve) => {
      wake = resolve;
    });
    const waiter: PushWaiter = {
      pusher,
      wake: () => {
        news = true;
        wake();
      },
    };
    this.#pushes.enter(pushee.id, waiter, env.clock.monotonicMs());
    try {
      await Promise.race([woken, sleep(env, pollMs)]);
      if (news || pusher === undefined) return undefined;
      const cycle = await findCycle(pusher, pushee, (txn) => this.#pusher.waitersOf(txn));
      if (news || cycle === undefined) return undefined;
      const sinceMs = this.#pushes.suspect(pushee.id, pusher.txn.id, env.clock.monotonicMs());
      const theirsMs = victimsBefore(cycle, pusher.txn.id) * victimsTimeMs;
      if (env.clock.monotonicMs() - sinceMs < theirsMs) return undefined;
      // A push outlives the wait that it is made for: who has given up, or has got what it wanted, is in nobody's way.
      const stands = await Promise.all(
        cycle.map((member, i) =>
          this.#pusher.isWaiting(member, (cycle[(i + 1) % cycle.length] ?? member).txn),
        ),
      );
      if (news || stands.includes(false)) return undefined;
      return { kind: 'deadlock', cycle: cycle.map(({ txn, key }) => ({ txnId: txn.id, key })) };
    } finally {
      this.#pushes.leave(pushee.id, waiter);
    }
  }

  #timeout(header: BatchHeader, fn: () => void): TimerHandle | undefined {
    if (header.lockTimeoutMs <= 0) return undefined;
    return this.#port.env.timers.after(header.lockTimeoutMs, fn);
  }
}

/** Locking reads conflict with every write in flight, whatever its timestamp. */
export const lockingReadTimestamp: Timestamp = maxTimestamp;

function isFinal(txn: FinishedTxn): boolean {
  return txn.status === 'committed' || txn.status === 'aborted';
}
