/**
 * Type conversion while binding (PostgreSQL chapter 10): literals and parameters of unknown type take
 * the type of their context, everything else is cast when a cast of the right context exists.
 */
import { lateInputTypes } from '../../functions/index.ts';
import { type CastContext } from '../../functions/registry-types.ts';
import { typeOps } from '../../types/index.ts';
import { boolOid, type Expr, type ParamExpr, recordOid, textOid, unknownOid } from '../expr.ts';
import { type Binder, failAt, typeName } from './binder.ts';
import { commonTypeOf, isPolymorphic, lookupCast } from './resolve.ts';

export interface CoerceOptions {
  readonly context: CastContext;
  readonly typmod?: number;
  readonly location?: number | undefined;
}

/** Undefined when there is no such conversion in this context. */
export function tryCoerce(
  binder: Binder,
  expr: Expr,
  target: number,
  options: CoerceOptions,
): Expr | undefined {
  const typmod = options.typmod ?? -1;
  if (isPolymorphic(target)) return expr;
  if (expr.type === unknownOid) {
    const settled = settleUnknown(binder, expr, target, typmod, options);
    if (settled !== undefined) return settled;
  }
  if (expr.type === target) return withTypmod(expr, typmod, options);
  if (
    expr.kind === 'array' &&
    expr.elements.length === 0 &&
    typeOps(target).type.elementOid !== 0
  ) {
    return { ...expr, type: target, elementType: typeOps(target).type.elementOid };
  }
  if (target === recordOid && expr.kind === 'row') return expr;
  const found = lookupCast(expr.type, target, options.context);
  if (found.kind === 'none') return arrayCoerce(expr, target, typmod, options);
  return {
    kind: 'cast',
    type: target,
    typmod,
    cast: found.kind === 'cast' ? found.cast : undefined,
    arg: expr,
    explicit: options.context === 'explicit',
  };
}

/** A parameter of a known type; one that came as the name of something is looked up where it is used. */
export function parameter(expr: ParamExpr, type: number): Expr {
  const found = lateInputTypes.has(type) ? lookupCast(unknownOid, type, 'implicit') : undefined;
  if (found?.kind !== 'cast') return { ...expr, type };
  return {
    kind: 'cast',
    type,
    typmod: -1,
    cast: found.cast,
    arg: { ...expr, type: unknownOid },
    explicit: false,
  };
}

function settleUnknown(
  binder: Binder,
  expr: Expr,
  target: number,
  typmod: number,
  options: CoerceOptions,
): Expr | undefined {
  if (target === unknownOid) return expr;
  if (expr.kind === 'param') {
    const known = binder.parameterType(expr.index);
    if (known === unknownOid) {
      binder.parameterTypes[expr.index] = target;
      return withTypmod(parameter(expr, target), typmod, options);
    }
    return known === target
      ? withTypmod(parameter(expr, target), typmod, options)
      : tryCoerce(binder, parameter(expr, known), target, options);
  }
  if (expr.kind === 'const') {
    if (expr.value === null) return { ...expr, type: target, typmod };
    if (lateInputTypes.has(target) || typeof expr.value !== 'string') return undefined;
    if (target === recordOid) {
      throw failAt(
        'featureNotSupported',
        'input of anonymous composite types is not implemented',
        options.location,
      );
    }
    const location = expr.position ?? options.location;
    const value = parseLiteral(binder, expr.value, target, typmod, { ...options, location });
    return { kind: 'const', type: target, typmod, value, position: expr.position };
  }
  return undefined;
}

function parseLiteral(
  binder: Binder,
  text: string,
  target: number,
  typmod: number,
  options: CoerceOptions,
): ReturnType<ReturnType<typeof typeOps>['parse']> {
  const ops = typeOps(target);
  let value;
  try {
    value = ops.parse(text, typmod >= 0 && target === 1186 ? typmod : -1, binder.eval);
  } catch (error) {
    throw withPosition(error, options.location);
  }
  // Only an explicit cast shortens silently.
  return typmod < 0 ? value : ops.applyTypmod(value, typmod, options.context === 'explicit');
}

/** Adds where it happened to a failure that has no position yet. */
export function withPosition(error: unknown, location: number | undefined): unknown {
  if (location === undefined || location < 0 || !(error instanceof Error)) return error;
  if (!('fields' in error) || !('code' in error)) return error;
  const fields = error.fields as { readonly position?: number };
  if (fields.position !== undefined) return error;
  return Object.assign(error, { fields: { ...fields, position: location + 1 } });
}

function withTypmod(expr: Expr, typmod: number, options: CoerceOptions): Expr {
  if (typmod < 0 || expr.typmod === typmod) return expr;
  const elementOid = typeOps(expr.type).type.elementOid;
  if (elementOid !== 0 && expr.type !== 22 && expr.type !== 30) {
    return {
      kind: 'array-cast',
      type: expr.type,
      typmod,
      cast: undefined,
      elementType: elementOid,
      arg: expr,
      explicit: options.context === 'explicit',
    };
  }
  return {
    kind: 'cast',
    type: expr.type,
    typmod,
    cast: undefined,
    arg: expr,
    explicit: options.context === 'explicit',
  };
}

function arrayCoerce(
  expr: Expr,
  target: number,
  typmod: number,
  options: CoerceOptions,
): Expr | undefined {
  const from = typeOps(expr.type).type.elementOid;
  const to = typeOps(target).type.elementOid;
  if (from === 0 || to === 0) return undefined;
  const found = lookupCast(from, to, options.context);
  if (found.kind === 'none') return undefined;
  return {
    kind: 'array-cast',
    type: target,
    typmod,
    cast: found.kind === 'cast' ? found.cast : undefined,
    elementType: to,
    arg: expr,
    explicit: options.context === 'explicit',
  };
}

export function coerceExplicit(
  binder: Binder,
  expr: Expr,
  target: number,
  typmod: number,
  location?: number,
): Expr {
  const done = tryCoerce(binder, expr, target, { context: 'explicit', typmod, location });
  if (done !== undefined) return done;
  throw failAt(
    'cannotCoerce',
    `cannot cast type ${typeName(expr.type)} to ${typeName(target)}`,
    location,
  );
}

/** For a context that demands a type: WHERE, LIMIT, AND ... */
export function coerceImplicit(
  binder: Binder,
  expr: Expr,
  target: number,
  location?: number,
): Expr | undefined {
  return tryCoerce(binder, expr, target, { context: 'implicit', location });
}

export function coerceToBoolean(binder: Binder, expr: Expr, what: string, location?: number): Expr {
  const done = tryCoerce(binder, expr, boolOid, { context: 'assignment', location });
  if (done !== undefined && (expr.type === unknownOid || expr.type === boolOid)) return done;
  throw failAt(
    'datatypeMismatch',
    `argument of ${what} must be type boolean, not type ${typeName(expr.type)}`,
    location,
  );
}

/** Storing into a column. */
export function coerceToColumn(
  binder: Binder,
  expr: Expr,
  column: { readonly name: string; readonly typeOid: number; readonly typmod: number },
  location?: number,
): Expr {
  const done = tryCoerce(binder, expr, column.typeOid, {
    context: 'assignment',
    typmod: column.typmod,
    location,
  });
  if (done !== undefined) return done;
  throw failAt(
    'datatypeMismatch',
    `column "${column.name}" is of type ${typeName(column.typeOid)} but expression is of type ${typeName(expr.type)}`,
    location,
    { hint: 'You will need to rewrite or cast the expression.' },
  );
}

/** The common type of CASE branches, UNION columns, VALUES, array elements, and everything coerced to it. */
export function unify(
  binder: Binder,
  exprs: readonly Expr[],
  what: string,
  location?: number,
): { readonly type: number; readonly typmod: number; readonly exprs: Expr[] } {
  const type = unifyTypes(
    exprs.map((expr) => expr.type),
    what,
    location,
  );
  const done = exprs.map((expr) => coerceCommon(binder, expr, type, what, location));
  const typmod = done.every((expr) => expr.typmod === done[0]?.typmod)
    ? (done[0]?.typmod ?? -1)
    : -1;
  return { type, typmod, exprs: done };
}

export function unifyTypes(types: readonly number[], what: string, location?: number): number {
  const known = types.filter((type) => type !== unknownOid);
  const [first] = known;
  if (first === undefined) return textOid;
  if (known.every((type) => type === first)) return first;
  const type = commonTypeOf(types);
  if (typeof type === 'number') return type;
  throw failAt(
    'datatypeMismatch',
    `${what} types ${typeName(type.left)} and ${typeName(type.right)} cannot be matched`,
    location,
  );
}

export function coerceCommon(
  binder: Binder,
  expr: Expr,
  type: number,
  what: string,
  location?: number,
): Expr {
  const done = tryCoerce(binder, expr, type, { context: 'implicit', location });
  if (done !== undefined) return done;
  throw failAt(
    'cannotCoerce',
    `${what} could not convert type ${typeName(expr.type)} to ${typeName(type)}`,
    location,
  );
}

/** What is still unknown at the end becomes text. */
export function settle(binder: Binder, expr: Expr): Expr {
  if (expr.type !== unknownOid) return expr;
  return tryCoerce(binder, expr, textOid, { context: 'implicit' }) ?? expr;
}

export function requireType(type: number | undefined, name: string, location?: number): number {
  if (type !== undefined) return type;
  throw failAt('undefinedObject', `type "${name}" does not exist`, location);
}
