/**
 * The feeds of one replica: tells everyone who has registered what is committed as it is applied, and how far the range is resolved:
 * up to its closed timestamp, unless an intent below it may still be committed. Any replica can do that, as what is closed
 * travels with the log. It exists while somebody is registered, and costs nothing otherwise.
 *
 * INVARIANT: it sees the writes of every command that is applied while it exists, before the engine has them and before the closed
 *   timestamp that came with them is known. Where a replica gets data in another way its feeds end.
 */
import {
  compareTimestamps,
  containsKey,
  laterTimestamp,
  previousTimestamp,
  zeroTimestamp,
  type RangeFeedEnd,
  type Timestamp,
} from '../../kv/index.ts';
import { type EngineWrite } from '../../storage/index.ts';
import { readThreshold } from '../replica/range-state.ts';
import { type Replica } from '../replica/replica.ts';
import { AbandonedIntents } from './abandoned-intents.ts';
import { type FeedBudget } from './budget.ts';
import { CatchUp } from './catch-up.ts';
import { committedBy, headChanges } from './head-changes.ts';
import { Registration, type RegistrationOptions } from './registration.ts';
import { UnresolvedIntents } from './unresolved-intents.ts';

export class RangeFeed {
  readonly #replica: Replica;
  readonly #registrations = new Set<Registration>();
  readonly #intents = new UnresolvedIntents();
  readonly #abandoned: AbandonedIntents;
  /** All intents are counted. */
  #isReady = false;
  #hasEnded = false;
  #resolved = zeroTimestamp;

  constructor(replica: Replica) {
    this.#replica = replica;
    this.#abandoned = new AbandonedIntents(replica);
    this.#countIntents().catch((error: unknown) => {
      replica.env.log.warn({ range: replica.rangeId, error: String(error) }, 'a feed has failed');
      this.end({ kind: 'replica-removed' });
    });
  }

  /** From this very step on; `end` in the result: it cannot begin there. */
  register(
    options: RegistrationOptions,
    budget: FeedBudget,
    wake: () => void,
  ): Registration | RangeFeedEnd {
    if (this.#hasEnded) return { kind: 'not-here' };
    const { host, engine, descriptor } = this.#replica;
    const { after } = options;
    const threshold = readThreshold(engine, descriptor);
    if (compareTimestamps(after, threshold) < 0) {
      return { kind: 'below-gc-threshold', timestamp: after, threshold };
    }
    const past = new CatchUp(host.env, host.engineSnapshot(), options);
    const registration = new Registration(options, past, budget, wake);
    this.#registrations.add(registration);
    return registration;
  }

  /** The writes of commands, about to be applied together. */
  observe(writes: readonly EngineWrite[]): void {
    const { engine, descriptor } = this.#replica;
    for (const change of headChanges(writes, engine)) {
      // Local keys are addressed to the range, and not counted in `scan` either.
      if (!containsKey(descriptor, change.key)) continue;
      this.#intents.note(change);
      for (const committed of committedBy(change)) {
        for (const registration of this.#registrations) registration.publish(committed);
      }
    }
  }

  /** Tells how far the range is resolved. False: nobody wants to know. */
  tick(): boolean {
    for (const registration of this.#registrations) {
      if (registration.hasEnded) this.#registrations.delete(registration);
    }
    if (this.#hasEnded || this.#registrations.size === 0) return false;
    if (!this.#isReady) return true;
    this.#resolved = laterTimestamp(this.#resolved, this.#resolvable());
    for (const registration of this.#registrations) registration.resolve(this.#resolved);
    this.#abandoned.push(this.#intents);
    return true;
  }

  /** The end of all feeds; data in `span` alone are concerned when it is given. */
  end(end: RangeFeedEnd, span?: { readonly start: Buffer; readonly end: Buffer }): void {
    this.#hasEnded = true;
    for (const registration of this.#registrations) {
      const isConcerned = span === undefined || registration.overlaps(span.start, span.end);
      registration.end(isConcerned ? end : { kind: 'data-replaced' });
    }
    this.#registrations.clear();
  }

  #resolvable(): Timestamp {
    const closed = { wall: this.#replica.closedTimestamp, logical: 0 };
    const oldest = this.#intents.oldest?.timestamp;
    const isHeld = oldest !== undefined && compareTimestamps(oldest, closed) <= 0;
    return isHeld ? previousTimestamp(oldest) : closed;
  }

  async #countIntents(): Promise<void> {
    const { host, descriptor } = this.#replica;
    const snapshot = host.engineSnapshot();
    try {
      await this.#intents.scan(host.env, snapshot, descriptor);
      this.#isReady = true;
    } finally {
      snapshot.close();
    }
  }
}
