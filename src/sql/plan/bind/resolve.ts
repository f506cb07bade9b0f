/** The binder's view of the registries of types, functions and casts. */
import { type Node, type TypeName } from '@pgsql/types';
import { commonType, findCast, resolveFunction, resolveOperator } from '../../functions/index.ts';
import {
  type Cast,
  type CastContext,
  type ResolvedCall,
  type ScalarFunction,
} from '../../functions/registry-types.ts';
import { oids, typeByCatalogName, typeByName, typeOf, typmodFromArgs } from '../../types/index.ts';
import { type Expr, textOid, unknownOid } from '../expr.ts';
import { type Binder, failAt } from './binder.ts';

export interface ResolvedOperator {
  readonly fn: ScalarFunction;
  readonly argTypes: readonly number[];
  readonly resultType: number;
}

/** Throws 42883 or 42725 without a position. */
export function resolveOp(name: string, left: number | undefined, right: number): ResolvedOperator {
  const resolved = resolveOperator(name, left, right);
  if (resolved.fn.kind !== 'scalar')
    throw failAt('undefinedFunction', `operator does not exist: ${name}`);
  return { fn: resolved.fn, argTypes: resolved.argTypes, resultType: resolved.resultType };
}

export function resolveFn(
  schema: string | undefined,
  name: string,
  argTypes: readonly number[],
  options: {
    readonly variadic: boolean;
    readonly star: boolean;
    readonly argNames?: readonly string[];
  },
): ResolvedCall {
  return resolveFunction(name, argTypes, {
    schema,
    star: options.star,
    variadicArray: options.variadic,
    argNames: options.argNames,
  });
}

const polymorphic = new Set<number>([
  oids.any,
  oids.anyarray,
  oids.anyelement,
  oids.anynonarray,
  oids.anycompatible,
  oids.anycompatiblearray,
  oids.anycompatiblenonarray,
]);

export function isPolymorphic(oid: number): boolean {
  return polymorphic.has(oid);
}

/** Types whose stored form is the same: only the label changes. */
const relabel = new Set(['1043>25', '25>1043']);

export function lookupCast(
  from: number,
  to: number,
  context: CastContext,
): { readonly kind: 'none' | 'relabel' } | { readonly kind: 'cast'; readonly cast: Cast } {
  const cast = findCast(
    from === unknownOid ? textOid : from,
    to,
    from === unknownOid ? 'explicit' : context,
  );
  if (cast === undefined) return { kind: 'none' };
  if (relabel.has(`${from}>${to}`)) return { kind: 'relabel' };
  return { kind: 'cast', cast };
}

export function castBetween(from: number, to: number, context: CastContext): Cast | undefined {
  return findCast(from, to, context);
}

export function commonTypeOf(
  types: readonly number[],
): number | { readonly left: number; readonly right: number } {
  try {
    return commonType(types, '');
  } catch {
    const known = types.filter((type) => type !== unknownOid);
    const [first = unknownOid] = known;
    const clash = known.find((type) => {
      try {
        commonType([first, type], '');
        return false;
      } catch {
        return true;
      }
    });
    return { left: first, right: clash ?? first };
  }
}

const incomparable = new Set<number>([oids.json, 600, 601, 602, 603, 604, 628, 718, 142, oids.xid]);

/** True when values of the type can be sorted, grouped and compared. */
export function isComparisonOf(type: number): boolean {
  if (incomparable.has(type)) return false;
  const { elementOid, category } = typeOf(type);
  return category === 'A' && elementOid !== 0 ? isComparisonOf(elementOid) : true;
}

function constNumber(node: Node): number {
  if ('A_Const' in node) {
    if (node.A_Const.ival !== undefined) return node.A_Const.ival.ival ?? 0;
    if (node.A_Const.fval !== undefined) return Number(node.A_Const.fval.fval);
  }
  if ('A_Expr' in node && node.A_Expr.rexpr !== undefined) return -constNumber(node.A_Expr.rexpr);
  throw failAt('syntaxError', 'type modifiers must be simple constants or identifiers');
}

export function typeFromName(name: TypeName): { readonly oid: number; readonly typmod: number } {
  const parts = (name.names ?? []).map((part) =>
    'String' in part ? (part.String.sval ?? '') : '',
  );
  const last = parts.at(-1) ?? '';
  const schema = parts.length > 1 ? parts.at(-2) : undefined;
  const builtin =
    schema === 'pg_catalog'
      ? typeByCatalogName(last)
      : (typeByCatalogName(last) ?? typeByName(last));
  if (builtin === undefined || (schema !== undefined && schema !== 'pg_catalog')) {
    throw failAt('undefinedObject', `type "${parts.join('.')}" does not exist`, name.location);
  }
  const isArray = (name.arrayBounds ?? []).length > 0;
  const typmod =
    (name.typmods ?? []).length === 0
      ? -1
      : typmodFromArgs(builtin.oid, (name.typmods ?? []).map(constNumber));
  if (!isArray) return { oid: builtin.oid, typmod };
  if (builtin.arrayOid === 0) {
    throw failAt(
      'undefinedObject',
      `could not find array type for data type ${builtin.displayName}`,
      name.location,
    );
  }
  return { oid: builtin.arrayOid, typmod };
}

/** jsonb['key'], jsonb[0] */
export function jsonKeyOrField(_binder: Binder, value: Expr, key: Expr): Expr {
  const isNumber = key.type === oids.int4 || key.type === oids.int8 || key.type === oids.int2;
  const resolved = resolveOp('->', value.type, isNumber ? oids.int4 : oids.text);
  const arg: Expr =
    key.kind === 'const' && key.type === unknownOid ? { ...key, type: textOid } : key;
  return {
    kind: 'call',
    type: resolved.resultType,
    typmod: -1,
    fn: resolved.fn,
    args: [value, arg],
    callTypes: [value.type, isNumber ? oids.int4 : oids.text, resolved.resultType],
  };
}
