/**
 * Values at run time. The static type is always known beside a value (SqlType), so a Datum does not
 * carry it. One JavaScript form per SQL type:
 *
 *   null                      null
 *   bool                      boolean
 *   int2 int4 oid regclass..  number (integer)
 *   int8                      bigint
 *   float4 float8             number (float4 rounded by Math.fround)
 *   numeric                   Numeric
 *   text varchar bpchar name "char" unknown json   string (json keeps its text)
 *   bytea                     Buffer
 *   date                      number: days since 2000-01-01; +-Infinity
 *   time                      number: microseconds since midnight, 0..86_400_000_000
 *   timetz                    TimeTz
 *   timestamp timestamptz     bigint: microseconds since 2000-01-01 00:00 (UTC); see timestampInfinity
 *   interval                  Interval
 *   uuid                      string, canonical lower case
 *   jsonb                     Jsonb
 *   any array                 ArrayDatum
 *   record                    RecordDatum
 *   void                      ''
 */

export type Datum =
  | null
  | boolean
  | number
  | bigint
  | string
  | Buffer
  | Numeric
  | Interval
  | TimeTz
  | Jsonb
  | ArrayDatum
  | RecordDatum;

export type Row = readonly Datum[];

/** The int64 ends stand for infinity, as in PostgreSQL. */
export const timestampInfinity = 9223372036854775807n;
export const timestampMinusInfinity = -9223372036854775808n;

/** value = digits / 10^scale. `scale` is the display scale: 1.10 and 1.1 are equal but print apart. */
export class Numeric {
  readonly kind: 'finite' | 'nan' | 'infinity' | '-infinity';
  readonly digits: bigint;
  readonly scale: number;

  constructor(kind: Numeric['kind'], digits: bigint, scale: number) {
    this.kind = kind;
    this.digits = digits;
    this.scale = scale;
  }
}

export class Interval {
  readonly months: number;
  readonly days: number;
  readonly micros: bigint;

  constructor(months: number, days: number, micros: bigint) {
    this.months = months;
    this.days = days;
    this.micros = micros;
  }
}

/** `zoneSeconds` counts seconds west of UTC, as PostgreSQL stores it. */
export class TimeTz {
  readonly micros: number;
  readonly zoneSeconds: number;

  constructor(micros: number, zoneSeconds: number) {
    this.micros = micros;
    this.zoneSeconds = zoneSeconds;
  }
}

export type JsonNode =
  | null
  | boolean
  | string
  | Numeric
  | readonly JsonNode[]
  | ReadonlyMap<string, JsonNode>;

/** Wrapped, so that JSON null is not SQL NULL. Object keys are in PostgreSQL's jsonb order (length, then bytes). */
export class Jsonb {
  readonly node: JsonNode;

  constructor(node: JsonNode) {
    this.node = node;
  }
}

/** Row-major elements. An empty array has no dimensions. */
export class ArrayDatum {
  readonly elementOid: number;
  readonly elements: readonly Datum[];
  readonly dimensions: readonly { readonly length: number; readonly lowerBound: number }[];

  constructor(
    elementOid: number,
    elements: readonly Datum[],
    dimensions: ArrayDatum['dimensions'],
  ) {
    this.elementOid = elementOid;
    this.elements = elements;
    this.dimensions = dimensions;
  }
}

export class RecordDatum {
  readonly fields: readonly { readonly name: string; readonly oid: number }[];
  readonly values: Row;

  constructor(fields: RecordDatum['fields'], values: Row) {
    this.fields = fields;
    this.values = values;
  }
}
