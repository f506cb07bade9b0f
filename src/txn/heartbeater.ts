/**
 * The life sign of a transaction that holds locks or intents: who waits for it aborts it when it has
 * not been heard of for five heartbeats (trap X12). The first beat comes a second after the first lock,
 * so short transactions send none and need no record. Long ones want theirs early: without a record they do not
 * survive a change of the lease at their anchor (trap X5).
 */
import { type TimerHandle } from '../util/index.ts';
import { type ClusterTxn } from './cluster-txn.ts';

const heartbeatMs = 1_000;

export class Heartbeater {
  readonly #txn: ClusterTxn;
  #timer: TimerHandle | undefined;
  #stopped = false;
  /** A heartbeat was sent: there may be a record. */
  hasBeaten = false;
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

  stop(): void {
    this.#stopped = true;
    this.#timer?.cancel();
  }

  #schedule(): void {
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
    if (result?.kind === 'heartbeat-txn' && result.status === 'aborted' && !this.muted) {
      this.#txn.abortedByOthers();
      return;
    }
    this.#schedule();
  }
}
