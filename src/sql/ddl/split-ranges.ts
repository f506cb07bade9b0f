/** SPLIT AT, UNSPLIT AT, UNSPLIT ALL. */
import { type Node } from '@pgsql/types';
import { KvFailure, maxTimestamp, type Timestamp } from '../../kv/index.ts';
import { must } from '../../util/index.ts';
import { sqlError, SqlFailure, sqlStates } from '../errors.ts';
import { type IndexTarget, type RangeStatement } from '../parse/index.ts';
import { tableCodec } from '../row/index.ts';
import { type StatementContext, type StatementResult } from '../session/types.ts';
import {
  asBigint,
  asInterval,
  Interval,
  Numeric,
  oids,
  typeOps,
  type Datum,
  type Row,
  wallOfTimestamp,
  unixEpochMicros,
} from '../types/index.ts';
import { resultColumn, rowsResult, sessionCatalogOf } from './context.ts';
import { indexOf, type TableIndex } from './named.ts';
import { keyText, spanOfIndex, tableSpan } from './range-keys.ts';
import { enforcedUntil } from './range-pictures.ts';
import { keyColumns, keyOfRow, runNode } from './range-rows.ts';

export const splitColumns = [...keyColumns, resultColumn('split_enforced_until', oids.timestamp)];

/** One range begins at each of the keys from now on. */
export async function splitAt(
  statement: Extract<RangeStatement, { kind: 'split-at' }>,
  context: StatementContext,
): Promise<StatementResult> {
  const of = indexOf(sessionCatalogOf(context), statement.of);
  const codec = tableCodec(of.table).index(of.index.id);
  const { types, rows } = await runNode(statement.rows, context);
  const expiration =
    statement.expiration === undefined
      ? maxTimestamp
      : await expirationOf(statement.expiration, context);
  const keys = rows.map((row) => keyOfRow(context, of, 'SPLIT AT', types, row));
  const results: Row[] = [];
  for (const key of keys) {
    context.checkCanceled();
    await context.db.split(key, { expiration });
    results.push([key, codec.prettyKey(key), enforcedUntil(expiration)]);
  }
  return rowsResult(splitColumns, results);
}

/** A timestamp, an interval from now, or a decimal of nanoseconds since 1970. Throws 22023 for the past. */
async function expirationOf(node: Node, context: StatementContext): Promise<Timestamp> {
  const select: Node = {
    SelectStmt: {
      targetList: [{ ResTarget: { val: node } }],
      limitOption: 'LIMIT_OPTION_DEFAULT',
      op: 'SETOP_NONE',
    },
  };
  const { types, rows } = await runNode(select, context);
  const micros = expirationMicros(must(types[0]), must(rows[0])[0] ?? null, context);
  const wall = wallOfTimestamp(micros);
  if (wall <= context.db.clock.now().wall) {
    throw sqlError('invalidParameterValue', 'SPLIT AT: the expiration lies in the past');
  }
  return wall >= maxTimestamp.wall ? maxTimestamp : { wall, logical: 0 };
}

/** Microseconds since 2000. */
function expirationMicros(type: number, value: Datum, context: StatementContext): bigint {
  if (typeof value === 'bigint' && (type === oids.timestamptz || type === oids.timestamp)) {
    return value;
  }
  if (value instanceof Interval) return fromNow(value, context);
  if (value instanceof Numeric && value.kind === 'finite') {
    return value.digits / 10n ** BigInt(value.scale) / 1000n - unixEpochMicros;
  }
  if (typeof value === 'string' && type === oids.text) return parseExpiration(value, context);
  throw sqlError(
    'datatypeMismatch',
    'SPLIT AT: the expiration must be a timestamp, an interval or a decimal',
  );
}

function parseExpiration(text: string, context: StatementContext): bigint {
  try {
    return asBigint(typeOps(oids.timestamptz).parse(text, -1, context.eval));
  } catch (error) {
    if (!(error instanceof SqlFailure) || error.code !== sqlStates.invalidDatetimeFormat)
      throw error;
    return fromNow(asInterval(typeOps(oids.interval).parse(text, -1, context.eval)), context);
  }
}

const microsPerDay = 86_400_000_000n;

function fromNow({ months, days, micros }: Interval, context: StatementContext): bigint {
  return context.eval.nowMicros + BigInt(months * 30 + days) * microsPerDay + micros;
}

/** Ranges that begin at the keys (or anywhere behind the start of the table or index) may be merged again. */
export async function unsplit(
  statement: Extract<RangeStatement, { kind: 'unsplit' }>,
  context: StatementContext,
): Promise<StatementResult> {
  const catalog = sessionCatalogOf(context);
  const of = indexOf(catalog, statement.of);
  const keys =
    statement.rows === 'all'
      ? await enforcedSplits(statement.of, of, context)
      : await keysOf(statement.rows, of, context);
  const results: Row[] = [];
  for (const key of keys) {
    context.checkCanceled();
    await unsplitAt(key, context);
    results.push([key, keyText(catalog.snapshot, key)]);
  }
  return rowsResult(keyColumns, results);
}

async function keysOf(rows: Node, of: TableIndex, context: StatementContext): Promise<Buffer[]> {
  const { types, rows: values } = await runNode(rows, context);
  return values.map((row) => keyOfRow(context, of, 'UNSPLIT AT', types, row));
}

/** Where splits are enforced: in all indexes of a table, or in one index. */
async function enforcedSplits(
  target: IndexTarget,
  of: TableIndex,
  context: StatementContext,
): Promise<Buffer[]> {
  const { start, end } = target.kind === 'table' ? tableSpan(of.table) : spanOfIndex(of);
  const ranges = await context.db.rangeDescriptors(start, end);
  return ranges
    .filter(({ startKey, stickyUntil }) => startKey.compare(start) >= 0 && stickyUntil.wall > 0)
    .map(({ startKey }) => startKey);
}

async function unsplitAt(key: Buffer, context: StatementContext): Promise<void> {
  try {
    await context.db.unsplit(key);
  } catch (error) {
    if (!(error instanceof KvFailure) || error.kvError.kind !== 'invalid-request') throw error;
    const text = keyText(sessionCatalogOf(context).snapshot, key);
    throw sqlError('invalidParameterValue', `UNSPLIT: there is no split at ${text}`);
  }
}
