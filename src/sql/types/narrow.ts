/**
 * From Datum to the JavaScript form a function expects. The static types of SQL guarantee the form;
 * a mismatch is a programmer's error and fails loudly.
 */
import { AssertionError } from '../../util/index.ts';
import {
  ArrayDatum,
  type Datum,
  Interval,
  Jsonb,
  type JsonNode,
  Numeric,
  RecordDatum,
  TimeTz,
} from './datum.ts';

type Maybe = Datum | undefined;

function mismatch(wanted: string, value: Maybe): Error {
  const got =
    value === null ? 'null' : value instanceof Object ? value.constructor.name : typeof value;
  return new AssertionError(`expected a ${wanted} datum, got ${got}`);
}

export function asNumber(value: Maybe): number {
  if (typeof value === 'number') return value;
  throw mismatch('number', value);
}

export function asBigint(value: Maybe): bigint {
  if (typeof value === 'bigint') return value;
  throw mismatch('bigint', value);
}

export function asText(value: Maybe): string {
  if (typeof value === 'string') return value;
  throw mismatch('string', value);
}

export function asBool(value: Maybe): boolean {
  if (typeof value === 'boolean') return value;
  throw mismatch('boolean', value);
}

export function asNumeric(value: Maybe): Numeric {
  if (value instanceof Numeric) return value;
  throw mismatch('Numeric', value);
}

export function asInterval(value: Maybe): Interval {
  if (value instanceof Interval) return value;
  throw mismatch('Interval', value);
}

export function asTimeTz(value: Maybe): TimeTz {
  if (value instanceof TimeTz) return value;
  throw mismatch('TimeTz', value);
}

export function asBuffer(value: Maybe): Buffer {
  if (value instanceof Buffer) return value;
  throw mismatch('Buffer', value);
}

export function asJsonNode(value: Maybe): JsonNode {
  if (value instanceof Jsonb) return value.node;
  throw mismatch('Jsonb', value);
}

export function asArray(value: Maybe): ArrayDatum {
  if (value instanceof ArrayDatum) return value;
  throw mismatch('ArrayDatum', value);
}

export function asRecord(value: Maybe): RecordDatum {
  if (value instanceof RecordDatum) return value;
  throw mismatch('RecordDatum', value);
}
