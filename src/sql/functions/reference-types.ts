/**
 * Which types a foreign key may connect, and how a value of the referencing column (the child's) becomes one of the
 * referenced column and back. As PostgreSQL, it compares with an operator of the referenced index's family, or casts the
 * child's value implicitly; not by casts that depend on settings: what is found by key cannot change with a session's time zone.
 */
import { SqlFailure } from '../errors.ts';
import { type Datum, isArrayType, oids, typeOps } from '../types/index.ts';
import { findCast } from './casts.ts';
import { type Cast, type CastContext, type EvalContext } from './registry-types.ts';

export interface ReferenceTypes {
  /** Values are compared as the parent's type, else as the child's. */
  readonly asParent: boolean;
  /** A parent's value is referred to by one value only, so an index of the child leads there. */
  readonly isInjective: boolean;
  /** The parent's value that a child's one means; undefined when none can be equal to it. */
  toParent(value: Datum, context: EvalContext): Datum | undefined;
  /** The child's value that refers to a parent's one, where `isInjective`; undefined when none can. */
  toChild(value: Datum, context: EvalContext): Datum | undefined;
}

/** Types that have comparison operators with each other in one family. */
const families: readonly (readonly number[])[] = [
  [oids.int2, oids.int4, oids.int8],
  [oids.float4, oids.float8],
  [oids.text, oids.varchar, oids.name],
  [oids.date, oids.timestamp],
];

/** Undefined when the types cannot be compared by key. */
export function referenceTypes(child: number, parent: number): ReferenceTypes | undefined {
  if (child === parent) return sameType;
  if (isArrayType(child) || isArrayType(parent)) return undefined;
  const down = castOf(parent, child, 'assignment');
  const up = castOf(child, parent, 'assignment');
  if (up === undefined || down === undefined) return undefined;
  if (up.context === 'implicit') {
    return {
      asParent: true,
      isInjective: isInjective(child, parent),
      toParent: (value, context) => run(up, value, context),
      toChild: (value, context) => run(down, value, context),
    };
  }
  const isFamily = families.some((types) => types.includes(child) && types.includes(parent));
  if (!isFamily || down.context !== 'implicit') return undefined;
  const ops = typeOps(child);
  return {
    asParent: false,
    isInjective: true,
    toParent: (value, context) => {
      const narrow = run(up, value, context);
      const back = narrow === undefined ? undefined : run(down, narrow, context);
      if (back === undefined || value === null || back === null) return narrow;
      return ops.compare(value, back) === 0 ? narrow : undefined;
    },
    toChild: (value, context) => run(down, value, context),
  };
}

const sameType: ReferenceTypes = {
  asParent: true,
  isInjective: true,
  toParent: (value) => value,
  toChild: (value) => value,
};

function castOf(from: number, to: number, context: CastContext): Cast | undefined {
  const cast = findCast(from, to, context);
  return cast === undefined || cast.async || cast.volatility !== 'immutable' ? undefined : cast;
}

/** Undefined when the type has no such value. */
function run(cast: Cast, value: Datum, context: EvalContext): Datum | undefined {
  try {
    const result = cast.call(value, -1, context, false);
    return result instanceof Promise ? undefined : result;
  } catch (error) {
    if (error instanceof SqlFailure) return undefined;
    throw error;
  }
}

function isInjective(from: number, to: number): boolean {
  switch (to) {
    // Spaces at the end count in the one and not in the other; names are cut off.
    case oids.bpchar:
    case oids.name:
      return false;
    case oids.float4:
      return from === oids.int2;
    case oids.float8:
      return from === oids.int2 || from === oids.int4 || from === oids.float4;
    default:
      return true;
  }
}
