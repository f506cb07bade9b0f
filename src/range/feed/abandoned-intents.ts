/**
 * Intents that hold a feed back for long: their transactions are asked for at their anchors. Those that have ended, or that nobody
 * keeps alive, are settled; one that is alive goes on, and the feed waits for it, unless its isolation level lets its
 * timestamp be moved.
 */
import { compareTimestamps } from '../../kv/index.ts';
import { type Intent } from '../../storage/index.ts';
import { ownerOf } from '../concurrency/lock-table.ts';
import { FinishedTxns } from '../concurrency/finished-txns.ts';
import { Pusher } from '../concurrency/pusher.ts';
import { type Replica } from '../replica/replica.ts';
import { type UnresolvedIntents } from './unresolved-intents.ts';

/** As long as a coordinator may be silent. */
const pushAfterMs = 5_000;
const pushEveryMs = 1_000;
const pushedAtOnce = 16;

export class AbandonedIntents {
  readonly #replica: Replica;
  readonly #pusher: Pusher;
  #isPushing = false;
  #pushedAtMs = Number.NEGATIVE_INFINITY;

  constructor(replica: Replica) {
    this.#replica = replica;
    this.#pusher = new Pusher(replica, new FinishedTxns(), (batch) => replica.sender.send(batch));
  }

  /** Begins to do something about old ones, all in their turn; they go with the commands that settle them. */
  push(intents: UnresolvedIntents): void {
    const { clock, env } = this.#replica;
    const nowMs = env.clock.monotonicMs();
    if (this.#isPushing || nowMs - this.#pushedAtMs < pushEveryMs) return;
    const old = intents.nextOlderThan(clock.physicalMicros() - pushAfterMs * 1000, pushedAtOnce);
    if (old.length === 0) return;
    this.#isPushing = true;
    Promise.all(old.map((intent) => this.#settle(intent)))
      .catch((error: unknown) => {
        env.log.warn({ range: this.#replica.rangeId, error: String(error) }, 'a push failed');
      })
      .finally(() => {
        this.#isPushing = false;
        this.#pushedAtMs = env.clock.monotonicMs();
      });
  }

  async #settle(intent: Intent): Promise<void> {
    const { clock, descriptor } = this.#replica;
    const how = { pusher: undefined, kind: 'timestamp', to: clock.now(), wait: false } as const;
    const outcome = await this.#pusher.push(ownerOf(intent), how);
    if (outcome.kind === 'failed') return;
    const { status, timestamp } = outcome.pushee;
    const hasEnded = status === 'committed' || status === 'aborted';
    if (!hasEnded && compareTimestamps(timestamp, intent.timestamp) <= 0) return;
    const { startKey, endKey } = descriptor;
    await this.#pusher.resolveHere([{ start: startKey, end: endKey }], outcome.pushee);
  }
}
