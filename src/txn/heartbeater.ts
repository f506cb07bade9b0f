/**
 * The life sign of a transaction that holds locks or intents: who waits for it aborts it when it has
 * not been heard of for five heartbeats, or when its node is known to be gone (trap X12). The first beat comes a second after the first lock,
 * so short transactions send none and need no record. Long ones want theirs early: without a record they do not
 * survive a change of the lease at their anchor (trap X5).
 */
import { KvFailure } from '../kv/index.ts';
import { type TimerHandle } from '../util/index.ts';
import { type ClusterTxn } from './cluster-txn.ts';

const heartbeatMs = 1_000;

export class Heartbeater {
  readonly #txn: ClusterTxn;
  #timer: TimerHandle | undefined;
  #stopped = false;
  /** A heartbeat was sent: there may be a record. */
  hasBeaten = false;
  #hasRecord = false;
  /** While the commit is under way its answer alone decides. */
  muted = false;

  constructor(txn: ClusterTxn) {
    this.#txn = txn;
  }

  start(): void {
    if (this.#timer === undefined && !this.#stopped) this.#schedule();
  }

  /** Makes the record now: the transaction is going to be a long one. */
  startNow(): void {
    if (this.hasBeaten || this.#stopped) return;
    this.#timer?.cancel();
    this.#beatInBackground();
  }

  /** Resolves when the record is there, so that the transaction outlives its anchor's leaseholder (trap X5). */
  async ensureRecord(): Promise<void> {
    if (this.#hasRecord || this.#stopped) return;
    this.#timer?.cancel();
    await this.#beat();
    if (this.#hasRecord || this.#stopped) return;
    throw new KvFailure({ kind: 'unavailable', reason: 'the record of the transaction' });
  }

  stop(): void {
    this.#stopped = true;
    this.#timer?.cancel();
  }

  #schedule(): void {
    this.#timer?.cancel();
    this.#timer = this.#txn.parts.env.timers.after(heartbeatMs, () => this.#beatInBackground());
  }

  #beatInBackground(): void {
    this.#txn.parts.background(this.#beat(), 'a transaction heartbeat');
  }

  async #beat(): Promise<void> {
    const txn = this.#txn.meta;
    this.hasBeaten = true;
    const header = { ...this.#txn.header({}, false), txn: undefined };
    const response = await this.#txn.parts.router.sendBatch(header, [
      { kind: 'heartbeat-txn', txn, now: txn.writeTimestamp },
    ]);
    if (this.#stopped) return;
    const result = response.kind === 'ok' ? response.results[0] : undefined;
    this.#hasRecord ||= result?.kind === 'heartbeat-txn' && result.status === 'pending';
    if (result?.kind === 'heartbeat-txn' && result.status === 'aborted' && !this.muted) {
      this.#txn.abortedByOthers();
      return;
    }
    this.#schedule();
  }
}
