/**
 * Casts as data: which types convert into which, in which context (pg_cast), and how. Where there is
 * no special conversion, the text form is the bridge (I/O conversion): to a string type by assignment, from one
 * explicitly. Arrays convert element by element.
 */
import { must } from '../../util/index.ts';
import { sqlError } from '../errors.ts';
import { joinMicros, splitMicros } from '../types/calendar.ts';
import { timestampInfinity, timestampMinusInfinity } from '../types/datum.ts';
import {
  ArrayDatum,
  arrayTypeOf,
  asArray,
  asBigint,
  asBool,
  asInterval,
  asJsonNode,
  asNumber,
  asNumeric,
  asText,
  asTimeTz,
  type Datum,
  formatJsonNode,
  formatNumeric,
  Interval,
  isArrayType,
  type JsonNode,
  isJsonArray,
  isJsonObject,
  Numeric,
  numericFromInt,
  numericFromNumber,
  numericToBigint,
  numericToNumber,
  oids,
  parseJsonb,
  TimeTz,
  typeByName,
  typeByOid,
  typeOf,
  typeOps,
} from '../types/index.ts';
import { offsetOfLocal, zoneOf } from '../types/timezone.ts';
import { roundHalfEven } from '../types/interval.ts';
import { trimSpaces } from '../types/scalar-ops.ts';
import { parseFloatText, truncateUtf8 } from '../types/scalar-text.ts';
import { checkInt2, checkInt4, checkInt8, outOfRange } from './arithmetic.ts';
import {
  addToTime,
  dateToTimestamp,
  timestampToDate,
  timestampToTimestamptz,
  timestamptzToTimestamp,
  timestamptzToTimeTz,
} from './date-arithmetic.ts';
import {
  type Cast,
  type CastContext,
  type EvalContext,
  type RegKind,
  type Volatility,
} from './registry-types.ts';

/** The modifier is for interval input, where it decides what a bare number means; else it is applied afterwards. */
type Convert = (value: Datum, context: EvalContext, typmod: number) => Datum | Promise<Datum>;

interface Entry {
  readonly context: CastContext;
  readonly convert: Convert;
  readonly volatility: Volatility;
  readonly async: boolean;
}

const table = new Map<string, Entry>();

function add(
  from: string,
  to: string,
  context: CastContext,
  convert: Convert,
  volatility: Volatility = 'immutable',
  async = false,
): void {
  const source = must(typeByName(from), from).oid;
  const target = must(typeByName(to), to).oid;
  table.set(`${source}/${target}`, { context, convert, volatility, async });
}

const same: Convert = (value) => value;

// ------------------------------------------------------------------------------------ numbers

const integers = ['int2', 'int4', 'int8'] as const;
const checks = {
  int2: (value: bigint | number) => checkInt2(Number(value)),
  int4: (value: bigint | number) => checkInt4(Number(value)),
  int8: (value: bigint | number) => checkInt8(BigInt(value)),
} as const;
const displayNames = { int2: 'smallint', int4: 'integer', int8: 'bigint' } as const;

function integer(value: Datum): bigint | number {
  return typeof value === 'bigint' ? value : asNumber(value);
}

integers.forEach((from, i) => {
  integers.forEach((to, j) => {
    if (i !== j) add(from, to, i < j ? 'implicit' : 'assignment', (v) => checks[to](integer(v)));
  });
  add(from, 'numeric', 'implicit', (v) => numericFromInt(integer(v)));
  add(from, 'float8', 'implicit', (v) => Number(integer(v)));
  add(from, 'float4', 'implicit', (v) => Math.fround(Number(integer(v))));
  for (const float of ['float4', 'float8'] as const) {
    add(float, from, 'assignment', (v) => floatToInteger(asNumber(v), from));
  }
  add('numeric', from, 'assignment', (v) => {
    const value = numericToBigint(asNumeric(v));
    if (value === undefined) {
      const kind = asNumeric(v).kind === 'nan' ? 'NaN' : 'infinity';
      throw sqlError('featureNotSupported', `cannot convert ${kind} to ${displayNames[from]}`);
    }
    if (BigInt.asIntN(64, value) !== value) throw outOfRange(displayNames[from]);
    return checks[from](value);
  });
  add('jsonb', from, 'explicit', (v) => {
    const value = numericToBigint(jsonNumber(v, displayNames[from]));
    if (value === undefined || BigInt.asIntN(64, value) !== value)
      throw outOfRange(displayNames[from]);
    return checks[from](value);
  });
});

function floatToInteger(value: number, type: 'int2' | 'int4' | 'int8'): Datum {
  const rounded = roundHalfEven(value);
  if (!Number.isFinite(rounded)) throw outOfRange(displayNames[type]);
  if (type === 'int8') {
    if (rounded >= 9223372036854775808 || rounded < -9223372036854775808)
      throw outOfRange('bigint');
    return BigInt(rounded);
  }
  return checks[type](rounded);
}

function numericToFloat4(value: Numeric): number {
  return parseFloatText(formatNumeric(value), true);
}

export function toFloat4(value: number): number {
  const single = Math.fround(value);
  if (!Number.isFinite(single) && Number.isFinite(value)) {
    throw sqlError('numericValueOutOfRange', 'value out of range: overflow');
  }
  if (single === 0 && value !== 0) {
    throw sqlError('numericValueOutOfRange', 'value out of range: underflow');
  }
  return single;
}

add('float4', 'float8', 'implicit', same);
add('float8', 'float4', 'assignment', (v) => toFloat4(asNumber(v)));
add('float4', 'numeric', 'assignment', (v) => numericFromNumber(asNumber(v), 6));
add('float8', 'numeric', 'assignment', (v) => numericFromNumber(asNumber(v)));
add('numeric', 'float4', 'implicit', (v) => numericToFloat4(asNumeric(v)));
add('numeric', 'float8', 'implicit', (v) => parseFloatText(formatNumeric(asNumeric(v)), false));
add('bool', 'int4', 'explicit', (v) => (asBool(v) ? 1 : 0));
add('int4', 'bool', 'explicit', (v) => asNumber(v) !== 0);

// ------------------------------------------------------------------------------------ strings

for (const type of ['text', 'varchar', 'bpchar']) {
  add('bool', type, 'assignment', (v) => (asBool(v) ? 'true' : 'false'));
  add(type, '"char"', 'assignment', (v) => asText(v).slice(0, 1));
  add(type, 'name', 'implicit', (v) =>
    truncateUtf8(type === 'bpchar' ? trimSpaces(asText(v)) : asText(v), 63),
  );
}
add('text', 'varchar', 'implicit', same);
add('text', 'bpchar', 'implicit', same);
add('varchar', 'text', 'implicit', same);
add('varchar', 'bpchar', 'implicit', same);
add('bpchar', 'text', 'implicit', (v) => trimSpaces(asText(v)));
add('bpchar', 'varchar', 'implicit', (v) => trimSpaces(asText(v)));
add('name', 'text', 'implicit', same);
add('name', 'varchar', 'assignment', same);
add('name', 'bpchar', 'assignment', same);
add('"char"', 'text', 'implicit', same);
add('"char"', 'varchar', 'assignment', same);
add('"char"', 'bpchar', 'assignment', same);
add('"char"', 'int4', 'explicit', (v) => {
  const code = asText(v) === '' ? 0 : (Buffer.from(asText(v), 'utf8')[0] ?? 0);
  return code > 127 ? code - 256 : code;
});
add('int4', '"char"', 'explicit', (v) => {
  const code = asNumber(v);
  if (code < -128 || code > 127) throw sqlError('numericValueOutOfRange', '"char" out of range');
  return code === 0 ? '' : String.fromCharCode(code & 0xff);
});
add('pg_node_tree', 'text', 'implicit', same);

// ---------------------------------------------------------------------------- oids and reg types

const regTypes: readonly RegKind[] = [
  'regclass',
  'regtype',
  'regproc',
  'regprocedure',
  'regoper',
  'regoperator',
  'regnamespace',
  'regrole',
  'regconfig',
  'regdictionary',
];

function checkOid(value: Datum): number {
  const wide = BigInt(integer(value));
  if (wide < 0n || wide > 4294967295n) throw sqlError('numericValueOutOfRange', 'OID out of range');
  return Number(wide);
}

function unsigned(value: Datum): number {
  return asNumber(value) >>> 0;
}

for (const type of ['oid', ...regTypes]) {
  add('int2', type, 'implicit', unsigned);
  add('int4', type, 'implicit', unsigned);
  add('int8', type, 'implicit', checkOid);
  add(type, 'int4', 'assignment', (v) => asNumber(v) | 0);
  add(type, 'int8', 'assignment', (v) => BigInt(asNumber(v)));
  if (type !== 'oid') {
    add('oid', type, 'implicit', same);
    add(type, 'oid', 'implicit', same);
  }
}
add('regproc', 'regprocedure', 'implicit', same);
add('regprocedure', 'regproc', 'implicit', same);
add('regoper', 'regoperator', 'implicit', same);
add('regoperator', 'regoper', 'implicit', same);

const regNouns: Readonly<Record<RegKind, string>> = {
  regclass: 'relation',
  regtype: 'type',
  regproc: 'function',
  regprocedure: 'function',
  regoper: 'operator',
  regoperator: 'operator',
  regnamespace: 'schema',
  regrole: 'role',
  regconfig: 'text search configuration',
  regdictionary: 'text search dictionary',
};

function regNotFound(kind: RegKind, name: string): Error {
  const noun = regNouns[kind];
  switch (kind) {
    case 'regclass':
      return sqlError('undefinedTable', `relation "${name}" does not exist`);
    case 'regproc':
    case 'regprocedure':
      return sqlError('undefinedFunction', `function "${name}" does not exist`);
    case 'regoper':
    case 'regoperator':
      return sqlError('undefinedFunction', `operator does not exist: ${name}`);
    case 'regnamespace':
      return sqlError('invalidSchemaName', `schema "${name}" does not exist`);
    case 'regtype':
    case 'regrole':
    case 'regconfig':
    case 'regdictionary':
      return sqlError('undefinedObject', `${noun} "${name}" does not exist`);
  }
}

/** Name to oid; numbers and `-` need no look-up. Throws 42P01, 42704, 42883, 3F000. */
export async function lookupReg(
  kind: RegKind,
  text: string,
  context: EvalContext,
): Promise<number> {
  const name = text.trim();
  if (name === '-') return 0;
  if (/^\d+$/.test(name)) return Number(typeOps(oids.oid).parse(name, -1, context));
  if (kind === 'regtype') {
    const type = typeByName(name.replace(/\(\s*\d+\s*(?:,\s*-?\d+\s*)?\)/, ''));
    if (type !== undefined) return type.oid;
  }
  const oid = await context.host.lookupOid(kind, name);
  if (oid === undefined) throw regNotFound(kind, name);
  return oid;
}

async function regToText(kind: RegKind, value: Datum, context: EvalContext): Promise<string> {
  const oid = asNumber(value);
  if (oid === 0) return '-';
  if (kind === 'regtype' && typeByOid(oid) !== undefined)
    return typeOps(oids.regtype).format(oid, context);
  return (await context.host.lookupName(kind, oid)) ?? String(oid);
}

for (const kind of regTypes) {
  // A parameter in binary form is a number already.
  const fromText: Convert = (v, context) =>
    typeof v === 'number' ? v : lookupReg(kind, asText(v), context);
  const toText: Convert = (v, context) => regToText(kind, v, context);
  for (const string of ['text', 'varchar', 'bpchar', 'name']) {
    const implicit = kind === 'regclass' && (string === 'text' || string === 'varchar');
    add(string, kind, implicit ? 'implicit' : 'explicit', fromText, 'stable', true);
    add(kind, string, 'assignment', toText, 'stable', true);
  }
  add('unknown', kind, 'implicit', fromText, 'stable', true);
}

/** Types (and arrays of them) whose text names something: it is looked up when the statement runs. */
export const lateInputTypes: ReadonlySet<number> = new Set(
  regTypes.flatMap((kind) => {
    const { oid } = must(typeByName(kind), kind);
    return [oid, arrayTypeOf(oid) ?? oid];
  }),
);

// ------------------------------------------------------------------------------ dates and times

add('date', 'timestamp', 'implicit', (v) => dateToTimestamp(asNumber(v)));
add(
  'date',
  'timestamptz',
  'implicit',
  (v, c) => timestampToTimestamptz(dateToTimestamp(asNumber(v)), c),
  'stable',
);
add('timestamp', 'date', 'assignment', (v) => timestampToDate(asBigint(v)));
add('timestamp', 'time', 'assignment', (v) => timeOf(asBigint(v)));
add(
  'timestamp',
  'timestamptz',
  'implicit',
  (v, c) => timestampToTimestamptz(asBigint(v), c),
  'stable',
);
add(
  'timestamptz',
  'date',
  'assignment',
  (v, c) => timestampToDate(timestamptzToTimestamp(asBigint(v), c)),
  'stable',
);
add(
  'timestamptz',
  'time',
  'assignment',
  (v, c) => timeOf(timestamptzToTimestamp(asBigint(v), c)),
  'stable',
);
add(
  'timestamptz',
  'timestamp',
  'assignment',
  (v, c) => timestamptzToTimestamp(asBigint(v), c),
  'stable',
);
add(
  'timestamptz',
  'timetz',
  'assignment',
  (v, c) => (isInfinity(v) ? null : timestamptzToTimeTz(asBigint(v), c)),
  'stable',
);
add('time', 'interval', 'implicit', (v) => new Interval(0, 0, BigInt(asNumber(v))));
add('time', 'timetz', 'implicit', timeToTimeTz, 'stable');
add('timetz', 'time', 'assignment', (v) => asTimeTz(v).micros);
add('interval', 'time', 'assignment', (v) => addToTime(0, asInterval(v)));

function isInfinity(value: Datum): boolean {
  return value === timestampInfinity || value === timestampMinusInfinity;
}

/** Infinite timestamps have no time of day: null. */
function timeOf(micros: bigint): number | null {
  return isInfinity(micros) ? null : splitMicros(micros).micros;
}

function timeToTimeTz(value: Datum, context: EvalContext): TimeTz {
  const zone = zoneOf(context.timeZone);
  const today = timestampToDate(timestamptzToTimestamp(context.nowMicros, context));
  const offset = offsetOfLocal(zone, joinMicros(today, asNumber(value)));
  return new TimeTz(asNumber(value), 0 - offset);
}

// ---------------------------------------------------------------------------------------- json

function jsonKind(node: JsonNode): string {
  if (node === null) return 'null';
  if (typeof node === 'string') return 'string';
  if (typeof node === 'boolean') return 'boolean';
  if (isJsonArray(node)) return 'array';
  return isJsonObject(node) ? 'object' : 'numeric';
}

function jsonCastFailure(node: JsonNode, type: string): Error {
  return sqlError('invalidParameterValue', `cannot cast jsonb ${jsonKind(node)} to type ${type}`);
}

function jsonNumber(value: Datum, type: string): Numeric {
  const node = asJsonNode(value);
  if (node instanceof Numeric) return node;
  throw jsonCastFailure(node, type);
}

add('json', 'jsonb', 'assignment', (v) => parseJsonb(asText(v)));
add('jsonb', 'json', 'assignment', (v) => formatJsonNode(asJsonNode(v)));
add('jsonb', 'bool', 'explicit', (v) => {
  const node = asJsonNode(v);
  if (typeof node === 'boolean') return node;
  throw jsonCastFailure(node, 'boolean');
});
add('jsonb', 'numeric', 'explicit', (v) => jsonNumber(v, 'numeric'));
add('jsonb', 'float4', 'explicit', (v) => numericToFloat4(jsonNumber(v, 'real')));
add('jsonb', 'float8', 'explicit', (v) => numericToNumber(jsonNumber(v, 'double precision')));

// ------------------------------------------------------------------------------------- look-up

const contextRank = { implicit: 0, assignment: 1, explicit: 2 } as const;
const cache = new Map<string, Cast | undefined>();

/** The cast from one type to another allowed in `context` (explicit allows all); undefined when there is none. */
export function findCast(from: number, to: number, context: CastContext): Cast | undefined {
  const key = `${from}/${to}`;
  let cast = cache.get(key);
  if (cast === undefined && !cache.has(key)) {
    cast = makeCast(from, to);
    cache.set(key, cast);
  }
  if (cast === undefined || contextRank[cast.context] > contextRank[context]) return undefined;
  return cast;
}

export function canCoerceImplicitly(from: number, to: number): boolean {
  return from === to || findCast(from, to, 'implicit') !== undefined;
}

function makeCast(from: number, to: number): Cast | undefined {
  if (typeByOid(from) === undefined || typeByOid(to) === undefined) return undefined;
  const entry = findEntry(from, to);
  if (entry === undefined) return undefined;
  const { convert } = entry;
  const typmodOps = needsTypmod(to) ? typeOps(to) : undefined;
  const finish = (value: Datum, typmod: number, explicit: boolean): Datum =>
    typmodOps === undefined || typmod === -1
      ? value
      : typmodOps.applyTypmod(value, typmod, explicit);
  return {
    from,
    to,
    context: entry.context,
    volatility: entry.volatility,
    async: entry.async,
    call(value, typmod, context, explicit) {
      if (value === null) return null;
      const converted = convert(value, context, typmod);
      return converted instanceof Promise
        ? converted.then((result) => finish(result, typmod, explicit))
        : finish(converted, typmod, explicit);
    },
  };
}

function needsTypmod(oid: number): boolean {
  const base = isArrayType(oid) ? typeOf(oid).elementOid : oid;
  switch (base) {
    case oids.varchar:
    case oids.bpchar:
    case oids.numeric:
    case oids.time:
    case oids.timetz:
    case oids.timestamp:
    case oids.timestamptz:
    case oids.interval:
      return true;
    default:
      return false;
  }
}

const polymorphic = new Set<number>([
  oids.any,
  oids.anyelement,
  oids.anyarray,
  oids.anynonarray,
  oids.anycompatible,
  oids.anycompatiblearray,
  oids.anycompatiblenonarray,
]);

function findEntry(from: number, to: number): Entry | undefined {
  const plain = (context: CastContext): Entry => ({
    context,
    convert: same,
    volatility: 'immutable',
    async: false,
  });
  if (from === to) return plain('implicit');
  const known = table.get(`${from}/${to}`);
  if (known !== undefined) return known;
  if (polymorphic.has(to)) return plain('implicit');
  const source = typeOf(from);
  const target = typeOf(to);
  if (target.category === 'P' && to !== oids.record && to !== oids.cstring && !isArrayType(to))
    return undefined;
  if (from === oids.unknown) return inputEntry(to, 'implicit');
  if (to === oids.unknown) return outputEntry(from, 'explicit');
  if (isArrayType(from) && isArrayType(to)) {
    return arrayEntry(source.elementOid, target.elementOid);
  }
  if (
    (from === oids.int2vector && to === oids.int2Array) ||
    (from === oids.oidvector && to === oids.oidArray)
  ) {
    return plain('implicit');
  }
  if (target.category === 'S') return outputEntry(from, 'assignment');
  if (source.category === 'S') return inputEntry(to, 'explicit');
  return undefined;
}

/** Text input is immutable only where no setting (time zone, DateStyle, 'now') takes part. */
function ioVolatility(oid: number): Volatility {
  const base = isArrayType(oid) ? typeOf(oid).elementOid : oid;
  switch (base) {
    case oids.date:
    case oids.time:
    case oids.timetz:
    case oids.timestamp:
    case oids.timestamptz:
    case oids.interval:
      return 'stable';
    default:
      return 'immutable';
  }
}

function inputEntry(to: number, context: CastContext): Entry {
  const element = typeOf(to).elementOid;
  if (isArrayType(to) && table.get(`${oids.unknown}/${element}`)?.async === true) {
    return regArrayEntry(element, context);
  }
  const ops = typeOps(to);
  const isInterval = to === oids.interval || element === oids.interval;
  return {
    context,
    convert: (value, settings, typmod) =>
      ops.parse(asText(value), isInterval ? typmod : -1, settings),
    volatility: ioVolatility(to),
    async: false,
  };
}

/** '{a,b}'::regclass[]: as text[] first, then each element by name. */
function regArrayEntry(element: number, context: CastContext): Entry {
  const inner = arrayEntry(oids.text, element);
  const texts = typeOps(arrayTypeOf(oids.text) ?? 0);
  return {
    context,
    volatility: 'stable',
    async: true,
    convert: (value, settings) => {
      if (value instanceof ArrayDatum || inner === undefined) return value;
      return inner.convert(texts.parse(asText(value), -1, settings), settings, -1);
    },
  };
}

function outputEntry(from: number, context: CastContext): Entry {
  const ops = typeOps(from);
  return {
    context,
    convert: (value, settings) => ops.format(value, settings),
    volatility: ioVolatility(from),
    async: false,
  };
}

function arrayEntry(from: number, to: number): Entry | undefined {
  const element = findEntry(from, to);
  if (element === undefined) return undefined;
  const { convert } = element;
  return {
    context: element.context,
    volatility: element.volatility,
    async: element.async,
    convert(value, context, typmod) {
      const array = asArray(value);
      const items = array.elements.map((item) =>
        item === null ? null : convert(item, context, typmod),
      );
      const build = (done: readonly Datum[]): Datum => new ArrayDatum(to, done, array.dimensions);
      return element.async
        ? Promise.all(items.map(async (item) => item)).then(build)
        : build(items.filter((item): item is Datum => !(item instanceof Promise)));
    },
  };
}

/** Every special cast, for pg_cast. */
export function allCasts(): readonly Cast[] {
  return [...table.keys()].flatMap((key) => {
    const [from, to] = key.split('/').map(Number);
    const cast = findCast(from ?? 0, to ?? 0, 'explicit');
    return cast === undefined || cast.from === oids.unknown ? [] : [cast];
  });
}
