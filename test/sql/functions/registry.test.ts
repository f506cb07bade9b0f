import { describe, expect, it } from 'vitest';
import {
  type AggregateFunction,
  type AggregateState,
  allCasts,
  allFunctions,
  allOperators,
  commonType,
  findCast,
  functionsByName,
  resolveFunction,
  resolveOperator,
  type WindowFrameView,
} from '../../../src/sql/functions/index.ts';
import { type Datum, oids, type Row, typeOps } from '../../../src/sql/types/index.ts';
import { testContext } from './evaluator.ts';

const context = testContext();

function text(value: Datum, oid: number): string {
  return value === null ? 'NULL' : typeOps(oid).format(value, context);
}

describe('the registry', () => {
  it('gives every function its own oid and signature', () => {
    const all = [...allFunctions(), ...allOperators()];
    expect(new Set(allFunctions().map(({ oid }) => oid)).size).toBe(allFunctions().length);
    expect(new Set(allOperators().map(({ oid }) => oid)).size).toBe(allOperators().length);
    const signatures = all.map(({ name, args }) => `${name}(${args.join()})`);
    expect(new Set(signatures).size).toBe(signatures.length);
    expect(functionsByName('now')[0]?.oid).toBe(1299);
    expect(allCasts().length).toBeGreaterThan(150);
  });

  it('says what it is', () => {
    const { fn } = resolveFunction('version', []);
    expect(fn.kind === 'scalar' ? fn.call([], context, [oids.text]) : '').toMatch(
      /^PostgreSQL 15\.0 .*Skein/,
    );
  });

  it('finds count(*), functions of pg_catalog and none of other schemas', () => {
    expect(resolveFunction('count', [], { star: true }).resultType).toBe(oids.int8);
    expect(resolveFunction('abs', [oids.int4], { schema: 'pg_catalog' }).resultType).toBe(
      oids.int4,
    );
    expect(() => resolveFunction('abs', [oids.int4], { schema: 'public' })).toThrow(
      'function public.abs(integer) does not exist',
    );
  });

  it('hints at casts', () => {
    expect(() => resolveOperator('=', oids.int4, oids.text)).toThrow(
      expect.objectContaining({
        code: '42883',
        fields: {
          hint: 'No operator matches the given name and argument types. You might need to add explicit type casts.',
        },
      }),
    );
    expect(() => resolveOperator('-', undefined, oids.text)).toThrow(
      'operator does not exist: - text',
    );
  });
});

describe('common types', () => {
  it.each([
    [[oids.int4, oids.int8], oids.int8],
    [[oids.int4, oids.numeric, oids.unknown], oids.numeric],
    [[oids.unknown, oids.unknown], oids.text],
    [[oids.varchar, oids.text], oids.varchar],
    [[oids.date, oids.timestamptz], oids.timestamptz],
    [[oids.float4, oids.numeric], oids.float4],
    [[oids.bool], oids.bool],
  ])('of %j is %i', (types, common) => {
    expect(commonType(types)).toBe(common);
  });

  it('of different categories do not exist', () => {
    expect(() => commonType([oids.int4, oids.text], 'CASE')).toThrow(
      'CASE types integer and text cannot be matched',
    );
  });
});

describe('casts', () => {
  it('respect their contexts', () => {
    expect(findCast(oids.int8, oids.int4, 'implicit')).toBeUndefined();
    expect(findCast(oids.int8, oids.int4, 'assignment')).toBeDefined();
    expect(findCast(oids.int4, oids.bool, 'assignment')).toBeUndefined();
    expect(findCast(oids.int4, oids.text, 'implicit')).toBeUndefined();
    expect(findCast(oids.int4, oids.text, 'assignment')).toBeDefined();
    expect(findCast(oids.text, oids.int4, 'assignment')).toBeUndefined();
    expect(findCast(oids.text, oids.int4, 'explicit')).toBeDefined();
    expect(findCast(oids.unknown, oids.date, 'implicit')).toBeDefined();
    expect(findCast(oids.date, oids.int4, 'explicit')).toBeUndefined();
  });

  it('apply modifiers: assignment fails where an explicit cast truncates', async () => {
    const cast = findCast(oids.text, oids.varchar, 'assignment');
    expect(await cast?.call('abcdef', 7, context, true)).toBe('abc');
    expect(() => cast?.call('abcdef', 7, context, false)).toThrow(
      'value too long for type character varying(3)',
    );
  });

  it('ask the host for names of relations', async () => {
    const cast = findCast(oids.unknown, oids.regclass, 'implicit');
    expect(cast?.async).toBe(true);
    expect(await cast?.call('t', -1, context, false)).toBe(100);
    expect(await cast?.call('77', -1, context, false)).toBe(77);
    await expect(async () => cast?.call('nope', -1, context, false)).rejects.toMatchObject({
      code: '42P01',
      message: 'relation "nope" does not exist',
    });
    expect(await findCast(oids.regclass, oids.text, 'explicit')?.call(100, -1, context, true)).toBe(
      't',
    );
  });
});

describe('partial aggregation', () => {
  const inputs: readonly (readonly [string, number, readonly Datum[]])[] = [
    ['count', oids.int4, [1, 2, 3, 4]],
    ['sum', oids.int4, [2147483647, 2147483647, -5, 7]],
    ['sum', oids.int8, [9223372036854775807n, 9223372036854775807n, 1n]],
    ['avg', oids.int4, [1, 2, 4]],
    ['avg', oids.float8, [1.5, 2.5, 4]],
    ['min', oids.text, ['b', 'a', 'c']],
    ['max', oids.text, ['b', 'a', 'c']],
    ['bool_and', oids.bool, [true, false, true]],
    ['bool_or', oids.bool, [false, false]],
    ['sum', oids.int4, []],
    ['max', oids.int4, []],
  ];

  it.each(inputs)('%s over type %i equals the whole', (name, oid, values) => {
    const { fn, argTypes, resultType } = resolveFunction(name, [oid]);
    if (fn.kind !== 'aggregate' || fn.partial === undefined)
      throw new Error('no partial aggregate');
    const types = [...argTypes, resultType];
    const fresh = (aggregate: AggregateFunction): AggregateState =>
      aggregate.create(types, context);
    const whole = fresh(fn);
    for (const value of values) whole.add([value]);
    const merged = fresh(fn);
    for (let i = 0; i <= values.length; i += 2) {
      const part = fresh(fn);
      for (const value of values.slice(i, i + 2)) part.add([value]);
      const row: Row = fn.partial.extract(part);
      // The state travels as datums of its declared types.
      const stateTypes = fn.partial.stateTypes(types);
      expect(row.length).toBe(stateTypes.length);
      const sent = row.map((value, j) => {
        const ops = typeOps(stateTypes[j] ?? 0);
        return value === null ? null : ops.decodeBinary(ops.encodeBinary(value), -1);
      });
      fn.partial.merge(merged, sent);
    }
    expect(text(merged.result(), resultType)).toBe(text(whole.result(), resultType));
  });
});

describe('window functions', () => {
  /** A partition of one column, ordered by it; the frame runs from the start to the current peers. */
  function over(call: string, values: readonly number[], extra: readonly Datum[] = []): string {
    const noArgs = ['row_number', 'rank', 'dense_rank', 'percent_rank', 'cume_dist'].includes(call);
    const types = noArgs
      ? []
      : call === 'ntile'
        ? [oids.int4]
        : [oids.int4, ...extra.map(() => oids.int4)];
    const { fn, argTypes, resultType } = resolveFunction(call, types);
    if (fn.kind !== 'window') throw new Error('no window function');
    const out = values.map((value, index) => {
      const peerStart = values.indexOf(value);
      const peerEnd = values.lastIndexOf(value) + 1;
      const frame: WindowFrameView = {
        index,
        size: values.length,
        args: (row) => (call === 'ntile' ? extra : [values[row] ?? null, ...extra]),
        peerStart,
        peerEnd,
        denseRank: new Set(values.slice(0, peerEnd)).size,
        frameStart: 0,
        frameEnd: peerEnd,
        inFrame: () => true,
      };
      return text(fn.call(frame, [...argTypes, resultType]), resultType);
    });
    return out.join(' ');
  }
  const values = [10, 20, 20, 30, 40];

  it.each([
    ['row_number', [], '1 2 3 4 5'],
    ['rank', [], '1 2 2 4 5'],
    ['dense_rank', [], '1 2 2 3 4'],
    ['percent_rank', [], '0 0.25 0.25 0.75 1'],
    ['cume_dist', [], '0.2 0.6 0.6 0.8 1'],
    ['ntile', [2], '1 1 1 2 2'],
    ['lag', [], 'NULL 10 20 20 30'],
    ['lag', [2, 0], '0 0 10 20 20'],
    ['lead', [], '20 20 30 40 NULL'],
    ['first_value', [], '10 10 10 10 10'],
    ['last_value', [], '10 20 20 30 40'],
    ['nth_value', [2], 'NULL 20 20 20 20'],
  ])('%s %j', (call, extra, expected) => {
    expect(over(call, values, extra)).toBe(expected);
  });
});

describe('asynchronous functions', () => {
  it('go through the host', async () => {
    const { fn, argTypes } = resolveFunction('nextval', [oids.unknown]);
    expect(argTypes).toEqual([oids.regclass]);
    expect(fn.kind === 'scalar' && fn.async).toBe(true);
    expect(
      fn.kind === 'scalar' ? await fn.call([100], context, [oids.regclass, oids.int8]) : 0,
    ).toBe(7n);
    const privilege = resolveFunction('has_table_privilege', [oids.unknown, oids.unknown]);
    expect(privilege.argTypes).toEqual([oids.text, oids.text]);
  });
});
