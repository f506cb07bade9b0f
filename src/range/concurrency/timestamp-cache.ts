/**
 * The timestamp cache: which keys were read up to which timestamp, and by whom. A write that would
 * land at or below a read of another transaction is moved above it (traps X1, X15).
 *
 * Point reads sit in a hash map; span reads in a step function over the keys: the step at a boundary
 * holds up to the next boundary. Memory is bounded by two generations: when the young one is full the
 * old one is thrown away and the low water, a read of everything, rises to the largest timestamp that it held.
 *
 * INVARIANT 1: the answer for a key never falls (but for `reset`).
 * INVARIANT 2: a read that is remembered for one transaction hides no earlier one by others from that transaction. It may
 *   write below its own read: the answer that would have told it where that stands may have been an error, or not been waited for.
 */
import { compareBytes, equalBytes } from '../../util/index.ts';
import {
  compareTimestamps,
  equalTimestamps,
  laterTimestamp,
  SortedMap,
  zeroTimestamp,
  type Timestamp,
  type TxnId,
} from '../../kv/index.ts';

export interface CachedRead {
  readonly timestamp: Timestamp;
  /** Undefined: nobody in particular, or several. */
  readonly txnId: TxnId | undefined;
  /** The latest read by anybody else; zero when there is no `txnId`. */
  readonly others: Timestamp;
}

export interface TimestampCacheOptions {
  /** Point reads of one generation. */
  readonly maxPoints: number;
  /** Boundaries of one generation. */
  readonly maxSteps: number;
}

export const defaultTimestampCacheOptions: TimestampCacheOptions = {
  maxPoints: 32_768,
  maxSteps: 8_192,
};

interface Generation {
  readonly points: Map<string, CachedRead>;
  readonly steps: SortedMap<CachedRead>;
  max: Timestamp;
}

const never: CachedRead = { timestamp: zeroTimestamp, txnId: undefined, others: zeroTimestamp };

export class TimestampCache {
  readonly #options: TimestampCacheOptions;
  #lowWater: Timestamp;
  #young = newGeneration();
  #old = newGeneration();

  constructor(lowWater: Timestamp, options = defaultTimestampCacheOptions) {
    this.#lowWater = lowWater;
    this.#options = options;
  }

  get lowWater(): Timestamp {
    return this.#lowWater;
  }

  /** No read above it is remembered. */
  get ceiling(): Timestamp {
    return laterTimestamp(this.#lowWater, laterTimestamp(this.#old.max, this.#young.max));
  }

  /** Forgets everything: all of the keyspace counts as read at `lowWater` (rule T1). */
  reset(lowWater: Timestamp): void {
    this.#lowWater = lowWater;
    this.#young = newGeneration();
    this.#old = newGeneration();
  }

  addPoint(key: Buffer, timestamp: Timestamp, txnId: TxnId | undefined): void {
    if (compareTimestamps(timestamp, this.#lowWater) <= 0) return;
    const name = key.toString('latin1');
    const { points } = this.#young;
    const before = points.get(name) ?? never;
    const after = merge(before, timestamp, txnId);
    if (after === before) return;
    points.set(name, after);
    this.#grown(timestamp);
  }

  /** `end` undefined: the single key `start`. */
  add(
    start: Buffer,
    end: Buffer | undefined,
    timestamp: Timestamp,
    txnId: TxnId | undefined,
  ): void {
    if (end === undefined) this.addPoint(start, timestamp, txnId);
    else if (compareBytes(start, end) < 0 && compareTimestamps(timestamp, this.#lowWater) > 0) {
      addStep(this.#young.steps, start, end, timestamp, txnId);
      this.#grown(timestamp);
    }
  }

  /** The latest read of `key` by anybody but `reader`. */
  latest(key: Buffer, reader: TxnId | undefined): Timestamp {
    let latest = this.#lowWater;
    const name = key.toString('latin1');
    for (const generation of [this.#young, this.#old]) {
      const point = generation.points.get(name);
      if (point !== undefined) latest = laterUnlessOwn(latest, point, reader);
      const step = generation.steps.floor(key);
      if (step !== undefined) latest = laterUnlessOwn(latest, step.value, reader);
    }
    return latest;
  }

  /** The latest read of any key in [start, end) by anybody but `reader`. */
  latestIn(start: Buffer, end: Buffer, reader: TxnId | undefined): Timestamp {
    let latest = this.latest(start, reader);
    const from = start.toString('latin1');
    const to = end.toString('latin1');
    for (const generation of [this.#young, this.#old]) {
      generation.steps.visit(start, end, (_key, read) => {
        latest = laterUnlessOwn(latest, read, reader);
      });
      for (const [name, read] of generation.points) {
        if (name >= from && name < to) latest = laterUnlessOwn(latest, read, reader);
      }
    }
    return latest;
  }

  /** Lets `other` know of all reads at or behind `splitKey` (rule T7). */
  copyTo(other: TimestampCache, splitKey: Buffer): void {
    other.reset(this.#lowWater);
    const from = splitKey.toString('latin1');
    for (const generation of [this.#old, this.#young]) {
      for (const [name, read] of generation.points) {
        if (name >= from) other.#addRead(Buffer.from(name, 'latin1'), undefined, read);
      }
      let previous: { start: Buffer; read: CachedRead } | undefined;
      const first = generation.steps.floor(splitKey);
      if (first !== undefined) previous = { start: splitKey, read: first.value };
      generation.steps.visit(splitKey, undefined, (key, read) => {
        if (previous !== undefined) other.#addRead(previous.start, key, previous.read);
        previous = { start: key, read };
      });
    }
  }

  #addRead(start: Buffer, end: Buffer | undefined, { timestamp, txnId, others }: CachedRead): void {
    this.add(start, end, others, undefined);
    this.add(start, end, timestamp, txnId);
  }

  #grown(timestamp: Timestamp): void {
    const young = this.#young;
    young.max = laterTimestamp(young.max, timestamp);
    const full =
      young.points.size >= this.#options.maxPoints || young.steps.size >= this.#options.maxSteps;
    if (!full) return;
    this.#lowWater = laterTimestamp(this.#lowWater, this.#old.max);
    this.#old = young;
    this.#young = newGeneration();
  }
}

function newGeneration(): Generation {
  return { points: new Map(), steps: new SortedMap(), max: zeroTimestamp };
}

/** The same object when the new read adds nothing. */
function merge(before: CachedRead, timestamp: Timestamp, txnId: TxnId | undefined): CachedRead {
  const order = compareTimestamps(timestamp, before.timestamp);
  if (order > 0) {
    if (txnId === undefined) return { timestamp, txnId, others: zeroTimestamp };
    return { timestamp, txnId, others: before.txnId === txnId ? before.others : before.timestamp };
  }
  if (before.txnId === txnId || before.txnId === undefined) return before;
  if (order === 0) return { timestamp, txnId: undefined, others: zeroTimestamp };
  return compareTimestamps(timestamp, before.others) > 0
    ? { ...before, others: timestamp }
    : before;
}

function laterUnlessOwn(latest: Timestamp, read: CachedRead, reader: TxnId | undefined): Timestamp {
  const isOwn = reader !== undefined && read.txnId === reader;
  return laterTimestamp(latest, isOwn ? read.others : read.timestamp);
}

function addStep(
  steps: SortedMap<CachedRead>,
  start: Buffer,
  end: Buffer,
  timestamp: Timestamp,
  txnId: TxnId | undefined,
): void {
  const behind = steps.floor(end)?.value ?? never;
  const inside: Buffer[] = [];
  const first = steps.floor(start);
  if (first === undefined || !equalBytes(first.key, start)) steps.set(start, first?.value ?? never);
  steps.visit(start, end, (key) => {
    inside.push(key);
  });
  let previous: CachedRead | undefined;
  for (const key of inside) {
    const read = merge(steps.get(key) ?? never, timestamp, txnId);
    if (previous !== undefined && same(read, previous)) steps.delete(key);
    else steps.set(key, read);
    previous = read;
  }
  const atEnd = steps.floor(end);
  if (atEnd === undefined || !equalBytes(atEnd.key, end)) steps.set(end, behind);
}

function same(a: CachedRead, b: CachedRead): boolean {
  return (
    a.txnId === b.txnId &&
    equalTimestamps(a.timestamp, b.timestamp) &&
    equalTimestamps(a.others, b.others)
  );
}
