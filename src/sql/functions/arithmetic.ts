/** + - * / % and the bit operators of the number types. Overflow is 22003, division by zero 22012. */
import { sqlError } from '../errors.ts';
import { asBigint, asNumber, asNumeric, type Datum } from '../types/index.ts';
import {
  absNumeric,
  addNumeric,
  divideNumeric,
  modNumeric,
  multiplyNumeric,
  negateNumeric,
  subtractNumeric,
} from '../types/numeric.ts';
import { powerNumeric } from '../types/numeric-math.ts';
import { scalar } from './define.ts';
import { type ScalarFunction } from './registry-types.ts';

export function divisionByZero(): Error {
  return sqlError('divisionByZero', 'division by zero');
}

export function outOfRange(type: string): Error {
  return sqlError('numericValueOutOfRange', `${type} out of range`);
}

export function checkInt2(value: number): number {
  if (value > 32767 || value < -32768) throw outOfRange('smallint');
  return value + 0;
}

export function checkInt4(value: number): number {
  if (value > 2147483647 || value < -2147483648) throw outOfRange('integer');
  return value + 0;
}

export function checkInt8(value: bigint): bigint {
  if (BigInt.asIntN(64, value) !== value) throw outOfRange('bigint');
  return value;
}

/** Result of a float8 operation on `a` and `b`: infinity only from infinity, zero only from zero. */
export function checkFloat8(value: number, inputIsInfinite: boolean, zeroIsValid: boolean): number {
  if (!Number.isFinite(value) && !inputIsInfinite && !Number.isNaN(value)) {
    throw sqlError('numericValueOutOfRange', 'value out of range: overflow');
  }
  if (value === 0 && !zeroIsValid) {
    throw sqlError('numericValueOutOfRange', 'value out of range: underflow');
  }
  return value;
}

type Operate = (a: number, b: number) => number;

const floatOperations: Readonly<Record<string, Operate>> = {
  '+': (a, b) => a + b,
  '-': (a, b) => a - b,
  '*': (a, b) => a * b,
  '/'(a, b) {
    if (b === 0 && !Number.isNaN(a)) throw divisionByZero();
    return a / b;
  },
};

function floatOperators(left: string, right: string, single: boolean): ScalarFunction[] {
  return Object.entries(floatOperations).map(([name, operate]) =>
    scalar(`${name}(${left},${right}) ${single ? 'float4' : 'float8'}`, (args) => {
      const a = asNumber(args[0]);
      const b = asNumber(args[1]);
      const exact = operate(a, b);
      const value = single ? Math.fround(exact) : exact;
      if (Number.isFinite(value) && value !== 0) return value;
      const infinite = Math.abs(a) === Infinity || Math.abs(b) === Infinity;
      const zero = name === '*' ? a === 0 || b === 0 : name === '/' ? a === 0 || infinite : true;
      return checkFloat8(value, infinite, zero);
    }),
  );
}

type IntegerType = 'int2' | 'int4' | 'int8';

const wider: Readonly<Record<IntegerType, number>> = { int2: 0, int4: 1, int8: 2 };

function big(value: Datum | undefined): bigint {
  return typeof value === 'bigint' ? value : BigInt(asNumber(value));
}

function integerOperators(left: IntegerType, right: IntegerType): ScalarFunction[] {
  const result = wider[left] >= wider[right] ? left : right;
  const sign = (name: string): string => `${name}(${left},${right}) ${result}`;
  if (result === 'int8') {
    return [
      scalar(sign('+'), (a) => checkInt8(big(a[0]) + big(a[1]))),
      scalar(sign('-'), (a) => checkInt8(big(a[0]) - big(a[1]))),
      scalar(sign('*'), (a) => checkInt8(big(a[0]) * big(a[1]))),
      scalar(sign('/'), (a) => {
        const divisor = big(a[1]);
        if (divisor === 0n) throw divisionByZero();
        return checkInt8(big(a[0]) / divisor);
      }),
    ];
  }
  const check = result === 'int2' ? checkInt2 : checkInt4;
  return [
    scalar(sign('+'), (a) => check(asNumber(a[0]) + asNumber(a[1]))),
    scalar(sign('-'), (a) => check(asNumber(a[0]) - asNumber(a[1]))),
    // Products of 32-bit numbers can pass 2^53, but then they are out of range anyway.
    scalar(sign('*'), (a) => check(asNumber(a[0]) * asNumber(a[1]))),
    scalar(sign('/'), (a) => {
      const divisor = asNumber(a[1]);
      if (divisor === 0) throw divisionByZero();
      return check(Math.trunc(asNumber(a[0]) / divisor));
    }),
  ];
}

function smallIntegers(type: 'int2' | 'int4'): ScalarFunction[] {
  const check = type === 'int2' ? checkInt2 : checkInt4;
  const wrap = (value: number): number => (type === 'int2' ? (value << 16) >> 16 : value | 0);
  const mod = (a: readonly Datum[]): number => {
    const divisor = asNumber(a[1]);
    if (divisor === 0) throw divisionByZero();
    return (asNumber(a[0]) % divisor) + 0;
  };
  const abs = (a: readonly Datum[]): number => check(Math.abs(asNumber(a[0])));
  return [
    scalar(`%(${type},${type}) ${type}`, mod),
    scalar(`mod(${type},${type}) ${type}`, mod),
    scalar(`&(${type},${type}) ${type}`, (a) => asNumber(a[0]) & asNumber(a[1])),
    scalar(`|(${type},${type}) ${type}`, (a) => asNumber(a[0]) | asNumber(a[1])),
    scalar(`#(${type},${type}) ${type}`, (a) => asNumber(a[0]) ^ asNumber(a[1])),
    scalar(`~(${type}) ${type}`, (a) => ~asNumber(a[0])),
    scalar(`<<(${type},int4) ${type}`, (a) => wrap(asNumber(a[0]) << asNumber(a[1]))),
    scalar(`>>(${type},int4) ${type}`, (a) => wrap(asNumber(a[0]) >> asNumber(a[1]))),
    scalar(`+(${type}) ${type}`, (a) => asNumber(a[0])),
    scalar(`-(${type}) ${type}`, (a) => check(0 - asNumber(a[0]))),
    scalar(`@(${type}) ${type}`, abs),
    scalar(`abs(${type}) ${type}`, abs),
  ];
}

const int8Operators: ScalarFunction[] = (() => {
  const mod = (a: readonly Datum[]): bigint => {
    const divisor = asBigint(a[1]);
    if (divisor === 0n) throw divisionByZero();
    return asBigint(a[0]) % divisor;
  };
  const abs = (a: readonly Datum[]): bigint => {
    const value = asBigint(a[0]);
    return checkInt8(value < 0n ? -value : value);
  };
  const shift = (a: readonly Datum[]): bigint => BigInt(asNumber(a[1]) & 63);
  return [
    scalar('%(int8,int8) int8', mod),
    scalar('mod(int8,int8) int8', mod),
    scalar('&(int8,int8) int8', (a) => asBigint(a[0]) & asBigint(a[1])),
    scalar('|(int8,int8) int8', (a) => asBigint(a[0]) | asBigint(a[1])),
    scalar('#(int8,int8) int8', (a) => asBigint(a[0]) ^ asBigint(a[1])),
    scalar('~(int8) int8', (a) => ~asBigint(a[0])),
    scalar('<<(int8,int4) int8', (a) => BigInt.asIntN(64, asBigint(a[0]) << shift(a))),
    scalar('>>(int8,int4) int8', (a) => asBigint(a[0]) >> shift(a)),
    scalar('+(int8) int8', (a) => asBigint(a[0])),
    scalar('-(int8) int8', (a) => checkInt8(-asBigint(a[0]))),
    scalar('@(int8) int8', abs),
    scalar('abs(int8) int8', abs),
  ];
})();

function unaryFloats(type: 'float4' | 'float8'): ScalarFunction[] {
  return [
    scalar(`+(${type}) ${type}`, (a) => asNumber(a[0])),
    scalar(`-(${type}) ${type}`, (a) => -asNumber(a[0])),
    scalar(`@(${type}) ${type}`, (a) => Math.abs(asNumber(a[0]))),
    scalar(`abs(${type}) ${type}`, (a) => Math.abs(asNumber(a[0]))),
  ];
}

const numericOperators: ScalarFunction[] = [
  scalar('+(numeric,numeric) numeric', (a) => addNumeric(asNumeric(a[0]), asNumeric(a[1]))),
  scalar('-(numeric,numeric) numeric', (a) => subtractNumeric(asNumeric(a[0]), asNumeric(a[1]))),
  scalar('*(numeric,numeric) numeric', (a) => multiplyNumeric(asNumeric(a[0]), asNumeric(a[1]))),
  scalar('/(numeric,numeric) numeric', (a) => divideNumeric(asNumeric(a[0]), asNumeric(a[1]))),
  scalar('%(numeric,numeric) numeric', (a) => modNumeric(asNumeric(a[0]), asNumeric(a[1]))),
  scalar('mod(numeric,numeric) numeric', (a) => modNumeric(asNumeric(a[0]), asNumeric(a[1]))),
  scalar('^(numeric,numeric) numeric', (a) => powerNumeric(asNumeric(a[0]), asNumeric(a[1]))),
  scalar('+(numeric) numeric', (a) => asNumeric(a[0])),
  scalar('-(numeric) numeric', (a) => negateNumeric(asNumeric(a[0]))),
  scalar('@(numeric) numeric', (a) => absNumeric(asNumeric(a[0]))),
  scalar('abs(numeric) numeric', (a) => absNumeric(asNumeric(a[0]))),
];

const integerTypes: readonly IntegerType[] = ['int2', 'int4', 'int8'];

export const arithmeticOperators: readonly ScalarFunction[] = [
  ...integerTypes.flatMap((left) => integerTypes.flatMap((right) => integerOperators(left, right))),
  ...smallIntegers('int2'),
  ...smallIntegers('int4'),
  ...int8Operators,
  ...floatOperators('float4', 'float4', true),
  ...floatOperators('float8', 'float8', false),
  ...floatOperators('float4', 'float8', false),
  ...floatOperators('float8', 'float4', false),
  ...unaryFloats('float4'),
  ...unaryFloats('float8'),
  ...numericOperators,
];
