/** Makes TypeOps from the parts that differ between types. */
import { type KeyReader, type KeyWriter } from '../../encoding/index.ts';
import { sqlError } from '../errors.ts';
import { type Datum } from './datum.ts';
import { typeOf } from './type-table.ts';
import { type FormatSettings, type TypeOps } from './types.ts';

/** TypeOps over the JavaScript form T of a type; `narrow` turns a Datum into it. */
export interface OpsSpec<T extends Exclude<Datum, null>> {
  readonly narrow: (value: Datum) => T;
  readonly parse: (text: string, settings: FormatSettings, typmod: number) => T;
  readonly format: (value: T, settings: FormatSettings) => string;
  readonly decodeBinary: (bytes: Buffer) => T;
  readonly encodeBinary: (value: T) => Buffer;
  readonly compare: (a: T, b: T) => number;
  readonly hashKey: (value: T) => string | number | bigint | boolean;
  readonly encodeKey: (writer: KeyWriter, value: T) => void;
  readonly decodeKey: (reader: KeyReader, descending: boolean) => T;
  readonly keyIsLossless?: boolean;
  readonly applyTypmod?: (value: T, typmod: number, explicit: boolean) => T;
}

export function makeOps<T extends Exclude<Datum, null>>(oid: number, spec: OpsSpec<T>): TypeOps {
  const { narrow, applyTypmod } = spec;
  const coerce =
    applyTypmod === undefined
      ? (value: Datum) => value
      : (value: Datum, typmod: number, explicit: boolean) =>
          value === null || typmod < 0 ? value : applyTypmod(narrow(value), typmod, explicit);
  return {
    type: typeOf(oid),
    parse: (text, typmod, settings) => coerce(spec.parse(text, settings, typmod), typmod, false),
    format: (value, settings) => spec.format(narrow(value), settings),
    decodeBinary: (bytes, typmod) => coerce(spec.decodeBinary(bytes), typmod, false),
    encodeBinary: (value) => spec.encodeBinary(narrow(value)),
    compare: (a, b) => spec.compare(narrow(a), narrow(b)),
    hashKey: (value) => spec.hashKey(narrow(value)),
    encodeKey: (writer, value) => spec.encodeKey(writer, narrow(value)),
    decodeKey: spec.decodeKey,
    keyIsLossless: spec.keyIsLossless ?? true,
    applyTypmod: coerce,
  };
}

/** Throws 22P03 unless the binary value has the length of its type. */
export function expectLength(bytes: Buffer, length: number): void {
  if (bytes.length !== length) {
    throw sqlError('invalidBinaryRepresentation', 'incorrect binary data format');
  }
}

export function compareNumbers(a: number, b: number): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

export function compareBigints(a: bigint, b: bigint): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
