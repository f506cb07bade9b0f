/**
 * Exact decimal numbers: text form, order, and the four operations with PostgreSQL's result scales
 * (numeric.c: sum max(s1,s2), product s1+s2, quotient at least 16 significant digits).
 * value = digits / 10^scale. Roots and logarithms are in numeric-math.ts.
 */
import { sqlError } from '../errors.ts';
import { Numeric } from './datum.ts';
import { numericModifier } from './typmod.ts';

export const numericMaxScale = 16383;
const maxIntegerDigits = 131072;
/** Results of inexact operations show no more than this. */
export const numericMaxDisplayScale = 1000;
export const numericMinSignificantDigits = 16;

export const numericNaN = new Numeric('nan', 0n, 0);
export const numericInfinity = new Numeric('infinity', 0n, 0);
export const numericMinusInfinity = new Numeric('-infinity', 0n, 0);
export const numericZero = new Numeric('finite', 0n, 0);
export const numericOne = new Numeric('finite', 1n, 0);

const powers: bigint[] = [1n];

/** 10^exponent, cached for small exponents. */
export function pow10(exponent: number): bigint {
  if (exponent > 400) return 10n ** BigInt(exponent);
  for (let i = powers.length; i <= exponent; i++) powers.push((powers[i - 1] ?? 1n) * 10n);
  return powers[exponent] ?? 1n;
}

export function overflow(): Error {
  return sqlError('numericValueOutOfRange', 'value overflows numeric format');
}

/** A finite numeric; checks the format's limits. */
export function makeNumeric(digits: bigint, scale: number): Numeric {
  if (scale > numericMaxScale)
    return roundNumeric(new Numeric('finite', digits, scale), numericMaxScale);
  if (digits > 9999999999999999999n || digits < -9999999999999999999n) {
    // Two bits per digit are too few for certain; only then count.
    if (digitCount(digits) - scale > maxIntegerDigits) throw overflow();
  }
  return new Numeric('finite', digits, scale);
}

export function numericFromInt(value: number | bigint): Numeric {
  return new Numeric('finite', BigInt(value), 0);
}

export function absBig(value: bigint): bigint {
  return value < 0n ? -value : value;
}

/** Decimal digits of |value|; 1 for zero. */
export function digitCount(value: bigint): number {
  const magnitude = absBig(value);
  if (magnitude < 10n) return 1;
  if (magnitude < 1000000000000000n) return String(Number(magnitude)).length;
  // log10 from the bit length, then corrected by one comparison.
  const bits = magnitude.toString(16).length * 4;
  let guess = Math.max(1, Math.floor((bits - 4) * 0.30102999566398));
  while (magnitude >= pow10(guess)) guess++;
  return guess;
}

const numberPattern = /^([+-]?)(\d+(?:_\d+)*)?(?:\.(\d+(?:_\d+)*)?)?(?:[eE]([+-]?\d+))?$/;

/** Undefined when `text` is no number. Throws 22003 when it is too large. */
export function tryParseNumeric(text: string): Numeric | undefined {
  const trimmed = text.trim();
  const match = numberPattern.exec(trimmed);
  if (match === null) return parseSpecial(trimmed);
  const [, sign, whole = '', fraction = '', exponentText] = match;
  if (whole === '' && fraction === '') return undefined;
  const mantissa = (whole + fraction).replaceAll('_', '');
  const exponent = exponentText === undefined ? 0 : Number(exponentText);
  if (exponent > maxIntegerDigits + mantissa.length || exponent < -(numericMaxScale + 1000000)) {
    if (exponent > 0) {
      if (/^0*$/.test(mantissa)) return numericZero;
      throw overflow();
    }
  }
  let digits = BigInt(mantissa);
  if (sign === '-') digits = -digits;
  const scale = fraction.replaceAll('_', '').length - exponent;
  if (scale < 0) return makeNumeric(digits * pow10(-scale), 0);
  if (scale > numericMaxScale + 200000) return new Numeric('finite', 0n, numericMaxScale);
  return makeNumeric(digits, scale);
}

function parseSpecial(text: string): Numeric | undefined {
  switch (text.toLowerCase()) {
    case 'nan':
      return numericNaN;
    case 'inf':
    case 'infinity':
    case '+inf':
    case '+infinity':
      return numericInfinity;
    case '-inf':
    case '-infinity':
      return numericMinusInfinity;
    default:
      return undefined;
  }
}

/** Throws 22P02, 22003. */
export function parseNumeric(text: string): Numeric {
  const value = tryParseNumeric(text);
  if (value !== undefined) return value;
  throw sqlError('invalidTextRepresentation', `invalid input syntax for type numeric: "${text}"`);
}

export function formatNumeric(value: Numeric): string {
  if (value.kind !== 'finite') {
    return value.kind === 'nan' ? 'NaN' : value.kind === 'infinity' ? 'Infinity' : '-Infinity';
  }
  const { digits, scale } = value;
  if (scale === 0) return digits.toString();
  const negative = digits < 0n;
  const text = (negative ? -digits : digits).toString().padStart(scale + 1, '0');
  const whole = text.slice(0, text.length - scale);
  return `${negative ? '-' : ''}${whole}.${text.slice(text.length - scale)}`;
}

function rank(value: Numeric): number {
  switch (value.kind) {
    case '-infinity':
      return -1;
    case 'finite':
      return 0;
    case 'infinity':
      return 1;
    case 'nan':
      return 2;
  }
}

/** NaN equals itself and is greater than everything. */
export function compareNumeric(a: Numeric, b: Numeric): number {
  if (a.kind !== 'finite' || b.kind !== 'finite') return rank(a) - rank(b);
  let x = a.digits;
  let y = b.digits;
  if (a.scale < b.scale) x *= pow10(b.scale - a.scale);
  else if (a.scale > b.scale) y *= pow10(a.scale - b.scale);
  return x < y ? -1 : x > y ? 1 : 0;
}

/** The smallest scale that keeps the value: 1.10 -> (11, 1). */
export function stripZeros(value: Numeric): Numeric {
  let { digits, scale } = value;
  if (value.kind !== 'finite' || scale === 0) return value;
  if (digits === 0n) return numericZero;
  while (scale >= 16 && digits % 10000000000000000n === 0n) {
    digits /= 10000000000000000n;
    scale -= 16;
  }
  while (scale > 0 && digits % 10n === 0n) {
    digits /= 10n;
    scale--;
  }
  return new Numeric('finite', digits, scale);
}

export function negateNumeric(value: Numeric): Numeric {
  switch (value.kind) {
    case 'finite':
      return new Numeric('finite', -value.digits, value.scale);
    case 'infinity':
      return numericMinusInfinity;
    case '-infinity':
      return numericInfinity;
    case 'nan':
      return value;
  }
}

export function absNumeric(value: Numeric): Numeric {
  return numericSign(value) < 0 ? negateNumeric(value) : value;
}

/** -1, 0, 1; NaN counts as 0. */
export function numericSign(value: Numeric): number {
  if (value.kind === 'finite') return value.digits < 0n ? -1 : value.digits > 0n ? 1 : 0;
  return value.kind === 'nan' ? 0 : value.kind === 'infinity' ? 1 : -1;
}

function signed(sign: number): Numeric {
  return sign > 0 ? numericInfinity : sign < 0 ? numericMinusInfinity : numericNaN;
}

export function addNumeric(a: Numeric, b: Numeric): Numeric {
  if (a.kind === 'finite' && b.kind === 'finite') {
    if (a.scale === b.scale) return makeNumeric(a.digits + b.digits, a.scale);
    return a.scale > b.scale
      ? makeNumeric(a.digits + b.digits * pow10(a.scale - b.scale), a.scale)
      : makeNumeric(a.digits * pow10(b.scale - a.scale) + b.digits, b.scale);
  }
  if (a.kind === 'nan' || b.kind === 'nan') return numericNaN;
  if (a.kind === 'finite') return b;
  return b.kind === 'finite' || a.kind === b.kind ? a : numericNaN;
}

export function subtractNumeric(a: Numeric, b: Numeric): Numeric {
  return addNumeric(a, negateNumeric(b));
}

export function multiplyNumeric(a: Numeric, b: Numeric): Numeric {
  if (a.kind === 'finite' && b.kind === 'finite') {
    return makeNumeric(a.digits * b.digits, a.scale + b.scale);
  }
  if (a.kind === 'nan' || b.kind === 'nan') return numericNaN;
  return signed(numericSign(a) * numericSign(b));
}

/** Position and value of the first base-10000 digit: PostgreSQL chooses scales by them. */
export function leadingGroup(value: Numeric): { weight: number; first: number } {
  if (value.digits === 0n) return { weight: 0, first: 0 };
  const count = digitCount(value.digits);
  const exponent = count - value.scale - 1;
  const weight = Math.floor(exponent / 4);
  const width = exponent - 4 * weight + 1;
  const magnitude = absBig(value.digits);
  const first =
    count >= width ? magnitude / pow10(count - width) : magnitude * pow10(width - count);
  return { weight, first: Number(first) };
}

/** Scale of a quotient (select_div_scale). */
export function divisionScale(a: Numeric, b: Numeric): number {
  const x = leadingGroup(a);
  const y = leadingGroup(b);
  let weight = x.weight - y.weight;
  if (x.first <= y.first) weight--;
  const scale = Math.max(numericMinSignificantDigits - weight * 4, a.scale, b.scale, 0);
  return Math.min(scale, numericMaxDisplayScale);
}

export function divisionByZero(): Error {
  return sqlError('divisionByZero', 'division by zero');
}

/** Quotient of integers rounded half away from zero. */
export function roundedQuotient(a: bigint, b: bigint): bigint {
  const quotient = a / b;
  const rest = a - quotient * b;
  if (absBig(rest) * 2n < absBig(b)) return quotient;
  return a < 0n === b < 0n ? quotient + 1n : quotient - 1n;
}

/** a/b at a given scale, rounded or truncated. Both finite, b not zero. */
export function divideAtScale(a: Numeric, b: Numeric, scale: number, round = true): Numeric {
  const shift = scale + b.scale - a.scale;
  const x = shift >= 0 ? a.digits * pow10(shift) : a.digits;
  const y = shift >= 0 ? b.digits : b.digits * pow10(-shift);
  return makeNumeric(round ? roundedQuotient(x, y) : x / y, scale);
}

export function divideNumeric(a: Numeric, b: Numeric): Numeric {
  if (a.kind === 'finite' && b.kind === 'finite') {
    if (b.digits === 0n) throw divisionByZero();
    return divideAtScale(a, b, divisionScale(a, b));
  }
  if (a.kind === 'nan' || b.kind === 'nan') return numericNaN;
  if (a.kind === 'finite') return numericZero;
  if (b.kind !== 'finite') return numericNaN;
  if (b.digits === 0n) throw divisionByZero();
  return signed(numericSign(a) * numericSign(b));
}

/** div(): the quotient truncated to an integer. */
export function truncatedQuotient(a: Numeric, b: Numeric): Numeric {
  if (a.kind === 'finite' && b.kind === 'finite') {
    if (b.digits === 0n) throw divisionByZero();
    return divideAtScale(a, b, 0, false);
  }
  return divideNumeric(a, b);
}

export function modNumeric(a: Numeric, b: Numeric): Numeric {
  if (a.kind === 'nan' || b.kind === 'nan') return numericNaN;
  if (b.kind === 'finite' && b.digits === 0n) throw divisionByZero();
  if (a.kind !== 'finite') return numericNaN;
  if (b.kind !== 'finite') return a;
  const scale = Math.max(a.scale, b.scale);
  return makeNumeric(
    (a.digits * pow10(scale - a.scale)) % (b.digits * pow10(scale - b.scale)),
    scale,
  );
}

/** Rounds half away from zero. A negative scale rounds before the point. */
export function roundNumeric(value: Numeric, scale: number): Numeric {
  return rescale(value, scale, roundedQuotient);
}

export function truncNumeric(value: Numeric, scale: number): Numeric {
  return rescale(value, scale, (a, b) => a / b);
}

function rescale(value: Numeric, scale: number, divide: (a: bigint, b: bigint) => bigint): Numeric {
  if (value.kind !== 'finite') return value;
  const wanted = Math.min(scale, numericMaxScale);
  if (wanted >= value.scale) {
    return wanted === value.scale
      ? value
      : new Numeric('finite', value.digits * pow10(wanted - value.scale), wanted);
  }
  if (value.scale - wanted > digitCount(value.digits) + 1) {
    return new Numeric('finite', 0n, Math.max(wanted, 0));
  }
  const cut = divide(value.digits, pow10(value.scale - wanted));
  if (wanted >= 0) return new Numeric('finite', cut, wanted);
  return makeNumeric(cut * pow10(-wanted), 0);
}

export function ceilNumeric(value: Numeric): Numeric {
  if (value.kind !== 'finite') return value;
  const cut = truncNumeric(value, 0);
  return compareNumeric(cut, value) < 0 ? addNumeric(cut, numericOne) : cut;
}

export function floorNumeric(value: Numeric): Numeric {
  if (value.kind !== 'finite') return value;
  const cut = truncNumeric(value, 0);
  return compareNumeric(cut, value) > 0 ? subtractNumeric(cut, numericOne) : cut;
}

/** Coerces to numeric(p,s). Throws 22003. */
export function applyNumericTypmod(value: Numeric, typmod: number): Numeric {
  const modifier = numericModifier(typmod);
  if (modifier === undefined || value.kind === 'nan') return value;
  const { precision, scale } = modifier;
  if (value.kind !== 'finite') {
    throw sqlError('numericValueOutOfRange', 'numeric field overflow', {
      detail: `A field with precision ${precision}, scale ${scale} cannot hold an infinite value.`,
    });
  }
  const rounded = roundNumeric(value, scale);
  const limit = precision - scale;
  if (
    rounded.digits !== 0n &&
    (limit >= 0
      ? digitCount(rounded.digits) - rounded.scale > limit
      : absBig(rounded.digits) * pow10(-limit) >= pow10(rounded.scale))
  ) {
    const bound = limit === 0 ? '1' : `10^${limit}`;
    throw sqlError('numericValueOutOfRange', 'numeric field overflow', {
      detail: `A field with precision ${precision}, scale ${scale} must round to an absolute value less than ${bound}.`,
    });
  }
  return rounded;
}

export function numericToNumber(value: Numeric): number {
  return Number(formatNumeric(value));
}

/** Rounded to an integer; undefined for NaN and infinities. */
export function numericToBigint(value: Numeric): bigint | undefined {
  return value.kind === 'finite' ? roundNumeric(value, 0).digits : undefined;
}

/** As the cast from float8: 15 significant digits (`digits` 6 for float4). */
export function numericFromNumber(value: number, digits = 15): Numeric {
  if (Number.isNaN(value)) return numericNaN;
  if (!Number.isFinite(value)) return value > 0 ? numericInfinity : numericMinusInfinity;
  const parsed = parseNumeric(value.toPrecision(digits));
  return stripZeros(parsed);
}

/** Wire format: ndigits, weight, sign, dscale, then base-10000 digits. */
export function encodeNumericBinary(value: Numeric): Buffer {
  if (value.kind !== 'finite') {
    const out = Buffer.alloc(8);
    const sign = value.kind === 'nan' ? 0xc000 : value.kind === 'infinity' ? 0xd000 : 0xf000;
    out.writeUInt16BE(sign, 4);
    if (value.kind !== 'nan') out.writeUInt16BE(0x20, 6);
    return out;
  }
  const { groups, weight } = toGroups(value);
  const out = Buffer.alloc(8 + groups.length * 2);
  out.writeInt16BE(groups.length, 0);
  out.writeInt16BE(weight, 2);
  out.writeUInt16BE(value.digits < 0n ? 0x4000 : 0, 4);
  out.writeUInt16BE(value.scale, 6);
  groups.forEach((group, i) => out.writeInt16BE(group, 8 + i * 2));
  return out;
}

/** Base-10000 digits without leading and trailing zeros; `weight` is the power of the first. */
export function toGroups(value: Numeric): { groups: number[]; weight: number } {
  if (value.digits === 0n) return { groups: [], weight: 0 };
  let text = absBig(value.digits).toString();
  const tail = (4 - (value.scale % 4)) % 4;
  text += '0'.repeat(tail);
  text = text.padStart(Math.ceil(text.length / 4) * 4, '0');
  const groups: number[] = [];
  for (let i = 0; i < text.length; i += 4) groups.push(Number(text.slice(i, i + 4)));
  let weight = groups.length - 1 - (value.scale + tail) / 4;
  let start = 0;
  while (groups[start] === 0) start++;
  weight -= start;
  let end = groups.length;
  while (groups[end - 1] === 0) end--;
  return { groups: groups.slice(start, end), weight };
}

export function fromGroups(
  groups: readonly number[],
  weight: number,
  negative: boolean,
  scale: number,
): Numeric {
  let digits = 0n;
  if (groups.length > 0) {
    digits = BigInt(groups.map((group) => String(group).padStart(4, '0')).join(''));
    const shift = (weight - groups.length + 1) * 4 + scale;
    digits = shift >= 0 ? digits * pow10(shift) : digits / pow10(-shift);
  }
  return makeNumeric(negative ? -digits : digits, scale);
}

export function decodeNumericBinary(bytes: Buffer): Numeric {
  const bad = (): Error =>
    sqlError('invalidBinaryRepresentation', 'invalid length in external "numeric" value');
  if (bytes.length < 8) throw bad();
  const count = bytes.readUInt16BE(0);
  const weight = bytes.readInt16BE(2);
  const sign = bytes.readUInt16BE(4);
  const scale = bytes.readUInt16BE(6);
  if (sign === 0xc000) return numericNaN;
  if (sign === 0xd000) return numericInfinity;
  if (sign === 0xf000) return numericMinusInfinity;
  if (sign !== 0 && sign !== 0x4000) {
    throw sqlError('invalidBinaryRepresentation', 'invalid sign in external "numeric" value');
  }
  if (scale > numericMaxScale) {
    throw sqlError('invalidBinaryRepresentation', 'invalid scale in external "numeric" value');
  }
  if (bytes.length !== 8 + count * 2) throw bad();
  const groups: number[] = [];
  for (let i = 0; i < count; i++) {
    const group = bytes.readInt16BE(8 + i * 2);
    if (group < 0 || group > 9999) {
      throw sqlError('invalidBinaryRepresentation', 'invalid digit in external "numeric" value');
    }
    groups.push(group);
  }
  return fromGroups(groups, weight, sign === 0x4000, scale);
}
