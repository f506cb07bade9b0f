/** Sorting (with a bound when only the first rows are wanted), DISTINCT and set operations. */
import { type Row, typeOps, type TypeOps } from '../../types/index.ts';
import { type ColumnId } from '../../plan/expr.ts';
import { type SetOpRel } from '../../plan/logical.ts';
import { type Compiled } from '../expr/compile.ts';
import { collectRows, LateOperator, type Operator, type Plan } from '../operator.ts';
import { rowBytes, type Runtime } from '../runtime.ts';
import { rowCount } from './basic.ts';
import { type CompiledKey, compareKeys, keyValues, rowText } from './compare.ts';
import { mergeSort } from './merge-sort.ts';

interface Keyed {
  readonly row: Row;
  readonly key: Row;
}

/** Beyond this bound a plain sort is as good. */
const maxTop = 10_000;

export function sortPlan(
  input: Plan,
  keys: readonly CompiledKey[],
  limit: Compiled | undefined,
): Plan {
  return {
    layout: input.layout,
    open(rt) {
      let held = 0;
      const operator = new LateOperator(async () => {
        const top = await rowCount(limit, rt, 'LIMIT');
        const sorted = await sortRows(input, keys, top, rt, (bytes) => {
          held += bytes;
        });
        return sorted;
      });
      return {
        next: () => operator.next(),
        close() {
          operator.close();
          rt.release(held);
          held = 0;
        },
      };
    },
  };
}

async function sortRows(
  input: Plan,
  keys: readonly CompiledKey[],
  top: number | undefined,
  rt: Runtime,
  note: (bytes: number) => void,
): Promise<Row[]> {
  const source = input.open(rt);
  let rows: Keyed[] = [];
  const order = (a: Keyed, b: Keyed): number => compareKeys(keys, a.key, b.key);
  const bound = top !== undefined && top <= maxTop ? top : undefined;
  try {
    for (;;) {
      const batch = await source.next();
      if (batch === undefined) break;
      let bytes = 0;
      for (const row of batch) {
        rows.push({ row, key: await keyValues(keys, row, rt) });
        bytes += rowBytes(row) + 32;
      }
      if (bound === undefined) {
        rt.hold(bytes);
        note(bytes);
      } else if (rows.length > bound * 2 + 1024) {
        rows = (await mergeSort(rows, order, rt)).slice(0, bound);
      }
      await rt.breathe();
    }
  } finally {
    source.close();
  }
  const sorted = await mergeSort(rows, order, rt);
  return sorted.map((item) => item.row);
}

/** Keeps the first of equal rows. */
export function distinctPlan(input: Plan, on: readonly ColumnId[], types: readonly number[]): Plan {
  const ops = types.map((type) => typeOps(type));
  const positions = on.map((id) => input.layout.indexOf(id));
  return {
    layout: input.layout,
    open(rt) {
      const source = input.open(rt);
      const seen = new Set<string>();
      return {
        async next() {
          for (;;) {
            const batch = await source.next();
            if (batch === undefined) return undefined;
            const out: Row[] = [];
            let bytes = 0;
            for (const row of batch) {
              const text = rowText(
                positions.map((position) => row[position] ?? null),
                ops,
              );
              if (seen.has(text)) continue;
              seen.add(text);
              bytes += text.length + 40;
              out.push(row);
            }
            rt.hold(bytes);
            if (out.length > 0) return out;
            await rt.breathe();
          }
        },
        close: () => source.close(),
      };
    },
  };
}

/** Rows of a plan in a given order of columns. */
function aligned(row: Row, positions: readonly number[]): Row {
  return positions.map((position) => row[position] ?? null);
}

export function setOpPlan(left: Plan, right: Plan, rel: SetOpRel, types: readonly number[]): Plan {
  const ops = types.map((type) => typeOps(type));
  const leftAt = rel.leftColumns.map((id) => left.layout.indexOf(id));
  const rightAt = rel.rightColumns.map((id) => right.layout.indexOf(id));
  const layout = rel.columns;
  if (rel.op === 'union') {
    return {
      layout,
      open: (rt) => new UnionOperator(left, right, leftAt, rightAt, rel.all ? undefined : ops, rt),
    };
  }
  return {
    layout,
    open: (rt) =>
      new LateOperator(async () => {
        const counts = new Map<string, number>();
        for (const row of await collectRows(right, rt, rowBytes)) {
          const text = rowText(aligned(row, rightAt), ops);
          counts.set(text, (counts.get(text) ?? 0) + 1);
        }
        const out: Row[] = [];
        const emitted = new Set<string>();
        for (const source of await collectRows(left, rt, rowBytes)) {
          const row = aligned(source, leftAt);
          const text = rowText(row, ops);
          const count = counts.get(text) ?? 0;
          const isCommon = count > 0;
          if (rel.all) {
            if (isCommon) counts.set(text, count - 1);
            if (isCommon === (rel.op === 'intersect')) out.push(row);
          } else if (isCommon === (rel.op === 'intersect') && !emitted.has(text)) {
            emitted.add(text);
            out.push(row);
          }
        }
        return out;
      }),
  };
}

class UnionOperator implements Operator {
  readonly #sources: readonly { readonly plan: Plan; readonly positions: readonly number[] }[];
  readonly #ops: readonly TypeOps[] | undefined;
  readonly #rt: Runtime;
  readonly #seen = new Set<string>();
  #at = 0;
  #open: Operator | undefined;

  constructor(
    left: Plan,
    right: Plan,
    leftAt: readonly number[],
    rightAt: readonly number[],
    ops: readonly TypeOps[] | undefined,
    rt: Runtime,
  ) {
    this.#sources = [
      { plan: left, positions: leftAt },
      { plan: right, positions: rightAt },
    ];
    this.#ops = ops;
    this.#rt = rt;
  }

  async next(): Promise<readonly Row[] | undefined> {
    for (;;) {
      const source = this.#sources[this.#at];
      if (source === undefined) return undefined;
      this.#open ??= source.plan.open(this.#rt);
      const batch = await this.#open.next();
      if (batch === undefined) {
        this.#open.close();
        this.#open = undefined;
        this.#at++;
        continue;
      }
      const rows = batch.map((row) => aligned(row, source.positions));
      if (this.#ops === undefined) return rows;
      const fresh = this.#fresh(rows, this.#ops);
      if (fresh.length > 0) return fresh;
      await this.#rt.breathe();
    }
  }

  #fresh(rows: readonly Row[], ops: readonly TypeOps[]): Row[] {
    let bytes = 0;
    const out = rows.filter((row) => {
      const text = rowText(row, ops);
      if (this.#seen.has(text)) return false;
      this.#seen.add(text);
      bytes += text.length + 40;
      return true;
    });
    this.#rt.hold(bytes);
    return out;
  }

  close(): void {
    this.#open?.close();
    this.#at = this.#sources.length;
  }
}
