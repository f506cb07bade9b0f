/** The shape of executable plans. */
import { type ColumnId } from '../plan/expr.ts';
import { type Row } from '../types/index.ts';
import { type Runtime } from './runtime.ts';

/** Pulled until `next` gives undefined. A batch has 1 to ~1,024 rows; rows are not changed afterwards. */
export interface Operator {
  next(): Promise<readonly Row[] | undefined>;
  /** Idempotent; may be called before the end. */
  close(): void;
}

/** A compiled node: reusable, opened once per execution (or per outer row). */
export interface Plan {
  /** Which column stands at which position of the rows. */
  readonly layout: readonly ColumnId[];
  open(rt: Runtime): Operator;
}

export const nothing: Operator = {
  async next() {
    return undefined;
  },
  close() {},
};

/** All rows of a plan, with their memory claimed. */
export async function collectRows(
  plan: Plan,
  rt: Runtime,
  size: ((row: Row) => number) | undefined,
): Promise<Row[]> {
  const operator = plan.open(rt);
  const rows: Row[] = [];
  try {
    for (;;) {
      const batch = await operator.next();
      if (batch === undefined) return rows;
      let bytes = 0;
      for (const row of batch) {
        rows.push(row);
        if (size !== undefined) bytes += size(row);
      }
      rt.hold(bytes);
      await rt.breathe();
    }
  } finally {
    operator.close();
  }
}

/** Hands over rows that are already there. */
export class RowsOperator implements Operator {
  readonly #rows: readonly Row[];
  #at = 0;

  constructor(rows: readonly Row[]) {
    this.#rows = rows;
  }

  async next(): Promise<readonly Row[] | undefined> {
    if (this.#at >= this.#rows.length) return undefined;
    if (this.#at === 0 && this.#rows.length <= 1024) {
      this.#at = this.#rows.length;
      return this.#rows;
    }
    const batch = this.#rows.slice(this.#at, this.#at + 1024);
    this.#at += batch.length;
    return batch;
  }

  close(): void {
    this.#at = this.#rows.length;
  }
}

/** An operator that computes all its rows on first demand. */
export class LateOperator implements Operator {
  readonly #make: () => Promise<readonly Row[]>;
  #rows: RowsOperator | undefined;

  constructor(make: () => Promise<readonly Row[]>) {
    this.#make = make;
  }

  async next(): Promise<readonly Row[] | undefined> {
    this.#rows ??= new RowsOperator(await this.#make());
    return this.#rows.next();
  }

  close(): void {
    this.#rows?.close();
  }
}
