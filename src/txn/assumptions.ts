/**
 * Optimistic reads: the value of a key as this node's own replica has it, without a trip to the
 * leaseholder. It may be out of date; whoever assumes it writes the key on the condition that it still
 * holds (Kung and Robinson 1981, validation at commit). A key whose assumption failed is left alone for a
 * while: under contention a lock is cheaper than a second try.
 */
import { type Clock } from '../util/index.ts';

const avoidMs = 1_000;
/** More keys than this are not remembered; the oldest is forgotten first. */
const avoidedMax = 1_024;

export class Assumptions {
  readonly #clock: Clock;
  readonly #peek: (key: Buffer) => Buffer | undefined;
  /** Until when (monotonic milliseconds), by key. */
  readonly #avoided = new Map<string, number>();

  constructor(clock: Clock, peek: (key: Buffer) => Buffer | undefined) {
    this.#clock = clock;
    this.#peek = peek;
  }

  /** Undefined: ask the leaseholder. The value must not be changed. */
  value(key: Buffer): Buffer | undefined {
    if (this.#avoided.size > 0 && this.#isAvoided(key)) return undefined;
    return this.#peek(key);
  }

  failed(key: Buffer): void {
    const [oldest] = this.#avoided.keys();
    if (oldest !== undefined && this.#avoided.size >= avoidedMax) this.#avoided.delete(oldest);
    const name = key.toString('latin1');
    this.#avoided.delete(name);
    this.#avoided.set(name, this.#clock.monotonicMs() + avoidMs);
  }

  #isAvoided(key: Buffer): boolean {
    const name = key.toString('latin1');
    const until = this.#avoided.get(name);
    if (until === undefined) return false;
    if (this.#clock.monotonicMs() < until) return true;
    this.#avoided.delete(name);
    return false;
  }
}
