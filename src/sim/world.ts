/**
 * The world: virtual time in which a whole cluster runs as one deterministic program. Events (timers,
 * message arrivals, disk completions) wait in a queue; the world takes the earliest, moves the time to
 * it, runs it, and then drains all promise continuations before the next one. Timers of the same
 * instant run in an order drawn from the seed, immediates in the order they were asked for.
 *
 * INVARIANT 1: nothing that runs inside a world may wait for anything real (I/O, timers, workers):
 *   then the same seed gives the same run, which `traceHash` shows.
 * INVARIANT 2: a process that was killed runs no further event (its timers belong to its epoch).
 */
import {
  assert,
  type Clock,
  type Env,
  type Logger,
  type TimerHandle,
  type Timers,
} from '../util/index.ts';
import { type Disk } from '../util/index.ts';
import { SeededRandom } from './random.ts';

interface Event {
  readonly atMs: number;
  readonly tie: number;
  readonly sequence: number;
  fn: (() => void) | undefined;
}

export interface WorldOptions {
  readonly seed: number;
  /** Runs all promise jobs that are ready; must be called outside of any promise job. */
  readonly drainMicrotasks: () => void;
  /** One line per noteworthy event; undefined = no story. */
  readonly trace: ((line: string) => void) | undefined;
}

/** Where virtual wall clocks start: 2026-01-01 00:00 UTC. */
const epochMicros = 1_767_225_600_000_000;

export class World {
  readonly random: SeededRandom;
  readonly #options: WorldOptions;
  readonly #tieRandom: SeededRandom;
  readonly #queue = new EventHeap();
  #nowMs = 0;
  #sequence = 0;
  #hash = 0x811c9dc5;
  #events = 0;

  constructor(options: WorldOptions) {
    this.#options = options;
    this.random = new SeededRandom(options.seed);
    this.#tieRandom = this.random.fork();
  }

  get nowMs(): number {
    return this.#nowMs;
  }

  get events(): number {
    return this.#events;
  }

  /** Changes with everything that is mixed in: equal hashes mean equal runs. */
  get traceHash(): string {
    return (this.#hash >>> 0).toString(16).padStart(8, '0');
  }

  mix(text: string): void {
    let hash = this.#hash;
    for (let i = 0; i < text.length; i++) {
      hash = Math.imul(hash ^ text.charCodeAt(i), 0x01000193);
    }
    this.#hash = hash;
  }

  story(line: string): void {
    this.mix(line);
    this.#options.trace?.(`${(this.#nowMs / 1000).toFixed(3).padStart(9)}s  ${line}`);
  }

  immediate(fn: () => void): void {
    this.#queue.push({ atMs: this.#nowMs, tie: 0, sequence: this.#sequence++, fn });
  }

  after(delayMs: number, fn: () => void): TimerHandle {
    assert(delayMs >= 0 && delayMs < 2 ** 31, 'a timer delay is in [0, 2^31)');
    return this.at(this.#nowMs + delayMs, fn);
  }

  /** At exactly that time: `after(atMs - nowMs)` can round to just before it. */
  at(atMs: number, fn: () => void): TimerHandle {
    const tie = this.#tieRandom.u32();
    const event: Event = { atMs, tie, sequence: this.#sequence++, fn };
    this.#queue.push(event);
    return {
      cancel: () => {
        event.fn = undefined;
      },
    };
  }

  /** The world's own timers: not bound to any process. */
  readonly timers: Timers = {
    after: (delayMs, fn) => this.after(delayMs, fn),
    immediate: (fn) => this.immediate(fn),
  };

  readonly clock: Clock = {
    wallMicros: () => epochMicros + Math.floor(this.#nowMs * 1000),
    monotonicMs: () => this.#nowMs,
  };

  /** Runs until `done()` or the time is up; returns whether it was done. */
  run(untilMs: number, done: () => boolean = () => false): boolean {
    this.#options.drainMicrotasks();
    while (!done()) {
      const event = this.#queue.peek();
      if (event === undefined || event.atMs > untilMs) {
        this.#nowMs = Math.max(this.#nowMs, untilMs);
        return done();
      }
      this.#queue.pop();
      if (event.fn === undefined) continue;
      this.#nowMs = Math.max(this.#nowMs, event.atMs);
      this.#events++;
      const fn = event.fn;
      event.fn = undefined;
      fn();
      this.#options.drainMicrotasks();
    }
    return true;
  }
}

/** Wall clock of one machine against true time. */
export interface ClockSkew {
  offsetMs: number;
  /** Parts per million the clock runs fast (negative: slow). */
  driftPpm: number;
}

/** Clock readings within one event, and the promise jobs behind it, beyond which a process spins. */
const readsPerEventMax = 200_000;

/** One run of one node's process: its Env dies with it. */
export class ProcessEnv implements Env {
  readonly clock: Clock;
  readonly timers: Timers;
  readonly random: SeededRandom;
  readonly disk: Disk;
  readonly log: Logger;
  readonly checks = true;
  readonly #chance: SeededRandom;
  readonly #world: World;
  #alive = true;
  #event = -1;
  #readsInEvent = 0;
  /** Events are held back until then: the process is paused. */
  #pausedUntilMs = 0;

  constructor(
    world: World,
    parts: {
      readonly disk: Disk;
      readonly log: Logger;
      readonly skew: ClockSkew;
      /** The process never gives the event loop back; it is ended. */
      readonly onSpin?: () => void;
    },
  ) {
    this.#world = world;
    this.random = world.random.fork();
    this.#chance = world.random.fork();
    this.disk = parts.disk;
    this.log = parts.log;
    const { skew } = parts;
    this.clock = {
      wallMicros: () => {
        this.#noteRead(parts.onSpin);
        return (
          epochMicros + Math.floor((world.nowMs * (1 + skew.driftPpm / 1e6) + skew.offsetMs) * 1000)
        );
      },
      monotonicMs: () => {
        this.#noteRead(parts.onSpin);
        return world.nowMs;
      },
    };
    const guard = (fn: () => void): (() => void) => {
      const guarded = (): void => {
        if (!this.#alive) return;
        if (world.nowMs < this.#pausedUntilMs) {
          world.at(this.#pausedUntilMs, guarded);
          return;
        }
        fn();
      };
      return guarded;
    };
    this.timers = {
      after: (delayMs, fn) => world.after(Math.max(0, delayMs), guard(fn)),
      immediate: (fn) => world.immediate(guard(fn)),
    };
  }

  get alive(): boolean {
    return this.#alive;
  }

  /** Promise jobs that make each other for ever would hang the whole world: a real node would freeze. */
  #noteRead(onSpin: (() => void) | undefined): void {
    if (this.#event !== this.#world.events) {
      this.#event = this.#world.events;
      this.#readsInEvent = 0;
    }
    if (++this.#readsInEvent <= readsPerEventMax) return;
    if (this.#alive) {
      this.#alive = false;
      onSpin?.();
    }
    throw new Error('the process spins: it does not return to its event loop');
  }

  get isPaused(): boolean {
    return this.#world.nowMs < this.#pausedUntilMs;
  }

  kill(): void {
    this.#alive = false;
  }

  /** The event loop stalls (SIGSTOP, a long collection): what is due runs late, in a burst. */
  pauseUntil(timeMs: number): void {
    this.#pausedUntilMs = timeMs;
  }

  sometimes(percent: number): boolean {
    return this.#chance.float() * 100 < percent;
  }
}

/** Binary heap by (time, tie, sequence). */
class EventHeap {
  readonly #items: Event[] = [];

  peek(): Event | undefined {
    return this.#items[0];
  }

  push(event: Event): void {
    const items = this.#items;
    let at = items.length;
    items.push(event);
    while (at > 0) {
      const parent = (at - 1) >> 1;
      const above = items[parent];
      if (above === undefined || !before(event, above)) break;
      items[at] = above;
      at = parent;
    }
    items[at] = event;
  }

  pop(): void {
    const items = this.#items;
    const last = items.pop();
    if (last === undefined || items.length === 0) return;
    let at = 0;
    for (;;) {
      let child = 2 * at + 1;
      const left = items[child];
      if (left === undefined) break;
      const right = items[child + 1];
      let smaller = left;
      if (right !== undefined && before(right, left)) {
        smaller = right;
        child++;
      }
      if (!before(smaller, last)) break;
      items[at] = smaller;
      at = child;
    }
    items[at] = last;
  }
}

function before(a: Event, b: Event): boolean {
  if (a.atMs !== b.atMs) return a.atMs < b.atMs;
  if (a.tie !== b.tie) return a.tie < b.tie;
  return a.sequence < b.sequence;
}
