/** Operators that look at one row at a time: projection, filter, limit, values, functions. */
import { sqlError } from '../../errors.ts';
import { type Datum, type Row } from '../../types/index.ts';
import { type ColumnId } from '../../plan/expr.ts';
import { type Eval } from '../expr/compile-types.ts';
import { type Compiled } from '../expr/compile.ts';
import { nothing, type Operator, type Plan } from '../operator.ts';
import { type Runtime } from '../runtime.ts';

export function syncRuns(compiled: readonly Compiled[]): Eval[] | undefined {
  const runs: Eval[] = [];
  for (const item of compiled) {
    if (!item.sync) return undefined;
    runs.push(item.run);
  }
  return runs;
}

/** Evaluates a list of expressions over a row. */
export async function evaluateAll(
  compiled: readonly Compiled[],
  row: Row,
  rt: Runtime,
): Promise<Datum[]> {
  const values: Datum[] = [];
  for (const item of compiled) values.push(item.sync ? item.run(row, rt) : await item.run(row, rt));
  return values;
}

export function projectPlan(
  input: Plan,
  layout: readonly ColumnId[],
  items: readonly Compiled[],
): Plan {
  const runs = syncRuns(items);
  return {
    layout,
    open(rt) {
      const source = input.open(rt);
      return {
        async next() {
          const batch = await source.next();
          if (batch === undefined) return undefined;
          const out: Row[] = [];
          if (runs === undefined) {
            for (const row of batch) out.push(await evaluateAll(items, row, rt));
            return out;
          }
          for (const row of batch) {
            const values: Datum[] = [];
            for (const run of runs) values.push(run(row, rt));
            out.push(values);
          }
          return out;
        },
        close: () => source.close(),
      };
    },
  };
}

export function filterPlan(input: Plan, conditions: readonly Compiled[]): Plan {
  const runs = syncRuns(conditions);
  return {
    layout: input.layout,
    open(rt) {
      const source = input.open(rt);
      return {
        async next() {
          for (;;) {
            const batch = await source.next();
            if (batch === undefined) return undefined;
            const out: Row[] = [];
            for (const row of batch) {
              if (
                runs === undefined ? await passes(conditions, row, rt) : passesSync(runs, row, rt)
              )
                out.push(row);
            }
            if (out.length > 0) return out;
            await rt.breathe();
          }
        },
        close: () => source.close(),
      };
    },
  };
}

export function passesSync(conditions: readonly Eval[], row: Row, rt: Runtime): boolean {
  for (const condition of conditions) if (condition(row, rt) !== true) return false;
  return true;
}

export async function passes(
  conditions: readonly Compiled[],
  row: Row,
  rt: Runtime,
): Promise<boolean> {
  for (const condition of conditions) {
    const value = condition.sync ? condition.run(row, rt) : await condition.run(row, rt);
    if (value !== true) return false;
  }
  return true;
}

export function valuesPlan(
  layout: readonly ColumnId[],
  rows: readonly (readonly Compiled[])[],
): Plan {
  return {
    layout,
    open(rt) {
      let at = 0;
      return {
        async next() {
          if (at >= rows.length) return undefined;
          const batch: Row[] = [];
          const end = Math.min(rows.length, at + 1024);
          for (; at < end; at++) batch.push(await evaluateAll(rows[at] ?? [], [], rt));
          if (at < rows.length) await rt.breathe();
          return batch;
        },
        close() {
          at = rows.length;
        },
      };
    },
  };
}

/** Undefined = no bound. */
export async function rowCount(
  compiled: Compiled | undefined,
  rt: Runtime,
  clause: 'LIMIT' | 'OFFSET',
): Promise<number | undefined> {
  if (compiled === undefined) return undefined;
  const value = await compiled.run([], rt);
  if (value === null) return undefined;
  const count = Number(value);
  if (count < 0) {
    throw sqlError(
      clause === 'LIMIT' ? 'invalidRowCountInLimit' : 'invalidRowCountInOffset',
      `${clause} must not be negative`,
    );
  }
  return count;
}

/** `sameRank`: WITH TIES, whether two rows are equal in the order. */
export function limitPlan(
  input: Plan,
  count: Compiled | undefined,
  offset: Compiled | undefined,
  sameRank: ((a: Row, b: Row, rt: Runtime) => boolean) | undefined,
): Plan {
  return {
    layout: input.layout,
    open: (rt) => new LimitOperator(input, count, offset, sameRank, rt),
  };
}

class LimitOperator implements Operator {
  readonly #plan: Plan;
  readonly #count: Compiled | undefined;
  readonly #offset: Compiled | undefined;
  readonly #sameRank: ((a: Row, b: Row, rt: Runtime) => boolean) | undefined;
  readonly #rt: Runtime;
  #source: Operator | undefined;
  #skip = 0;
  #left = Number.POSITIVE_INFINITY;
  #last: Row | undefined;
  #done = false;

  constructor(
    plan: Plan,
    count: Compiled | undefined,
    offset: Compiled | undefined,
    sameRank: ((a: Row, b: Row, rt: Runtime) => boolean) | undefined,
    rt: Runtime,
  ) {
    this.#plan = plan;
    this.#count = count;
    this.#offset = offset;
    this.#sameRank = sameRank;
    this.#rt = rt;
  }

  async next(): Promise<readonly Row[] | undefined> {
    if (this.#done) return undefined;
    if (this.#source === undefined) {
      this.#skip = (await rowCount(this.#offset, this.#rt, 'OFFSET')) ?? 0;
      this.#left = (await rowCount(this.#count, this.#rt, 'LIMIT')) ?? Number.POSITIVE_INFINITY;
      this.#source = this.#left === 0 ? nothing : this.#plan.open(this.#rt);
    }
    for (;;) {
      const batch = await this.#source.next();
      if (batch === undefined) return this.#end([]);
      if (this.#skip >= batch.length) {
        this.#skip -= batch.length;
        continue;
      }
      const rows = this.#skip > 0 ? batch.slice(this.#skip) : batch;
      this.#skip = 0;
      if (rows.length < this.#left) {
        this.#left -= rows.length;
        this.#last = rows.at(-1);
        return rows;
      }
      const own = rows.slice(0, this.#left);
      const last = own.at(-1) ?? this.#last;
      if (this.#sameRank === undefined || last === undefined) return this.#end(own);
      for (const row of rows.slice(this.#left)) {
        if (!this.#sameRank(row, last, this.#rt)) return this.#end(own);
        own.push(row);
      }
      this.#left = 0;
      this.#last = last;
      if (own.length > 0) return own;
    }
  }

  #end(rows: readonly Row[]): readonly Row[] | undefined {
    this.#done = true;
    this.close();
    return rows.length === 0 ? undefined : rows;
  }

  close(): void {
    this.#source?.close();
    this.#done = true;
  }
}
