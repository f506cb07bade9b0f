/** SQL values as JSON (to_json and all that builds JSON from values). */
import {
  type ArrayDatum,
  asArray,
  asBigint,
  asNumber,
  asRecord,
  asText,
  type Datum,
  formatJsonNode,
  isArrayType,
  Jsonb,
  type JsonNode,
  oids,
  parseJsonNode,
  type RecordDatum,
  timestampInfinity,
  timestampMinusInfinity,
  typeOf,
  typeOps,
} from '../types/index.ts';
import { isoTimestamp } from '../types/datetime-format.ts';
import { quoteJson } from '../types/json.ts';
import { offsetOfInstant, utcToLocal, zoneOf } from '../types/timezone.ts';
import { type FormatSettings } from '../types/types.ts';

function isoWithOffset(micros: bigint, settings: FormatSettings): string {
  if (micros === timestampInfinity || micros === timestampMinusInfinity)
    return isoTimestamp(micros);
  const zone = zoneOf(settings.timeZone);
  const offset = offsetOfInstant(zone, micros);
  const magnitude = Math.abs(offset);
  const pad = (value: number): string => String(value).padStart(2, '0');
  const zoneText = `${offset < 0 ? '-' : '+'}${pad(Math.floor(magnitude / 3600))}:${pad(Math.floor(magnitude / 60) % 60)}`;
  const text = isoTimestamp(utcToLocal(zone, micros));
  return text.endsWith(' BC') ? `${text.slice(0, -3)}${zoneText} BC` : text + zoneText;
}

/** JSON text of a value of type `oid`. */
export function toJsonText(value: Datum, oid: number, settings: FormatSettings): string {
  if (value === null) return 'null';
  switch (oid) {
    case oids.bool:
      return value === true ? 'true' : 'false';
    case oids.int2:
    case oids.int4:
    case oids.int8:
      return String(typeof value === 'bigint' ? value : asNumber(value));
    case oids.float4:
    case oids.float8:
    case oids.numeric: {
      const text = typeOps(oid).format(value, settings);
      return /[NI]/.test(text) ? `"${text}"` : text;
    }
    case oids.json:
      return asText(value);
    case oids.jsonb:
      return value instanceof Jsonb ? formatJsonNode(value.node) : asText(value);
    case oids.date:
      return quoteJson(typeOps(oid).format(value, { ...settings, dateStyle: 'ISO' }));
    case oids.timestamp:
      return quoteJson(isoTimestamp(asBigint(value)));
    case oids.timestamptz:
      return quoteJson(isoWithOffset(asBigint(value), settings));
    case oids.record:
      return recordToJson(asRecord(value), settings);
    default:
      if (isArrayType(oid)) return arrayToJson(asArray(value), typeOf(oid).elementOid, settings);
      return quoteJson(typeof value === 'string' ? value : typeOps(oid).format(value, settings));
  }
}

/** `pretty` puts a line feed between the elements of the outer dimension. */
export function arrayToJson(
  array: ArrayDatum,
  elementOid: number,
  settings: FormatSettings,
  pretty = false,
): string {
  const { dimensions, elements } = array;
  let at = 0;
  const level = (depth: number): string => {
    const parts: string[] = [];
    const length = dimensions[depth]?.length ?? 0;
    for (let i = 0; i < length; i++) {
      parts.push(
        depth + 1 < dimensions.length
          ? level(depth + 1)
          : toJsonText(elements[at++] ?? null, elementOid, settings),
      );
    }
    return `[${parts.join(pretty && depth === 0 ? ',\n ' : ',')}]`;
  };
  return dimensions.length === 0 ? '[]' : level(0);
}

export function recordToJson(
  record: RecordDatum,
  settings: FormatSettings,
  pretty = false,
): string {
  const parts = record.fields.map(
    ({ name, oid }, i) =>
      `${quoteJson(name)}:${toJsonText(record.values[i] ?? null, oid, settings)}`,
  );
  return `{${parts.join(pretty ? ',\n ' : ',')}}`;
}

export function toJsonNode(value: Datum, oid: number, settings: FormatSettings): JsonNode {
  if (value === null) return null;
  if (value instanceof Jsonb) return value.node;
  if (typeof value === 'boolean') return value;
  return parseJsonNode(toJsonText(value, oid, settings));
}

/** Text of an object key. */
export function keyText(
  value: Exclude<Datum, null>,
  oid: number,
  settings: FormatSettings,
): string {
  return typeof value === 'string' ? value : typeOps(oid).format(value, settings);
}
