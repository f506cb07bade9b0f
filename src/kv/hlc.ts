/**
 * Hybrid logical clock (Kulkarni et al., "Logical Physical Clocks", 2014). A timestamp is wall time
 * in microseconds plus a logical counter; a node's clock never goes backwards and never falls behind
 * a timestamp it has seen, so causally later events get larger timestamps.
 *
 * INVARIANT 1: `now()` returns strictly rising timestamps.
 * INVARIANT 2: after `observe(t)`, `now() > t`.
 */
import { assert, isCount, type Clock } from '../util/index.ts';
import { MachineClock } from './machine-clock.ts';

export interface Timestamp {
  /** Microseconds since the Unix epoch, an integer below 2^53. */
  readonly wall: number;
  /** Integer in [0, 2^32). */
  readonly logical: number;
}

/** For decoders: what somebody sent is a timestamp. */
export function isTimestamp(value: unknown): value is Timestamp {
  if (typeof value !== 'object' || value === null) return false;
  const logical: unknown = Reflect.get(value, 'logical');
  return isCount(Reflect.get(value, 'wall')) && isCount(logical) && logical <= 0xffff_ffff;
}

export const zeroTimestamp: Timestamp = { wall: 0, logical: 0 };
export const maxTimestamp: Timestamp = { wall: Number.MAX_SAFE_INTEGER, logical: 0xffffffff };

export function compareTimestamps(a: Timestamp, b: Timestamp): number {
  return a.wall === b.wall ? a.logical - b.logical : a.wall - b.wall;
}

export function equalTimestamps(a: Timestamp, b: Timestamp): boolean {
  return a.wall === b.wall && a.logical === b.logical;
}

export function laterTimestamp(a: Timestamp, b: Timestamp): Timestamp {
  return compareTimestamps(a, b) >= 0 ? a : b;
}

/** The smallest timestamp above `t`. */
export function nextTimestamp(t: Timestamp): Timestamp {
  return t.logical === 0xffffffff
    ? { wall: t.wall + 1, logical: 0 }
    : { wall: t.wall, logical: t.logical + 1 };
}

/** The largest timestamp below `t`. */
export function previousTimestamp(t: Timestamp): Timestamp {
  return t.logical === 0
    ? { wall: t.wall - 1, logical: 0xffffffff }
    : { wall: t.wall, logical: t.logical - 1 };
}

export function addMicros(t: Timestamp, micros: number): Timestamp {
  return { wall: t.wall + micros, logical: t.logical };
}

/** `1714053000000000.0000000003`: wall microseconds, then the counter with ten digits. */
export function formatTimestamp(t: Timestamp): string {
  return `${t.wall}.${String(t.logical).padStart(10, '0')}`;
}

export class HlcClock {
  readonly machine: MachineClock;
  readonly maxOffsetMicros: number;
  #wall = 0;
  #logical = 0;

  constructor(clock: Clock, options: { maxOffsetMicros: number }) {
    this.machine = new MachineClock(clock, options.maxOffsetMicros);
    this.maxOffsetMicros = options.maxOffsetMicros;
  }

  now(): Timestamp {
    const physical = this.machine.readMicros();
    if (physical > this.#wall) {
      this.#wall = physical;
      this.#logical = 0;
    } else if (this.#logical === 0xffffffff) {
      this.#wall += 1;
      this.#logical = 0;
    } else {
      this.#logical += 1;
    }
    return { wall: this.#wall, logical: this.#logical };
  }

  /** The machine's clock as far as it can be believed, however far ahead of it this one is. */
  physicalMicros(): number {
    return this.machine.readMicros();
  }

  /** Why this node must serve nobody by this clock (a sentence), or undefined: see `MachineClock`. */
  complaint(): string | undefined {
    return this.machine.complaint(this.#wall);
  }

  /** Moves the clock up to `t` when it is behind. */
  observe(t: Timestamp): void {
    assert(t.wall < Number.MAX_SAFE_INTEGER, 'a sentinel timestamp never reaches the clock');
    if (t.wall > this.#wall) {
      this.#wall = t.wall;
      this.#logical = t.logical;
    } else if (t.wall === this.#wall && t.logical > this.#logical) {
      this.#logical = t.logical;
    }
  }

  /** True when `t` is further ahead of this machine's clock than clocks may differ: refuse it (trap T10). */
  isTooFarAhead(t: Timestamp): boolean {
    return t.wall > this.machine.readMicros() + this.maxOffsetMicros;
  }
}
