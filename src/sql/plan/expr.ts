/**
 * Bound scalar expressions: typed, names resolved, coercions explicit. Columns are referred to by
 * ids that are unique in the whole statement, so expressions can move between operators without
 * renumbering; a column that no input of an operator delivers is an outer reference.
 *
 * INVARIANT: immutable plain data. Rewrites build new nodes and share what did not change.
 */
import { type Cast, type ScalarFunction } from '../functions/registry-types.ts';
import { type Datum } from '../types/datum.ts';
import { type Rel } from './logical.ts';

/** Unique in the statement. */
export type ColumnId = number;

interface Typed {
  readonly type: number;
  readonly typmod: number;
}

export interface ConstExpr extends Typed {
  readonly kind: 'const';
  readonly value: Datum;
  /** Byte offset of a literal in the text, for messages. */
  readonly position?: number | undefined;
}

export interface ParamExpr extends Typed {
  readonly kind: 'param';
  /** From 0. */
  readonly index: number;
  readonly position: number | undefined;
}

export interface ColumnExpr extends Typed {
  readonly kind: 'column';
  readonly id: ColumnId;
  /** Byte offset in the text, for messages. */
  readonly position?: number | undefined;
}

/** `argTypes` are the actual types of `args` after coercion, and last the result type. */
export interface CallExpr extends Typed {
  readonly kind: 'call';
  readonly fn: ScalarFunction;
  readonly args: readonly Expr[];
  readonly callTypes: readonly number[];
}

export interface CastExpr extends Typed {
  readonly kind: 'cast';
  /** Undefined: the binary form is the same, only type and modifier change. */
  readonly cast: Cast | undefined;
  readonly arg: Expr;
  readonly explicit: boolean;
}

/** Element by element, between array types. */
export interface ArrayCastExpr extends Typed {
  readonly kind: 'array-cast';
  readonly cast: Cast | undefined;
  readonly elementType: number;
  readonly arg: Expr;
  readonly explicit: boolean;
}

export interface BoolExpr extends Typed {
  readonly kind: 'and' | 'or';
  readonly args: readonly Expr[];
}

export interface NotExpr extends Typed {
  readonly kind: 'not';
  readonly arg: Expr;
}

export interface CaseExpr extends Typed {
  readonly kind: 'case';
  /** CASE operand WHEN where evaluating it again could be noticed: evaluated once, and column `id` in `whens`. */
  readonly operand: { readonly id: ColumnId; readonly expr: Expr } | undefined;
  readonly whens: readonly { readonly when: Expr; readonly result: Expr }[];
  readonly otherwise: Expr;
}

export interface CoalesceExpr extends Typed {
  readonly kind: 'coalesce';
  readonly args: readonly Expr[];
}

export interface MinMaxExpr extends Typed {
  readonly kind: 'minmax';
  readonly greatest: boolean;
  readonly args: readonly Expr[];
}

export interface NullIfExpr extends Typed {
  readonly kind: 'nullif';
  readonly arg: Expr;
  readonly equal: Expr;
}

export interface IsNullExpr extends Typed {
  readonly kind: 'is-null';
  readonly arg: Expr;
  readonly negated: boolean;
}

export interface BoolTestExpr extends Typed {
  readonly kind: 'bool-test';
  readonly arg: Expr;
  readonly test: 'true' | 'false' | 'unknown';
  readonly negated: boolean;
}

/** `compare` is the equality call over `left` and `right`. */
export interface DistinctFromExpr extends Typed {
  readonly kind: 'distinct-from';
  readonly left: Expr;
  readonly right: Expr;
  readonly equal: CallExpr | undefined;
  readonly negated: boolean;
}

/** arg IN (items): all of one type with a total order. */
export interface InListExpr extends Typed {
  readonly kind: 'in-list';
  readonly arg: Expr;
  readonly items: readonly Expr[];
  readonly negated: boolean;
}

/** left OP ANY|ALL (right array). */
export interface ArrayCompareExpr extends Typed {
  readonly kind: 'array-compare';
  readonly fn: ScalarFunction;
  readonly callTypes: readonly number[];
  readonly left: Expr;
  readonly right: Expr;
  readonly all: boolean;
}

export interface ArrayExpr extends Typed {
  readonly kind: 'array';
  readonly elementType: number;
  readonly elements: readonly Expr[];
  /** Elements are arrays themselves. */
  readonly nested: boolean;
}

export interface SubscriptExpr extends Typed {
  readonly kind: 'subscript';
  readonly arg: Expr;
  readonly slice: boolean;
  readonly indices: readonly {
    readonly slice: boolean;
    readonly lower: Expr | undefined;
    readonly upper: Expr | undefined;
  }[];
}

export interface RowExpr extends Typed {
  readonly kind: 'row';
  readonly names: readonly string[];
  readonly args: readonly Expr[];
  /** A whole-row reference to the nullable side of an outer join is null as a whole when all its columns are. */
  readonly nullable: boolean;
}

/** Lexicographic row comparison; `equals` and `orders` are calls over the pairs. */
export interface RowCompareExpr extends Typed {
  readonly kind: 'row-compare';
  readonly operator: '<' | '<=' | '>' | '>=';
  readonly equals: readonly Expr[];
  readonly strict: readonly Expr[];
}

export interface FieldExpr extends Typed {
  readonly kind: 'field';
  readonly arg: Expr;
  readonly index: number;
}

/**
 * A subquery inside an expression. 'any' and 'all' compare `test`, an expression over the columns
 * of `rel` and the outer row, for each row.
 */
export interface SubqueryExpr extends Typed {
  readonly kind: 'subquery';
  readonly mode: 'scalar' | 'exists' | 'any' | 'all' | 'array';
  readonly rel: Rel;
  readonly columns: readonly ColumnId[];
  readonly test: Expr | undefined;
}

export type ContextValue =
  | 'current_date'
  | 'current_time'
  | 'current_timestamp'
  | 'localtime'
  | 'localtimestamp'
  | 'current_user'
  | 'session_user'
  | 'current_catalog'
  | 'current_schema';

export interface ContextExpr extends Typed {
  readonly kind: 'context';
  readonly what: ContextValue;
}

export type Expr =
  | ConstExpr
  | ParamExpr
  | ColumnExpr
  | CallExpr
  | CastExpr
  | ArrayCastExpr
  | BoolExpr
  | NotExpr
  | CaseExpr
  | CoalesceExpr
  | MinMaxExpr
  | NullIfExpr
  | IsNullExpr
  | BoolTestExpr
  | DistinctFromExpr
  | InListExpr
  | ArrayCompareExpr
  | ArrayExpr
  | SubscriptExpr
  | RowExpr
  | RowCompareExpr
  | FieldExpr
  | SubqueryExpr
  | ContextExpr;

export const boolOid = 16;
export const int4Oid = 23;
export const int8Oid = 20;
export const textOid = 25;
export const unknownOid = 705;
export const recordOid = 2249;

export const trueExpr: ConstExpr = { kind: 'const', type: boolOid, typmod: -1, value: true };
export const falseExpr: ConstExpr = { kind: 'const', type: boolOid, typmod: -1, value: false };

export function constExpr(value: Datum, type: number): ConstExpr {
  return { kind: 'const', type, typmod: -1, value };
}

export function columnExpr(id: ColumnId, type: number, typmod = -1): ColumnExpr {
  return { kind: 'column', id, type, typmod };
}

/** AND of conjuncts; none = true. */
export function conjunction(args: readonly Expr[]): Expr {
  const [first] = args;
  if (first === undefined) return trueExpr;
  return args.length === 1 ? first : { kind: 'and', type: boolOid, typmod: -1, args };
}

/** The flat list of conjuncts. */
export function conjuncts(expr: Expr): Expr[] {
  if (expr.kind === 'and') return expr.args.flatMap(conjuncts);
  if (expr.kind === 'const' && expr.value === true) return [];
  return [expr];
}
