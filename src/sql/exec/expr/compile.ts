/**
 * Expressions to closures. A closure reads the row by position; columns of outer rows come from the
 * runtime's slots. What cannot be computed synchronously (sequences, catalog functions, subqueries)
 * makes all expressions above it asynchronous; all others stay plain calls.
 */
import { unreachable } from '../../../util/index.ts';
import { sqlError } from '../../errors.ts';
import { ArrayDatum, type Datum, RecordDatum, type Row, typeOps } from '../../types/index.ts';
import {
  type CallExpr,
  type CaseExpr,
  type ColumnId,
  type Expr,
  recordOid,
  type SubqueryExpr,
} from '../../plan/expr.ts';
import { type Runtime } from '../runtime.ts';
import { buildArray, castArray, compareWithArray, subscript } from './arrays.ts';
import { contextValue } from './context-values.ts';
import { type Eval } from './compile-types.ts';
import { fastCall } from './fast.ts';

export type AsyncEval = (row: Row, rt: Runtime) => Promise<Datum>;

export type Compiled =
  | { readonly sync: true; readonly run: Eval }
  | { readonly sync: false; readonly run: AsyncEval };

/** Where columns are found while compiling. */
export interface Env {
  /** Position in the row. */
  readonly layout: ReadonlyMap<ColumnId, number>;
  /** Slot in the runtime for columns of enclosing rows. */
  readonly outer: ReadonlyMap<ColumnId, number>;
  /** Compiles a subquery. Given by the plan builder. */
  readonly subquery: (expr: SubqueryExpr, env: Env) => Compiled;
}

export function layoutMap(layout: readonly ColumnId[]): Map<ColumnId, number> {
  const map = new Map<ColumnId, number>();
  for (const [i, id] of layout.entries()) if (!map.has(id)) map.set(id, i);
  return map;
}

/** The first place behind the row. */
export function widthOf(env: Env): number {
  let width = 0;
  for (const position of env.layout.values()) width = Math.max(width, position + 1);
  return width;
}

/** A function or cast that is not marked async never returns a promise. */
function settled(value: Datum | Promise<Datum>): Datum {
  return value as Datum;
}

export function compile(expr: Expr, env: Env): Compiled {
  switch (expr.kind) {
    case 'const': {
      const { value } = expr;
      return { sync: true, run: () => value };
    }
    case 'param': {
      const { index } = expr;
      return { sync: true, run: (_row, rt) => rt.params[index] ?? null };
    }
    case 'column':
      return compileColumn(expr.id, env);
    case 'context': {
      const { what } = expr;
      return { sync: true, run: (_row, rt) => contextValue(what, rt.eval) };
    }
    case 'call':
      return compileCall(expr, env);
    case 'cast': {
      const { cast, typmod, explicit, type } = expr;
      const arg = compile(expr.arg, env);
      if (cast === undefined) {
        if (typmod < 0) return arg;
        const ops = typeOps(type);
        return lift([arg], ([value = null]) =>
          value === null ? null : ops.applyTypmod(value, typmod, explicit),
        );
      }
      if (cast.async) {
        return liftAsync([arg], async ([value = null], rt) =>
          value === null ? null : cast.call(value, typmod, rt.eval, explicit),
        );
      }
      const ops = typmod < 0 ? undefined : typeOps(type);
      return lift([arg], ([value = null], rt) => {
        if (value === null) return null;
        const done = settled(cast.call(value, typmod, rt.eval, explicit));
        return ops === undefined || done === null ? done : ops.applyTypmod(done, typmod, explicit);
      });
    }
    case 'array-cast': {
      const { cast, typmod, explicit, elementType } = expr;
      const arg = compile(expr.arg, env);
      if (cast?.async === true) {
        return liftAsync([arg], async ([value = null], rt) => {
          if (!(value instanceof ArrayDatum)) return null;
          const elements: Datum[] = [];
          for (const item of value.elements) {
            elements.push(item === null ? null : await cast.call(item, typmod, rt.eval, explicit));
          }
          return new ArrayDatum(elementType, elements, value.dimensions);
        });
      }
      return lift([arg], ([value = null], rt) => castArray(value, expr, rt.eval));
    }
    case 'and':
    case 'or':
      return compileJunction(
        expr.kind === 'and',
        expr.args.map((arg) => compile(arg, env)),
      );
    case 'not':
      return lift([compile(expr.arg, env)], ([value = null]) =>
        value === null ? null : value !== true,
      );
    case 'case':
      return compileCase(expr, env);
    case 'coalesce':
      return compileCoalesce(expr.args.map((arg) => compile(arg, env)));
    case 'minmax': {
      const ops = typeOps(expr.type);
      const sign = expr.greatest ? 1 : -1;
      return lift(
        expr.args.map((arg) => compile(arg, env)),
        (values) => {
          let best: Datum = null;
          for (const value of values) {
            if (value !== null && (best === null || ops.compare(value, best) * sign > 0))
              best = value;
          }
          return best;
        },
      );
    }
    case 'nullif':
      return compileNullIf(expr, env);
    case 'is-null': {
      const { negated } = expr;
      const isNull = expr.arg.type === recordOid ? recordIsNull : plainIsNull;
      return lift([compile(expr.arg, env)], ([value = null]) => isNull(value, negated));
    }
    case 'bool-test': {
      const { negated } = expr;
      const wanted = expr.test === 'unknown' ? null : expr.test === 'true';
      return lift([compile(expr.arg, env)], ([value = null]) => (value === wanted) !== negated);
    }
    case 'distinct-from':
      return compileDistinctFrom(expr, env);
    case 'in-list':
      return compileInList(expr, env);
    case 'array-compare':
      return lift(
        [compile(expr.left, env), compile(expr.right, env)],
        ([left = null, right = null], rt) => compareWithArray(expr, left, right, rt.eval),
      );
    case 'array':
      return lift(
        expr.elements.map((element) => compile(element, env)),
        (values) => buildArray(expr, values),
      );
    case 'subscript': {
      const parts = [compile(expr.arg, env)];
      for (const index of expr.indices) {
        if (index.lower !== undefined) parts.push(compile(index.lower, env));
        if (index.upper !== undefined) parts.push(compile(index.upper, env));
      }
      return lift(parts, (values) => subscript(expr, values));
    }
    case 'row': {
      const fields = expr.args.map((arg, i) => ({
        name: expr.names[i] ?? `f${i + 1}`,
        oid: arg.type,
      }));
      const { nullable } = expr;
      return lift(
        expr.args.map((arg) => compile(arg, env)),
        (values) =>
          nullable && values.every((value) => value === null)
            ? null
            : new RecordDatum(fields, [...values]),
      );
    }
    case 'row-compare':
      return compileRowCompare(expr, env);
    case 'field': {
      const { index } = expr;
      return lift([compile(expr.arg, env)], ([value = null]) =>
        value instanceof RecordDatum ? (value.values[index] ?? null) : null,
      );
    }
    case 'subquery':
      return env.subquery(expr, env);
    default:
      return unreachable(expr);
  }
}

function compileColumn(id: ColumnId, env: Env): Compiled {
  const at = env.layout.get(id);
  if (at !== undefined) return { sync: true, run: (row) => row[at] ?? null };
  const slot = env.outer.get(id);
  if (slot === undefined) throw sqlError('internalError', `column #${id} is not available here`);
  return { sync: true, run: (_row, rt) => rt.slots[slot] ?? null };
}

/** A node that needs all its children's values. */
export function lift(
  children: readonly Compiled[],
  apply: (values: readonly Datum[], rt: Runtime) => Datum,
): Compiled {
  const [first] = children;
  if (children.length === 1 && first?.sync === true) {
    const { run } = first;
    return { sync: true, run: (row, rt) => apply([run(row, rt)], rt) };
  }
  const runs = children.flatMap((child) => (child.sync ? [child.run] : []));
  if (runs.length === children.length) {
    return {
      sync: true,
      run: (row, rt) => {
        const values: Datum[] = [];
        for (const run of runs) values.push(run(row, rt));
        return apply(values, rt);
      },
    };
  }
  return liftAsync(children, async (values, rt) => apply(values, rt));
}

export function liftAsync(
  children: readonly Compiled[],
  apply: (values: readonly Datum[], rt: Runtime) => Promise<Datum>,
): Compiled {
  return {
    sync: false,
    run: async (row, rt) => {
      const values: Datum[] = [];
      for (const child of children) {
        values.push(child.sync ? child.run(row, rt) : await child.run(row, rt));
      }
      return apply(values, rt);
    },
  };
}

function compileCall(expr: CallExpr, env: Env): Compiled {
  const { fn, callTypes } = expr;
  const args = expr.args.map((arg) => compile(arg, env));
  if (fn.async) {
    return liftAsync(args, async (values, rt) =>
      fn.strict && values.includes(null) ? null : fn.call(values, rt.eval, callTypes),
    );
  }
  const runs = args.flatMap((arg) => (arg.sync ? [arg.run] : []));
  if (runs.length !== args.length) {
    return liftAsync(args, async (values, rt) =>
      fn.strict && values.includes(null) ? null : settled(fn.call(values, rt.eval, callTypes)),
    );
  }
  const fast = fastCall(fn, callTypes, runs);
  if (fast !== undefined) return { sync: true, run: fast };
  return { sync: true, run: plainCall(expr, runs) };
}

function plainCall(expr: CallExpr, runs: readonly Eval[]): Eval {
  const { fn, callTypes } = expr;
  const { strict } = fn;
  const [first, second] = runs;
  if (strict && runs.length === 1 && first !== undefined) {
    return (row, rt) => {
      const a = first(row, rt);
      return a === null ? null : settled(fn.call([a], rt.eval, callTypes));
    };
  }
  if (strict && runs.length === 2 && first !== undefined && second !== undefined) {
    return (row, rt) => {
      const a = first(row, rt);
      if (a === null) return null;
      const b = second(row, rt);
      return b === null ? null : settled(fn.call([a, b], rt.eval, callTypes));
    };
  }
  return (row, rt) => {
    const values: Datum[] = [];
    let hasNull = false;
    for (const run of runs) {
      const value = run(row, rt);
      if (value === null) hasNull = true;
      values.push(value);
    }
    return strict && hasNull ? null : settled(fn.call(values, rt.eval, callTypes));
  };
}

/** Three-valued AND (or OR), left to right, ending early. */
function compileJunction(isAnd: boolean, args: readonly Compiled[]): Compiled {
  const decides = !isAnd;
  const runs = args.flatMap((arg) => (arg.sync ? [arg.run] : []));
  if (runs.length === args.length) {
    return {
      sync: true,
      run: (row, rt) => {
        let unknown = false;
        for (const run of runs) {
          const value = run(row, rt);
          if (value === decides) return decides;
          if (value === null) unknown = true;
        }
        return unknown ? null : isAnd;
      },
    };
  }
  return {
    sync: false,
    run: async (row, rt) => {
      let unknown = false;
      for (const arg of args) {
        const value = arg.sync ? arg.run(row, rt) : await arg.run(row, rt);
        if (value === decides) return decides;
        if (value === null) unknown = true;
      }
      return unknown ? null : isAnd;
    },
  };
}

/** The value that is compared is the value that comes out. */
function compileNullIf({ arg, equal }: Extract<Expr, { kind: 'nullif' }>, env: Env): Compiled {
  if (equal.kind !== 'call') {
    return lift([compile(equal, env), compile(arg, env)], ([isEqual, value = null]) =>
      isEqual === true ? null : value,
    );
  }
  const { fn, callTypes } = equal;
  return lift(
    equal.args.map((operand) => compile(operand, env)),
    (values, rt) => {
      const [left = null, right = null] = values;
      if (left === null || right === null) return left;
      return fn.call(values, rt.eval, callTypes) === true ? null : left;
    },
  );
}

/** The operand's value stands behind the row while the rest is evaluated. */
function compileCase(expr: CaseExpr, env: Env): Compiled {
  const { operand } = expr;
  if (operand === undefined) return compileWhens(expr, env);
  const at = widthOf(env);
  const value = compile(operand.expr, env);
  const whens = compileWhens(expr, { ...env, layout: new Map(env.layout).set(operand.id, at) });
  const beside = (row: Row, datum: Datum): Row => {
    const wide = row.slice(0, at);
    wide[at] = datum;
    return wide;
  };
  if (value.sync && whens.sync) {
    return { sync: true, run: (row, rt) => whens.run(beside(row, value.run(row, rt)), rt) };
  }
  return {
    sync: false,
    run: async (row, rt) => whens.run(beside(row, await value.run(row, rt)), rt),
  };
}

function compileWhens(expr: CaseExpr, env: Env): Compiled {
  const whens = expr.whens.map(({ when, result }) => ({
    when: compile(when, env),
    result: compile(result, env),
  }));
  const otherwise = compile(expr.otherwise, env);
  const all = [...whens.flatMap(({ when, result }) => [when, result]), otherwise];
  const runs = all.flatMap((item) => (item.sync ? [item.run] : []));
  if (runs.length === all.length) {
    const last = runs.length - 1;
    return {
      sync: true,
      run: (row, rt) => {
        for (let i = 0; i < last; i += 2) {
          if (runs[i]?.(row, rt) === true) return runs[i + 1]?.(row, rt) ?? null;
        }
        return runs[last]?.(row, rt) ?? null;
      },
    };
  }
  return {
    sync: false,
    run: async (row, rt) => {
      for (const { when, result } of whens) {
        if ((await when.run(row, rt)) === true) return result.run(row, rt);
      }
      return otherwise.run(row, rt);
    },
  };
}

function compileCoalesce(args: readonly Compiled[]): Compiled {
  const runs = args.flatMap((arg) => (arg.sync ? [arg.run] : []));
  if (runs.length === args.length) {
    return {
      sync: true,
      run: (row, rt) => {
        for (const run of runs) {
          const value = run(row, rt);
          if (value !== null) return value;
        }
        return null;
      },
    };
  }
  return {
    sync: false,
    run: async (row, rt) => {
      for (const arg of args) {
        const value = await arg.run(row, rt);
        if (value !== null) return value;
      }
      return null;
    },
  };
}

function plainIsNull(value: Datum, negated: boolean): boolean {
  return (value === null) !== negated;
}

/** IS NULL: all fields are; IS NOT NULL: no field is. */
function recordIsNull(value: Datum, negated: boolean): boolean {
  if (!(value instanceof RecordDatum)) return !negated;
  return value.values.every((field) => (field === null) !== negated);
}

function compileDistinctFrom(expr: Extract<Expr, { kind: 'distinct-from' }>, env: Env): Compiled {
  const { equal, negated } = expr;
  return lift(
    [compile(expr.left, env), compile(expr.right, env)],
    ([left = null, right = null], rt) => {
      if (left === null || right === null) return (left === right) === negated;
      const same =
        equal === undefined
          ? left === right
          : equal.fn.call([left, right], rt.eval, equal.callTypes);
      return (same === true) === negated;
    },
  );
}

const hashedListLength = 8;

function compileInList(expr: Extract<Expr, { kind: 'in-list' }>, env: Env): Compiled {
  const ops = typeOps(expr.arg.type);
  const { negated } = expr;
  const arg = compile(expr.arg, env);
  const constants = expr.items.flatMap((item) => (item.kind === 'const' ? [item.value] : []));
  if (constants.length === expr.items.length && constants.length >= hashedListLength) {
    const hasNull = constants.includes(null);
    const keys = new Set(
      constants.flatMap((value) => (value === null ? [] : [ops.hashKey(value)])),
    );
    return lift([arg], ([value = null]) => {
      if (value === null) return null;
      if (keys.has(ops.hashKey(value))) return !negated;
      return hasNull ? null : negated;
    });
  }
  const items = expr.items.map((item) => compile(item, env));
  return lift([arg, ...items], (values) => {
    const value = values[0] ?? null;
    if (value === null) return null;
    let unknown = false;
    for (let i = 1; i < values.length; i++) {
      const item = values[i] ?? null;
      if (item === null) unknown = true;
      else if (ops.compare(value, item) === 0) return !negated;
    }
    return unknown ? null : negated;
  });
}

function compileRowCompare(expr: Extract<Expr, { kind: 'row-compare' }>, env: Env): Compiled {
  const pairs = expr.equals.length;
  const orEqual = expr.operator === '<=' || expr.operator === '>=';
  const parts = [...expr.equals, ...expr.strict].map((part) => compile(part, env));
  return lift(parts, (values) => {
    for (let i = 0; i < pairs; i++) {
      const equal = values[i] ?? null;
      if (equal === null) return null;
      if (equal === false) return values[pairs + i] ?? null;
    }
    return orEqual;
  });
}

/** Runs a compiled expression whichever way it goes. */
export function evaluate(compiled: Compiled, row: Row, rt: Runtime): Datum | Promise<Datum> {
  return compiled.run(row, rt);
}
