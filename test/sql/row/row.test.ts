import { describe, expect, it } from 'vitest';
import {
  type ColumnDescriptor,
  type IndexDescriptor,
  type TableDescriptor,
} from '../../../src/sql/catalog/descriptors.ts';
import { must, prefixEnd } from '../../../src/util/index.ts';
import { tableCodec } from '../../../src/sql/row/index.ts';
import { type Datum, oids, typeOps } from '../../../src/sql/types/index.ts';
import { randomDatum, randomOf, settings, testedOids } from '../types/values.ts';

const seed = 4711;

function column(
  id: number,
  typeOid: number,
  more: Partial<ColumnDescriptor> = {},
): ColumnDescriptor {
  return { id, name: `c${id}`, typeOid, typmod: -1, nullable: true, state: 'public', ...more };
}

function index(
  id: number,
  columnIds: readonly number[],
  more: Partial<IndexDescriptor> = {},
): IndexDescriptor {
  return {
    id,
    name: `i${id}`,
    unique: false,
    columns: columnIds.map((columnId) => ({ columnId, descending: false })),
    suffixColumnIds: [],
    storedColumnIds: [],
    isConstraint: false,
    state: 'public',
    ...more,
  };
}

function table(
  columns: readonly ColumnDescriptor[],
  primaryIndex: IndexDescriptor,
  indexes: readonly IndexDescriptor[] = [],
): TableDescriptor {
  return {
    kind: 'table',
    id: 104,
    version: 1,
    databaseId: 1,
    schemaId: 2,
    name: 't',
    owner: 'root',
    columns,
    primaryIndex,
    indexes,
    checks: [],
    foreignKeys: [],
    referencedBy: [],
    nextColumnId: 100,
    nextIndexId: 100,
    state: 'public',
  };
}

function show(row: readonly Datum[], columns: readonly ColumnDescriptor[]): string {
  return row
    .map((value, i) => {
      const oid = columns[i]?.typeOid ?? oids.text;
      return value === null ? 'NULL' : typeOps(oid).format(value, settings);
    })
    .join('|');
}

function blank(count: number): Datum[] {
  return Array.from({ length: count }, () => null);
}

describe('rows', () => {
  const columns = testedOids.map((oid, i) => column(i + 1, oid));

  it('reads back every type, whatever the key columns are', () => {
    const random = randomOf(seed);
    for (let round = 0; round < 100; round++) {
      const row = columns.map(({ typeOid }) =>
        random() < 0.2 ? null : randomDatum(typeOid, random),
      );
      const first = Math.floor(random() * columns.length);
      const second = Math.floor(random() * columns.length);
      const ids = [...new Set([first + 1, second + 1])];
      ids.forEach((id) => (row[id - 1] ??= randomDatum(columns[id - 1]?.typeOid ?? 0, random)));
      const primary = index(1, [], {
        unique: true,
        columns: ids.map((columnId) => ({ columnId, descending: random() < 0.5 })),
      });
      const codec = tableCodec(table(columns, primary)).index(1);
      const key = codec.encodeKey(row);
      const value = codec.encodeValue(row);
      const all = blank(columns.length);
      codec.decoder(columns.map((_, i) => i))(key, value, all);
      expect(show(all, columns), `seed ${seed}, round ${round}`).toBe(
        show(row, columns).replace(/(^|\|)-0(?=\||$)/g, '$10'),
      );
      const wanted = columns.map((_, i) => i).filter(() => random() < 0.3);
      const some = blank(columns.length);
      codec.decoder(wanted)(key, value, some);
      expect(some).toEqual(all.map((item, i) => (wanted.includes(i) ? item : null)));
    }
  });

  it('steps over dropped columns and fills in those added later', () => {
    const old = table(
      [column(1, oids.int4), column(2, oids.text), column(3, oids.numeric)],
      index(1, [1], { unique: true }),
    );
    const written = tableCodec(old).index(1);
    const row = [7, 'gone', typeOps(oids.numeric).parse('1.50', -1, settings)];
    const key = written.encodeKey(row);
    const value = written.encodeValue(row);
    const now = table(
      [
        column(1, oids.int4),
        column(2, oids.text, { state: 'dropped' }),
        column(3, oids.numeric),
        column(4, oids.int8, { missingText: '42' }),
        column(5, oids.date),
      ],
      index(1, [1], { unique: true }),
    );
    const codec = tableCodec(now).index(1);
    const out = blank(5);
    codec.decoder([0, 2, 3, 4])(key, value, out);
    expect(show(out, now.columns)).toBe('7|NULL|1.50|42|NULL');
    // A null written now is a null, not the default.
    const again = blank(5);
    codec.decoder([3])(codec.encodeKey(out), codec.encodeValue([7, null, null, null, null]), again);
    expect(again[3]).toBeNull();
  });

  it('refuses bytes that no encoder makes', () => {
    const codec = tableCodec(
      table([column(1, oids.int4), column(2, oids.text)], index(1, [1], { unique: true })),
    ).index(1);
    const key = codec.encodeKey([1, 'x']);
    for (const bytes of ['ff', '13ff', '1305', '17', '0e']) {
      expect(() => codec.decoder([1])(key, Buffer.from(bytes, 'hex'), blank(2)), bytes).toThrow(
        RangeError,
      );
    }
  });
});

describe('indexes', () => {
  const columns = [
    column(1, oids.int4),
    column(2, oids.text),
    column(3, oids.numeric),
    column(4, oids.bool),
  ];
  const primary = index(1, [1], { unique: true });

  it('carry the primary key behind columns that are not unique', () => {
    const t = table(columns, primary, [
      index(2, [2], { suffixColumnIds: [1], storedColumnIds: [4] }),
    ]);
    const codec = tableCodec(t).index(2);
    expect(codec.coveredPositions).toEqual([1, 0, 3]);
    const row: Datum[] = [5, 'x', null, true];
    const out = blank(4);
    codec.decoder([0, 1, 3])(codec.encodeKey(row), codec.encodeValue(row), out);
    expect(out).toEqual([5, 'x', null, true]);
    expect(codec.prettyKey(codec.encodeKey(row))).toBe('/"x"/5');
  });

  it('of unique columns have the primary key in the value, and in the key only for nulls', () => {
    const t = table(columns, primary, [index(2, [3], { unique: true, suffixColumnIds: [1] })]);
    const codec = tableCodec(t).index(2);
    const numeric = typeOps(oids.numeric).parse('1.10', -1, settings);
    const same = typeOps(oids.numeric).parse('1.1', -1, settings);
    expect(codec.encodeKey([1, null, numeric, null])).toEqual(
      codec.encodeKey([2, null, same, null]),
    );
    expect(codec.hasNullKey([1, null, null, null])).toBe(true);
    expect(codec.encodeKey([1, null, null, null])).not.toEqual(
      codec.encodeKey([2, null, null, null]),
    );
    for (const value of [numeric, null]) {
      const row: Datum[] = [9, null, value, null];
      const out = blank(4);
      codec.decoder([0, 2])(codec.encodeKey(row), codec.encodeValue(row), out);
      expect(show(out, columns)).toBe(show(row, columns));
    }
  });

  it('sort nulls last ascending and first descending', () => {
    const values: Datum[] = [1, 2, 300, null];
    for (const descending of [false, true]) {
      const t = table([column(1, oids.int4), column(2, oids.int4)], primary, [
        index(2, [], { columns: [{ columnId: 2, descending }], suffixColumnIds: [1] }),
      ]);
      const codec = tableCodec(t).index(2);
      const keys = values.map((value) => ({ value, key: codec.encodeKey([1, value]) }));
      keys.sort((a, b) => a.key.compare(b.key));
      const expected = descending ? [null, 300, 2, 1] : [1, 2, 300, null];
      expect(keys.map(({ value }) => value)).toEqual(expected);
    }
  });

  it('make prefixes for look-ups', () => {
    const t = table(columns, primary, [index(2, [2, 4], { suffixColumnIds: [1] })]);
    const codec = tableCodec(t).index(2);
    const key = codec.encodeKey([5, 'x', null, true]);
    const prefix = codec.encodeKeyPrefix(['x']);
    expect(key.subarray(0, prefix.length)).toEqual(prefix);
    expect(codec.encodeKeyPrefix(['x', true, 5])).toEqual(key);
    expect(codec.prettyKey(Buffer.concat([prefix, Buffer.from([0xaa])]))).toBe('/"x"/0xaa');
    expect(codec.prettyKey(must(prefixEnd(codec.encodeKeyPrefix(['x']))))).toBe('/"x"/PrefixEnd');
    expect(tableCodec(t)).toBe(tableCodec(t));
  });
});
