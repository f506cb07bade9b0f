export { formatArrayText, makeArray } from './array-text.ts';
export { makeVector } from './array-ops.ts';
export {
  ArrayDatum,
  type Datum,
  Interval,
  Jsonb,
  type JsonNode,
  Numeric,
  RecordDatum,
  type Row,
  timestampInfinity,
  timestampMinusInfinity,
  TimeTz,
} from './datum.ts';
export {
  compareText,
  formatJsonNode,
  isJsonArray,
  isJsonObject,
  makeObject as makeJsonObject,
  parseJsonb,
  parseJsonNode,
  quoteJson,
} from './json.ts';
export {
  asArray,
  asBigint,
  asBool,
  asBuffer,
  asInterval,
  asJsonNode,
  asNumber,
  asNumeric,
  asRecord,
  asText,
  asTimeTz,
} from './narrow.ts';
export {
  compareNumeric,
  formatNumeric,
  numericFromInt,
  numericFromNumber,
  numericToBigint,
  numericToNumber,
  parseNumeric,
} from './numeric.ts';
export { oids } from './oids.ts';
export { typeOps } from './ops.ts';
export { findZone } from './timezone.ts';
export {
  allTypes,
  arrayTypeOf,
  isArrayType,
  typeByCatalogName,
  typeByName,
  typeByOid,
  typeOf,
} from './type-table.ts';
export type { FormatSettings, SqlType, TypeCategory, TypeOps } from './types.ts';
export { defaultFormat } from './types.ts';
export {
  charLength,
  charTypmod,
  formatType,
  formatTypmod,
  intervalFullRange,
  intervalModifier,
  intervalTypmod,
  numericModifier,
  numericTypmod,
  typmodFromArgs,
} from './typmod.ts';
export { timestampOfWall, unixEpochMicros, wallOfTimestamp } from './calendar.ts';
export { uuidFromHex } from './scalar-text.ts';
