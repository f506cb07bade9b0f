/** Grouping and aggregation by hash; DISTINCT, ORDER BY, FILTER and WITHIN GROUP inside aggregates; grouping sets. */
import { must } from '../../../util/index.ts';
import { type AggregateFunction, type AggregateState } from '../../functions/registry-types.ts';
import { type Datum, type Row, typeOps, type TypeOps } from '../../types/index.ts';
import { type AggregateRel } from '../../plan/logical.ts';
import { type ColumnId } from '../../plan/expr.ts';
import { type Compiled } from '../expr/compile.ts';
import { LateOperator, type Plan } from '../operator.ts';
import { datumBytes, rowBytes, type Runtime } from '../runtime.ts';
import { evaluateAll, passes } from './basic.ts';
import { type CompiledKey, compareKeys, keyValues, rowText } from './compare.ts';
import { mergeSort } from './merge-sort.ts';

export interface CompiledAggregate {
  readonly fn: AggregateFunction;
  readonly callTypes: readonly number[];
  readonly args: readonly Compiled[];
  readonly direct: readonly Compiled[];
  readonly distinct: boolean;
  readonly orderBy: readonly CompiledKey[];
  readonly filter: Compiled | undefined;
}

interface Kept {
  readonly args: readonly Datum[];
  readonly key: Row;
}

/** What one group has gathered for one aggregate. */
interface Collector {
  readonly state: AggregateState;
  /** Rows kept because their order or distinctness matters. */
  kept: Kept[] | undefined;
  seen: Set<string> | undefined;
}

interface Group {
  readonly values: readonly Datum[];
  readonly set: number;
  readonly collectors: readonly Collector[];
}

const groupOverhead = 128;

export class Aggregator {
  readonly #calls: readonly CompiledAggregate[];
  readonly #ops: readonly TypeOps[];
  readonly #argOps: readonly (readonly TypeOps[])[];
  /** What DISTINCT sorts by after ORDER BY, as PostgreSQL does. */
  readonly #argKeys: readonly (readonly Omit<CompiledKey, 'value'>[])[];
  readonly #groups = new Map<string, Group>();
  readonly #rt: Runtime;

  constructor(calls: readonly CompiledAggregate[], groupTypes: readonly number[], rt: Runtime) {
    this.#calls = calls;
    this.#ops = groupTypes.map((type) => typeOps(type));
    this.#argOps = calls.map((call) =>
      call.callTypes.slice(call.direct.length, -1).map((type) => typeOps(type)),
    );
    this.#argKeys = this.#argOps.map((all) =>
      all.map((ops) => ({ ops, descending: false, nullsFirst: false })),
    );
    this.#rt = rt;
  }

  get size(): number {
    return this.#groups.size;
  }

  /** The group of these values (those not in the grouping set are null). */
  group(values: readonly Datum[], set: number): Group {
    const text = `${set}|${rowText(values, this.#ops)}`;
    let group = this.#groups.get(text);
    if (group === undefined) {
      group = { values, set, collectors: this.#calls.map((call) => this.#collector(call)) };
      this.#groups.set(text, group);
      this.#rt.hold(text.length + groupOverhead * (1 + this.#calls.length));
    }
    return group;
  }

  #collector(call: CompiledAggregate): Collector {
    const ordered = call.orderBy.length > 0 || (call.distinct && isCollecting(call.fn));
    return {
      state: call.fn.create(call.callTypes, this.#rt.eval),
      kept: ordered ? [] : undefined,
      seen: call.distinct ? new Set() : undefined,
    };
  }

  async add(group: Group, row: Row): Promise<void> {
    for (const [i, call] of this.#calls.entries()) {
      if (call.filter !== undefined && !(await passes([call.filter], row, this.#rt))) continue;
      const args = await evaluateAll(call.args, row, this.#rt);
      if (call.fn.strict && args.includes(null)) continue;
      const collector = must(group.collectors[i]);
      if (collector.seen !== undefined) {
        const text = rowText(args, must(this.#argOps[i]));
        if (collector.seen.has(text)) continue;
        collector.seen.add(text);
        this.#rt.hold(text.length + 40);
      }
      if (collector.kept !== undefined) {
        collector.kept.push({ args, key: await keyValues(call.orderBy, row, this.#rt) });
        this.#rt.hold(rowBytes(args) * 2);
        continue;
      }
      if (call.direct.length > 0)
        collector.state.add([...(await evaluateAll(call.direct, row, this.#rt)), ...args]);
      else {
        collector.state.add(args);
        if (isCollecting(call.fn))
          this.#rt.hold(args.reduce<number>((sum, arg) => sum + datumBytes(arg), 8));
      }
    }
  }

  /** The group's values, then the results. */
  async finish(group: Group, row: Row): Promise<Datum[]> {
    const out: Datum[] = [...group.values];
    for (const [i, call] of this.#calls.entries()) {
      const { state, kept } = must(group.collectors[i]);
      if (kept !== undefined) {
        const direct = await evaluateAll(call.direct, row, this.#rt);
        const argKeys = call.distinct ? must(this.#argKeys[i]) : [];
        const order = (a: Kept, b: Kept): number =>
          compareKeys(call.orderBy, a.key, b.key) || compareKeys(argKeys, a.args, b.args);
        for (const item of await mergeSort(kept, order, this.#rt))
          state.add([...direct, ...item.args]);
      }
      out.push(state.result());
    }
    return out;
  }

  groups(): IterableIterator<Group> {
    return this.#groups.values();
  }
}

/** Their state grows with every row. */
function isCollecting(fn: AggregateFunction): boolean {
  return fn.name.endsWith('_agg') || fn.partial === undefined;
}

export function aggregatePlan(
  input: Plan,
  rel: AggregateRel,
  groups: readonly Compiled[],
  calls: readonly CompiledAggregate[],
): Plan {
  const types = rel.groups.map((group) => group.expr.type);
  const layout: ColumnId[] = [
    ...rel.groups.map((group) => group.id),
    ...rel.aggregates.map((call) => call.id),
    ...rel.grouping.map((call) => call.id),
  ];
  const sets = rel.sets?.map((set) => new Set(set));
  return {
    layout,
    open: (rt) =>
      new LateOperator(async () => {
        const aggregator = new Aggregator(calls, types, rt);
        const source = input.open(rt);
        try {
          for (;;) {
            const batch = await source.next();
            if (batch === undefined) break;
            for (const row of batch) {
              const values = await evaluateAll(groups, row, rt);
              if (sets === undefined) await aggregator.add(aggregator.group(values, 0), row);
              else {
                for (const [s, set] of sets.entries()) {
                  const own = values.map((value, i) => (set.has(i) ? value : null));
                  await aggregator.add(aggregator.group(own, s), row);
                }
              }
            }
            await rt.breathe();
          }
        } finally {
          source.close();
        }
        addEmptyGroups(aggregator, rel, sets);
        return finishGroups(aggregator, rel, sets, calls, rt);
      }),
  };
}

/** Without GROUP BY there is one group even over no rows; so for each empty grouping set. */
function addEmptyGroups(
  aggregator: Aggregator,
  rel: AggregateRel,
  sets: readonly ReadonlySet<number>[] | undefined,
): void {
  const none = rel.groups.map(() => null);
  if (sets === undefined) {
    if (rel.groups.length === 0 && aggregator.size === 0) aggregator.group([], 0);
    return;
  }
  for (const [s, set] of sets.entries()) if (set.size === 0) aggregator.group(none, s);
}

async function finishGroups(
  aggregator: Aggregator,
  rel: AggregateRel,
  sets: readonly ReadonlySet<number>[] | undefined,
  calls: readonly CompiledAggregate[],
  rt: Runtime,
): Promise<Row[]> {
  const rows: Row[] = [];
  for (const group of aggregator.groups()) {
    const row = await aggregator.finish(group, []);
    const set = sets?.[group.set];
    for (const { positions } of rel.grouping) {
      let bits = 0;
      for (const position of positions)
        bits = bits * 2 + (set === undefined || set.has(position) ? 0 : 1);
      row.push(bits);
    }
    rows.push(row);
  }
  if (calls.length === 0 && rows.length === 0) return rows;
  await rt.breathe();
  return rows;
}

/** Merges partial states that were made beside the data. */
export function finalAggregatePlan(input: Plan, rel: AggregateRel): Plan {
  const ops = rel.groups.map((group) => typeOps(group.expr.type));
  const calls = rel.aggregates.map((call) => ({
    fn: call.fn,
    partial: must(call.fn.partial),
    types: call.callTypes,
    width: must(call.fn.partial).stateTypes(call.callTypes).length,
  }));
  return {
    layout: [...rel.groups.map((group) => group.id), ...rel.aggregates.map((call) => call.id)],
    open: (rt) =>
      new LateOperator(async () => {
        const groups = new Map<string, { values: Row; states: AggregateState[] }>();
        const find = (values: Row): { values: Row; states: AggregateState[] } => {
          const text = rowText(values, ops);
          let group = groups.get(text);
          if (group === undefined) {
            group = { values, states: calls.map((call) => call.fn.create(call.types, rt.eval)) };
            groups.set(text, group);
            rt.hold(text.length + groupOverhead);
          }
          return group;
        };
        const source = input.open(rt);
        try {
          for (;;) {
            const batch = await source.next();
            if (batch === undefined) break;
            for (const row of batch) {
              const group = find(row.slice(0, ops.length));
              let at = ops.length;
              for (const [i, call] of calls.entries()) {
                call.partial.merge(must(group.states[i]), row.slice(at, at + call.width));
                at += call.width;
              }
            }
          }
        } finally {
          source.close();
        }
        if (ops.length === 0) find([]);
        return [...groups.values()].map((group) => [
          ...group.values,
          ...group.states.map((state) => state.result()),
        ]);
      }),
  };
}
