/**
 * Keys and values of one index. A key is the index prefix, then per key column a marker and the value:
 *
 *     0x01 value     not null
 *     0x02           null: sorts last
 *
 * Both inverted for a descending column, where null therefore sorts first.
 */
import {
  type KeyReader,
  KeyWriter,
  indexPrefix,
  KeyReader as Reader,
} from '../../encoding/index.ts';
import { must } from '../../util/index.ts';
import {
  type ColumnDescriptor,
  type IndexDescriptor,
  type TableDescriptor,
} from '../catalog/descriptors.ts';
import {
  defaultFormat,
  type Datum,
  type FormatSettings,
  type Row,
  type TypeOps,
  typeOps,
  quoteJson,
} from '../types/index.ts';
import { type IndexCodec, type RowDecoder } from './types.ts';
import { type Layout, layoutOf, ValueReader, ValueWriter, wantedColumn } from './value-format.ts';

const marks = { value: 0x01, null: 0x02 } as const;

interface KeyColumn {
  readonly id: number;
  readonly position: number;
  readonly descending: boolean;
  readonly ops: TypeOps;
}

interface ValueColumn {
  readonly id: number;
  readonly position: number;
  readonly layout: Layout;
  readonly ops: TypeOps;
  /** NULL must be written because an absent column means its default. */
  readonly explicitNull: boolean;
}

/** The text of a fast default is written in this form, whatever the session's settings. */
export const storedFormat: FormatSettings = { ...defaultFormat, dateOrder: 'YMD' };

// Encoding is synchronous and finishes before the next one begins.
const keyWriter = new KeyWriter();
const valueWriter = new ValueWriter();

function isWritten(column: ColumnDescriptor): boolean {
  return column.state === 'public' || column.state === 'write-only';
}

function missingValue(column: ColumnDescriptor): Datum {
  return column.missingText === undefined
    ? null
    : typeOps(column.typeOid).parse(column.missingText, column.typmod, storedFormat);
}

export function makeIndexCodec(
  table: TableDescriptor,
  index: IndexDescriptor,
  isPrimary: boolean,
): IndexCodec {
  const positions = new Map(table.columns.map((column, i) => [column.id, i]));
  const positionOf = (id: number): number =>
    must(positions.get(id), `index ${index.name} names column ${id}, which its table lacks`);
  const columnOf = (id: number): ColumnDescriptor => must(table.columns[positionOf(id)]);
  const keyColumn = (id: number, descending: boolean): KeyColumn => ({
    id,
    position: positionOf(id),
    descending,
    ops: typeOps(columnOf(id).typeOid),
  });
  const keyColumns = index.columns.map(({ columnId, descending }) =>
    keyColumn(columnId, descending),
  );
  const suffix = isPrimary ? [] : index.suffixColumnIds.map((id) => keyColumn(id, false));
  /** Columns every key carries. */
  const allKeyColumns = index.unique ? keyColumns : [...keyColumns, ...suffix];
  const fromKey = new Set(allKeyColumns.filter(({ ops }) => ops.keyIsLossless).map(({ id }) => id));

  const coveredIds = isPrimary
    ? table.columns.filter(({ state }) => state !== 'dropped').map(({ id }) => id)
    : [...allKeyColumns.map(({ id }) => id), ...index.suffixColumnIds, ...index.storedColumnIds];
  const covered = [...new Set(coveredIds)];
  const valueColumns: ValueColumn[] = covered
    .filter((id) => !fromKey.has(id) && isWritten(columnOf(id)))
    .sort((a, b) => a - b)
    .map((id) => ({
      id,
      position: positionOf(id),
      layout: layoutOf(columnOf(id).typeOid),
      ops: typeOps(columnOf(id).typeOid),
      explicitNull: columnOf(id).missingText !== undefined,
    }));
  const prefix = indexPrefix({ tableId: table.id, indexId: index.id });
  const distinctNulls = index.unique && index.nullsNotDistinct !== true;

  const hasNullKey = (row: Row): boolean => {
    if (!distinctNulls) return false;
    for (const { position } of keyColumns) if ((row[position] ?? null) === null) return true;
    return false;
  };

  return {
    index,
    prefix,
    coveredPositions: covered.map(positionOf),
    hasNullKey,
    encodeKey(row) {
      const writer = keyWriter.reset().raw(prefix);
      for (const column of keyColumns) writeKeyPart(writer, column, row[column.position] ?? null);
      if (!index.unique || hasNullKey(row)) {
        for (const column of suffix) writeKeyPart(writer, column, row[column.position] ?? null);
      }
      return writer.finish();
    },
    encodeKeyPrefix(values) {
      const writer = keyWriter.reset().raw(prefix);
      const parts = [...keyColumns, ...suffix];
      values.forEach((value, i) => {
        writeKeyPart(writer, must(parts[i], 'more values than key columns'), value);
      });
      return writer.finish();
    },
    encodeValue(row) {
      const writer = valueWriter.reset();
      for (const { id, position, layout, ops, explicitNull } of valueColumns) {
        const value = row[position] ?? null;
        if (value !== null) writer.datum(id, value, layout, ops);
        else if (explicitNull) writer.null(id);
      }
      return writer.finish();
    },
    decoder(columnPositions) {
      const wanted = new Set(columnPositions);
      const valueParts = covered
        .filter((id) => !fromKey.has(id) && wanted.has(positionOf(id)))
        .sort((a, b) => a - b)
        .map((id) => {
          const column = columnOf(id);
          return wantedColumn(id, positionOf(id), column.typeOid, missingValue(column));
        });
      const keyParts = allKeyColumns.map((column) => ({
        ...column,
        wanted: fromKey.has(column.id) && wanted.has(column.position),
      }));
      while (keyParts.length > 0 && keyParts.at(-1)?.wanted === false) keyParts.pop();
      return makeDecoder(prefix.length, keyParts, new ValueReader(valueParts), valueParts.length);
    },
    prettyKey: (key) => prettyKey(key, prefix, [...keyColumns, ...suffix]),
  };
}

function writeKeyPart(writer: KeyWriter, column: KeyColumn, value: Datum): void {
  const from = writer.length;
  if (value === null) writer.byte(marks.null);
  else column.ops.encodeKey(writer.byte(marks.value), value);
  if (column.descending) writer.invertFrom(from);
}

function readKeyPart(reader: KeyReader, column: KeyColumn): Datum {
  const mark = reader.byte() ^ (column.descending ? 0xff : 0);
  if (mark === marks.null) return null;
  if (mark !== marks.value) throw new RangeError('bad marker in key');
  return column.ops.decodeKey(reader, column.descending);
}

function makeDecoder(
  prefixLength: number,
  keyParts: readonly (KeyColumn & { readonly wanted: boolean })[],
  valueReader: ValueReader,
  valueCount: number,
): RowDecoder {
  const [only] = keyParts;
  if (only === undefined) return (_key, value, target) => valueReader.read(value, target);
  if (keyParts.length === 1) {
    // The common primary key of one column.
    return (key, value, target) => {
      target[only.position] = readKeyPart(new Reader(key, prefixLength), only);
      if (valueCount > 0) valueReader.read(value, target);
    };
  }
  return (key, value, target) => {
    const reader = new Reader(key, prefixLength);
    for (const part of keyParts) {
      const datum = readKeyPart(reader, part);
      if (part.wanted) target[part.position] = datum;
    }
    if (valueCount > 0) valueReader.read(value, target);
  };
}

/** `/1/"abc"/NULL`: the parts behind the index prefix; what does not decode as hex. */
function prettyKey(key: Buffer, prefix: Buffer, columns: readonly KeyColumn[]): string {
  if (!key.subarray(0, prefix.length).equals(prefix)) return `/0x${key.toString('hex')}`;
  const whole = prettyParts(key, prefix, columns);
  if (whole.rest.length === 0) return whole.text;
  // The end of all keys that begin with some columns: their encoding, and one more in the last byte.
  const last = key.length - 1;
  const before = Buffer.from(key);
  before[last] = (key[last] ?? 0) - 1;
  const prefixed = prettyParts(before, prefix, columns);
  if (key[last] !== 0 && prefixed.rest.length === 0) return `${prefixed.text}/PrefixEnd`;
  return `${whole.text}/0x${whole.rest.toString('hex')}`;
}

function prettyParts(
  key: Buffer,
  prefix: Buffer,
  columns: readonly KeyColumn[],
): { readonly text: string; readonly rest: Buffer } {
  const reader = new Reader(key, prefix.length);
  let out = '';
  let good = prefix.length;
  try {
    for (const column of columns) {
      if (reader.done) break;
      const value = readKeyPart(reader, column);
      out += `/${value === null ? 'NULL' : prettyDatum(value, column.ops)}`;
      good = reader.position;
    }
  } catch (error) {
    if (!(error instanceof RangeError)) throw error;
  }
  return { text: out, rest: key.subarray(good) };
}

function prettyDatum(value: Datum, ops: TypeOps): string {
  const text = ops.format(value, storedFormat);
  const { category } = ops.type;
  return category === 'N' || category === 'B' ? text : quoteJson(text);
}
