/** AS OF SYSTEM TIME: which past moment is meant. */
import { type Node } from '@pgsql/types';
import { addMicros, type HlcClock, type Timestamp } from '../../kv/index.ts';
import { sqlError } from '../errors.ts';
import { type EvalContext } from '../functions/registry-types.ts';
import { asBigint, asInterval, oids, typeOps } from '../types/index.ts';
import { postgresEpochMicros } from './eval-context.ts';

const microsPerDay = 86_400_000_000;
/** Old enough that every replica has everything up to it. */
const followerLagMicros = 5_000_000;

/**
 * Forms: '-10s' (an interval back from now), a timestamp, decimal nanoseconds since 1970 with an
 * optional counter, follower_read_timestamp(). Throws 22023 for the future and for nonsense.
 */
export async function asOfTimestamp(
  node: Node,
  clock: HlcClock,
  context: EvalContext,
): Promise<Timestamp> {
  const now = clock.now();
  if ('FuncCall' in node) {
    const last = node.FuncCall.funcname?.at(-1);
    const name = last !== undefined && 'String' in last ? last.String.sval : undefined;
    if (name === 'follower_read_timestamp') return addMicros(now, -followerLagMicros);
    throw invalid();
  }
  const text = literal(node);
  const timestamp = parse(text, now, context);
  if (timestamp.wall > now.wall) {
    throw sqlError(
      'invalidParameterValue',
      'AS OF SYSTEM TIME: cannot specify a timestamp in the future',
    );
  }
  if (timestamp.wall <= 0) throw invalid();
  return timestamp;
}

function parse(text: string, now: Timestamp, context: EvalContext): Timestamp {
  const decimal = /^(\d{12,20})(?:\.(\d{10}))?$/.exec(text);
  if (decimal !== null) {
    return { wall: Number(BigInt(decimal[1] ?? '0') / 1000n), logical: Number(decimal[2] ?? '0') };
  }
  if (/^[+-]/.test(text)) {
    const interval = asInterval(typeOps(oids.interval).parse(text, -1, context));
    const micros = Number(interval.micros) + (interval.days + interval.months * 30) * microsPerDay;
    if (micros >= 0)
      throw sqlError('invalidParameterValue', 'AS OF SYSTEM TIME: the interval must be negative');
    return addMicros(now, micros);
  }
  const micros = asBigint(typeOps(oids.timestamptz).parse(text, -1, context));
  return { wall: Number(micros) + postgresEpochMicros, logical: 0 };
}

function literal(node: Node): string {
  if ('TypeCast' in node && node.TypeCast.arg !== undefined) return literal(node.TypeCast.arg);
  if ('A_Const' in node) {
    const { sval, ival, fval } = node.A_Const;
    if (sval !== undefined) return sval.sval ?? '';
    if (ival !== undefined) return String(ival.ival ?? 0);
    if (fval !== undefined) return fval.fval ?? '';
  }
  throw invalid();
}

function invalid(): Error {
  return sqlError(
    'invalidParameterValue',
    'AS OF SYSTEM TIME: a constant timestamp or negative interval is expected',
  );
}
