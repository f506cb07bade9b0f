/** States of count, sum, avg, min, max, bool_and and bool_or: those that can also be computed in parts. */
import {
  asBigint,
  asBool,
  asInterval,
  asNumber,
  asNumeric,
  type Datum,
  type Interval,
  type Numeric,
  numericFromInt,
  type Row,
  type TypeOps,
} from '../types/index.ts';
import { addNumeric, divideNumeric, numericZero } from '../types/numeric.ts';
import { addInterval, divideInterval, intervalZero } from '../types/interval.ts';
import { checkFloat8, checkInt8 } from './arithmetic.ts';
import { type AggregateState, type PartialAggregate } from './registry-types.ts';

/** A state whose content can travel as a row of datums. */
export interface PartialState extends AggregateState {
  extract(): Row;
  merge(partial: Row): void;
}

function isPartial(state: AggregateState): state is PartialState {
  return 'extract' in state && 'merge' in state;
}

/** The PartialAggregate of states that are PartialStates. */
export function partialOf(stateTypes: PartialAggregate['stateTypes']): PartialAggregate {
  return {
    stateTypes,
    extract: (state) => (isPartial(state) ? state.extract() : []),
    merge(state, partial) {
      if (isPartial(state)) state.merge(partial);
    },
  };
}

export class CountState implements PartialState {
  #count = 0;

  add(): void {
    this.#count++;
  }

  result(): Datum {
    return BigInt(this.#count);
  }

  extract(): Row {
    return [this.result()];
  }

  merge(partial: Row): void {
    this.#count += Number(asBigint(partial[0]));
  }
}

const flushAt = 2 ** 52;

/** Exact sum of integers: in a number while that is safe, then in a bigint. */
export class IntegerSum {
  #small = 0;
  #big = 0n;
  #count = 0;

  add(value: Datum | undefined): void {
    this.#count++;
    if (typeof value === 'bigint') {
      this.#big += value;
      return;
    }
    this.#small += asNumber(value);
    if (this.#small > flushAt || this.#small < -flushAt) {
      this.#big += BigInt(this.#small);
      this.#small = 0;
    }
  }

  get count(): number {
    return this.#count;
  }

  get total(): bigint {
    return this.#big + BigInt(this.#small);
  }

  merge(total: bigint, count: number): void {
    this.#big += total;
    this.#count += count;
  }
}

/** sum of int2, int4 (result int8) and int8 (result numeric). Partial: numeric total, count. */
export class IntegerSumState implements PartialState {
  readonly #sum = new IntegerSum();
  readonly #wide: boolean;

  constructor(wide: boolean) {
    this.#wide = wide;
  }

  add(args: readonly Datum[]): void {
    this.#sum.add(args[0]);
  }

  result(): Datum {
    if (this.#sum.count === 0) return null;
    return this.#wide ? numericFromInt(this.#sum.total) : checkInt8(this.#sum.total);
  }

  extract(): Row {
    return [numericFromInt(this.#sum.total), BigInt(this.#sum.count)];
  }

  merge(partial: Row): void {
    this.#sum.merge(asNumeric(partial[0]).digits, Number(asBigint(partial[1])));
  }
}

/** avg of integers. */
export class IntegerAvgState implements PartialState {
  readonly #sum = new IntegerSum();

  add(args: readonly Datum[]): void {
    this.#sum.add(args[0]);
  }

  result(): Datum {
    if (this.#sum.count === 0) return null;
    return divideNumeric(numericFromInt(this.#sum.total), numericFromInt(this.#sum.count));
  }

  extract(): Row {
    return [numericFromInt(this.#sum.total), BigInt(this.#sum.count)];
  }

  merge(partial: Row): void {
    this.#sum.merge(asNumeric(partial[0]).digits, Number(asBigint(partial[1])));
  }
}

/** sum and avg of numeric. */
export class NumericSumState implements PartialState {
  #sum: Numeric = numericZero;
  #count = 0;
  readonly #average: boolean;

  constructor(average: boolean) {
    this.#average = average;
  }

  add(args: readonly Datum[]): void {
    this.#sum = addNumeric(this.#sum, asNumeric(args[0]));
    this.#count++;
  }

  result(): Datum {
    if (this.#count === 0) return null;
    return this.#average ? divideNumeric(this.#sum, numericFromInt(this.#count)) : this.#sum;
  }

  extract(): Row {
    return [this.#sum, BigInt(this.#count)];
  }

  merge(partial: Row): void {
    this.#sum = addNumeric(this.#sum, asNumeric(partial[0]));
    this.#count += Number(asBigint(partial[1]));
  }
}

/** sum and avg of float4 and float8. */
export class FloatSumState implements PartialState {
  #sum = 0;
  #count = 0;
  readonly #average: boolean;
  readonly #single: boolean;

  constructor(average: boolean, single: boolean) {
    this.#average = average;
    this.#single = single;
  }

  add(args: readonly Datum[]): void {
    this.#plus(asNumber(args[0]));
    this.#count++;
  }

  result(): Datum {
    if (this.#count === 0) return null;
    return this.#average ? this.#sum / this.#count : this.#sum;
  }

  extract(): Row {
    return [this.#sum, BigInt(this.#count)];
  }

  merge(partial: Row): void {
    this.#plus(asNumber(partial[0]));
    this.#count += Number(asBigint(partial[1]));
  }

  /** Refuses an overflow at once: a sum that is infinite when it travels was made of infinite values. */
  #plus(value: number): void {
    const exact = this.#sum + value;
    const sum = this.#single ? Math.fround(exact) : exact;
    if (!Number.isFinite(sum)) {
      checkFloat8(sum, Math.abs(this.#sum) === Infinity || Math.abs(value) === Infinity, true);
    }
    this.#sum = sum;
  }
}

export class IntervalSumState implements PartialState {
  #sum: Interval = intervalZero;
  #count = 0;
  readonly #average: boolean;

  constructor(average: boolean) {
    this.#average = average;
  }

  add(args: readonly Datum[]): void {
    this.#sum = addInterval(this.#sum, asInterval(args[0]));
    this.#count++;
  }

  result(): Datum {
    if (this.#count === 0) return null;
    return this.#average ? divideInterval(this.#sum, this.#count) : this.#sum;
  }

  extract(): Row {
    return [this.#sum, BigInt(this.#count)];
  }

  merge(partial: Row): void {
    this.#sum = addInterval(this.#sum, asInterval(partial[0]));
    this.#count += Number(asBigint(partial[1]));
  }
}

/** min (direction -1) and max (1). */
export class ExtremeState implements PartialState {
  #value: Datum = null;
  readonly #ops: TypeOps;
  readonly #direction: 1 | -1;

  constructor(ops: TypeOps, direction: 1 | -1) {
    this.#ops = ops;
    this.#direction = direction;
  }

  add(args: readonly Datum[]): void {
    this.#offer(args[0] ?? null);
  }

  result(): Datum {
    return this.#value;
  }

  extract(): Row {
    return [this.#value];
  }

  merge(partial: Row): void {
    this.#offer(partial[0] ?? null);
  }

  #offer(value: Datum): void {
    if (value === null) return;
    if (this.#value === null || this.#ops.compare(value, this.#value) * this.#direction > 0) {
      this.#value = value;
    }
  }
}

/** bool_and and bool_or: `decisive` is the value that settles the result. */
export class BoolState implements PartialState {
  #value: boolean | null = null;
  readonly #decisive: boolean;

  constructor(decisive: boolean) {
    this.#decisive = decisive;
  }

  add(args: readonly Datum[]): void {
    this.#offer(asBool(args[0]));
  }

  result(): Datum {
    return this.#value;
  }

  extract(): Row {
    return [this.#value];
  }

  merge(partial: Row): void {
    const value = partial[0] ?? null;
    if (value !== null) this.#offer(asBool(value));
  }

  #offer(value: boolean): void {
    if (value === this.#decisive) this.#value = value;
    else this.#value ??= value;
  }
}
