/** Mathematical functions (PostgreSQL chapter 9.3). */
import { sqlError } from '../errors.ts';
import { asBigint, asNumber, asNumeric, type Datum, type Numeric } from '../types/index.ts';
import {
  ceilNumeric,
  compareNumeric,
  divideAtScale,
  floorNumeric,
  multiplyNumeric,
  addNumeric,
  numericFromInt,
  numericOne,
  numericSign,
  roundNumeric,
  stripZeros,
  subtractNumeric,
  truncatedQuotient,
  truncNumeric,
} from '../types/numeric.ts';
import {
  expNumeric,
  factorial,
  gcdBig,
  gcdNumeric,
  lcmNumeric,
  lnNumeric,
  logNumeric,
  powerNumeric,
  sqrtNumeric,
} from '../types/numeric-math.ts';
import { roundHalfEven } from '../types/interval.ts';
import { checkFloat8, checkInt4, checkInt8 } from './arithmetic.ts';
import { type Args, scalar, volatile } from './define.ts';
import { type ScalarFunction } from './registry-types.ts';

const ten = numericFromInt(10);

function n(args: Args, i = 0): number {
  return asNumber(args[i]);
}

function d(args: Args, i = 0): Numeric {
  return asNumeric(args[i]);
}

function inputOutOfRange(): Error {
  return sqlError('numericValueOutOfRange', 'input is out of range');
}

/** A float8 function of one argument, its result checked for overflow. */
function float(
  names: readonly string[],
  call: (x: number) => number,
  domain?: (x: number) => boolean,
): ScalarFunction[] {
  return names.map((name) =>
    scalar(`${name}(float8) float8`, (args) => {
      const x = n(args);
      if (domain !== undefined && !Number.isNaN(x) && !domain(x)) throw inputOutOfRange();
      const value = call(x);
      return checkFloat8(value, !Number.isFinite(x), true);
    }),
  );
}

const degreesPerRadian = 180 / Math.PI;

/** Exact at multiples of 30 degrees where the result is a round number. */
function exactly(value: number): number {
  const rounded = Math.round(value * 2) / 2;
  return Math.abs(value - rounded) < 1e-15 ? rounded + 0 : value;
}

function sind(x: number): number {
  return exactly(Math.sin(((x % 360) * Math.PI) / 180));
}

function cosd(x: number): number {
  return exactly(Math.cos(((x % 360) * Math.PI) / 180));
}

function tand(x: number): number {
  const turned = x % 180;
  if (Math.abs(turned) === 90) return turned > 0 ? Infinity : -Infinity;
  if (Math.abs(turned) === 45) return Math.sign(turned);
  if (Math.abs(turned) === 135) return -Math.sign(turned);
  return turned === 0 ? 0 : Math.tan((turned * Math.PI) / 180);
}

function fromRadians(value: number): number {
  const degrees = value * degreesPerRadian;
  const rounded = Math.round(degrees / 15) * 15;
  return Math.abs(degrees - rounded) < 1e-13 ? rounded : degrees;
}

const inUnit = (x: number): boolean => x >= -1 && x <= 1;

function powerFloat(base: number, exponent: number): number {
  if (Number.isNaN(base)) return exponent === 0 ? 1 : NaN;
  if (Number.isNaN(exponent)) return base === 1 ? 1 : NaN;
  if (base === 0 && exponent < 0) {
    throw sqlError('invalidArgumentForPower', 'zero raised to a negative power is undefined');
  }
  if (base < 0 && Number.isFinite(exponent) && Math.floor(exponent) !== exponent) {
    throw sqlError(
      'invalidArgumentForPower',
      'a negative number raised to a non-integer power yields a complex result',
    );
  }
  // JavaScript gives NaN for 1 ** Infinity.
  if (Math.abs(base) === 1 && !Number.isFinite(exponent)) return 1;
  const infinite = !Number.isFinite(base) || !Number.isFinite(exponent);
  return checkFloat8(base ** exponent, infinite, base === 0 || infinite);
}

function logFloat(x: number, log: (x: number) => number): number {
  if (x === 0) throw sqlError('invalidArgumentForLogarithm', 'cannot take logarithm of zero');
  if (x < 0) {
    throw sqlError('invalidArgumentForLogarithm', 'cannot take logarithm of a negative number');
  }
  return log(x);
}

function sqrtFloat(x: number): number {
  if (x < 0) {
    throw sqlError('invalidArgumentForPower', 'cannot take square root of a negative number');
  }
  return Math.sqrt(x);
}

function logNumeric10(value: Numeric): Numeric {
  return logNumeric(ten, value);
}

function widthBucketNumeric(operand: Numeric, low: Numeric, high: Numeric, count: number): number {
  checkBucketCount(count);
  for (const value of [operand, low, high]) {
    if (value.kind === 'nan')
      throw badBucket('operand, lower bound, and upper bound cannot be NaN');
  }
  if (low.kind !== 'finite' || high.kind !== 'finite') {
    throw badBucket('lower and upper bounds must be finite');
  }
  const order = compareNumeric(low, high);
  if (order === 0) throw badBucket('lower bound cannot equal upper bound');
  const position = order < 0 ? compareNumeric(operand, low) : compareNumeric(low, operand);
  if (position < 0) return 0;
  const end = order < 0 ? compareNumeric(operand, high) : compareNumeric(high, operand);
  if (end >= 0) return checkInt4(count + 1);
  const offset = order < 0 ? subtractNumeric(operand, low) : subtractNumeric(low, operand);
  const width = order < 0 ? subtractNumeric(high, low) : subtractNumeric(low, high);
  const scaled = multiplyNumeric(offset, numericFromInt(count));
  const bucket = addNumeric(divideAtScale(scaled, width, 0, false), numericOne);
  return Number(bucket.digits);
}

function badBucket(message: string): Error {
  return sqlError('invalidParameterValue', message);
}

function checkBucketCount(count: number): void {
  if (count <= 0) throw badBucket('count must be greater than zero');
}

function widthBucketFloat(operand: number, low: number, high: number, count: number): number {
  checkBucketCount(count);
  if (Number.isNaN(operand) || Number.isNaN(low) || Number.isNaN(high)) {
    throw badBucket('operand, lower bound, and upper bound cannot be NaN');
  }
  if (!Number.isFinite(low) || !Number.isFinite(high)) {
    throw badBucket('lower and upper bounds must be finite');
  }
  if (low === high) throw badBucket('lower bound cannot equal upper bound');
  if (low < high) {
    if (operand < low) return 0;
    if (operand >= high) return checkInt4(count + 1);
    return Math.floor((count * (operand - low)) / (high - low)) + 1;
  }
  if (operand > low) return 0;
  if (operand <= high) return checkInt4(count + 1);
  return Math.floor((count * (low - operand)) / (low - high)) + 1;
}

function gcd4(a: number, b: number): number {
  return checkInt4(Number(gcdBig(BigInt(a), BigInt(b))));
}

function lcmBig(a: bigint, b: bigint): bigint {
  if (a === 0n || b === 0n) return 0n;
  const value = (a / gcdBig(a, b)) * b;
  return value < 0n ? -value : value;
}

function divNumeric(args: Args): Datum {
  return truncatedQuotient(d(args), d(args, 1));
}

function roundFloat(x: number): number {
  return Number.isFinite(x) ? Math.sign(x) * roundHalfEven(Math.abs(x)) : x;
}

const numericMath: ScalarFunction[] = [
  scalar('ceil(numeric) numeric', (a) => ceilNumeric(d(a))),
  scalar('ceiling(numeric) numeric', (a) => ceilNumeric(d(a))),
  scalar('floor(numeric) numeric', (a) => floorNumeric(d(a))),
  scalar('round(numeric) numeric', (a) => roundNumeric(d(a), 0)),
  scalar('round(numeric,int4) numeric', (a) => roundNumeric(d(a), clampDigits(n(a, 1)))),
  scalar('trunc(numeric) numeric', (a) => truncNumeric(d(a), 0)),
  scalar('trunc(numeric,int4) numeric', (a) => truncNumeric(d(a), clampDigits(n(a, 1)))),
  scalar('sign(numeric) numeric', (a) =>
    d(a).kind === 'nan' ? d(a) : numericFromInt(numericSign(d(a))),
  ),
  scalar('sqrt(numeric) numeric', (a) => sqrtNumeric(d(a))),
  scalar('exp(numeric) numeric', (a) => expNumeric(d(a))),
  scalar('ln(numeric) numeric', (a) => lnNumeric(d(a))),
  scalar('log(numeric) numeric', (a) => logNumeric10(d(a))),
  scalar('log10(numeric) numeric', (a) => logNumeric10(d(a))),
  scalar('log(numeric,numeric) numeric', (a) => logNumeric(d(a), d(a, 1))),
  scalar('power(numeric,numeric) numeric', (a) => powerNumeric(d(a), d(a, 1))),
  scalar('pow(numeric,numeric) numeric', (a) => powerNumeric(d(a), d(a, 1))),
  scalar('div(numeric,numeric) numeric', divNumeric),
  scalar('gcd(numeric,numeric) numeric', (a) => gcdNumeric(d(a), d(a, 1))),
  scalar('lcm(numeric,numeric) numeric', (a) => lcmNumeric(d(a), d(a, 1))),
  scalar('factorial(int8) numeric', (a) => factorial(asBigint(a[0]))),
  scalar('scale(numeric) int4', (a) => (d(a).kind === 'finite' ? d(a).scale : null)),
  scalar('min_scale(numeric) int4', (a) =>
    d(a).kind === 'finite' ? stripZeros(d(a)).scale : null,
  ),
  scalar('trim_scale(numeric) numeric', (a) => stripZeros(d(a))),
  scalar('width_bucket(numeric,numeric,numeric,int4) int4', (a) =>
    widthBucketNumeric(d(a), d(a, 1), d(a, 2), n(a, 3)),
  ),
];

function clampDigits(digits: number): number {
  return Math.max(-131072, Math.min(16383, digits));
}

const integerMath: ScalarFunction[] = [
  scalar('gcd(int4,int4) int4', (a) => gcd4(n(a), n(a, 1))),
  scalar('gcd(int8,int8) int8', (a) => checkInt8(gcdBig(asBigint(a[0]), asBigint(a[1])))),
  scalar('lcm(int4,int4) int4', (a) => checkInt4(Number(lcmBig(BigInt(n(a)), BigInt(n(a, 1)))))),
  scalar('lcm(int8,int8) int8', (a) => checkInt8(lcmBig(asBigint(a[0]), asBigint(a[1])))),
];

const trigonometry: ScalarFunction[] = [
  ...float(['sin'], Math.sin, Number.isFinite),
  ...float(['cos'], Math.cos, Number.isFinite),
  ...float(['tan'], Math.tan, Number.isFinite),
  ...float(['cot'], (x) => 1 / Math.tan(x), Number.isFinite),
  ...float(['asin'], Math.asin, inUnit),
  ...float(['acos'], Math.acos, inUnit),
  ...float(['atan'], Math.atan),
  ...float(['sinh'], Math.sinh),
  ...float(['cosh'], Math.cosh),
  ...float(['tanh'], Math.tanh),
  ...float(['asinh'], Math.asinh),
  ...float(['acosh'], Math.acosh, (x) => x >= 1),
  ...float(['atanh'], Math.atanh, inUnit),
  ...float(['degrees'], (x) => x * degreesPerRadian),
  ...float(['radians'], (x) => x / degreesPerRadian),
  ...float(['sind'], sind, Number.isFinite),
  ...float(['cosd'], cosd, Number.isFinite),
  scalar('tand(float8) float8', (a) => tand(n(a))),
  scalar('cotd(float8) float8', (a) => (n(a) % 180 === 0 ? Infinity : 1 / tand(n(a)))),
  ...float(['asind'], (x) => fromRadians(Math.asin(x)), inUnit),
  ...float(['acosd'], (x) => fromRadians(Math.acos(x)), inUnit),
  ...float(['atand'], (x) => fromRadians(Math.atan(x))),
  scalar('atan2(float8,float8) float8', (a) => Math.atan2(n(a), n(a, 1))),
  scalar('atan2d(float8,float8) float8', (a) => fromRadians(Math.atan2(n(a), n(a, 1)))),
  scalar('pi() float8', () => Math.PI),
];

const floatMath: ScalarFunction[] = [
  ...float(['ceil', 'ceiling'], Math.ceil),
  ...float(['floor'], Math.floor),
  ...float(['round'], roundFloat),
  ...float(['trunc'], Math.trunc),
  ...float(['sign'], Math.sign),
  ...float(['sqrt', '|/'], sqrtFloat),
  ...float(['cbrt', '||/'], Math.cbrt),
  scalar('exp(float8) float8', (a) =>
    checkFloat8(Math.exp(n(a)), !Number.isFinite(n(a)), n(a) === -Infinity),
  ),
  ...float(['ln'], (x) => logFloat(x, Math.log)),
  ...float(['log', 'log10'], (x) => logFloat(x, Math.log10)),
  scalar('power(float8,float8) float8', (a) => powerFloat(n(a), n(a, 1))),
  scalar('pow(float8,float8) float8', (a) => powerFloat(n(a), n(a, 1))),
  scalar('^(float8,float8) float8', (a) => powerFloat(n(a), n(a, 1))),
  scalar('width_bucket(float8,float8,float8,int4) int4', (a) =>
    widthBucketFloat(n(a), n(a, 1), n(a, 2), n(a, 3)),
  ),
];

/** Sum of twelve would do; Marsaglia's polar method is exact. */
function gaussian(random: () => number): number {
  for (;;) {
    const u = 2 * random() - 1;
    const v = 2 * random() - 1;
    const s = u * u + v * v;
    if (s > 0 && s < 1) return u * Math.sqrt((-2 * Math.log(s)) / s);
  }
}

function boundedBig(low: bigint, high: bigint, random: () => number): bigint {
  if (low > high) {
    throw badBucket('lower bound must be less than or equal to upper bound');
  }
  const span = high - low + 1n;
  const bits =
    (BigInt(Math.floor(random() * 2 ** 32)) << 32n) | BigInt(Math.floor(random() * 2 ** 32));
  return low + ((bits * span) >> 64n);
}

const randomFunctions: ScalarFunction[] = [
  volatile('random() float8', (_args, context) => context.random()),
  volatile('random(int4,int4) int4', (a, context) =>
    Number(boundedBig(BigInt(n(a)), BigInt(n(a, 1)), () => context.random())),
  ),
  volatile('random(int8,int8) int8', (a, context) =>
    boundedBig(asBigint(a[0]), asBigint(a[1]), () => context.random()),
  ),
  volatile(
    'random_normal(float8,float8) float8',
    (a, context) => n(a) + n(a, 1) * gaussian(() => context.random()),
  ),
  volatile('random_normal() float8', (_args, context) => gaussian(() => context.random())),
  volatile('setseed(float8) void', (a, context) => {
    const seed = n(a);
    if (!(seed >= -1 && seed <= 1)) {
      throw badBucket(`setseed parameter ${seed} is out of allowed range [-1,1]`);
    }
    context.setSeed(seed);
    return '';
  }),
];

export const mathFunctions: readonly ScalarFunction[] = [
  ...numericMath,
  ...integerMath,
  ...trigonometry,
  ...floatMath,
  ...randomFunctions,
];
