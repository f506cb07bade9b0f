/** TypeOps of arrays (over the element's TypeOps), int2vector, oidvector and records. */
import { sqlError } from '../errors.ts';
import { formatArrayText, formatRecordText, makeArray, parseArrayText } from './array-text.ts';
import { ArrayDatum, type Datum, RecordDatum } from './datum.ts';
import { asArray, asNumber, asRecord } from './narrow.ts';
import { oids } from './oids.ts';
import { makeOps } from './ops-builder.ts';
import { readInt } from './scalar-ops.ts';
import { type TypeOps } from './types.ts';

type OpsOf = (oid: number) => TypeOps;

const maxElements = 134_217_727;

export function makeArrayOps(oid: number, elementOid: number, opsOf: OpsOf): TypeOps {
  const element = opsOf(elementOid);
  const ops = makeOps<ArrayDatum>(oid, {
    narrow: asArray,
    parse: (text, settings, typmod) =>
      parseArrayText(text, elementOid, (part) => element.parse(part, typmod, settings)),
    format: (value, settings) => formatArrayText(value, (part) => element.format(part, settings)),
    decodeBinary: (bytes) => decodeArrayBinary(bytes, elementOid, element),
    encodeBinary: (value) => encodeArrayBinary(value, elementOid, element),
    compare: (a, b) => compareArrays(a, b, element),
    hashKey: (value) => arrayHashKey(value, element),
    encodeKey(writer, value) {
      for (const item of value.elements) {
        if (item === null) writer.byte(3);
        else element.encodeKey(writer.byte(2), item);
      }
      writer.byte(1).int(value.dimensions.length);
      for (const { length, lowerBound } of value.dimensions) writer.int(length).int(lowerBound);
    },
    decodeKey(reader, descending) {
      const mask = descending ? 0xff : 0;
      const elements: Datum[] = [];
      for (;;) {
        const mark = reader.byte() ^ mask;
        if (mark === 1) break;
        elements.push(mark === 3 ? null : element.decodeKey(reader, descending));
      }
      const dimensions: { length: number; lowerBound: number }[] = [];
      const count = readInt(reader, descending);
      for (let i = 0; i < count; i++) {
        const length = readInt(reader, descending);
        dimensions.push({ length, lowerBound: readInt(reader, descending) });
      }
      return new ArrayDatum(elementOid, elements, dimensions);
    },
    keyIsLossless: element.keyIsLossless,
    applyTypmod: (value, typmod, explicit) =>
      new ArrayDatum(
        value.elementOid,
        value.elements.map((item) => element.applyTypmod(item, typmod, explicit)),
        value.dimensions,
      ),
  });
  return ops;
}

function compareArrays(a: ArrayDatum, b: ArrayDatum, element: TypeOps): number {
  const length = Math.min(a.elements.length, b.elements.length);
  for (let i = 0; i < length; i++) {
    const x = a.elements[i] ?? null;
    const y = b.elements[i] ?? null;
    if (x === null || y === null) {
      if (x === y) continue;
      return x === null ? 1 : -1;
    }
    const order = element.compare(x, y);
    if (order !== 0) return order;
  }
  if (a.elements.length !== b.elements.length) return a.elements.length - b.elements.length;
  if (a.dimensions.length !== b.dimensions.length) return a.dimensions.length - b.dimensions.length;
  for (let i = 0; i < a.dimensions.length; i++) {
    const x = a.dimensions[i];
    const y = b.dimensions[i];
    if (x === undefined || y === undefined) break;
    if (x.length !== y.length) return x.length - y.length;
    if (x.lowerBound !== y.lowerBound) return x.lowerBound - y.lowerBound;
  }
  return 0;
}

function arrayHashKey(value: ArrayDatum, element: TypeOps): string {
  const parts = value.elements.map((item) => {
    if (item === null) return 'n';
    const key = String(element.hashKey(item));
    return `${key.length}:${key}`;
  });
  const bounds = value.dimensions.map(({ length, lowerBound }) => `${length}/${lowerBound}`);
  return `${bounds.join(',')};${parts.join('')}`;
}

function encodeArrayBinary(value: ArrayDatum, elementOid: number, element: TypeOps): Buffer {
  const head = Buffer.alloc(12 + value.dimensions.length * 8);
  head.writeInt32BE(value.dimensions.length, 0);
  head.writeInt32BE(value.elements.includes(null) ? 1 : 0, 4);
  head.writeUInt32BE(elementOid, 8);
  value.dimensions.forEach(({ length, lowerBound }, i) => {
    head.writeInt32BE(length, 12 + i * 8);
    head.writeInt32BE(lowerBound, 16 + i * 8);
  });
  return Buffer.concat([head, ...value.elements.flatMap((item) => lengthPrefixed(item, element))]);
}

function lengthPrefixed(item: Datum, element: TypeOps): Buffer[] {
  const size = Buffer.allocUnsafe(4);
  if (item === null) {
    size.writeInt32BE(-1, 0);
    return [size];
  }
  const bytes = element.encodeBinary(item);
  size.writeInt32BE(bytes.length, 0);
  return [size, bytes];
}

function badBinary(detail: string): Error {
  return sqlError('invalidBinaryRepresentation', detail);
}

function decodeArrayBinary(bytes: Buffer, elementOid: number, element: TypeOps): ArrayDatum {
  const need = (end: number): void => {
    if (end > bytes.length) throw badBinary('insufficient data left in message');
  };
  need(12);
  const count = bytes.readInt32BE(0);
  if (count < 0 || count > 6) throw badBinary(`invalid number of dimensions: ${count}`);
  const sent = bytes.readUInt32BE(8);
  if (sent !== elementOid) throw badBinary('wrong element type');
  let at = 12;
  let total = count === 0 ? 0 : 1;
  const dimensions: { length: number; lowerBound: number }[] = [];
  for (let i = 0; i < count; i++) {
    need(at + 8);
    const length = bytes.readInt32BE(at);
    if (length < 0) throw badBinary('invalid array size');
    total *= length;
    if (total > maxElements) throw badBinary('array size exceeds the maximum allowed');
    dimensions.push({ length, lowerBound: bytes.readInt32BE(at + 4) });
    at += 8;
  }
  const elements: Datum[] = [];
  for (let i = 0; i < total; i++) {
    need(at + 4);
    const size = bytes.readInt32BE(at);
    at += 4;
    if (size === -1) {
      elements.push(null);
      continue;
    }
    if (size < 0) throw badBinary('invalid array element size');
    need(at + size);
    elements.push(element.decodeBinary(bytes.subarray(at, at + size), -1));
    at += size;
  }
  if (at !== bytes.length) throw badBinary('improper binary format in array');
  return total === 0 ? makeArray(elementOid, []) : new ArrayDatum(elementOid, elements, dimensions);
}

/** int2vector and oidvector: text form without braces, lower bound 0. */
export function makeVectorOps(oid: number, elementOid: number, opsOf: OpsOf): TypeOps {
  const array = makeArrayOps(oid, elementOid, opsOf);
  const element = opsOf(elementOid);
  return {
    ...array,
    parse(text, _typmod, settings) {
      const words = text
        .trim()
        .split(/\s+/)
        .filter((word) => word !== '');
      return makeVector(
        elementOid,
        words.map((word) => asNumber(element.parse(word, -1, settings))),
      );
    },
    format: (value) => asArray(value).elements.map(asNumber).join(' '),
  };
}

export function makeVector(elementOid: number, elements: readonly number[]): ArrayDatum {
  return new ArrayDatum(elementOid, elements, [{ length: elements.length, lowerBound: 0 }]);
}

export function makeRecordOps(opsOf: OpsOf): TypeOps {
  const fieldOps = (value: RecordDatum, i: number): TypeOps =>
    opsOf(value.fields[i]?.oid ?? oids.text);
  const compare = (a: RecordDatum, b: RecordDatum): number => {
    const length = Math.min(a.values.length, b.values.length);
    for (let i = 0; i < length; i++) {
      const x = a.values[i] ?? null;
      const y = b.values[i] ?? null;
      if (x === null || y === null) {
        if (x === y) continue;
        return x === null ? 1 : -1;
      }
      if (a.fields[i]?.oid !== b.fields[i]?.oid) {
        throw sqlError(
          'datatypeMismatch',
          `cannot compare dissimilar column types ${fieldOps(a, i).type.displayName} and ${fieldOps(b, i).type.displayName} at record column ${i + 1}`,
        );
      }
      const order = fieldOps(a, i).compare(x, y);
      if (order !== 0) return order;
    }
    if (a.values.length !== b.values.length) {
      throw sqlError(
        'datatypeMismatch',
        'cannot compare record types with different numbers of columns',
      );
    }
    return 0;
  };
  return makeOps<RecordDatum>(oids.record, {
    narrow: asRecord,
    parse() {
      throw sqlError(
        'featureNotSupported',
        'input of anonymous composite types is not implemented',
      );
    },
    format: (value, settings) =>
      formatRecordText(
        value.values.map((item, i) =>
          item === null ? null : fieldOps(value, i).format(item, settings),
        ),
      ),
    decodeBinary(bytes) {
      return decodeRecordBinary(bytes, opsOf);
    },
    encodeBinary(value) {
      const head = Buffer.alloc(4);
      head.writeInt32BE(value.values.length, 0);
      const parts: Buffer[] = [head];
      value.values.forEach((item, i) => {
        const type = Buffer.alloc(4);
        type.writeUInt32BE(value.fields[i]?.oid ?? oids.text, 0);
        parts.push(type, ...lengthPrefixed(item, fieldOps(value, i)));
      });
      return Buffer.concat(parts);
    },
    compare,
    hashKey: (value) =>
      value.values
        .map((item, i) => {
          if (item === null) return 'n';
          const key = String(fieldOps(value, i).hashKey(item));
          return `${key.length}:${key}`;
        })
        .join(''),
    encodeKey(writer, value) {
      value.values.forEach((item, i) => {
        if (item === null) writer.byte(3);
        else fieldOps(value, i).encodeKey(writer.byte(2), item);
      });
      writer.byte(1);
    },
    decodeKey() {
      throw new RangeError('records cannot be read back from keys');
    },
    keyIsLossless: false,
  });
}

function decodeRecordBinary(bytes: Buffer, opsOf: OpsOf): RecordDatum {
  if (bytes.length < 4) throw badBinary('insufficient data left in message');
  const count = bytes.readInt32BE(0);
  let at = 4;
  const fields: { name: string; oid: number }[] = [];
  const values: Datum[] = [];
  for (let i = 0; i < count; i++) {
    if (at + 8 > bytes.length) throw badBinary('insufficient data left in message');
    const oid = bytes.readUInt32BE(at);
    const size = bytes.readInt32BE(at + 4);
    at += 8;
    fields.push({ name: `f${i + 1}`, oid });
    if (size < 0) values.push(null);
    else {
      if (at + size > bytes.length) throw badBinary('insufficient data left in message');
      values.push(opsOf(oid).decodeBinary(bytes.subarray(at, at + size), -1));
      at += size;
    }
  }
  return new RecordDatum(fields, values);
}
