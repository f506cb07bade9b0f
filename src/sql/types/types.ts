/**
 * SQL types as values. `oid`s are PostgreSQL's (pg_type.dat), so drivers know them.
 */
import { type Datum } from './datum.ts';
import { type KeyReader, type KeyWriter } from '../../encoding/index.ts';

/** pg_type.typcategory: B bool, N numeric, S string, D datetime, T timespan, A array, U user, P pseudo, X unknown, Z internal. */
export type TypeCategory =
  | 'B'
  | 'N'
  | 'S'
  | 'D'
  | 'T'
  | 'A'
  | 'U'
  | 'P'
  | 'X'
  | 'V'
  | 'I'
  | 'G'
  | 'E'
  | 'Z';

export interface SqlType {
  readonly oid: number;
  /** pg_type.typname: int4, _int4, varchar, bpchar. */
  readonly name: string;
  /** As format_type() prints it without a modifier: integer, character varying. */
  readonly displayName: string;
  readonly category: TypeCategory;
  readonly preferred: boolean;
  /** pg_type.typlen: bytes, -1 variable. */
  readonly length: number;
  /** 0 where there is none. */
  readonly arrayOid: number;
  readonly elementOid: number;
}

/** What text input and output depend on. */
export interface FormatSettings {
  /** IANA name or fixed offset. */
  readonly timeZone: string;
  readonly dateOrder: 'MDY' | 'DMY' | 'YMD';
  readonly dateStyle: 'ISO' | 'Postgres' | 'SQL' | 'German';
  readonly intervalStyle: 'postgres' | 'postgres_verbose' | 'sql_standard' | 'iso_8601';
  readonly extraFloatDigits: number;
  readonly byteaOutput: 'hex' | 'escape';
  /** For the input words 'now', 'today', ...: microseconds since 2000-01-01 UTC. */
  readonly nowMicros: bigint;
  /** The name behind a value of regclass, regproc, ...; undefined (or absent): its number is shown. */
  readonly regName?: ((typeOid: number, value: number) => string | undefined) | undefined;
}

/** PostgreSQL's defaults, in UTC. */
export const defaultFormat: FormatSettings = {
  timeZone: 'UTC',
  dateOrder: 'MDY',
  dateStyle: 'ISO',
  intervalStyle: 'postgres',
  extraFloatDigits: 1,
  byteaOutput: 'hex',
  nowMicros: 0n,
};

/**
 * Everything the rest of sql needs of one type. Obtained once per column or expression (by
 * `typeOps(oid)`), then called without lookups.
 */
export interface TypeOps {
  readonly type: SqlType;
  /** Throws SqlFailure 22P02, 22003, 22007, 22008. `typmod` -1 = none; applies length and precision. */
  parse(text: string, typmod: number, settings: FormatSettings): Datum;
  format(value: Datum, settings: FormatSettings): string;
  /** Binary wire format (PostgreSQL's send/receive functions). */
  decodeBinary(bytes: Buffer, typmod: number): Datum;
  encodeBinary(value: Datum): Buffer;
  /** Total order of non-null values; PostgreSQL's btree order (NaN last, text by bytes = "C" collation). */
  compare(a: Datum, b: Datum): number;
  /** Equal values give equal strings or numbers: for hash joins, grouping, DISTINCT. */
  hashKey(value: Datum): string | number | bigint | boolean;
  /** Order-preserving key encoding of non-null values. */
  encodeKey(writer: KeyWriter, value: Datum): void;
  decodeKey(reader: KeyReader, descending: boolean): Datum;
  /** False where the key encoding loses something (1.10 against 1.1): the value is stored beside the key too. */
  readonly keyIsLossless: boolean;
  /** Coerces to a modifier: varchar(n), numeric(p,s), timestamp(p). `explicit` casts truncate silently. */
  applyTypmod(value: Datum, typmod: number, explicit: boolean): Datum;
}
