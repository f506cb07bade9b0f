/** Direct closures for the commonest operators, instead of the registry's calling convention. */
import { sqlError } from '../../errors.ts';
import { type ScalarFunction } from '../../functions/registry-types.ts';
import { type Datum, typeOps } from '../../types/index.ts';
import { type Eval } from './compile-types.ts';

const int2 = 21;
const int4 = 23;
const int8 = 20;

/** Types whose values compare by JavaScript's own operators. */
const plainOrder = new Set([int2, int4, int8, 26, 16, 1082, 1083, 1114, 1184]);
const comparisons = new Set(['=', '<>', '<', '<=', '>', '>=']);

export function fastCall(
  fn: ScalarFunction,
  callTypes: readonly number[],
  args: readonly Eval[],
): Eval | undefined {
  const [left, right] = args;
  const [leftType = 0, rightType = 0] = callTypes;
  if (left === undefined || right === undefined || args.length !== 2 || leftType !== rightType) {
    return undefined;
  }
  if (comparisons.has(fn.name) && fn.strict) {
    if (plainOrder.has(leftType)) return comparePlain(fn.name, left, right);
    if (leftType === 25 || leftType === 1043) return compareByOrder(fn.name, leftType, left, right);
    return undefined;
  }
  if (leftType === int4 && callTypes[2] === int4) return int4Math(fn.name, left, right);
  return undefined;
}

function comparePlain(name: string, left: Eval, right: Eval): Eval | undefined {
  const with2 = (test: (a: Exclude<Datum, null>, b: Exclude<Datum, null>) => boolean): Eval => {
    return (row, rt) => {
      const a = left(row, rt);
      if (a === null) return null;
      const b = right(row, rt);
      return b === null ? null : test(a, b);
    };
  };
  switch (name) {
    case '=':
      return with2((a, b) => a === b);
    case '<>':
      return with2((a, b) => a !== b);
    case '<':
      return with2((a, b) => a < b);
    case '<=':
      return with2((a, b) => a <= b);
    case '>':
      return with2((a, b) => a > b);
    case '>=':
      return with2((a, b) => a >= b);
    default:
      return undefined;
  }
}

function compareByOrder(name: string, type: number, left: Eval, right: Eval): Eval | undefined {
  if (name === '=' || name === '<>') return comparePlain(name, left, right);
  const ops = typeOps(type);
  const accept: Readonly<Record<string, (order: number) => boolean>> = {
    '<': (order) => order < 0,
    '<=': (order) => order <= 0,
    '>': (order) => order > 0,
    '>=': (order) => order >= 0,
  };
  const test = accept[name];
  if (test === undefined) return undefined;
  return (row, rt) => {
    const a = left(row, rt);
    if (a === null) return null;
    const b = right(row, rt);
    return b === null ? null : test(ops.compare(a, b));
  };
}

function int4Math(name: string, left: Eval, right: Eval): Eval | undefined {
  if (name !== '+' && name !== '-' && name !== '*') return undefined;
  const sign = name === '-' ? -1 : 1;
  const isProduct = name === '*';
  return (row, rt) => {
    const a = left(row, rt);
    if (a === null) return null;
    const b = right(row, rt);
    if (b === null) return null;
    const value = isProduct ? Number(a) * Number(b) : Number(a) + sign * Number(b);
    if (value > 2147483647 || value < -2147483648) {
      throw sqlError('numericValueOutOfRange', 'integer out of range');
    }
    return value === 0 ? 0 : value;
  };
}
