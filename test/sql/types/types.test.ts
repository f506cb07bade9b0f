import { describe, expect, it } from 'vitest';
import { KeyReader, KeyWriter } from '../../../src/encoding/index.ts';
import { SqlFailure } from '../../../src/sql/errors.ts';
import {
  allTypes,
  formatType,
  numericTypmod,
  oids,
  typeByName,
  typeByOid,
  typeOps,
  typmodFromArgs,
} from '../../../src/sql/types/index.ts';
import { randomDatum, randomOf, settings, sign, testedOids } from './values.ts';

const rounds = 400;
const seed = 20_240_517;

describe('names', () => {
  it('finds types by their SQL names', () => {
    const names: readonly (readonly [string, number])[] = [
      ['int', oids.int4],
      ['INTEGER', oids.int4],
      ['bigint', oids.int8],
      ['string', oids.text],
      ['decimal', oids.numeric],
      ['char', oids.bpchar],
      ['"char"', oids.char],
      ['pg_catalog.char', oids.char],
      ['double precision', oids.float8],
      ['timestamp with time zone', oids.timestamptz],
      ['_int4', oids.int4Array],
      ['int[]', oids.int4Array],
      ['text[][]', oids.textArray],
      ['character varying[]', oids.varcharArray],
    ];
    for (const [name, oid] of names) expect(typeByName(name)?.oid, name).toBe(oid);
    expect(typeByName('nonsense')).toBeUndefined();
  });

  it('has consistent array types', () => {
    for (const type of allTypes()) {
      if (type.arrayOid !== 0) expect(typeByOid(type.arrayOid)?.elementOid).toBe(type.oid);
    }
  });

  it('formats modifiers', () => {
    expect(formatType(oids.numeric, numericTypmod(10, -2))).toBe('numeric(10,-2)');
    expect(formatType(oids.varcharArray, typmodFromArgs(oids.varchar, [7]))).toBe(
      'character varying(7)[]',
    );
    expect(formatType(oids.timestamptz, 3)).toBe('timestamp(3) with time zone');
    expect(() => typmodFromArgs(oids.varchar, [0])).toThrow(SqlFailure);
  });
});

describe.each(testedOids.map((oid) => [typeByOid(oid)?.name ?? '', oid] as const))(
  '%s',
  (_name, oid) => {
    const ops = typeOps(oid);

    it('reads back its text form', () => {
      const random = randomOf(seed + oid);
      for (let i = 0; i < rounds; i++) {
        const value = randomDatum(oid, random);
        const text = ops.format(value, settings);
        const again = ops.parse(text, -1, settings);
        expect(ops.compare(value, again), `seed ${seed}: ${text}`).toBe(0);
        expect(ops.format(again, settings)).toBe(text);
      }
    });

    it('reads back its binary form', () => {
      const random = randomOf(seed + oid + 1);
      for (let i = 0; i < rounds; i++) {
        const value = randomDatum(oid, random);
        const again = ops.decodeBinary(ops.encodeBinary(value), -1);
        expect(ops.format(again, settings), `seed ${seed}`).toBe(ops.format(value, settings));
      }
    });

    it('has keys in the order of its values, ascending and descending', () => {
      const random = randomOf(seed + oid + 2);
      const writer = new KeyWriter();
      const values = Array.from({ length: 60 }, () => randomDatum(oid, random));
      const keys = values.map((value) => {
        writer.reset();
        ops.encodeKey(writer, value);
        return writer.finish();
      });
      const inverted = values.map((value) => {
        writer.reset();
        ops.encodeKey(writer, value);
        return writer.invertFrom(0).finish();
      });
      values.forEach((a, i) => {
        values.forEach((b, j) => {
          const order = sign(ops.compare(a, b));
          const label = `seed ${seed}: ${ops.format(a, settings)} against ${ops.format(b, settings)}`;
          const [x, y, u, v] = [keys[i], keys[j], inverted[i], inverted[j]];
          if (x === undefined || y === undefined || u === undefined || v === undefined) return;
          expect(sign(x.compare(y)), label).toBe(order);
          expect(0 - sign(u.compare(v)) + 0, label).toBe(order);
          if (order === 0) expect(ops.hashKey(a), label).toEqual(ops.hashKey(b));
          else expect(ops.hashKey(a), label).not.toEqual(ops.hashKey(b));
        });
      });
    });

    it('reads back its keys', () => {
      const random = randomOf(seed + oid + 3);
      const writer = new KeyWriter();
      for (let i = 0; i < rounds; i++) {
        const value = randomDatum(oid, random);
        for (const descending of [false, true]) {
          writer.reset();
          ops.encodeKey(writer, value);
          if (descending) writer.invertFrom(0);
          const reader = new KeyReader(writer.finish());
          const again = ops.decodeKey(reader, descending);
          expect(reader.done).toBe(true);
          expect(ops.compare(value, again), `seed ${seed}: ${ops.format(value, settings)}`).toBe(0);
          if (ops.keyIsLossless) {
            expect(ops.format(again, settings)).toBe(
              ops.format(value, settings).replace(/^-0$/, '0'),
            );
          }
        }
      }
    });
  },
);

describe('failures', () => {
  it.each([
    [oids.int4, '99999999999', '22003', 'value "99999999999" is out of range for type integer'],
    [oids.int4, 'abc', '22P02', 'invalid input syntax for type integer: "abc"'],
    [oids.date, 'abc', '22007', 'invalid input syntax for type date: "abc"'],
    [oids.date, '2024-02-30', '22008', 'date/time field value out of range: "2024-02-30"'],
    [oids.uuid, 'x', '22P02', 'invalid input syntax for type uuid: "x"'],
    [oids.json, '{', '22P02', 'invalid input syntax for type json'],
  ])('of type %i for %s', (oid, text, code, message) => {
    let failure: unknown;
    try {
      typeOps(oid).parse(text, -1, settings);
    } catch (error) {
      failure = error;
    }
    expect(failure).toBeInstanceOf(SqlFailure);
    expect(failure).toMatchObject({ code, message });
  });

  it('of binary values', () => {
    expect(() => typeOps(oids.int4).decodeBinary(Buffer.from([1]), -1)).toThrow(SqlFailure);
    expect(() => typeOps(oids.numeric).decodeBinary(Buffer.alloc(8, 0xff), -1)).toThrow(SqlFailure);
    expect(() => typeOps(oids.int4Array).decodeBinary(Buffer.alloc(12, 1), -1)).toThrow(SqlFailure);
  });
});

describe('depth', () => {
  it('of json is limited before the stack is', () => {
    const nested = (depth: number): string => '['.repeat(depth) + ']'.repeat(depth);
    const ops = typeOps(oids.jsonb);
    const deep = ops.parse(nested(1000), -1, settings);
    expect(ops.format(deep, settings)).toBe(nested(1000));
    expect(ops.compare(deep, deep)).toBe(0);
    expect(() => ops.parse(nested(1001), -1, settings)).toThrow('stack depth limit exceeded');
  });
});
