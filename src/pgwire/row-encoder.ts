/**
 * DataRow messages straight from datums. What a column needs is decided once per result; writing a
 * row is a loop over small integers.
 */
import {
  type Datum,
  type FormatSettings,
  type ResultColumn,
  type Row,
  type TypeOps,
  typeOps,
} from '../sql/index.ts';
import { type WriteBuffer } from './write-buffer.ts';

/** 0 text, 1 binary. */
export type Format = 0 | 1;

const dataRow = 0x44;

// How a column is written. Plain numbers: the switch below runs once per field.
const asText = 0;
const asInt = 1;
const asBigint = 2;
const asBool = 3;
const asOtherText = 4;
const asBinaryText = 5;
const asBinaryInt4 = 6;
const asOtherBinary = 7;

const oids = {
  bool: 16,
  int8: 20,
  int2: 21,
  int4: 23,
  text: 25,
  oid: 26,
  bpchar: 1042,
  varchar: 1043,
  name: 19,
  json: 114,
  uuid: 2950,
  unknown: 705,
};

const stringOids = new Set([
  oids.text,
  oids.varchar,
  oids.name,
  oids.json,
  oids.uuid,
  oids.unknown,
  oids.bpchar,
]);

export class RowEncoder {
  readonly columns: readonly ResultColumn[];
  /** One per column. */
  readonly formats: readonly Format[];
  readonly #kinds: readonly number[];
  readonly #ops: readonly TypeOps[];

  constructor(columns: readonly ResultColumn[], formats: readonly Format[]) {
    this.columns = columns;
    this.formats = formats;
    this.#kinds = columns.map((column, i) => fieldKind(column.typeOid, formats[i] ?? 0));
    this.#ops = columns.map((column) => typeOps(column.typeOid));
  }

  write(out: WriteBuffer, row: Row, settings: FormatSettings): void {
    const kinds = this.#kinds;
    const count = kinds.length;
    out.begin(dataRow);
    out.int16(count);
    for (let i = 0; i < count; i++) {
      const value = row[i] ?? null;
      if (value === null) out.int32(-1);
      else this.#writeField(out, i, kinds[i] ?? asOtherText, value, settings);
    }
    out.end();
  }

  #writeField(
    out: WriteBuffer,
    column: number,
    kind: number,
    value: Exclude<Datum, null>,
    settings: FormatSettings,
  ): void {
    switch (kind) {
      case asText:
      case asBinaryText:
        if (typeof value === 'string') return out.textField(value);
        break;
      case asInt:
        if (typeof value === 'number') return out.intField(value);
        break;
      case asBigint:
        if (typeof value === 'bigint') {
          // Nearly all int8 values fit in 32 bits; the general way makes a string.
          if (value <= 0x7fffffffn && value >= -0x7fffffffn) return out.intField(Number(value));
          return out.textField(value.toString());
        }
        break;
      case asBool:
        return out.textField(value === true ? 't' : 'f');
      case asBinaryInt4:
        if (typeof value === 'number') {
          out.int32(4);
          return out.int32(value);
        }
        break;
      default:
        break;
    }
    const ops = this.#ops[column];
    if (ops === undefined) return out.int32(-1);
    if (this.formats[column] === 1) return out.bytesField(ops.encodeBinary(value));
    return out.textField(ops.format(value, settings));
  }
}

function fieldKind(oid: number, format: Format): number {
  if (format === 1) {
    if (stringOids.has(oid) && oid !== oids.uuid) return asBinaryText;
    return oid === oids.int4 || oid === oids.oid ? asBinaryInt4 : asOtherBinary;
  }
  if (stringOids.has(oid)) return asText;
  switch (oid) {
    case oids.int2:
    case oids.int4:
      return asInt;
    case oids.int8:
      return asBigint;
    case oids.bool:
      return asBool;
    default:
      return asOtherText;
  }
}
