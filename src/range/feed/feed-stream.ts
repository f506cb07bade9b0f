/**
 * What one consumer has asked a store for: any number of feeds, drained together. The feeds that have something to say wait in the order in
 * which they began to, and get a turn each.
 */
import {
  feedEventBytes,
  nextWaitMs,
  type RangeFeedAnswer,
  type RangeFeedEnd,
  type RangeFeedEvent,
} from '../../kv/index.ts';
import { type Env, type TimerHandle } from '../../util/index.ts';
import { FeedBudget } from './budget.ts';
import { type RangeFeed } from './range-feed.ts';
import { type Registration, type RegistrationOptions } from './registration.ts';

type Tagged = Extract<RangeFeedAnswer, { kind: 'events' }>['events'][number];

const answerBytes = 1 << 20;
/** The consumer would give up a call that takes long; the past of a large range does. */
const lookMs = 500;
const keptBytes = 8 << 20;

export class FeedStream {
  readonly #env: Env;
  readonly #budget = new FeedBudget(keptBytes);
  readonly #feeds = new Map<number, Registration>();
  readonly #ready = new Set<number>();
  #wake: (() => void) | undefined;
  #askedAtMs: number;

  constructor(env: Env) {
    this.#env = env;
    this.#askedAtMs = env.clock.monotonicMs();
  }

  /** For so long the consumer has not asked. */
  get idleMs(): number {
    return this.#wake === undefined ? this.#env.clock.monotonicMs() - this.#askedAtMs : 0;
  }

  /** Why it cannot begin, or undefined. */
  open(id: number, source: RangeFeed, options: RegistrationOptions): RangeFeedEnd | undefined {
    const registered = source.register(options, this.#budget, () => this.#hasNews(id));
    if ('kind' in registered) return registered;
    this.close(id);
    this.#feeds.set(id, registered);
    this.#hasNews(id);
    return undefined;
  }

  close(id: number): void {
    this.#feeds.get(id)?.close();
    this.#feeds.delete(id);
    this.#ready.delete(id);
  }

  closeAll(): void {
    for (const id of this.#feeds.keys()) this.close(id);
    this.#wake?.();
  }

  /** What there is, about 1 MiB of it; waits a while for the first event. */
  async next(): Promise<Tagged[]> {
    if (this.#ready.size === 0) await this.#untilNews();
    const events: Tagged[] = [];
    let bytes = 0;
    const untilMs = this.#env.clock.monotonicMs() + lookMs;
    // Each has one turn; those that have more to say wait for the next call.
    const turns = [...this.#ready];
    for (const id of turns) {
      if (bytes >= answerBytes || this.#env.clock.monotonicMs() > untilMs) break;
      this.#ready.delete(id);
      const feed = this.#feeds.get(id);
      if (feed === undefined) continue;
      const taken: readonly RangeFeedEvent[] = await feed.take(answerBytes - bytes);
      for (const event of taken) {
        bytes += feedEventBytes(event);
        events.push([id, event]);
        if (event.kind === 'end') this.close(id);
      }
      if (this.#feeds.get(id) === feed && feed.hasNews) this.#ready.add(id);
    }
    this.#askedAtMs = this.#env.clock.monotonicMs();
    return events;
  }

  #untilNews(): Promise<void> {
    return new Promise((resolve) => {
      let timer: TimerHandle | undefined;
      this.#wake = () => {
        timer?.cancel();
        this.#wake = undefined;
        resolve();
      };
      timer = this.#env.timers.after(nextWaitMs, () => this.#wake?.());
    });
  }

  #hasNews(id: number): void {
    if (!this.#feeds.has(id)) return;
    this.#ready.add(id);
    this.#wake?.();
  }
}
