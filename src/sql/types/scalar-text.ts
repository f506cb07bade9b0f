/** Text forms of integers, floats, booleans, bytea, uuid. Messages are PostgreSQL's. */
import { type sqlStates, sqlError } from '../errors.ts';

function invalid(type: string, text: string): Error {
  return fail('invalidTextRepresentation', `invalid input syntax for type ${type}: "${text}"`);
}

function fail(state: keyof typeof sqlStates, message: string): Error {
  return sqlError(state, message);
}

const integerPattern = /^[+-]?(?:\d+(?:_\d+)*|0[xX][0-9a-fA-F_]+|0[oO][0-7_]+|0[bB][01_]+)$/;

export function parseBigint(text: string, type: string): bigint {
  const trimmed = text.trim();
  if (!integerPattern.test(trimmed)) throw invalid(type, text);
  const negative = trimmed.startsWith('-');
  const magnitude = BigInt(trimmed.replace(/^[+-]/, '').replaceAll('_', ''));
  return negative ? -magnitude : magnitude;
}

export function outOfRange(type: string): Error {
  return fail('numericValueOutOfRange', `${type} out of range`);
}

export const intLimits = {
  smallint: 32767,
  integer: 2147483647,
} as const;

export function parseInt2or4(text: string, type: 'smallint' | 'integer'): number {
  // The common case: few digits.
  if (text.length < 5 && /^-?\d+$/.test(text)) return Number(text) + 0;
  const value = parseBigint(text, type);
  const limit = BigInt(intLimits[type]);
  if (value > limit || value < -limit - 1n) {
    throw fail('numericValueOutOfRange', `value "${text}" is out of range for type ${type}`);
  }
  return Number(value);
}

export function parseInt8(text: string): bigint {
  const value = parseBigint(text, 'bigint');
  if (BigInt.asIntN(64, value) !== value) {
    throw fail('numericValueOutOfRange', `value "${text}" is out of range for type bigint`);
  }
  return value;
}

export function parseOid(text: string): number {
  const trimmed = text.trim();
  if (!/^[+-]?\d+$/.test(trimmed)) throw invalid('oid', text);
  const value = Number(trimmed);
  if (value > 4294967295 || value < -2147483648) {
    throw fail('numericValueOutOfRange', `value "${text}" is out of range for type oid`);
  }
  return value < 0 ? value + 4294967296 : value;
}

const floatPattern = /^[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?$/;

export function parseFloatText(text: string, single: boolean): number {
  const type = single ? 'real' : 'double precision';
  const trimmed = text.trim();
  if (!floatPattern.test(trimmed)) {
    switch (trimmed.toLowerCase()) {
      case 'nan':
        return NaN;
      case 'infinity':
      case 'inf':
      case '+infinity':
      case '+inf':
        return Infinity;
      case '-infinity':
      case '-inf':
        return -Infinity;
      default:
        throw invalid(type, text);
    }
  }
  const value = single ? Math.fround(Number(trimmed)) : Number(trimmed);
  const isZero = value === 0 && /[1-9]/.test(trimmed.replace(/[eE].*/, ''));
  if (!Number.isFinite(value) || isZero) {
    throw fail('numericValueOutOfRange', `"${trimmed}" is out of range for type ${type}`);
  }
  return value;
}

/** Digits and decimal exponent as `%e` has them. */
function parts(value: number, single: boolean): { digits: string; exponent: number } {
  let text = value.toExponential();
  if (single) {
    for (let precision = 0; precision <= 8; precision++) {
      text = value.toExponential(precision);
      if (Math.fround(Number(text)) === value) break;
    }
  }
  const [mantissa = '0', exponent = '0'] = text.split('e');
  return { digits: mantissa.replace('.', ''), exponent: Number(exponent) };
}

/** Shortest text that reads back exactly (extra_float_digits > 0), or `%.*g`. */
export function formatFloat(value: number, single: boolean, extraFloatDigits: number): string {
  if (Number.isNaN(value)) return 'NaN';
  if (!Number.isFinite(value)) return value > 0 ? 'Infinity' : '-Infinity';
  if (value === 0) return Object.is(value, -0) ? '-0' : '0';
  const magnitude = Math.abs(value);
  const sign = value < 0 ? '-' : '';
  let digits: string;
  let exponent: number;
  let limit: number;
  if (extraFloatDigits > 0) {
    limit = single ? 6 : 15;
    if (!single && magnitude < 1e15 && magnitude >= 1e-4) return String(value);
    ({ digits, exponent } = parts(magnitude, single));
  } else {
    limit = Math.max(1, (single ? 6 : 15) + extraFloatDigits);
    const [mantissa = '0', power = '0'] = magnitude.toExponential(limit - 1).split('e');
    digits = mantissa.replace('.', '').replace(/0+$/, '') || '0';
    exponent = Number(power);
  }
  digits = digits.replace(/(?<=.)0+$/, '');
  if (exponent < -4 || exponent >= limit) {
    const fraction = digits.length > 1 ? `.${digits.slice(1)}` : '';
    const power = String(Math.abs(exponent)).padStart(2, '0');
    return `${sign}${digits[0] ?? '0'}${fraction}e${exponent < 0 ? '-' : '+'}${power}`;
  }
  if (exponent < 0) return `${sign}0.${'0'.repeat(-exponent - 1)}${digits}`;
  if (digits.length <= exponent + 1) return sign + digits.padEnd(exponent + 1, '0');
  return `${sign}${digits.slice(0, exponent + 1)}.${digits.slice(exponent + 1)}`;
}

export function parseBool(text: string): boolean {
  const word = text.trim().toLowerCase();
  if (word !== '') {
    if ('true'.startsWith(word) || 'yes'.startsWith(word) || word === 'on' || word === '1')
      return true;
    if ('false'.startsWith(word) || 'no'.startsWith(word) || word === '0') return false;
    if (word === 'of' || word === 'off') return false;
  }
  throw invalid('boolean', text);
}

export function parseBytea(text: string): Buffer {
  if (text.startsWith('\\x')) {
    const hex = text.slice(2).replace(/\s+/g, '');
    const wrong = /[^0-9a-fA-F]/.exec(hex);
    if (wrong !== null) {
      throw fail('invalidParameterValue', `invalid hexadecimal digit: "${wrong[0]}"`);
    }
    if (hex.length % 2 !== 0) {
      throw fail('invalidParameterValue', 'invalid hexadecimal data: odd number of digits');
    }
    return Buffer.from(hex, 'hex');
  }
  if (!text.includes('\\')) return Buffer.from(text, 'utf8');
  const out: Buffer[] = [];
  const pattern = /\\\\|\\([0-3][0-7]{2})|[^\\]+/y;
  while (pattern.lastIndex < text.length) {
    const match = pattern.exec(text);
    if (match === null) throw invalid('bytea', text);
    if (match[1] !== undefined) out.push(Buffer.from([Number.parseInt(match[1], 8)]));
    else out.push(Buffer.from(match[0] === '\\\\' ? '\\' : match[0], 'utf8'));
  }
  return Buffer.concat(out);
}

export function formatByteaEscape(bytes: Buffer): string {
  let out = '';
  for (const byte of bytes) {
    if (byte === 92) out += '\\\\';
    else if (byte < 32 || byte > 126) out += `\\${byte.toString(8).padStart(3, '0')}`;
    else out += String.fromCharCode(byte);
  }
  return out;
}

export function parseUuid(text: string): string {
  let body = text.toLowerCase();
  if (/^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/.test(body)) return body;
  if (body.startsWith('{') && body.endsWith('}')) body = body.slice(1, -1);
  if (!/^(?:[0-9a-f]{4}-?){7}[0-9a-f]{4}$/.test(body)) throw invalid('uuid', text);
  return uuidFromHex(body.replaceAll('-', ''));
}

export function uuidFromHex(hex: string): string {
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-${hex.slice(12, 16)}-${hex.slice(16, 20)}-${hex.slice(20)}`;
}

/** Cuts to at most `bytes` of UTF-8 without splitting a character. */
export function truncateUtf8(text: string, bytes: number): string {
  if (text.length * 3 <= bytes || Buffer.byteLength(text) <= bytes) return text;
  let size = 0;
  let out = '';
  for (const character of text) {
    size += Buffer.byteLength(character);
    if (size > bytes) break;
    out += character;
  }
  return out;
}

/** Characters (code points) of a string. */
export function charCount(text: string): number {
  let count = text.length;
  for (let i = 0; i < text.length; i++) {
    const c = text.charCodeAt(i);
    if (c >= 0xd800 && c <= 0xdbff) count--;
  }
  return count;
}

/** As String.slice, but counts code points. */
export function sliceChars(text: string, start: number, end?: number): string {
  if (charCount(text) === text.length) return text.slice(start, end);
  return Array.from(text).slice(start, end).join('');
}
