/** CURRENT_DATE, CURRENT_USER and the other functions that SQL spells without parentheses. */
import { sqlError } from '../../errors.ts';
import { type EvalContext } from '../../functions/registry-types.ts';
import { type ContextValue } from '../../plan/expr.ts';
import { castBetween } from '../../plan/bind/resolve.ts';
import { type Datum } from '../../types/index.ts';

/** All times are those of the transaction's start (PostgreSQL 9.9.5). */
export function contextValue(what: ContextValue, context: EvalContext): Datum {
  switch (what) {
    case 'current_timestamp':
      return context.nowMicros;
    case 'current_date':
      return castNow(context, 1082);
    case 'current_time':
      return castNow(context, 1266);
    case 'localtime':
      return castNow(context, 1083);
    case 'localtimestamp':
      return castNow(context, 1114);
    case 'current_user':
      return context.currentUser;
    case 'session_user':
      return context.sessionUser;
    case 'current_catalog':
      return context.currentDatabase;
    case 'current_schema':
      return context.currentSchemas.find((schema) => schema !== 'pg_catalog') ?? null;
  }
}

function castNow(context: EvalContext, type: number): Datum {
  const cast = castBetween(1184, type, 'explicit');
  if (cast === undefined) throw sqlError('internalError', `no cast from timestamptz to ${type}`);
  return cast.call(context.nowMicros, -1, context, true) as Datum;
}
