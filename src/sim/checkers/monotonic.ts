/** Clients that insert one more than the largest number there is: what is there are the numbers from 1 on, each once. */
import { findingsAmong } from './describe.ts';
import { type Finding, type Recorded } from './history.ts';
import { int, listOf, operations, orNull, type OperationOf } from './shape.ts';

const shapes = {
  /** The number that it came to. */
  insert: orNull(int),
  /** All of them, in any order. */
  read: orNull(listOf(int)),
};

export type MonotonicOperation = OperationOf<typeof shapes>;
export const monotonicCodec = operations(shapes);

/**
 *   duplicate      twice in one read, or inserted twice
 *   gap            a read misses a number below one that it has
 *   not-rising     inserted after a larger number, or an equal one, was acknowledged or seen
 *   lost           acknowledged, and missing in a read that began later
 */
export function checkMonotonic(history: readonly Recorded<MonotonicOperation>[]): Finding[] {
  const { findings, found } = findingsAmong(monotonicCodec);
  const inserted = new Map<number, Recorded<MonotonicOperation>>();
  /** The largest number known at each moment at which that changed. */
  const known = new RisingMaximum<Recorded<MonotonicOperation>>();
  const done = history
    .filter(({ outcome }) => outcome === 'ok')
    .toSorted((a, b) => a.completed - b.completed);
  for (const operation of done) {
    const { kind, value } = operation.what;
    if (value === null) continue;
    if (kind === 'insert') {
      const other = inserted.get(value);
      if (other !== undefined) {
        found('duplicate', other, operation);
      }
      inserted.set(value, operation);
      known.raise(operation.completed, value, operation);
    } else {
      known.raise(operation.completed, Math.max(0, ...value), operation);
    }
  }
  for (const operation of done) {
    const { kind, value } = operation.what;
    if (value === null) continue;
    const before = known.before(operation.invoked);
    if (kind === 'insert') {
      if (before === undefined || before.value < value) continue;
      // Two that are equal are duplicates already.
      if (before.value === value && before.from.what.kind === 'insert') continue;
      found('not-rising', before.from, operation);
      continue;
    }
    const numbers = new Set(value);
    const largest = Math.max(0, ...value);
    if (numbers.size < value.length) found('duplicate', operation);
    if (numbers.size < largest) found('gap', operation);
    if (before !== undefined && before.value > largest) {
      found('lost', before.from, operation);
    }
  }
  return findings;
}

interface Maximum<From> {
  readonly at: number;
  readonly value: number;
  readonly from: From;
}

/** Raised at rising moments, asked about any. */
class RisingMaximum<From> {
  readonly #raises: Maximum<From>[] = [];

  raise(at: number, value: number, from: From): void {
    const latest = this.#raises.at(-1);
    if (latest === undefined || latest.value < value) this.#raises.push({ at, value, from });
  }

  /** The largest value known before a moment. */
  before(at: number): Maximum<From> | undefined {
    return this.#raises.findLast((raise) => raise.at < at);
  }
}
