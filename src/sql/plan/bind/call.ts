/** Function calls: scalar, aggregate, window and set-returning, and where each may stand. */
import { type FuncCall } from '@pgsql/types';
import {
  type AggregateFunction,
  type ResolvedCall,
  type WindowFunction,
} from '../../functions/registry-types.ts';
import { typeOps } from '../../types/index.ts';
import { type ColumnId, type Expr, recordOid, unknownOid } from '../expr.ts';
import { type AggregateCall, type SetCall, type SortKey } from '../logical.ts';
import { isVolatile } from '../rules/predicates.ts';
import { columnsOf, visitExpr } from '../walk.ts';
import { type ExprContext, failAt, nothingAllowed, type QueryLevel, type Scope } from './binder.ts';
import { coerceCommon, coerceExplicit, coerceToBoolean, settle } from './coerce.ts';
import { bindExpr, locationOf } from './context.ts';
import { fieldOf } from './field.ts';
import { tryLocated } from './operators.ts';
import { isPolymorphic, resolveFn } from './resolve.ts';
import { sameExpr } from './same.ts';
import { bindSortKey, requireEquality, sortByOf } from './sort.ts';
import { bindWindow } from './window.ts';

export function callName(node: FuncCall): { schema: string | undefined; name: string } {
  const parts = (node.funcname ?? []).map((part) =>
    'String' in part ? (part.String.sval ?? '') : '',
  );
  return { schema: parts.length > 1 ? parts.at(-2) : undefined, name: parts.at(-1) ?? '' };
}

export function bindCall(c: ExprContext, node: FuncCall): Expr {
  const { schema, name } = callName(node);
  const { location } = node;
  if (node.agg_within_group === true) return bindWithinGroup(c, node);
  if (node.agg_star === true && (node.args ?? []).length === 0) {
    return bindResolved(c, node, [], lookup(schema, name, [], node, true));
  }
  // The arguments of an aggregate stand before grouping: they see no aggregates or windows.
  const args = bindArguments(c, node);
  const [only] = args;
  if (
    args.length === 1 &&
    only?.kind === 'row' &&
    node.over === undefined &&
    schema === undefined
  ) {
    const resolved = tryResolve(schema, name, args, node);
    if (resolved === undefined && only.names.includes(name))
      return fieldOf(c, only, name, location);
  }
  return bindResolved(c, node, args, lookup(schema, name, args, node, false));
}

function namedArguments(node: FuncCall): string[] {
  return (node.args ?? []).flatMap((arg) =>
    'NamedArgExpr' in arg && arg.NamedArgExpr.name !== undefined ? [arg.NamedArgExpr.name] : [],
  );
}

function bindArguments(c: ExprContext, node: FuncCall): Expr[] {
  const nodes = [...(node.args ?? [])];
  const inner: ExprContext = c;
  return nodes.map((arg) => bindExpr(inner, arg));
}

/** The sorted values are arguments too when the function is looked up. */
function bindWithinGroup(c: ExprContext, node: FuncCall): Expr {
  const { schema, name } = callName(node);
  const args = bindArguments(c, node);
  const keys = (node.agg_order ?? []).map((item) => bindSortKey(c, item));
  const types = [...args, ...keys.map((key) => key.expr)].map((arg) => arg.type);
  const resolved = tryLocated(node.location, () =>
    resolveFn(schema, name, types, { variadic: false, star: false }),
  );
  if (resolved.fn.kind !== 'aggregate' || node.over !== undefined) {
    throw failAt('wrongObjectType', `WITHIN GROUP is not possible for ${name} here`, node.location);
  }
  return bindAggregate(c, node, args, resolved, resolved.fn);
}

function tryResolve(
  schema: string | undefined,
  name: string,
  args: readonly Expr[],
  node: FuncCall,
): ResolvedCall | undefined {
  try {
    return lookup(schema, name, args, node, false);
  } catch {
    return undefined;
  }
}

function lookup(
  schema: string | undefined,
  name: string,
  args: readonly Expr[],
  node: FuncCall,
  star: boolean,
): ResolvedCall {
  const types = args.map((arg) => arg.type);
  return tryLocated(node.location, () =>
    resolveFn(schema, name, types, {
      variadic: node.func_variadic === true,
      star,
      argNames: namedArguments(node),
    }),
  );
}

function bindResolved(
  c: ExprContext,
  node: FuncCall,
  args: readonly Expr[],
  resolved: ResolvedCall,
): Expr {
  const { fn } = resolved;
  const { name } = callName(node);
  if (fn.kind === 'aggregate') {
    return node.over === undefined
      ? bindAggregate(c, node, args, resolved, fn)
      : bindWindowCall(c, node, args, resolved, fn);
  }
  if (fn.kind === 'window') {
    if (node.over === undefined) {
      throw failAt(
        'wrongObjectType',
        `window function ${name} requires an OVER clause`,
        node.location,
      );
    }
    return bindWindowCall(c, node, args, resolved, fn);
  }
  if (node.over !== undefined) {
    throw failAt(
      'wrongObjectType',
      `OVER specified, but ${name} is not a window function nor an aggregate function`,
      node.location,
    );
  }
  if (
    node.agg_distinct === true ||
    node.agg_order !== undefined ||
    node.agg_filter !== undefined ||
    node.agg_star === true
  ) {
    const what =
      node.agg_distinct === true
        ? 'DISTINCT'
        : node.agg_order !== undefined
          ? 'ORDER BY'
          : node.agg_filter !== undefined
            ? 'FILTER'
            : '(*)';
    throw failAt(
      'wrongObjectType',
      `${what} specified, but ${name} is not an aggregate function`,
      node.location,
    );
  }
  const [only] = args;
  if (resolved.isCast === true && only !== undefined)
    return coerceExplicit(c.binder, only, resolved.resultType, -1, node.location);
  const coerced = coerceArguments(c, args, resolved, name, node.location);
  const callTypes = [...coerced.map((arg) => arg.type), resolved.resultType];
  if (fn.kind === 'set')
    return bindSet(c, node, { fn, args: coerced, callTypes }, resolved.resultType);
  return { kind: 'call', type: resolved.resultType, typmod: -1, fn, args: coerced, callTypes };
}

export function coerceArguments(
  c: ExprContext,
  args: readonly Expr[],
  resolved: ResolvedCall,
  name: string,
  location?: number,
): Expr[] {
  return args.map((arg, i) => {
    const target = resolved.argTypes[i] ?? arg.type;
    const done = coerceCommon(c.binder, arg, target, `function ${name}`, location);
    return done.type === unknownOid && target !== unknownOid ? settle(c.binder, done) : done;
  });
}

// Aggregates.

/** Which level an aggregate belongs to: the innermost one whose columns its arguments use. */
function ownerOf(
  c: ExprContext,
  args: readonly Expr[],
): { readonly level: QueryLevel; readonly scope: Scope } | undefined {
  const used = new Set<ColumnId>();
  for (const arg of args) columnsOf(arg, used);
  let own: { level: QueryLevel; scope: Scope } | undefined;
  for (let at: Scope | undefined = c.scope; at !== undefined; at = at.parent) {
    if (at.level === undefined) continue;
    own ??= { level: at.level, scope: at };
    const local = new Set(
      at.relations.flatMap((relation) => relation.columns.map((col) => col.id)),
    );
    for (const column of at.columns) local.add(column.id);
    if ([...used].some((id) => local.has(id))) return { level: at.level, scope: at };
  }
  return own;
}

function bindAggregate(
  c: ExprContext,
  node: FuncCall,
  args: readonly Expr[],
  resolved: ResolvedCall,
  fn: AggregateFunction,
): Expr {
  const { binder } = c;
  const { name } = callName(node);
  const inner: ExprContext = { ...c, insideAggregate: true };
  const owner = ownerOf(c, args);
  const local = owner === undefined || owner.level === c.scope.level;
  if (owner === undefined || (local && !c.allow.aggregates)) {
    throw failAt(
      'groupingError',
      `aggregate functions are not allowed in ${c.clause}`,
      node.location,
    );
  }
  checkNoNesting(owner.level, args, node.location);
  const call = aggregateCall(inner, node, args, resolved, fn);
  const { level } = owner;
  const existing = level.aggregates.find(
    (other) => sameExpr({ ...other, id: 0 }, { ...call, id: 0 }) && !isVolatileCall(call),
  );
  if (existing !== undefined) return at(binder.reference(existing.id), node.location);
  const id = binder.newColumn({ name, type: resolved.resultType });
  level.aggregates.push({ ...call, id });
  return at(binder.reference(id), node.location);
}

function at(expr: Expr, position: number | undefined): Expr {
  return expr.kind === 'column' ? { ...expr, position } : expr;
}

function isVolatileCall({ args, direct, orderBy, filter }: AggregateCall): boolean {
  const exprs = [...args, ...direct, ...orderBy.map((key) => key.expr)];
  return exprs.some(isVolatile) || (filter !== undefined && isVolatile(filter));
}

function checkNoNesting(level: QueryLevel, args: readonly Expr[], location?: number): void {
  const made = new Set(level.aggregates.map((call) => call.id));
  for (const window of level.windows) {
    for (const call of window.calls) {
      if (args.some((arg) => columnsOf(arg).has(call.id))) {
        throw failAt(
          'groupingError',
          'aggregate function calls cannot contain window function calls',
          location,
        );
      }
    }
  }
  for (const arg of args) {
    for (const id of columnsOf(arg)) {
      if (made.has(id)) {
        throw failAt(
          'groupingError',
          'aggregate function calls cannot be nested',
          placeOf(arg, id) ?? location,
        );
      }
    }
  }
}

function placeOf(expr: Expr, id: ColumnId): number | undefined {
  let found: number | undefined;
  visitExpr(expr, (node) => {
    if (node.kind === 'column' && node.id === id) found ??= node.position;
  });
  return found;
}

function aggregateCall(
  c: ExprContext,
  node: FuncCall,
  args: readonly Expr[],
  resolved: ResolvedCall,
  fn: AggregateFunction,
): AggregateCall {
  const { binder } = c;
  const { name } = callName(node);
  const plain: ExprContext = { ...c, clause: 'FILTER', allow: nothingAllowed };
  const filter =
    node.agg_filter === undefined
      ? undefined
      : coerceToBoolean(
          binder,
          bindExpr(plain, node.agg_filter),
          'FILTER',
          locationOf(node.agg_filter),
        );
  const orderNodes = node.agg_order ?? [];
  if (node.agg_within_group === true) {
    const keys = orderNodes.map((item) => bindSortKey(c, item));
    const direct = args.map((arg) => settle(binder, arg));
    const retyped = tryLocated(node.location, () =>
      resolveFn(
        undefined,
        name,
        [...direct, ...keys.map((key) => key.expr)].map((arg) => arg.type),
        {
          variadic: false,
          star: false,
        },
      ),
    );
    const all = coerceArguments(
      c,
      [...args, ...keys.map((key) => key.expr)],
      retyped,
      name,
      node.location,
    );
    const values = all.slice(args.length);
    return {
      id: 0,
      fn: retyped.fn.kind === 'aggregate' ? retyped.fn : fn,
      args: values,
      direct: all.slice(0, args.length),
      callTypes: [...all.map((arg) => arg.type), retyped.resultType],
      distinct: false,
      orderBy: keys.map((key, i) => ({ ...key, expr: values[i] ?? key.expr })),
      filter,
    };
  }
  const coerced = coerceArguments(c, args, resolved, name, node.location);
  const distinct = node.agg_distinct === true;
  if (distinct && coerced.length === 0) {
    throw failAt(
      'invalidColumnReference',
      'DISTINCT specified for an aggregate without arguments',
      node.location,
    );
  }
  if (distinct) {
    for (const [i, arg] of coerced.entries())
      requireEquality(arg.type, locationOf(node.args?.[i]) ?? node.location);
  }
  const orderBy = orderNodes.map((item) => {
    const key = bindSortKey(c, item);
    return distinct ? argumentKey(coerced, key, locationOf(sortByOf(item).node)) : key;
  });
  return {
    id: 0,
    fn,
    args: coerced,
    direct: [],
    callTypes: [...coerced.map((arg) => arg.type), resolved.resultType],
    distinct,
    orderBy,
    filter,
  };
}

/** With DISTINCT arguments alone are sorted by, each as the function takes it. */
function argumentKey(args: readonly Expr[], key: SortKey, location?: number): SortKey {
  const expr = args.find((arg) => sameExpr(asWritten(arg), key.expr));
  if (expr !== undefined) return { ...key, expr };
  throw failAt(
    'invalidColumnReference',
    'in an aggregate with DISTINCT, ORDER BY expressions must appear in argument list',
    location,
  );
}

/** Without the casts that nobody wrote. */
function asWritten(expr: Expr): Expr {
  const isCast = expr.kind === 'cast' || expr.kind === 'array-cast';
  return isCast && !expr.explicit ? asWritten(expr.arg) : expr;
}

// Windows.

function bindWindowCall(
  c: ExprContext,
  node: FuncCall,
  args: readonly Expr[],
  resolved: ResolvedCall,
  fn: AggregateFunction | WindowFunction,
): Expr {
  const { binder, level } = c;
  const { name } = callName(node);
  if (level === undefined || !c.allow.windows || node.over === undefined) {
    throw failAt(
      'windowingError',
      `window functions are not allowed in ${c.clause}`,
      node.location,
    );
  }
  if (node.agg_distinct === true) {
    throw failAt(
      'featureNotSupported',
      'DISTINCT is not implemented for window functions',
      node.location,
    );
  }
  if (node.agg_order !== undefined) {
    throw failAt(
      'featureNotSupported',
      'aggregate ORDER BY is not implemented for window functions',
      node.location,
    );
  }
  for (const window of level.windows) {
    for (const call of window.calls) {
      if (args.some((arg) => columnsOf(arg).has(call.id))) {
        throw failAt('windowingError', 'window function calls cannot be nested', node.location);
      }
    }
  }
  const coerced = coerceArguments(c, args, resolved, name, node.location);
  const filter =
    node.agg_filter === undefined
      ? undefined
      : coerceToBoolean(
          binder,
          bindExpr(c, node.agg_filter),
          'FILTER',
          locationOf(node.agg_filter),
        );
  if (filter !== undefined && fn.kind !== 'aggregate') {
    throw failAt(
      'featureNotSupported',
      'FILTER is not implemented for non-aggregate window functions',
      node.location,
    );
  }
  const spec = bindWindow(c, node.over);
  const group = level.windows.find((other) =>
    sameExpr({ partitionBy: other.partitionBy, orderBy: other.orderBy, frame: other.frame }, spec),
  );
  const id = binder.newColumn({ name, type: resolved.resultType });
  const call = {
    id,
    fn,
    args: coerced,
    callTypes: [...coerced.map((arg) => arg.type), resolved.resultType],
    filter,
  };
  if (group !== undefined) group.calls.push(call);
  else level.windows.push({ ...spec, calls: [call] });
  return binder.reference(id);
}

// Set-returning functions in a select list.

function bindSet(
  c: ExprContext,
  node: FuncCall,
  call: Omit<SetCall, 'columns'>,
  type: number,
): Expr {
  const { level } = c;
  if (level === undefined || !c.allow.sets) {
    throw failAt(
      'featureNotSupported',
      `set-returning functions are not allowed in ${c.clause}`,
      node.location,
    );
  }
  const columns = setColumns(c, call, type, callName(node).name);
  level.setCalls.push({ ...call, columns });
  const [only] = columns;
  if (columns.length === 1 && only !== undefined) return c.binder.reference(only);
  return {
    kind: 'row',
    type: recordOid,
    typmod: -1,
    names: columns.map((id) => c.binder.info(id).name),
    args: columns.map((id) => c.binder.reference(id)),
    nullable: true,
  };
}

/** Fresh columns for what a set-returning call delivers. */
export function setColumns(
  c: ExprContext,
  call: Omit<SetCall, 'columns'>,
  type: number,
  name: string,
): ColumnId[] {
  const { fn } = call;
  if (fn.columns.length <= 1) {
    return [c.binder.newColumn({ name: fn.columns[0]?.name ?? name, type })];
  }
  return fn.columns.map((column) => {
    const own = isPolymorphic(column.type) ? elementFor(call, column.type, type) : column.type;
    return c.binder.newColumn({ name: column.name, type: own });
  });
}

function elementFor(call: Omit<SetCall, 'columns'>, type: number, result: number): number {
  for (const arg of call.args) {
    const { elementOid } = typeOps(arg.type).type;
    if (elementOid !== 0) return type === 2277 ? arg.type : elementOid;
  }
  return result;
}
