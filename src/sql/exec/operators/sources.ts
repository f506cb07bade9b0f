/** Rows that do not come from tables: functions, virtual tables, WITH queries. */
import { must } from '../../../util/index.ts';
import { type StatementContext } from '../../session/types.ts';
import { type Datum, RecordDatum, type Row } from '../../types/index.ts';
import { type ColumnId } from '../../plan/expr.ts';
import { type FunctionRel, type SetCall } from '../../plan/logical.ts';
import { type VirtualTable } from '../../catalog/types.ts';
import { type Compiled } from '../expr/compile.ts';
import { collectRows, LateOperator, type Operator, type Plan } from '../operator.ts';
import { batchRows, rowBytes, type RowSet, type Runtime } from '../runtime.ts';
import { evaluateAll, passes } from './basic.ts';
import { rowText } from './compare.ts';
import { typeOps } from '../../types/index.ts';

/** A set-returning call ready to run. */
export interface CompiledSet {
  readonly call: SetCall;
  readonly args: readonly Compiled[];
}

async function callSet(set: CompiledSet, row: Row, rt: Runtime): Promise<Iterator<Row>> {
  const args = await evaluateAll(set.args, row, rt);
  const rows = await set.call.fn.call(args, rt.eval, set.call.callTypes);
  return rows[Symbol.iterator]();
}

/** Per input row all calls advance together; those that have ended give NULL. */
export function projectSetPlan(input: Plan, sets: readonly CompiledSet[]): Plan {
  return {
    layout: [...input.layout, ...sets.flatMap((set) => set.call.columns)],
    open: (rt) => new ProjectSetOperator(input.open(rt), sets, rt),
  };
}

class ProjectSetOperator implements Operator {
  readonly #source: Operator;
  readonly #sets: readonly CompiledSet[];
  readonly #rt: Runtime;
  #batch: readonly Row[] = [];
  #at = 0;
  #open: { row: Row; iterators: (Iterator<Row> | undefined)[] } | undefined;

  constructor(source: Operator, sets: readonly CompiledSet[], rt: Runtime) {
    this.#source = source;
    this.#sets = sets;
    this.#rt = rt;
  }

  async next(): Promise<readonly Row[] | undefined> {
    const out: Row[] = [];
    while (out.length < batchRows) {
      if (this.#open === undefined && !(await this.#advance())) break;
      const open = must(this.#open);
      let any = false;
      const values: Datum[] = [];
      for (const [i, set] of this.#sets.entries()) {
        const iterator = open.iterators[i];
        const step = iterator?.next();
        if (step === undefined || step.done === true) {
          open.iterators[i] = undefined;
          for (let k = 0; k < set.call.columns.length; k++) values.push(null);
          continue;
        }
        any = true;
        for (let k = 0; k < set.call.columns.length; k++) values.push(step.value[k] ?? null);
      }
      if (any) out.push([...open.row, ...values]);
      else this.#open = undefined;
    }
    await this.#rt.breathe();
    return out.length === 0 ? undefined : out;
  }

  async #advance(): Promise<boolean> {
    while (this.#at >= this.#batch.length) {
      const next = await this.#source.next();
      if (next === undefined) return false;
      this.#batch = next;
      this.#at = 0;
    }
    const row = must(this.#batch[this.#at++]);
    const iterators: (Iterator<Row> | undefined)[] = [];
    for (const set of this.#sets) iterators.push(await callSet(set, row, this.#rt));
    this.#open = { row, iterators };
    return true;
  }

  close(): void {
    this.#source.close();
  }
}

export type CompiledFunction =
  | ({ readonly kind: 'set' } & CompiledSet)
  | { readonly kind: 'scalar'; readonly value: Compiled; readonly width: number };

/** Functions in FROM, streamed; several are zipped. */
export function functionPlan(rel: FunctionRel, calls: readonly CompiledFunction[]): Plan {
  const layout: ColumnId[] = rel.calls.flatMap((item) => [
    ...(item.kind === 'set' ? item.call.columns : item.columns),
  ]);
  if (rel.ordinality !== undefined) layout.push(rel.ordinality);
  const withOrdinality = rel.ordinality !== undefined;
  return {
    layout,
    open(rt) {
      let iterators: (Iterator<Row> | undefined)[] | undefined;
      let count = 0;
      return {
        async next() {
          iterators ??= await openAll(calls, rt);
          const out: Row[] = [];
          while (out.length < batchRows) {
            const row = nextZipped(calls, iterators);
            if (row === undefined) break;
            count++;
            if (withOrdinality) row.push(BigInt(count));
            out.push(row);
          }
          await rt.breathe();
          return out.length === 0 ? undefined : out;
        },
        close() {
          iterators = [];
        },
      };
    },
  };
}

async function openAll(calls: readonly CompiledFunction[], rt: Runtime): Promise<Iterator<Row>[]> {
  const iterators: Iterator<Row>[] = [];
  for (const call of calls) {
    if (call.kind === 'set') iterators.push(await callSet(call, [], rt));
    else {
      const value = await call.value.run([], rt);
      const row = call.width > 1 && value instanceof RecordDatum ? value.values : [value];
      iterators.push([row][Symbol.iterator]());
    }
  }
  return iterators;
}

function nextZipped(
  calls: readonly CompiledFunction[],
  iterators: (Iterator<Row> | undefined)[],
): Datum[] | undefined {
  let any = false;
  const row: Datum[] = [];
  for (const [i, call] of calls.entries()) {
    const width = call.kind === 'set' ? call.call.columns.length : call.width;
    const step = iterators[i]?.next();
    if (step === undefined || step.done === true) {
      iterators[i] = undefined;
      for (let k = 0; k < width; k++) row.push(null);
      continue;
    }
    any = true;
    for (let k = 0; k < width; k++) row.push(step.value[k] ?? null);
  }
  return any ? row : undefined;
}

export function virtualPlan(
  table: VirtualTable,
  layout: readonly ColumnId[],
  positions: readonly number[],
  equals: readonly { readonly name: string; readonly value: Compiled }[],
  filter: readonly Compiled[],
): Plan {
  return {
    layout,
    open: (rt) =>
      new LateOperator(async () => {
        const hints = new Map<string, Datum>();
        for (const { name, value } of equals) hints.set(name, await value.run([], rt));
        const context: StatementContext = rt.context;
        const rows: Row[] = [];
        for (const source of await table.rows(context, hints)) {
          const row = positions.map((position) => source[position] ?? null);
          if (await passes(filter, row, rt)) rows.push(row);
        }
        return rows;
      }),
  };
}

// WITH.

/** Reads a shared result; the first reader makes it. */
export function ctePlan(
  cteId: number,
  layout: readonly ColumnId[],
  positions: readonly number[],
): Plan {
  return {
    layout,
    open: (rt) =>
      new LateOperator(async () => {
        const work = rt.workTables.get(cteId);
        const set =
          work ?? (await must(rt.ctes.get(cteId), 'a WITH query is opened before its readers')());
        return set.rows.map((row) => positions.map((position) => row[position] ?? null));
      }),
  };
}

export interface CteParts {
  readonly id: number;
  readonly plan: Plan;
  readonly columns: readonly ColumnId[];
  readonly mustRun: boolean;
  /** Where its rows are kept when the plan runs again; undefined when they depend on an outer row. */
  readonly site: number | undefined;
}

export function withPlan(definitions: readonly CteParts[], body: Plan): Plan {
  return {
    layout: body.layout,
    open(rt) {
      for (const definition of definitions) {
        let made: Promise<RowSet> | undefined;
        const positions = definition.columns.map((id) => definition.plan.layout.indexOf(id));
        const make = async (): Promise<RowSet> => ({
          rows: (await collectRows(definition.plan, rt, rowBytes)).map((row) =>
            positions.map((position) => row[position] ?? null),
          ),
        });
        rt.ctes.set(definition.id, () => (made ??= rt.once(definition.site, make)));
      }
      const source = body.open(rt);
      let started = false;
      return {
        async next() {
          if (!started) {
            started = true;
            for (const definition of definitions) {
              if (definition.mustRun) await must(rt.ctes.get(definition.id))();
            }
          }
          return source.next();
        },
        close: () => source.close(),
      };
    },
  };
}

/** Rounds of a recursive query: far beyond any sensible depth, but an end. */
const maxRounds = 10_000_000;

export function recursivePlan(
  parts: {
    readonly workId: number;
    readonly all: boolean;
    readonly layout: readonly ColumnId[];
    readonly types: readonly number[];
    readonly initialColumns: readonly ColumnId[];
    readonly stepColumns: readonly ColumnId[];
  },
  initial: Plan,
  step: Plan,
): Plan {
  const ops = parts.types.map((type) => typeOps(type));
  const initialAt = parts.initialColumns.map((id) => initial.layout.indexOf(id));
  const stepAt = parts.stepColumns.map((id) => step.layout.indexOf(id));
  return {
    layout: parts.layout,
    open(rt) {
      const seen = new Set<string>();
      let round = 0;
      let work: readonly Row[] = [];
      const accept = (rows: readonly Row[], positions: readonly number[]): Row[] => {
        const out: Row[] = [];
        for (const source of rows) {
          const row = positions.map((position) => source[position] ?? null);
          if (!parts.all) {
            const text = rowText(row, ops);
            if (seen.has(text)) continue;
            seen.add(text);
            rt.hold(text.length + 40);
          }
          out.push(row);
        }
        return out;
      };
      return {
        async next() {
          if (round > 0 && work.length === 0) return undefined;
          if (round > maxRounds) throw new RangeError('recursion does not end');
          const first = round++ === 0;
          const before = rt.workTables.get(parts.workId);
          rt.workTables.set(parts.workId, { rows: work });
          const rows = await collectRows(first ? initial : step, rt, undefined);
          if (before !== undefined) rt.workTables.set(parts.workId, before);
          work = accept(rows, first ? initialAt : stepAt);
          rt.hold(work.reduce((sum, row) => sum + rowBytes(row), 0));
          await rt.breathe();
          return work.length === 0 ? undefined : work;
        },
        close() {
          work = [];
        },
      };
    },
  };
}
