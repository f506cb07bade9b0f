/**
 * Roots, powers and logarithms of numeric. The result scale follows numeric.c (at least 16 significant
 * digits); the digits come from integer square roots or from decimal.js with guard digits.
 */
import { Decimal } from 'decimal.js';
import { sqlError } from '../errors.ts';
import { Numeric } from './datum.ts';
import {
  absBig,
  absNumeric,
  compareNumeric,
  digitCount,
  divideAtScale,
  divisionByZero,
  formatNumeric,
  leadingGroup,
  makeNumeric,
  multiplyNumeric,
  numericInfinity,
  numericMaxDisplayScale,
  numericMinSignificantDigits,
  numericMinusInfinity,
  numericNaN,
  numericOne,
  numericSign,
  numericToNumber,
  numericZero,
  overflow,
  parseNumeric,
  pow10,
  roundNumeric,
  stripZeros,
  subtractNumeric,
  toGroups,
} from './numeric.ts';

const guardDigits = 12;
const maxPrecision = 20000;

function clampScale(scale: number, ...least: number[]): number {
  return Math.min(Math.max(scale, 0, ...least), numericMaxDisplayScale);
}

type DecimalClass = typeof Decimal;

function decimalClass(precision: number): DecimalClass {
  return Decimal.clone({
    precision: Math.min(Math.max(precision, 30), maxPrecision),
    toExpNeg: -9e15,
    toExpPos: 9e15,
    maxE: 9e15,
    minE: -9e15,
  });
}

function fromDecimal(value: Decimal, scale: number): Numeric {
  return roundNumeric(parseNumeric(value.toFixed(scale + 2, Decimal.ROUND_DOWN)), scale);
}

function integerSqrt(value: bigint): bigint {
  if (value < 2n) return value;
  let guess = 1n << BigInt(Math.ceil(value.toString(16).length * 2) + 1);
  for (;;) {
    const next = (guess + value / guess) >> 1n;
    if (next >= guess) return guess;
    guess = next;
  }
}

export function sqrtNumeric(value: Numeric): Numeric {
  if (value.kind === 'nan' || value.kind === 'infinity') return value;
  if (numericSign(value) < 0) {
    throw sqlError('invalidArgumentForPower', 'cannot take square root of a negative number');
  }
  const scale = clampScale(
    numericMinSignificantDigits - Math.trunc((leadingGroup(value).weight * 4) / 2 + 1),
    value.scale,
  );
  // One digit more than wanted, then rounded: floor(sqrt) never hides a digit 5 that was a 4.999.
  const extra = scale + 1;
  const shift = 2 * extra - value.scale;
  const scaled = shift >= 0 ? value.digits * pow10(shift) : value.digits / pow10(-shift);
  return roundNumeric(makeNumeric(integerSqrt(scaled), extra), scale);
}

/** Decimal exponent of ln(value), estimated (estimate_ln_dweight). */
function lnWeight(value: Numeric): number {
  if (numericSign(value) <= 0) return 0;
  const low = parseNumeric('0.9');
  const high = parseNumeric('1.1');
  if (compareNumeric(value, low) >= 0 && compareNumeric(value, high) <= 0) {
    const rest = subtractNumeric(value, numericOne);
    if (rest.digits === 0n) return 0;
    const { weight, first } = leadingGroup(rest);
    return weight * 4 + Math.trunc(Math.log10(first));
  }
  const { groups, weight } = toGroups(value);
  let digits = groups[0] ?? 0;
  let exponent = weight * 4;
  const second = groups[1];
  if (second !== undefined) {
    digits = digits * 10000 + second;
    exponent -= 4;
  }
  const ln = Math.log(digits) + exponent * Math.LN10;
  return Math.trunc(Math.log10(Math.abs(ln)));
}

export function expNumeric(value: Numeric): Numeric {
  if (value.kind === 'nan' || value.kind === 'infinity') return value;
  if (value.kind === '-infinity') return numericZero;
  const approximate = numericToNumber(value) * Math.LOG10E;
  if (approximate > 131072 + 10) throw overflow();
  if (approximate < -numericMaxDisplayScale - 20) {
    return new Numeric('finite', 0n, numericMaxDisplayScale);
  }
  const scale = clampScale(numericMinSignificantDigits - Math.trunc(approximate), value.scale);
  const D = decimalClass(scale + Math.max(0, Math.ceil(approximate)) + guardDigits);
  return fromDecimal(D.exp(new D(formatNumeric(value))), scale);
}

function checkLog(value: Numeric): void {
  const sign = numericSign(value);
  if (sign < 0) {
    throw sqlError('invalidArgumentForLogarithm', 'cannot take logarithm of a negative number');
  }
  if (sign === 0) {
    throw sqlError('invalidArgumentForLogarithm', 'cannot take logarithm of zero');
  }
}

export function lnNumeric(value: Numeric): Numeric {
  if (value.kind === 'nan') return value;
  checkLog(value);
  if (value.kind === 'infinity') return value;
  const scale = clampScale(numericMinSignificantDigits - lnWeight(value), value.scale);
  return fromDecimal(lnDecimal(value, scale + guardDigits), scale);
}

/** ln with `precision` digits behind the point (more for arguments near 1, which lose digits). */
function lnDecimal(value: Numeric, precision: number): Decimal {
  const D = decimalClass(precision + 10 + Math.max(0, -lnWeight(value)) * 2);
  return D.ln(new D(formatNumeric(value)));
}

/** Logarithm of `value` to `base`. */
export function logNumeric(base: Numeric, value: Numeric): Numeric {
  if (base.kind === 'nan' || value.kind === 'nan') return numericNaN;
  checkLog(base);
  checkLog(value);
  if (base.kind === 'infinity') return value.kind === 'infinity' ? numericNaN : numericZero;
  if (value.kind === 'infinity') return numericInfinity;
  if (compareNumeric(base, numericOne) === 0) throw divisionByZero();
  const scale = clampScale(
    numericMinSignificantDigits - (lnWeight(value) - lnWeight(base)),
    base.scale,
    value.scale,
  );
  const precision = scale + guardDigits + 20;
  const D = decimalClass(precision + 20);
  return fromDecimal(
    new D(lnDecimal(value, precision)).div(new D(lnDecimal(base, precision))),
    scale,
  );
}

export function powerNumeric(base: Numeric, exponent: Numeric): Numeric {
  const special = powerSpecial(base, exponent);
  if (special !== undefined) return special;
  const whole = stripZeros(exponent);
  if (whole.scale === 0 && absBig(whole.digits) <= 2147483647n) {
    return integerPower(base, Number(whole.digits), exponent.scale);
  }
  if (base.digits === 0n) return new Numeric('finite', 0n, numericMinSignificantDigits);
  const negative = base.digits < 0n && whole.digits % 2n !== 0n;
  const magnitude = base.digits < 0n ? new Numeric('finite', -base.digits, base.scale) : base;
  const exact = formatNumeric(exponent);
  const approximate = Number(lnDecimal(magnitude, 40).mul(exact).toString()) * Math.LOG10E;
  if (approximate > 131072 + 10) throw overflow();
  if (approximate < -numericMaxDisplayScale - 20) {
    return new Numeric('finite', 0n, numericMaxDisplayScale);
  }
  const scale = clampScale(
    numericMinSignificantDigits - Math.trunc(approximate),
    base.scale,
    exponent.scale,
  );
  const digits = scale + Math.max(0, Math.ceil(approximate)) + guardDigits;
  const D = decimalClass(digits + digitCount(exponent.digits));
  const ln = lnDecimal(magnitude, digits + digitCount(exponent.digits));
  const result = fromDecimal(D.exp(new D(ln).mul(exact)), scale);
  return negative ? new Numeric('finite', -result.digits, result.scale) : result;
}

function powerSpecial(base: Numeric, exponent: Numeric): Numeric | undefined {
  if (exponent.kind === 'finite' && exponent.digits === 0n) {
    if (base.kind !== 'finite') return numericOne;
  }
  if (base.kind === 'finite' && compareNumeric(base, numericOne) === 0) {
    if (exponent.kind !== 'finite') return numericOne;
  }
  if (base.kind === 'nan' || exponent.kind === 'nan') return numericNaN;
  const sign = numericSign(base);
  if (sign === 0 && numericSign(exponent) < 0) {
    throw sqlError('invalidArgumentForPower', 'zero raised to a negative power is undefined');
  }
  const isInteger = exponent.kind !== 'finite' || stripZeros(exponent).scale === 0;
  if (sign < 0 && !isInteger) {
    throw sqlError(
      'invalidArgumentForPower',
      'a negative number raised to a non-integer power yields a complex result',
    );
  }
  if (exponent.kind !== 'finite') {
    const order = base.kind === 'finite' ? compareNumeric(absNumeric(base), numericOne) : 1;
    if (order === 0) return numericOne;
    return order > 0 === (exponent.kind === 'infinity') ? numericInfinity : numericZero;
  }
  if (base.kind === 'finite') return undefined;
  if (numericSign(exponent) < 0) return numericZero;
  const odd = stripZeros(exponent).digits % 2n !== 0n;
  return base.kind === 'infinity' || !odd ? numericInfinity : numericMinusInfinity;
}

function integerPower(base: Numeric, exponent: number, exponentScale: number): Numeric {
  let weight = 0;
  if (base.digits !== 0n) {
    const { groups, weight: first } = toGroups(base);
    let leading = groups[0] ?? 0;
    let power = first * 4;
    for (let i = 1; i < groups.length && i * 4 < 16; i++) {
      leading = leading * 10000 + (groups[i] ?? 0);
      power -= 4;
    }
    weight = exponent * (Math.log10(leading) + power);
  }
  if (weight > 131072 + 8) throw overflow();
  if (weight + 1 < -numericMaxDisplayScale) {
    return new Numeric('finite', 0n, numericMaxDisplayScale);
  }
  const scale = clampScale(
    numericMinSignificantDigits - Math.trunc(weight),
    base.scale,
    exponentScale,
  );
  if (exponent === 0) return roundNumeric(numericOne, scale);
  if (base.digits === 0n) return new Numeric('finite', 0n, scale);
  const count = Math.abs(exponent);
  const exactDigits = digitCount(base.digits) * count;
  if (exactDigits <= 4000) {
    const digits = base.digits ** BigInt(count);
    if (exponent > 0) return roundNumeric(new Numeric('finite', digits, base.scale * count), scale);
    // 1 / (digits / 10^s) = 10^s / digits
    return divideAtScale(
      new Numeric('finite', pow10(base.scale * count), 0),
      new Numeric('finite', digits, 0),
      scale,
    );
  }
  const precision =
    scale + Math.max(0, Math.ceil(weight)) + guardDigits + digitCount(BigInt(count)) * 2;
  const D = decimalClass(precision);
  return fromDecimal(new D(formatNumeric(base)).pow(exponent), scale);
}

export function factorial(n: bigint): Numeric {
  if (n < 0n) {
    throw sqlError('numericValueOutOfRange', 'factorial of a negative number is undefined');
  }
  if (n > 32177n) throw overflow();
  let digits = 1n;
  for (let i = 2n; i <= n; i++) digits *= i;
  return makeNumeric(digits, 0);
}

export function gcdBig(a: bigint, b: bigint): bigint {
  let x = absBig(a);
  let y = absBig(b);
  while (y !== 0n) [x, y] = [y, x % y];
  return x;
}

export function gcdNumeric(a: Numeric, b: Numeric): Numeric {
  if (a.kind !== 'finite' || b.kind !== 'finite') return numericNaN;
  const scale = Math.max(a.scale, b.scale);
  return makeNumeric(
    gcdBig(a.digits * pow10(scale - a.scale), b.digits * pow10(scale - b.scale)),
    scale,
  );
}

export function lcmNumeric(a: Numeric, b: Numeric): Numeric {
  if (a.kind !== 'finite' || b.kind !== 'finite') return numericNaN;
  const scale = Math.max(a.scale, b.scale);
  if (a.digits === 0n || b.digits === 0n) return new Numeric('finite', 0n, scale);
  const gcd = gcdNumeric(a, b);
  const quotient = divideAtScale(a, gcd, scale, false);
  const product = multiplyNumeric(quotient, b);
  return roundNumeric(new Numeric('finite', absBig(product.digits), product.scale), scale);
}
