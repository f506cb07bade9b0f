/**
 * Latches: short-lived mutual exclusion of requests that touch the same keys while one of them
 * evaluates and replicates. They are held by a request, not by a transaction, and never while it
 * waits for a lock.
 *
 * A request enters all its latches in one step and waits for the conflicting requests that entered
 * before it, so latches cannot deadlock and nobody overtakes.
 *
 * Reads share. A read at t and a write at T conflict only when T <= t: a read below a write in flight
 * cannot see it, and the timestamp cache keeps later writes off. What changes nothing that a read sees has no T.
 *
 * INVARIANT: a guard is in the tables from `acquire` to `release`; `waitingFor` counts the conflicting
 * guards that entered before it and have not been released.
 */
import { compareTimestamps, SortedMap, zeroTimestamp, type Timestamp } from '../../kv/index.ts';
import { compareBytes, emptyBytes, nextKey } from '../../util/index.ts';

export interface LatchSpan {
  readonly start: Buffer;
  /** Undefined: the single key `start`. */
  readonly end: Buffer | undefined;
  readonly write: boolean;
  /** Writes conflict with reads at or above it; undefined: with none, they change nothing that a read sees. */
  readonly timestamp: Timestamp | undefined;
}

interface Held {
  readonly span: LatchSpan;
  readonly guard: LatchGuard;
}

export class LatchGuard {
  readonly held: Held[] = [];
  waitingFor = 0;
  readonly dependents: LatchGuard[] = [];
  wake: (() => void) | undefined;
  released = false;
}

export class Latches {
  readonly #points = new SortedMap<Held[]>();
  #spans: Held[] = [];
  #guards = 0;

  /** Number of requests that hold or wait for latches. */
  get size(): number {
    return this.#guards;
  }

  /** Enters; when `guard.waitingFor` is above zero the caller has to await `granted` first. */
  acquire(spans: readonly LatchSpan[]): LatchGuard {
    const guard = new LatchGuard();
    this.#guards++;
    for (const span of spans) this.#findConflicts(span, guard);
    for (const span of spans) this.#enter({ span, guard });
    return guard;
  }

  granted(guard: LatchGuard): Promise<void> | undefined {
    if (guard.waitingFor === 0) return undefined;
    return new Promise((resolve) => {
      guard.wake = resolve;
    });
  }

  /** True when a read of `key` at `timestamp` would have to wait. */
  blocksRead(key: Buffer, timestamp: Timestamp): boolean {
    if (this.#guards === 0) return false;
    const read = { start: key, end: undefined, write: false, timestamp };
    for (const held of this.#points.get(key) ?? []) if (conflicts(held.span, read)) return true;
    return this.#spans.some((held) => overlaps(held.span, read) && conflicts(held.span, read));
  }

  release(guard: LatchGuard): void {
    if (guard.released) return;
    guard.released = true;
    this.#guards--;
    for (const held of guard.held) this.#leave(held);
    for (const dependent of guard.dependents) {
      dependent.waitingFor--;
      if (dependent.waitingFor === 0) dependent.wake?.();
    }
  }

  /** Waits until all others are gone and keeps newcomers out until the guard is released. */
  async acquireAll(): Promise<LatchGuard> {
    const everything = { start: emptyBytes, end: afterEverything };
    const guard = this.acquire([{ ...everything, write: true, timestamp: zeroTimestamp }]);
    await this.granted(guard);
    return guard;
  }

  #findConflicts(span: LatchSpan, guard: LatchGuard): void {
    const meet = (held: Held): void => {
      if (!conflicts(held.span, span) || held.guard.dependents.at(-1) === guard) return;
      held.guard.dependents.push(guard);
      guard.waitingFor++;
    };
    for (const held of this.#spans) if (overlaps(held.span, span)) meet(held);
    if (span.end === undefined) {
      for (const held of this.#points.get(span.start) ?? []) meet(held);
    } else {
      this.#points.visit(span.start, span.end, (_key, list) => {
        for (const held of list) meet(held);
      });
    }
  }

  #enter(held: Held): void {
    held.guard.held.push(held);
    if (held.span.end !== undefined) {
      this.#spans.push(held);
      return;
    }
    const list = this.#points.get(held.span.start);
    if (list === undefined) this.#points.set(held.span.start, [held]);
    else list.push(held);
  }

  #leave(held: Held): void {
    if (held.span.end !== undefined) {
      this.#spans = this.#spans.filter((other) => other !== held);
      return;
    }
    const list = this.#points.get(held.span.start) ?? [];
    if (list.length <= 1) this.#points.delete(held.span.start);
    else list.splice(list.indexOf(held), 1);
  }
}

/** Behind every key, the end of the keyspace (\xff) included. */
export const afterEverything: Buffer = Buffer.from([0xff, 0xff]);

function overlaps(a: LatchSpan, b: LatchSpan): boolean {
  const aEnd = a.end ?? nextKey(a.start);
  const bEnd = b.end ?? nextKey(b.start);
  return compareBytes(a.start, bEnd) < 0 && compareBytes(b.start, aEnd) < 0;
}

function conflicts(a: LatchSpan, b: LatchSpan): boolean {
  if (a.write && b.write) return true;
  if (!a.write && !b.write) return false;
  const [write, read] = a.write ? [a.timestamp, b.timestamp] : [b.timestamp, a.timestamp];
  return write !== undefined && read !== undefined && compareTimestamps(write, read) <= 0;
}
