/** String functions (chapter 9.4). Positions and lengths count characters. */
import { sqlError } from '../errors.ts';
import {
  asArray,
  asBool,
  asBuffer,
  asNumber,
  asText,
  type Datum,
  isArrayType,
  makeArray,
  oids,
  type Row,
  typeOf,
  typeOps,
} from '../types/index.ts';
import { charCount, sliceChars } from '../types/scalar-text.ts';
import { trimSpaces } from '../types/scalar-ops.ts';
import { type Args, scalar, setFunction, stable, type Types } from './define.ts';
import { bytesFunctions, substringBytes, trimBytes } from './bytes.ts';
import { quoteIdent, quoteLiteral } from './quoting.ts';
import { type EvalContext, type ScalarFunction, type SetFunction } from './registry-types.ts';

const maxLength = 268_435_456;

function t(args: Args, i = 0): string {
  return asText(args[i]);
}

function n(args: Args, i = 0): number {
  return asNumber(args[i]);
}

function checkSize(length: number): number {
  if (length > maxLength) throw sqlError('programLimitExceeded', 'requested length too large');
  return length;
}

/** substring by SQL rules: positions before the start count but show nothing. */
function substring(text: string, start: number, length: number | undefined): string {
  if (length === undefined) return sliceChars(text, Math.max(start - 1, 0));
  if (length < 0) throw sqlError('substringError', 'negative substring length not allowed');
  const end = start - 1 + length;
  return end <= 0 ? '' : sliceChars(text, Math.max(start - 1, 0), end);
}

function position(text: string, part: string): number {
  const at = text.indexOf(part);
  return at < 0 ? 0 : charCount(text.slice(0, at)) + 1;
}

function overlay(text: string, replacement: string, start: number, length: number): string {
  if (start <= 0) throw sqlError('substringError', 'negative substring length not allowed');
  return (
    substring(text, 1, start - 1) + replacement + sliceChars(text, Math.max(start + length - 1, 0))
  );
}

function trim(text: string, characters: string, left: boolean, right: boolean): string {
  const set = new Set(characters);
  const parts = Array.from(text);
  let start = 0;
  let end = parts.length;
  if (left) while (start < end && set.has(parts[start] ?? '')) start++;
  if (right) while (end > start && set.has(parts[end - 1] ?? '')) end--;
  return parts.slice(start, end).join('');
}

function pad(text: string, length: number, fill: string, left: boolean): string {
  const wanted = Math.max(checkSize(length), 0);
  const count = charCount(text);
  if (count >= wanted) return sliceChars(text, 0, wanted);
  if (fill === '') return text;
  const parts = Array.from(fill);
  const missing = wanted - count;
  const whole = fill.repeat(Math.floor(missing / parts.length));
  const padding = whole + parts.slice(0, missing % parts.length).join('');
  return left ? padding + text : text + padding;
}

function translate(text: string, from: string, to: string): string {
  const targets = Array.from(to);
  const map = new Map<string, string>();
  Array.from(from).forEach((c, i) => {
    if (!map.has(c)) map.set(c, targets[i] ?? '');
  });
  return Array.from(text, (c) => map.get(c) ?? c).join('');
}

function splitPart(text: string, delimiter: string, field: number): string {
  if (field === 0) throw sqlError('invalidParameterValue', 'field position must not be zero');
  const parts = delimiter === '' ? [text] : text.split(delimiter);
  return parts[field > 0 ? field - 1 : parts.length + field] ?? '';
}

/** Words are runs of letters and digits. */
function initcap(text: string): string {
  return text.replace(/[\p{L}\p{N}]+/gu, (word) => {
    const [first = ''] = Array.from(word);
    return first.toUpperCase() + word.slice(first.length).toLowerCase();
  });
}

/** Each character on its own, so that lengths do not change (ß stays ß). */
function upper(text: string): string {
  const whole = text.toUpperCase();
  if (whole.length === text.length) return whole;
  return Array.from(text, (c) => (c.toUpperCase().length === c.length ? c.toUpperCase() : c)).join(
    '',
  );
}

function lower(text: string): string {
  const whole = text.toLowerCase();
  if (whole.length === text.length) return whole;
  return Array.from(text, (c) => (c.toLowerCase().length === c.length ? c.toLowerCase() : c)).join(
    '',
  );
}

function left(text: string, count: number): string {
  return sliceChars(text, 0, count >= 0 ? count : Math.max(charCount(text) + count, 0));
}

function right(text: string, count: number): string {
  if (count >= 0) return count === 0 ? '' : sliceChars(text, Math.max(charCount(text) - count, 0));
  return sliceChars(text, -count);
}

function chr(code: number): string {
  if (code === 0) throw sqlError('programLimitExceeded', 'null character not permitted');
  if (code < 0 || code > 0x10ffff || (code >= 0xd800 && code <= 0xdfff)) {
    throw sqlError('programLimitExceeded', 'requested character too large for encoding: ' + code);
  }
  return String.fromCodePoint(code);
}

function toHex(value: Datum | undefined): string {
  return typeof value === 'bigint'
    ? BigInt.asUintN(64, value).toString(16)
    : (asNumber(value) >>> 0).toString(16);
}

// ------------------------------------------------------------------------- concat and format

/** A value as its type prints it. */
export function outputText(value: Datum, oid: number, context: EvalContext): string {
  if (typeof value === 'string') return value;
  return typeOps(oid).format(value, context);
}

/** As the cast to text prints it: `true`, not `t`. */
function castText(value: Datum, oid: number, context: EvalContext): string {
  if (typeof value === 'boolean') return value ? 'true' : 'false';
  return oid === oids.bpchar ? trimSpaces(asText(value)) : outputText(value, oid, context);
}

/** format(): %s %I %L with positions, widths and `-`. */
function format(args: Args, context: EvalContext, types: Types): Datum {
  const template = args[0] ?? null;
  if (template === null) return null;
  const pattern = /%(?:(\d+)\$)?(-)?(?:(\d+)|(\*)(?:(\d+)\$)?)?(.)?/gsu;
  let next = 1;
  const take = (explicit: string | undefined): { value: Datum; oid: number } => {
    const at = explicit === undefined ? next : Number(explicit);
    if (explicit !== undefined && at === 0) {
      throw sqlError(
        'invalidParameterValue',
        'format specifies argument 0, but arguments are numbered from 1',
      );
    }
    next = at + 1;
    if (at >= args.length)
      throw sqlError('invalidParameterValue', 'too few arguments for format()');
    return { value: args[at] ?? null, oid: types[at] ?? oids.text };
  };
  return asText(template).replace(
    pattern,
    (
      _all,
      argument: string | undefined,
      dash: string | undefined,
      digits: string | undefined,
      star: string | undefined,
      starArgument: string | undefined,
      kind: string | undefined,
    ) => {
      if (kind === '%') return '%';
      let width = digits === undefined ? 0 : Number(digits);
      let alignLeft = dash !== undefined;
      if (star !== undefined) {
        width = Number(take(starArgument).value ?? 0);
        if (width < 0) alignLeft = true;
        width = Math.abs(width);
      }
      if (kind === undefined) {
        throw sqlError('invalidParameterValue', 'unterminated format() type specifier', {
          hint: 'For a single "%" use "%%".',
        });
      }
      if (!'sIL'.includes(kind)) {
        throw sqlError('invalidParameterValue', `unrecognized format() type specifier "${kind}"`, {
          hint: 'For a single "%" use "%%".',
        });
      }
      const { value, oid } = take(argument);
      const text = formatOne(kind, value, oid, context);
      const fill = ' '.repeat(Math.max(0, checkSize(width) - charCount(text)));
      return alignLeft ? text + fill : fill + text;
    },
  );
}

function formatOne(kind: string, value: Datum, oid: number, context: EvalContext): string {
  if (value === null) {
    if (kind === 'I') {
      throw sqlError('nullValueNotAllowed', 'null values cannot be formatted as an SQL identifier');
    }
    return kind === 'L' ? 'NULL' : '';
  }
  const text = outputText(value, oid, context);
  if (kind === 'I') return quoteIdent(text);
  return kind === 'L' ? quoteLiteral(text) : text;
}

function concat(
  args: Args,
  context: EvalContext,
  types: Types,
  separator: string,
  from: number,
): string {
  const parts: string[] = [];
  for (let i = from; i < args.length; i++) {
    const value = args[i] ?? null;
    if (value !== null) parts.push(outputText(value, types[i] ?? oids.text, context));
  }
  checkSize(parts.reduce((sum, part) => sum + part.length, 0));
  return parts.join(separator);
}

function stringToArray(args: Args): Datum {
  const parts = splitString(args);
  return parts === null ? null : makeArray(oids.text, parts);
}

function splitString(args: Args): (string | null)[] | null {
  const [text = null, delimiter = null, nullText = null] = args;
  if (text === null) return null;
  const source = asText(text);
  let parts: string[];
  if (source === '') parts = [];
  else if (delimiter === null) parts = Array.from(source);
  else parts = asText(delimiter) === '' ? [source] : source.split(asText(delimiter));
  return nullText === null ? parts : parts.map((part) => (part === nullText ? null : part));
}

function arrayToString(args: Args, context: EvalContext, types: Types): Datum {
  const [array = null, delimiter = null, nullText = null] = args;
  if (array === null || delimiter === null) return null;
  const oid = types[0] ?? 0;
  const element = isArrayType(oid) ? typeOf(oid).elementOid : oids.text;
  const parts: string[] = [];
  for (const item of asArray(array).elements) {
    if (item !== null) parts.push(outputText(item, element, context));
    else if (nullText !== null) parts.push(asText(nullText));
  }
  return parts.join(asText(delimiter));
}

function unistr(text: string): string {
  return text.replace(
    /\\(?:\\|u([0-9a-fA-F]{4})|\+([0-9a-fA-F]{6})|U([0-9a-fA-F]{8})|([0-9a-fA-F]{4})|)/g,
    (
      all,
      a: string | undefined,
      b: string | undefined,
      c: string | undefined,
      d: string | undefined,
    ) => {
      if (all === '\\\\') return '\\';
      const hex = a ?? b ?? c ?? d;
      if (hex === undefined) throw sqlError('syntaxError', 'invalid Unicode escape');
      return String.fromCodePoint(Number.parseInt(hex, 16));
    },
  );
}

function normalize(text: string, form: string): string {
  const upperForm = form.toUpperCase();
  switch (upperForm) {
    case 'NFC':
    case 'NFD':
    case 'NFKC':
    case 'NFKD':
      return text.normalize(upperForm);
    default:
      throw sqlError('invalidParameterValue', `invalid normalization form: ${form}`);
  }
}

function parseIdent(text: string, strict: boolean): Datum {
  const parts: string[] = [];
  const pattern = /\s*(?:"((?:[^"]|"")+)"|([\p{L}_][\p{L}\p{N}_$]*))\s*(\.)?/uy;
  for (;;) {
    const match = pattern.exec(text);
    if (match === null) {
      throw sqlError('invalidParameterValue', `string is not a valid identifier: "${text}"`);
    }
    const [, quoted, plain, end] = match;
    parts.push(quoted === undefined ? lower(plain ?? '') : quoted.replaceAll('""', '"'));
    if (end === '.') continue;
    if (strict && pattern.lastIndex < text.length) {
      throw sqlError('invalidParameterValue', `string is not a valid identifier: "${text}"`);
    }
    return makeArray(oids.text, parts);
  }
}

const textFunctions: ScalarFunction[] = [
  ...['length', 'char_length', 'character_length'].flatMap((name) => [
    scalar(`${name}(text) int4`, (a) => charCount(t(a))),
    scalar(`${name}(bpchar) int4`, (a) => charCount(trimSpaces(t(a)))),
  ]),
  scalar('octet_length(text) int4', (a) => Buffer.byteLength(t(a))),
  scalar('octet_length(bpchar) int4', (a) => Buffer.byteLength(t(a))),
  scalar('bit_length(text) int4', (a) => Buffer.byteLength(t(a)) * 8),
  scalar('lower(text) text', (a) => lower(t(a))),
  scalar('upper(text) text', (a) => upper(t(a))),
  scalar('initcap(text) text', (a) => initcap(t(a))),
  ...['substr', 'substring'].flatMap((name) => [
    scalar(`${name}(text,int4) text`, (a) => substring(t(a), n(a, 1), undefined)),
    scalar(`${name}(text,int4,int4) text`, (a) => substring(t(a), n(a, 1), n(a, 2))),
    scalar(`${name}(bytea,int4) bytea`, (a) => substringBytes(asBuffer(a[0]), n(a, 1), undefined)),
    scalar(`${name}(bytea,int4,int4) bytea`, (a) =>
      substringBytes(asBuffer(a[0]), n(a, 1), n(a, 2)),
    ),
  ]),
  scalar('position(text,text) int4', (a) => position(t(a), t(a, 1))),
  scalar('strpos(text,text) int4', (a) => position(t(a), t(a, 1))),
  scalar('position(bytea,bytea) int4', (a) => asBuffer(a[0]).indexOf(asBuffer(a[1])) + 1),
  scalar('overlay(text,text,int4) text', (a) =>
    overlay(t(a), t(a, 1), n(a, 2), charCount(t(a, 1))),
  ),
  scalar('overlay(text,text,int4,int4) text', (a) => overlay(t(a), t(a, 1), n(a, 2), n(a, 3))),
  ...(['btrim', 'ltrim', 'rtrim'] as const).flatMap((name) => {
    const l = name !== 'rtrim';
    const r = name !== 'ltrim';
    return [
      scalar(`${name}(text) text`, (a) => trim(t(a), ' ', l, r)),
      scalar(`${name}(text,text) text`, (a) => trim(t(a), t(a, 1), l, r)),
      scalar(`${name}(bytea,bytea) bytea`, (a) => trimBytes(asBuffer(a[0]), asBuffer(a[1]), l, r)),
    ];
  }),
  ...(['lpad', 'rpad'] as const).flatMap((name) => [
    scalar(`${name}(text,int4) text`, (a) => pad(t(a), n(a, 1), ' ', name === 'lpad')),
    scalar(`${name}(text,int4,text) text`, (a) => pad(t(a), n(a, 1), t(a, 2), name === 'lpad')),
  ]),
  scalar('replace(text,text,text) text', (a) =>
    t(a, 1) === '' ? t(a) : t(a).replaceAll(t(a, 1), () => t(a, 2)),
  ),
  scalar('translate(text,text,text) text', (a) => translate(t(a), t(a, 1), t(a, 2))),
  scalar('split_part(text,text,int4) text', (a) => splitPart(t(a), t(a, 1), n(a, 2))),
  scalar('repeat(text,int4) text', (a) => {
    const count = Math.max(n(a, 1), 0);
    checkSize(t(a).length * count);
    return t(a).repeat(count);
  }),
  scalar('reverse(text) text', (a) => Array.from(t(a)).reverse().join('')),
  scalar('left(text,int4) text', (a) => left(t(a), n(a, 1))),
  scalar('right(text,int4) text', (a) => right(t(a), n(a, 1))),
  scalar('ascii(text) int4', (a) => t(a).codePointAt(0) ?? 0),
  scalar('chr(int4) text', (a) => chr(n(a))),
  scalar('to_hex(int4) text', (a) => toHex(a[0])),
  scalar('to_hex(int8) text', (a) => toHex(a[0])),
  scalar('starts_with(text,text) bool', (a) => t(a).startsWith(t(a, 1))),
  scalar('^@(text,text) bool', (a) => t(a).startsWith(t(a, 1))),
  scalar('||(text,text) text', (a) => t(a) + t(a, 1)),
  scalar('textcat(text,text) text', (a) => t(a) + t(a, 1)),
  stable(
    '||(anynonarray,text) text',
    (a, c, types) => castText(a[0] ?? null, types[0] ?? 0, c) + t(a, 1),
  ),
  stable(
    '||(text,anynonarray) text',
    (a, c, types) => t(a) + castText(a[1] ?? null, types[1] ?? 0, c),
  ),
  scalar('quote_ident(text) text', (a) => quoteIdent(t(a))),
  scalar('quote_literal(text) text', (a) => quoteLiteral(t(a))),
  stable('quote_literal(anyelement) text', (a, c, types) =>
    quoteLiteral(outputText(a[0] ?? null, types[0] ?? 0, c)),
  ),
  scalar('quote_nullable(text) text', (a) => (a[0] === null ? 'NULL' : quoteLiteral(t(a))), {
    strict: false,
  }),
  stable(
    'quote_nullable(anyelement) text',
    (a, c, types) =>
      a[0] === null ? 'NULL' : quoteLiteral(outputText(a[0] ?? null, types[0] ?? 0, c)),
    { strict: false },
  ),
  stable('concat(..."any") text', (a, c, types) => concat(a, c, types, '', 0), { strict: false }),
  stable(
    'concat_ws(text,..."any") text',
    (a, c, types) => (a[0] === null ? null : concat(a, c, types, t(a), 1)),
    { strict: false },
  ),
  stable('format(text) text', format, { strict: false }),
  stable('format(text,..."any") text', format, { strict: false }),
  scalar('string_to_array(text,text) text[]', stringToArray, { strict: false }),
  scalar('string_to_array(text,text,text) text[]', stringToArray, { strict: false }),
  stable('array_to_string(anyarray,text) text', arrayToString),
  stable('array_to_string(anyarray,text,text) text', arrayToString, { strict: false }),
  scalar('unistr(text) text', (a) => unistr(t(a))),
  scalar('normalize(text) text', (a) => normalize(t(a), 'NFC')),
  scalar('normalize(text,text) text', (a) => normalize(t(a), t(a, 1))),
  scalar('is_normalized(text) bool', (a) => normalize(t(a), 'NFC') === t(a)),
  scalar('is_normalized(text,text) bool', (a) => normalize(t(a), t(a, 1)) === t(a)),
  scalar('parse_ident(text) text[]', (a) => parseIdent(t(a), true)),
  scalar('parse_ident(text,bool) text[]', (a) => parseIdent(t(a), asBool(a[1]))),
  scalar('to_ascii(text) text', (a) =>
    t(a)
      .normalize('NFD')
      .replace(/[^\p{ASCII}]/gu, ''),
  ),
];

export const stringFunctions: readonly ScalarFunction[] = [...textFunctions, ...bytesFunctions];

export const stringSetFunctions: readonly SetFunction[] = [
  {
    ...setFunction('string_to_table(text,text) text', () => []),
    call: (args) => splitRows(args),
  },
  {
    ...setFunction('string_to_table(text,text,text) text', () => []),
    call: (args) => splitRows(args),
  },
];

function splitRows(args: Args): Row[] {
  return (splitString(args) ?? []).map((part) => [part]);
}
