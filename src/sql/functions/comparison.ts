/** Comparison operators of all types, and between types of one family. */
import {
  asBigint,
  asNumber,
  asText,
  compareText,
  type Datum,
  oids,
  type TypeOps,
  typeOps,
  typeOf,
} from '../types/index.ts';
import { type EvalContext, type ScalarFunction, type Volatility } from './registry-types.ts';
import { scalar } from './define.ts';
import { dateToTimestamp, timestampToTimestamptz } from './date-arithmetic.ts';

type Compare = (a: Datum, b: Datum, context: EvalContext) => number;

function operators(
  left: string,
  right: string,
  compare: Compare,
  volatility: Volatility = 'immutable',
): ScalarFunction[] {
  const make = (name: string, test: (order: number) => boolean): ScalarFunction =>
    scalar(
      `${name}(${left},${right}) bool`,
      (args, context) => test(compare(args[0] ?? null, args[1] ?? null, context)),
      { volatility },
    );
  return [
    make('=', (order) => order === 0),
    make('<>', (order) => order !== 0),
    make('<', (order) => order < 0),
    make('<=', (order) => order <= 0),
    make('>', (order) => order > 0),
    make('>=', (order) => order >= 0),
  ];
}

/** The hot types without a detour: one closure per operator. */
function fast<T>(type: string, narrow: (value: Datum | undefined) => T): ScalarFunction[] {
  const make = (name: string, test: (a: T, b: T) => boolean): ScalarFunction =>
    scalar(`${name}(${type},${type}) bool`, (args) => test(narrow(args[0]), narrow(args[1])));
  return [
    make('=', (a, b) => a === b),
    make('<>', (a, b) => a !== b),
    make('<', (a, b) => a < b),
    make('<=', (a, b) => a <= b),
    make('>', (a, b) => a > b),
    make('>=', (a, b) => a >= b),
  ];
}

function textOperators(type: string): ScalarFunction[] {
  return operators(type, type, (a, b) => compareText(asText(a), asText(b)));
}

function quoted(name: string): string {
  return name === 'char' ? '"char"' : name;
}

/** Types whose operators are their TypeOps' order. */
const ordered = [
  oids.bool,
  oids.float4,
  oids.float8,
  oids.numeric,
  oids.bpchar,
  oids.char,
  oids.bytea,
  oids.timetz,
  oids.interval,
  oids.uuid,
  oids.jsonb,
  oids.oidvector,
  oids.record,
];

function viaOps(oid: number): ScalarFunction[] {
  const ops: TypeOps = typeOps(oid);
  const name = quoted(typeOf(oid).name);
  return operators(name, name, (a, b) => ops.compare(a, b));
}

function integerValue(value: Datum): number | bigint {
  return typeof value === 'bigint' ? value : asNumber(value);
}

function crossIntegers(): ScalarFunction[] {
  const names = ['int2', 'int4', 'int8'];
  return names.flatMap((left) =>
    names
      .filter((right) => right !== left)
      .flatMap((right) =>
        operators(left, right, (a, b) => {
          const x = integerValue(a);
          const y = integerValue(b);
          return x < y ? -1 : x > y ? 1 : 0;
        }),
      ),
  );
}

function compareMoments(a: bigint, b: bigint): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

/** Both sides as timestamp or timestamptz. */
function crossMoments(): ScalarFunction[] {
  const float = typeOps(oids.float8);
  type ToBig = (value: Datum, context: EvalContext) => bigint;
  const fromDate: ToBig = (value) => dateToTimestamp(asNumber(value));
  const same: ToBig = (value) => asBigint(value);
  const local: ToBig = (value, context) => timestampToTimestamptz(asBigint(value), context);
  const dateLocal: ToBig = (value, context) =>
    timestampToTimestamptz(dateToTimestamp(asNumber(value)), context);
  const pair = (l: string, r: string, x: ToBig, y: ToBig, v: Volatility): ScalarFunction[] =>
    operators(l, r, (a, b, context) => compareMoments(x(a, context), y(b, context)), v);
  return [
    ...pair('date', 'timestamp', fromDate, same, 'immutable'),
    ...pair('timestamp', 'date', same, fromDate, 'immutable'),
    ...pair('date', 'timestamptz', dateLocal, same, 'stable'),
    ...pair('timestamptz', 'date', same, dateLocal, 'stable'),
    ...pair('timestamp', 'timestamptz', local, same, 'stable'),
    ...pair('timestamptz', 'timestamp', same, local, 'stable'),
    ...operators('float4', 'float8', (a, b) => float.compare(a, b)),
    ...operators('float8', 'float4', (a, b) => float.compare(a, b)),
    ...operators('name', 'text', (a, b) => compareText(asText(a), asText(b))),
    ...operators('text', 'name', (a, b) => compareText(asText(a), asText(b))),
  ];
}

function arrayOperators(): ScalarFunction[] {
  const make = (name: string, test: (order: number) => boolean): ScalarFunction =>
    scalar(`${name}(anyarray,anyarray) bool`, (args, _context, types) =>
      test(typeOps(types[0] ?? 0).compare(args[0] ?? null, args[1] ?? null)),
    );
  return [
    make('=', (order) => order === 0),
    make('<>', (order) => order !== 0),
    make('<', (order) => order < 0),
    make('<=', (order) => order <= 0),
    make('>', (order) => order > 0),
    make('>=', (order) => order >= 0),
  ];
}

export const comparisonOperators: readonly ScalarFunction[] = [
  ...fast('int2', asNumber),
  ...fast('int4', asNumber),
  ...fast('oid', asNumber),
  ...fast('xid', asNumber).slice(0, 2),
  ...fast('date', asNumber),
  ...fast('time', asNumber),
  ...fast('int8', asBigint),
  ...fast('timestamp', asBigint),
  ...fast('timestamptz', asBigint),
  ...textOperators('text'),
  ...textOperators('name'),
  ...ordered.flatMap(viaOps),
  ...crossIntegers(),
  ...crossMoments(),
  ...arrayOperators(),
];
