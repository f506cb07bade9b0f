/**
 * A tiny evaluator of SQL expressions over the registry, for tests: constants, casts, operators, calls,
 * arrays, CASE-free. `f(x) from g() x` runs aggregates and set functions over the rows of g.
 */
import { type Node } from '@pgsql/types';
import { parse } from 'libpg-query';
import {
  type EvalContext,
  findCast,
  resolveFunction,
  resolveOperator,
  type ResolvedCall,
  commonType,
} from '../../../src/sql/functions/index.ts';
import {
  ArrayDatum,
  arrayTypeOf,
  type Datum,
  isArrayType,
  makeArray,
  oids,
  RecordDatum,
  typeByCatalogName,
  typeByName,
  typeOf,
  typeOps,
  typmodFromArgs,
} from '../../../src/sql/types/index.ts';

export interface Value {
  readonly oid: number;
  readonly value: Datum;
}

/** Names of rows' columns in scope. */
type Scope = ReadonlyMap<string, Value>;

const emptyScope: Scope = new Map();

export function testContext(overrides: Partial<EvalContext> = {}): EvalContext {
  return {
    timeZone: 'America/New_York',
    dateOrder: 'MDY',
    dateStyle: 'ISO',
    intervalStyle: 'postgres',
    extraFloatDigits: 1,
    byteaOutput: 'hex',
    nowMicros: 760_000_000_000_000n,
    statementMicros: 760_000_000_000_000n,
    clockMicros: () => 760_000_000_000_000n,
    random: () => 0.5,
    setSeed: () => undefined,
    randomBytes: (length) => Buffer.alloc(length, 7),
    currentUser: 'tester',
    sessionUser: 'tester',
    currentDatabase: 'defaultdb',
    currentSchemas: ['public'],
    backendPid: 42,
    setting: () => undefined,
    setSetting: (_name, value) => value ?? '',
    host: {
      nextval: () => Promise.resolve(7n),
      currval: () => Promise.resolve(7n),
      setval: (_sequence, value) => Promise.resolve(value),
      lastval: () => Promise.resolve(7n),
      lookupOid: (_kind, name) => Promise.resolve(name === 't' ? 100 : undefined),
      lookupName: (_kind, oid) => Promise.resolve(oid === 100 ? 't' : undefined),
      checkConsistency: () => Promise.resolve([]),
      catalogFunction: (name) => Promise.resolve(name),
    },
    ...overrides,
  };
}

/** Rows of one column each, as text; null as NULL, several rows joined by ` | `. */
export async function evaluate(text: string, context: EvalContext): Promise<string> {
  const tree = await parse(`select ${text}`);
  const statement = tree.stmts?.[0]?.stmt;
  if (statement === undefined || !('SelectStmt' in statement))
    throw new Error(`no select: ${text}`);
  const select = statement.SelectStmt;
  const target = select.targetList?.[0];
  if (target === undefined || !('ResTarget' in target) || target.ResTarget.val === undefined) {
    throw new Error(`no target: ${text}`);
  }
  const rows = await rowsOf(select.fromClause?.[0], context);
  const values =
    rows === undefined
      ? await targetRows(target.ResTarget.val, emptyScope, context)
      : await overRows(target.ResTarget.val, rows.rows, rows.shape, context);
  if (values.length === 0) return '(no rows)';
  return values
    .map(({ oid, value }) => {
      if (value === null) return 'NULL';
      return typeOps(oid).format(value, context) || "''";
    })
    .join(' | ');
}

async function rowsOf(
  from: Node | undefined,
  context: EvalContext,
): Promise<{ rows: Scope[]; shape: Scope } | undefined> {
  if (from === undefined) return undefined;
  if (!('RangeFunction' in from)) throw new Error('only functions in FROM');
  const list = from.RangeFunction.functions?.[0];
  const call = list !== undefined && 'List' in list ? list.List.items?.[0] : undefined;
  if (call === undefined) throw new Error('no function in FROM');
  const alias = from.RangeFunction.alias?.aliasname ?? 'x';
  const values = await targetRows(call, emptyScope, context);
  if (!('FuncCall' in call)) throw new Error('no function in FROM');
  const { call: resolved } = await prepareCall(call, emptyScope, context);
  return {
    rows: values.map((value) => new Map([[alias, value]])),
    shape: new Map([[alias, { oid: resolved.resultType, value: null }]]),
  };
}

async function targetRows(node: Node, scope: Scope, context: EvalContext): Promise<Value[]> {
  if ('FuncCall' in node) {
    const { call, args } = await prepareCall(node, scope, context);
    if (call.fn.kind === 'set') {
      const types = [...call.argTypes, call.resultType];
      const rows = [...(await call.fn.call(args, context, types))];
      return rows.map((row) => {
        if (call.fn.kind === 'set' && call.fn.columns.length > 1) {
          const fields = call.fn.columns.map(({ name, type }) => ({ name, oid: type }));
          return { oid: oids.record, value: new RecordDatum(fields, row) };
        }
        return { oid: call.resultType, value: row[0] ?? null };
      });
    }
  }
  return [await evalNode(node, scope, context)];
}

async function overRows(
  node: Node,
  rows: readonly Scope[],
  shape: Scope,
  context: EvalContext,
): Promise<Value[]> {
  if (!('FuncCall' in node)) throw new Error('only aggregates with FROM');
  const { call } = await prepareCall(node, shape, context);
  const { fn } = call;
  if (fn.kind !== 'aggregate') throw new Error('only aggregates with FROM');
  const state = fn.create([...call.argTypes, call.resultType], context);
  for (const row of rows) {
    const { args } = await prepareCall(node, row, context);
    if (!fn.strict || !args.includes(null)) state.add(args);
  }
  return [{ oid: call.resultType, value: state.result() }];
}

function nameOf(nodes: readonly Node[] | undefined): string {
  const last = nodes?.at(-1);
  return last !== undefined && 'String' in last ? (last.String.sval ?? '') : '';
}

async function prepareCall(
  node: Extract<Node, { FuncCall: unknown }>,
  scope: Scope,
  context: EvalContext,
): Promise<{ call: ResolvedCall; args: Datum[] }> {
  const {
    funcname,
    args: nodes = [],
    agg_star,
    agg_order,
    func_variadic,
    agg_within_group,
  } = node.FuncCall;
  const values: Value[] = [];
  const argNames: string[] = [];
  for (const arg of nodes) {
    if ('NamedArgExpr' in arg) {
      argNames.push(arg.NamedArgExpr.name ?? '');
      values.push(await evalNode(arg.NamedArgExpr.arg, scope, context));
    } else values.push(await evalNode(arg, scope, context));
  }
  if (agg_within_group === true) {
    for (const order of agg_order ?? []) {
      if ('SortBy' in order) values.push(await evalNode(order.SortBy.node, scope, context));
    }
  }
  const call = resolveFunction(
    nameOf(funcname),
    values.map(({ oid }) => oid),
    { star: agg_star, argNames, variadicArray: func_variadic },
  );
  return { call, args: await coerceAll(values, call.argTypes, context) };
}

async function coerceAll(
  values: readonly Value[],
  types: readonly number[],
  context: EvalContext,
): Promise<Datum[]> {
  const out: Datum[] = [];
  for (const [i, value] of values.entries()) {
    out.push((await coerce(value, types[i] ?? value.oid, -1, context, false)).value);
  }
  return out;
}

async function coerce(
  { oid, value }: Value,
  to: number,
  typmod: number,
  context: EvalContext,
  explicit: boolean,
): Promise<Value> {
  if (oid === to && typmod === -1) return { oid, value };
  const cast = findCast(oid, to, explicit ? 'explicit' : 'implicit');
  if (cast === undefined) {
    throw Object.assign(
      new Error(`cannot cast type ${typeOf(oid).displayName} to ${typeOf(to).displayName}`),
      { code: '42846' },
    );
  }
  return { oid: to, value: await cast.call(value, typmod, context, explicit) };
}

async function runCall(
  call: ResolvedCall,
  args: readonly Datum[],
  context: EvalContext,
): Promise<Value> {
  const { fn } = call;
  if (fn.kind !== 'scalar') throw new Error(`${fn.name} is no scalar function`);
  if (fn.strict && args.includes(null)) return { oid: call.resultType, value: null };
  const value = await fn.call(args, context, [...call.argTypes, call.resultType]);
  return { oid: call.resultType, value };
}

async function evalNode(
  node: Node | undefined,
  scope: Scope,
  context: EvalContext,
): Promise<Value> {
  if (node === undefined) throw new Error('missing node');
  if ('A_Const' in node) return constant(node.A_Const);
  if ('ColumnRef' in node) {
    const found = scope.get(nameOf(node.ColumnRef.fields));
    if (found === undefined) throw new Error('no such column');
    return found;
  }
  if ('TypeCast' in node) return evalCast(node, scope, context);
  if ('A_Expr' in node) return evalExpr(node, scope, context);
  if ('FuncCall' in node) {
    const { call, args } = await prepareCall(node, scope, context);
    return runCall(call, args, context);
  }
  if ('A_ArrayExpr' in node) return evalArray(node, scope, context);
  if ('RowExpr' in node) {
    const values: Value[] = [];
    for (const item of node.RowExpr.args ?? []) values.push(await evalNode(item, scope, context));
    const fields = values.map(({ oid }, i) => ({ name: `f${i + 1}`, oid }));
    return {
      oid: oids.record,
      value: new RecordDatum(
        fields,
        values.map(({ value }) => value),
      ),
    };
  }
  if ('SQLValueFunction' in node) throw new Error('no SQL value functions here');
  throw new Error(`no evaluation of ${Object.keys(node).join()}`);
}

function constant(node: Extract<Node, { A_Const: unknown }>['A_Const']): Value {
  if (node.isnull === true) return { oid: oids.unknown, value: null };
  if (node.sval !== undefined) return { oid: oids.unknown, value: node.sval.sval ?? '' };
  if (node.boolval !== undefined) return { oid: oids.bool, value: node.boolval.boolval ?? false };
  if (node.fval !== undefined) {
    const text = node.fval.fval ?? '0';
    if (/^-?\d+$/.test(text)) {
      const value = BigInt(text);
      if (BigInt.asIntN(32, value) === value) return { oid: oids.int4, value: Number(value) };
      if (BigInt.asIntN(64, value) === value) return { oid: oids.int8, value };
    }
    return { oid: oids.numeric, value: typeOps(oids.numeric).parse(text, -1, testContext()) };
  }
  return { oid: oids.int4, value: node.ival?.ival ?? 0 };
}

async function evalCast(
  node: Extract<Node, { TypeCast: unknown }>,
  scope: Scope,
  context: EvalContext,
): Promise<Value> {
  const { arg, typeName } = node.TypeCast;
  const name = nameOf(typeName?.names);
  const qualified = (typeName?.names?.length ?? 0) > 1;
  const base = (qualified ? typeByCatalogName(name) : typeByName(name === 'char' ? '"char"' : name))
    ?.oid;
  if (base === undefined) throw new Error(`no type ${name}`);
  const isArray = (typeName?.arrayBounds?.length ?? 0) > 0;
  const target = isArray ? (arrayTypeOf(base) ?? 0) : base;
  const mods = (typeName?.typmods ?? []).map((mod) =>
    'A_Const' in mod ? (mod.A_Const.ival?.ival ?? 0) : 'A_Expr' in mod ? -1 : 0,
  );
  const typmod = mods.length === 0 ? -1 : typmodFromArgs(base, mods);
  if (arg !== undefined && 'A_ArrayExpr' in arg && isArrayType(target)) {
    const array = await evalArray(arg, scope, context, typeOf(target).elementOid);
    return coerce(array, target, typmod, context, true);
  }
  const value = await evalNode(arg, scope, context);
  return coerce(value, target, typmod, context, true);
}

async function evalExpr(
  node: Extract<Node, { A_Expr: unknown }>,
  scope: Scope,
  context: EvalContext,
): Promise<Value> {
  const { kind, name, lexpr, rexpr } = node.A_Expr;
  const op = nameOf(name);
  const right = await evalNode(rexpr, scope, context);
  if (kind === 'AEXPR_SIMILAR') {
    const left = await evalNode(lexpr, scope, context);
    const call = resolveOperator(op, left.oid, right.oid);
    return runCall(call, await coerceAll([left, right], call.argTypes, context), context);
  }
  const left = lexpr === undefined ? undefined : await evalNode(lexpr, scope, context);
  const call = resolveOperator(op, left?.oid, right.oid);
  const values = left === undefined ? [right] : [left, right];
  return runCall(call, await coerceAll(values, call.argTypes, context), context);
}

async function evalArray(
  node: Extract<Node, { A_ArrayExpr: unknown }>,
  scope: Scope,
  context: EvalContext,
  element?: number,
): Promise<Value> {
  const items: Value[] = [];
  for (const item of node.A_ArrayExpr.elements ?? []) {
    items.push(
      'A_ArrayExpr' in item
        ? await evalArray(item, scope, context, element)
        : await evalNode(item, scope, context),
    );
  }
  const types = items.map(({ oid }) => (isArrayType(oid) ? typeOf(oid).elementOid : oid));
  const common = element ?? commonType(types, 'ARRAY');
  const nested = items.some(({ value }) => value instanceof ArrayDatum);
  if (!nested) {
    const values: Datum[] = [];
    for (const item of items) {
      values.push((await coerce(item, common, -1, context, element !== undefined)).value);
    }
    return { oid: arrayTypeOf(common) ?? 0, value: makeArray(common, values) };
  }
  const arrays: ArrayDatum[] = [];
  for (const item of items) {
    const { value } = await coerce(item, arrayTypeOf(common) ?? 0, -1, context, true);
    if (value instanceof ArrayDatum) arrays.push(value);
  }
  const inner = arrays[0]?.dimensions ?? [];
  return {
    oid: arrayTypeOf(common) ?? 0,
    value: new ArrayDatum(
      common,
      arrays.flatMap(({ elements }) => [...elements]),
      [{ length: arrays.length, lowerBound: 1 }, ...inner],
    ),
  };
}
