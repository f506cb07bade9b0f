/**
 * Subqueries in expressions. One with nothing of the outer row in it runs once, when its value is first wanted, also when it
 * draws random numbers or locks rows (PostgreSQL's InitPlan): all rows of a statement are compared with the same value.
 * The others run once per row.
 */
import { sqlError } from '../../errors.ts';
import { ArrayDatum, type Datum, type Row, typeOps } from '../../types/index.ts';
import { type ColumnId, type Expr, type SubqueryExpr } from '../../plan/expr.ts';
import { columnsOf } from '../../plan/walk.ts';
import { collectRows, type Plan } from '../operator.ts';
import { rowBytes, type Runtime } from '../runtime.ts';
import { compile, type Compiled, type Env, layoutMap, widthOf } from './compile.ts';

export interface SubqueryParts {
  readonly expr: SubqueryExpr;
  readonly env: Env;
  readonly plan: Plan;
  /** Where the result is kept; undefined when it depends on an outer row. */
  readonly site: number | undefined;
  /** What to put into the runtime's slots before the plan is opened. */
  readonly inputs: readonly { readonly slot: number; readonly value: Compiled }[];
}

export function compileSubquery(parts: SubqueryParts): Compiled {
  const run = byMode(parts);
  const { inputs } = parts;
  return {
    sync: false,
    async run(row, rt) {
      for (const { slot, value } of inputs) rt.slots[slot] = await value.run(row, rt);
      return run(row, rt);
    },
  };
}

function byMode(parts: SubqueryParts): (row: Row, rt: Runtime) => Promise<Datum> {
  const { expr, plan } = parts;
  const first = expr.columns[0];
  const at = first === undefined ? 0 : plan.layout.indexOf(first);
  switch (expr.mode) {
    case 'exists':
      return (_row, rt) => rt.once(parts.site, () => hasRow(plan, rt));
    case 'scalar':
      return (_row, rt) => rt.once(parts.site, () => singleValue(plan, at, rt));
    case 'array':
      return (_row, rt) =>
        rt.once(parts.site, async () => {
          const rows = await collectRows(plan, rt, undefined);
          return arrayOf(
            expr.type,
            rows.map((row) => row[at] ?? null),
          );
        });
    case 'any':
    case 'all':
      return quantified(parts);
  }
}

async function hasRow(plan: Plan, rt: Runtime): Promise<boolean> {
  const operator = plan.open(rt);
  try {
    return (await operator.next()) !== undefined;
  } finally {
    operator.close();
  }
}

async function singleValue(plan: Plan, at: number, rt: Runtime): Promise<Datum> {
  const operator = plan.open(rt);
  try {
    let found: Row | undefined;
    for (;;) {
      const batch = await operator.next();
      if (batch === undefined) return found?.[at] ?? null;
      if (found !== undefined || batch.length > 1) {
        throw sqlError(
          'cardinalityViolation',
          'more than one row returned by a subquery used as an expression',
        );
      }
      found = batch[0];
    }
  } finally {
    operator.close();
  }
}

function arrayOf(type: number, values: readonly Datum[]): Datum {
  const { elementOid } = typeOps(type).type;
  if (values.length === 0) return new ArrayDatum(elementOid, [], []);
  const [first] = values;
  if (first instanceof ArrayDatum) {
    const parts = values.filter((value) => value instanceof ArrayDatum);
    return new ArrayDatum(
      elementOid,
      parts.flatMap((part) => [...part.elements]),
      [{ length: values.length, lowerBound: 1 }, ...first.dimensions],
    );
  }
  return new ArrayDatum(elementOid, values, [{ length: values.length, lowerBound: 1 }]);
}

/** x OP ANY|ALL (subquery). A cached result of equalities is looked up by hash. */
function quantified(parts: SubqueryParts): (row: Row, rt: Runtime) => Promise<Datum> {
  const { expr, env, plan } = parts;
  const test = expr.test;
  if (test === undefined) throw sqlError('internalError', 'a quantified subquery has a test');
  const isAll = expr.mode === 'all';
  const hashed = parts.site !== undefined ? hashedTest(test, plan.layout, env) : undefined;
  if (hashed !== undefined && !isAll) return hashedAny(parts, hashed);
  if (hashed === undefined && isAll && parts.site !== undefined) {
    const inequality = hashedTest(test, plan.layout, env, '<>');
    if (inequality !== undefined) {
      const any = hashedAny(parts, inequality);
      return async (row, rt) => {
        const found = await any(row, rt);
        return found === null ? null : found !== true;
      };
    }
  }
  // The test sees the inner row behind the outer one.
  const width = widthOf(env);
  const layout = new Map(env.layout);
  for (const [id, position] of layoutMap(plan.layout)) layout.set(id, width + position);
  const compiled = compile(test, { ...env, layout });
  const decides = !isAll;
  return async (row, rt) => {
    const rows = await rt.once(parts.site, () =>
      collectRows(plan, rt, parts.site !== undefined ? rowBytes : undefined),
    );
    // A column may stand in the row twice; the map knows the first place only.
    const outer = row.length === width ? row : row.slice(0, width);
    let unknown = false;
    for (const inner of rows) {
      const value = await compiled.run(outer.concat(inner), rt);
      if (value === decides) return decides;
      if (value === null) unknown = true;
    }
    return unknown ? null : isAll;
  };
}

interface HashedTest {
  readonly outer: Compiled;
  readonly inner: Compiled;
  readonly type: number;
}

function hashedTest(
  test: Expr,
  layout: readonly ColumnId[],
  env: Env,
  operator = '=',
): HashedTest | undefined {
  if (test.kind !== 'call' || test.fn.name !== operator || test.args.length !== 2) return undefined;
  const [left, right] = test.args;
  if (left === undefined || right === undefined || left.type !== right.type) return undefined;
  const inner = new Set(layout);
  const uses = (expr: Expr): boolean => [...columnsOf(expr)].some((id) => inner.has(id));
  const only = (expr: Expr): boolean => [...columnsOf(expr)].every((id) => inner.has(id));
  if (uses(left) || !uses(right) || !only(right)) return undefined;
  return {
    outer: compile(left, env),
    inner: compile(right, { ...env, layout: layoutMap(layout) }),
    type: left.type,
  };
}

function hashedAny(
  parts: SubqueryParts,
  test: HashedTest,
): (row: Row, rt: Runtime) => Promise<Datum> {
  const ops = typeOps(test.type);
  return async (row, rt) => {
    const set = await rt.once(parts.site, async () => {
      const keys = new Set<string | number | bigint | boolean>();
      let hasNull = false;
      const rows = await collectRows(parts.plan, rt, rowBytes);
      for (const inner of rows) {
        const value = await test.inner.run(inner, rt);
        if (value === null) hasNull = true;
        else keys.add(ops.hashKey(value));
      }
      return { keys, hasNull, isEmpty: rows.length === 0 };
    });
    if (set.isEmpty) return false;
    const value = await test.outer.run(row, rt);
    if (value === null) return null;
    if (set.keys.has(ops.hashKey(value))) return true;
    return set.hasNull ? null : false;
  };
}
