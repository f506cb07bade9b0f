/** Questions about expressions that rules ask. */
import { type Volatility } from '../../functions/registry-types.ts';
import { canCoerceImplicitly } from '../../functions/index.ts';
import { ArrayDatum, oids, typeOf } from '../../types/index.ts';
import { type CallExpr, type CastExpr, type ColumnId, type Expr, recordOid } from '../expr.ts';
import { type Rel } from '../logical.ts';
import { columnsOf, mapChildren, visitAllRels, mapOwnExprs, visitExpr } from '../walk.ts';

/** False when evaluating twice, or not at all, could be noticed. */
export function isVolatile(expr: Expr): boolean {
  let found = false;
  visitExpr(expr, (node) => {
    if (node.kind === 'call' && node.fn.volatility === 'volatile') found = true;
    if (node.kind === 'subquery' && isVolatileRel(node.rel)) found = true;
  });
  return found;
}

/** True when the value depends on columns and constants alone: not on the time, on settings, on tables. */
export function isImmutable(expr: Expr): boolean {
  let immutable = true;
  const require = (fn: { readonly volatility: Volatility } | undefined): void => {
    if (fn !== undefined && fn.volatility !== 'immutable') immutable = false;
  };
  visitExpr(expr, (node) => {
    switch (node.kind) {
      case 'call':
      case 'array-compare':
        require(node.fn);
        break;
      case 'cast':
      case 'array-cast':
        require(node.cast);
        break;
      case 'distinct-from':
        require(node.equal?.fn);
        break;
      case 'context':
      case 'param':
      case 'subquery':
        immutable = false;
        break;
      default:
    }
  });
  return immutable;
}

export function isVolatileRel(rel: Rel): boolean {
  let found = false;
  visitAllRels(rel, (node) => {
    if (
      node.kind === 'insert' ||
      node.kind === 'update' ||
      node.kind === 'delete' ||
      node.kind === 'lock'
    ) {
      found = true;
    }
    visitCalls(node, (fn) => {
      if (fn.volatility === 'volatile') found = true;
    });
  });
  return found;
}

/** Volatile, but they do the same again, or the session gives them the same values again (`drawn-values.ts`). */
const repeatableCalls = new Set([
  'set_config',
  'clock_timestamp',
  'timeofday',
  'random',
  'random_normal',
  'gen_random_uuid',
  'uuid_generate_v4',
  'nextval',
  'unique_rowid',
]);

/** Volatile, and nothing of what they do outlives a rollback. */
const undoneCalls = new Set([...repeatableCalls, 'currval', 'lastval', 'pg_sleep']);

/** True when a function is called whose effect a rollback does not take back: `pg_advisory_lock`, `setval`, `setseed`. */
export function outlivesRollback(rel: Rel): boolean {
  let outlives = false;
  visitAllRels(rel, (node) => {
    visitCalls(node, ({ volatility, name }) => {
      if (volatility === 'volatile' && !undoneCalls.has(name)) outlives = true;
    });
  });
  return outlives;
}

/** False when a second run over the same keys, given the same drawn values, may have other rows or write other values. */
export function isRepeatable(rel: Rel): boolean {
  let repeatable = true;
  visitAllRels(rel, (node) => {
    if (node.kind === 'virtual') repeatable = false;
    visitCalls(node, ({ volatility, name }) => {
      if (volatility === 'volatile' && !repeatableCalls.has(name)) repeatable = false;
    });
  });
  return repeatable;
}

/** The functions that are called right in `rel`, also by subqueries in its expressions. */
function visitCalls(
  rel: Rel,
  visit: (fn: { readonly name: string; readonly volatility: Volatility }) => void,
): void {
  if (rel.kind === 'function' || rel.kind === 'project-set') {
    for (const item of rel.calls) {
      const call = 'kind' in item ? (item.kind === 'set' ? item.call : undefined) : item;
      if (call !== undefined) visit(call.fn);
    }
  }
  mapOwnExprs(rel, (expr) => {
    visitExpr(expr, (inner) => {
      if (inner.kind === 'call') visit(inner.fn);
    });
    return expr;
  });
}

export function hasSubquery(expr: Expr): boolean {
  let found = false;
  visitExpr(expr, (node) => {
    if (node.kind === 'subquery') found = true;
  });
  return found;
}

/** True when evaluation has to wait for something: subqueries, sequences, catalog look-ups. */
export function needsAwait(expr: Expr): boolean {
  let found = false;
  visitExpr(expr, (node) => {
    if (node.kind === 'subquery') found = true;
    if (node.kind === 'call' && node.fn.async) found = true;
    if ((node.kind === 'cast' || node.kind === 'array-cast') && node.cast?.async === true) {
      found = true;
    }
  });
  return found;
}

export function usesOnly(expr: Expr, ids: ReadonlySet<ColumnId>): boolean {
  for (const id of columnsOf(expr)) if (!ids.has(id)) return false;
  return true;
}

export function usesAny(expr: Expr, ids: ReadonlySet<ColumnId>): boolean {
  for (const id of columnsOf(expr)) if (ids.has(id)) return true;
  return false;
}

const comparisons: ReadonlySet<string> = new Set(['=', '<>', '<', '<=', '>', '>=']);

/** A comparison of values as they are, not converted by a setting: it cannot throw, and `=` finds at most one distinct value. */
export function isPlainComparison(expr: Expr): boolean {
  if (expr.kind !== 'call' || !comparisons.has(expr.fn.name)) return false;
  const [a, b] = expr.args;
  if (a === undefined || b === undefined) return false;
  return a.type === b.type ? a.type !== recordOid : isNumber(a.type) && isNumber(b.type);
}

function isNumber(type: number): boolean {
  return typeOf(type).category === 'N';
}

function isString(type: number): boolean {
  return typeOf(type).category === 'S';
}

/** True when no row makes it throw. What has no columns throws for all rows or for none. */
export function cannotFail(expr: Expr): boolean {
  if (columnsOf(expr).size === 0 && !hasSubquery(expr)) return true;
  switch (expr.kind) {
    case 'column':
      return true;
    case 'call':
      return (isPlainComparison(expr) || isNumericSum(expr)) && childrenCannotFail(expr);
    case 'cast':
      return isWidening(expr) && cannotFail(expr.arg);
    case 'distinct-from':
      return expr.equal !== undefined && cannotFail(expr.equal);
    case 'nullif':
      return cannotFail(expr.equal);
    case 'not':
    case 'and':
    case 'or':
    case 'is-null':
    case 'bool-test':
    case 'case':
    case 'coalesce':
    case 'minmax':
    case 'in-list':
      return childrenCannotFail(expr);
    default:
      return false;
  }
}

function childrenCannotFail(expr: Expr): boolean {
  let safe = true;
  mapChildren(expr, (child) => {
    safe &&= cannotFail(child);
    return child;
  });
  return safe;
}

/** numeric has room for every sum and product. */
function isNumericSum({ type, fn }: CallExpr): boolean {
  return type === oids.numeric && (fn.name === '+' || fn.name === '-' || fn.name === '*');
}

/** Casts without loss that are made without being asked for: of integers and float4 to larger numbers, between strings. */
function isWidening({ type, typmod, cast, arg }: CastExpr): boolean {
  if (typmod >= 0 || cast?.async === true || !canCoerceImplicitly(arg.type, type)) return false;
  switch (arg.type) {
    case oids.int2:
    case oids.int4:
    case oids.int8:
    case oids.float4:
      return isNumber(type);
    default:
      return isString(arg.type) && isString(type);
  }
}

/** True when `expr` is NULL for certain as soon as all of `ids` are NULL. */
function isNullWith(expr: Expr, ids: ReadonlySet<ColumnId>): boolean {
  switch (expr.kind) {
    case 'column':
      return ids.has(expr.id);
    case 'call':
      return expr.fn.strict && expr.args.some((arg) => isNullWith(arg, ids));
    case 'cast':
    case 'array-cast':
    case 'not':
    case 'in-list':
      return isNullWith(expr.arg, ids);
    case 'row-compare': {
      const [first] = expr.equals;
      return first !== undefined && isNullWith(first, ids);
    }
    default:
      return false;
  }
}

/** True when a row in which all of `ids` are NULL cannot pass the condition. */
export function rejectsNulls(condition: Expr, ids: ReadonlySet<ColumnId>): boolean {
  switch (condition.kind) {
    case 'and':
      return condition.args.some((arg) => rejectsNulls(arg, ids));
    case 'or':
      return condition.args.every((arg) => rejectsNulls(arg, ids));
    case 'is-null':
      return condition.negated && isNullWith(condition.arg, ids);
    case 'bool-test':
      return !condition.negated && condition.test !== 'unknown' && isNullWith(condition.arg, ids);
    case 'array-compare':
      // Over an empty array ANY is false, not NULL: its negation lets the row pass.
      return !condition.all && condition.fn.strict && isNullWith(condition.left, ids);
    default:
      return isNullWith(condition, ids);
  }
}

/** Nodes of an expression, for deciding whether copying it is cheap. */
export function sizeOf(expr: Expr): number {
  let size = 1;
  mapChildren(expr, (child) => {
    size += sizeOf(child);
    return child;
  });
  return size;
}

/** Conditions in the order in which PostgreSQL asks them, which may keep a later one from an error: the cheap ones first. */
export function cheapestFirst(conditions: readonly Expr[]): readonly Expr[] {
  if (conditions.length < 2) return conditions;
  const costs = new Map(conditions.map((condition) => [condition, evaluationCost(condition)]));
  return conditions.toSorted((a, b) => (costs.get(a) ?? 0) - (costs.get(b) ?? 0));
}

/** In calls of simple functions, as PostgreSQL's cost_qual_eval counts. */
function evaluationCost(expr: Expr): number {
  let cost = ownCost(expr);
  mapChildren(expr, (child) => {
    cost += evaluationCost(child);
    return child;
  });
  return cost;
}

function ownCost(expr: Expr): number {
  switch (expr.kind) {
    case 'call':
    case 'distinct-from':
    case 'minmax':
      return 1;
    case 'cast':
      if (expr.cast === undefined) return 0;
      // By way of text: out of one type and into the other.
      return isString(expr.type) === isString(expr.arg.type) ? 1 : 2;
    case 'in-list':
      return expr.items.length / 2;
    case 'array-compare':
      return lengthOf(expr.right) / 2;
    case 'subquery':
      return 1000;
    default:
      return 0;
  }
}

/** Elements of an array, guessed where they are not known. */
function lengthOf(array: Expr): number {
  if (array.kind === 'array') return array.elements.length;
  const isKnown = array.kind === 'const' && array.value instanceof ArrayDatum;
  return isKnown ? array.value.elements.length : 10;
}
