/** AS OF SYSTEM TIME: which past moment is meant, or how old it may be. */
import { type FuncCall, type Node } from '@pgsql/types';
import { addMicros, laterTimestamp, type HlcClock, type Timestamp } from '../../kv/index.ts';
import { sqlError } from '../errors.ts';
import { type EvalContext } from '../functions/registry-types.ts';
import {
  asBigint,
  asInterval,
  defaultFormat,
  oids,
  timestampOfWall,
  typeOps,
  wallOfTimestamp,
} from '../types/index.ts';

export type AsOf =
  | { readonly kind: 'exact'; readonly at: Timestamp }
  /** As fresh as the nearest replicas know, but not older than `oldest`. */
  | {
      readonly kind: 'bounded';
      readonly oldest: Timestamp;
      /** Rather fail than ask a replica that is further away. */
      readonly nearestOnly: boolean;
    };

export interface AsOfContext {
  readonly clock: HlcClock;
  readonly eval: EvalContext;
  /** How far follower_read_timestamp() is behind the statement. */
  readonly followerLagMicros: number;
}

const microsPerDay = 86_400_000_000;

/**
 * Forms: '-10s' (an interval back from now), a timestamp, decimal nanoseconds since 1970 with an optional counter,
 * follower_read_timestamp(), with_max_staleness(interval [, nearest_only]), with_min_timestamp(timestamptz [, nearest_only]).
 * Throws 22023 for the future and for nonsense.
 */
export function asOfTimestamp(node: Node, context: AsOfContext): AsOf {
  const now = context.clock.now();
  if ('FuncCall' in node) return byFunction(node.FuncCall, now, context);
  return { kind: 'exact', at: pastTimestamp(literal(node), now, context.eval) };
}

function byFunction(call: FuncCall, now: Timestamp, context: AsOfContext): AsOf {
  const last = call.funcname?.at(-1);
  const name = last !== undefined && 'String' in last ? last.String.sval : undefined;
  const [first, second] = call.args ?? [];
  if (name === 'follower_read_timestamp' && first === undefined) {
    return { kind: 'exact', at: addMicros(now, -context.followerLagMicros) };
  }
  if (first === undefined) throw invalid();
  const nearestOnly = second !== undefined && flag(second);
  switch (name) {
    case 'with_max_staleness': {
      const micros = intervalMicros(literal(first), context.eval);
      if (micros < 0) {
        throw sqlError(
          'invalidParameterValue',
          'with_max_staleness: the interval must not be negative',
        );
      }
      return { kind: 'bounded', oldest: past(addMicros(now, -micros), now), nearestOnly };
    }
    case 'with_min_timestamp': {
      const oldest = pastTimestamp(literal(first), now, context.eval);
      return { kind: 'bounded', oldest, nearestOnly };
    }
    default:
      throw invalid();
  }
}

/** One of the forms that are text. */
export function pastTimestamp(text: string, now: Timestamp, context: EvalContext): Timestamp {
  return past(parse(text, now, context), now);
}

function past(at: Timestamp, now: Timestamp): Timestamp {
  if (at.wall > now.wall) {
    throw sqlError(
      'invalidParameterValue',
      'AS OF SYSTEM TIME: cannot specify a timestamp in the future',
    );
  }
  return laterTimestamp(at, { wall: 1, logical: 0 });
}

function parse(text: string, now: Timestamp, context: EvalContext): Timestamp {
  const decimal = /^(\d{12,20})(?:\.(\d{10}))?$/.exec(text);
  if (decimal !== null) {
    return { wall: Number(BigInt(decimal[1] ?? '0') / 1000n), logical: Number(decimal[2] ?? '0') };
  }
  if (/^[+-]/.test(text)) {
    const micros = intervalMicros(text, context);
    if (micros >= 0)
      throw sqlError('invalidParameterValue', 'AS OF SYSTEM TIME: the interval must be negative');
    return addMicros(now, micros);
  }
  const { timeZone, dateOrder } = context;
  const nowMicros = timestampOfWall(now.wall);
  const settings = { ...defaultFormat, timeZone, dateOrder, nowMicros };
  const micros = asBigint(typeOps(oids.timestamptz).parse(text, -1, settings));
  return { wall: wallOfTimestamp(micros), logical: 0 };
}

export function intervalMicros(text: string, context: EvalContext): number {
  const interval = asInterval(typeOps(oids.interval).parse(text, -1, context));
  return Number(interval.micros) + (interval.days + interval.months * 30) * microsPerDay;
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

function flag(node: Node): boolean {
  if ('A_Const' in node && node.A_Const.boolval !== undefined) {
    return node.A_Const.boolval.boolval ?? false;
  }
  throw invalid();
}

function invalid(): Error {
  return sqlError(
    'invalidParameterValue',
    'AS OF SYSTEM TIME: a constant timestamp, a negative interval, follower_read_timestamp(), ' +
      'with_max_staleness(...) or with_min_timestamp(...) is expected',
  );
}
