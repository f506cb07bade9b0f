/** generate_series. */
import { sqlError } from '../errors.ts';
import {
  asBigint,
  asInterval,
  asNumber,
  asNumeric,
  asText,
  type Interval,
  type Row,
} from '../types/index.ts';
import { addNumeric, compareNumeric, numericOne, numericSign } from '../types/numeric.ts';
import { intervalSpan } from '../types/interval.ts';
import { addToTimestamp, addToTimestamptz } from './date-arithmetic.ts';
import { type Args, setFunction } from './define.ts';
import { type EvalContext, type SetFunction } from './registry-types.ts';

function zeroStep(): Error {
  return sqlError('invalidParameterValue', 'step size cannot equal zero');
}

function* numbers(a: Args): Generator<Row> {
  const stop = asNumber(a[1]);
  const step = a.length > 2 ? asNumber(a[2]) : 1;
  if (step === 0) throw zeroStep();
  for (let i = asNumber(a[0]); step > 0 ? i <= stop : i >= stop; i += step) yield [i];
}

function* bigints(a: Args): Generator<Row> {
  const stop = asBigint(a[1]);
  const step = a.length > 2 ? asBigint(a[2]) : 1n;
  if (step === 0n) throw zeroStep();
  for (let i = asBigint(a[0]); step > 0n ? i <= stop : i >= stop; i += step) {
    if (BigInt.asIntN(64, i) !== i) return;
    yield [i];
  }
}

function* numerics(a: Args): Generator<Row> {
  const names = ['start', 'stop', 'step'];
  a.forEach((value, i) => {
    const { kind } = asNumeric(value);
    if (kind !== 'finite') {
      const what = kind === 'nan' ? 'NaN' : 'infinity';
      throw sqlError(
        'invalidParameterValue',
        `${names[i] ?? 'step'} ${i === 2 ? 'size' : 'value'} cannot be ${what}`,
      );
    }
  });
  const stop = asNumeric(a[1]);
  const step = a.length > 2 ? asNumeric(a[2]) : numericOne;
  const sign = numericSign(step);
  if (sign === 0) throw zeroStep();
  let at = asNumeric(a[0]);
  while (compareNumeric(at, stop) * sign <= 0) {
    yield [at];
    at = addNumeric(at, step);
  }
}

type Advance = (at: bigint, step: Interval) => bigint;

function* moments(a: Args, advance: Advance): Generator<Row> {
  const stop = asBigint(a[1]);
  const step = asInterval(a[2]);
  const sign = intervalSpan(step);
  if (sign === 0n) throw zeroStep();
  let at = asBigint(a[0]);
  while (sign > 0n ? at <= stop : at >= stop) {
    yield [at];
    at = advance(at, step);
  }
}

function zoned(context: EvalContext, zone: string): Advance {
  return (at, step) => addToTimestamptz(at, step, context, zone);
}

export const seriesFunctions: readonly SetFunction[] = [
  setFunction('generate_series(int4,int4) int4', numbers),
  setFunction('generate_series(int4,int4,int4) int4', numbers),
  setFunction('generate_series(int8,int8) int8', bigints),
  setFunction('generate_series(int8,int8,int8) int8', bigints),
  setFunction('generate_series(numeric,numeric) numeric', numerics),
  setFunction('generate_series(numeric,numeric,numeric) numeric', numerics),
  setFunction('generate_series(timestamp,timestamp,interval) timestamp', (a) =>
    moments(a, addToTimestamp),
  ),
  setFunction(
    'generate_series(timestamptz,timestamptz,interval) timestamptz',
    (a, context) => moments(a, zoned(context, context.timeZone)),
    { volatility: 'stable' },
  ),
  setFunction(
    'generate_series(timestamptz,timestamptz,interval,text) timestamptz',
    (a, context) => moments(a, zoned(context, asText(a[3]))),
    { volatility: 'stable' },
  ),
];
