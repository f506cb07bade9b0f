/**
 * Type modifiers: varchar(n), char(n), numeric(p,s), time(p), timestamp(p), interval fields and
 * precision, packed into one integer as in pg_attribute.atttypmod. -1 is "none".
 */
import { sqlError } from '../errors.ts';
import { oids } from './oids.ts';
import { isArrayType, typeOf } from './type-table.ts';

const headerBytes = 4;
const maxCharLength = 10485760;
const maxNumericPrecision = 1000;

export function charTypmod(length: number): number {
  return length + headerBytes;
}

/** Undefined for "no limit". */
export function charLength(typmod: number): number | undefined {
  return typmod < headerBytes ? undefined : typmod - headerBytes;
}

export function numericTypmod(precision: number, scale: number): number {
  return ((precision << 16) | (scale & 0x7ff)) + headerBytes;
}

/** Scale may be negative (-1000..1000). */
export function numericModifier(typmod: number): { precision: number; scale: number } | undefined {
  if (typmod < headerBytes) return undefined;
  const packed = typmod - headerBytes;
  return { precision: (packed >> 16) & 0xffff, scale: ((packed & 0x7ff) ^ 1024) - 1024 };
}

/** Bit numbers of interval fields in a typmod, as PostgreSQL's INTERVAL_MASK. */
const fieldBit = { month: 1, year: 2, day: 3, hour: 10, minute: 11, second: 12 } as const;
export const intervalFullRange = 0x7fff;
const fullPrecision = 0xffff;

export type IntervalField = keyof typeof fieldBit;

export function intervalTypmod(range: number, precision: number): number {
  return (range << 16) | precision;
}

export function intervalModifier(
  typmod: number,
): { range: number; precision: number | undefined } | undefined {
  if (typmod < 0) return undefined;
  const precision = typmod & 0xffff;
  return {
    range: (typmod >> 16) & 0x7fff,
    precision: precision === fullPrecision ? undefined : precision,
  };
}

export function intervalHasField(range: number, field: IntervalField): boolean {
  return (range & (1 << fieldBit[field])) !== 0;
}

const order: readonly IntervalField[] = ['year', 'month', 'day', 'hour', 'minute', 'second'];

function intervalRangeName(range: number): string {
  if (range === intervalFullRange) return '';
  const fields = order.filter((field) => intervalHasField(range, field));
  const first = fields[0];
  const last = fields.at(-1);
  if (first === undefined || last === undefined) return '';
  return first === last ? ` ${first}` : ` ${first} to ${last}`;
}

/**
 * Makes a typmod from the numbers written behind a type name: `varchar(10)`, `numeric(10,2)`,
 * `interval(3)` (for intervals with fields the parser gives [range] or [range, precision]).
 */
export function typmodFromArgs(oid: number, args: readonly number[]): number {
  if (isArrayType(oid)) return typmodFromArgs(typeOf(oid).elementOid, args);
  const [first, second] = args;
  if (first === undefined) return -1;
  switch (oid) {
    case oids.varchar:
    case oids.bpchar: {
      const name = oid === oids.varchar ? 'varchar' : 'char';
      if (args.length !== 1) throw sqlError('invalidParameterValue', 'invalid type modifier');
      if (first < 1) {
        throw sqlError('invalidParameterValue', `length for type ${name} must be at least 1`);
      }
      if (first > maxCharLength) {
        throw sqlError(
          'invalidParameterValue',
          `length for type ${name} cannot exceed ${maxCharLength}`,
        );
      }
      return charTypmod(first);
    }
    case oids.numeric: {
      if (first < 1 || first > maxNumericPrecision) {
        throw sqlError(
          'invalidParameterValue',
          `NUMERIC precision ${first} must be between 1 and ${maxNumericPrecision}`,
        );
      }
      const scale = second ?? 0;
      if (scale < -1000 || scale > 1000) {
        throw sqlError(
          'invalidParameterValue',
          `NUMERIC scale ${scale} must be between -1000 and 1000`,
        );
      }
      if (args.length > 2) {
        throw sqlError('invalidParameterValue', 'invalid NUMERIC type modifier');
      }
      return numericTypmod(first, scale);
    }
    case oids.time:
    case oids.timetz:
    case oids.timestamp:
    case oids.timestamptz: {
      if (first < 0) {
        throw sqlError(
          'invalidParameterValue',
          `${typeOf(oid).name.toUpperCase()}(${first}) precision must not be negative`,
        );
      }
      return Math.min(first, 6);
    }
    case oids.interval:
      return intervalTypmod(first, second === undefined ? fullPrecision : Math.min(second, 6));
    default:
      throw sqlError('syntaxError', `type modifier is not allowed for type "${typeOf(oid).name}"`);
  }
}

/** The modifier as text with its parentheses, '' for none: `(10,2)`. */
export function formatTypmod(oid: number, typmod: number): string {
  if (typmod < 0) return '';
  switch (oid) {
    case oids.varchar:
    case oids.bpchar: {
      const length = charLength(typmod);
      return length === undefined ? '' : `(${length})`;
    }
    case oids.numeric: {
      const modifier = numericModifier(typmod);
      return modifier === undefined ? '' : `(${modifier.precision},${modifier.scale})`;
    }
    case oids.time:
    case oids.timetz:
    case oids.timestamp:
    case oids.timestamptz:
      return `(${typmod})`;
    case oids.interval: {
      const modifier = intervalModifier(typmod);
      if (modifier === undefined) return '';
      const precision = modifier.precision === undefined ? '' : `(${modifier.precision})`;
      return intervalRangeName(modifier.range) + precision;
    }
    default:
      return `(${typmod})`;
  }
}

/** format_type(): `character varying(10)`, `timestamp(3) without time zone`, `numeric(10,2)[]`. */
export function formatType(oid: number, typmod?: number): string {
  if (oid === 0) return '-';
  if (isArrayType(oid)) return `${formatType(typeOf(oid).elementOid, typmod)}[]`;
  const type = typeOf(oid);
  // char without length means char(1), so a bpchar of any length needs its own name.
  if (oid === oids.bpchar && typmod === -1) return 'bpchar';
  const modifier = formatTypmod(oid, typmod ?? -1);
  if (modifier === '') return type.displayName;
  const space = type.displayName.indexOf(' with');
  return space < 0
    ? type.displayName + modifier
    : type.displayName.slice(0, space) + modifier + type.displayName.slice(space);
}
