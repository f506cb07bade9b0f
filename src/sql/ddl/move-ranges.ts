/** RELOCATE and SCATTER: replicas and leases go where an operator wants them. */
import { type Node } from '@pgsql/types';
import { keyMax, keyMin } from '../../encoding/index.ts';
import {
  asRangeId,
  asStoreId,
  inRange,
  KvFailure,
  type RangeDescriptor,
  type RangeId,
  type StoreId,
} from '../../kv/index.ts';
import { must } from '../../util/index.ts';
import { sqlError } from '../errors.ts';
import { type RangeStatement, type RelocatedReplicas } from '../parse/index.ts';
import { type StatementContext, type StatementResult } from '../session/types.ts';
import { ArrayDatum, oids, typeOf, type Datum, type Row } from '../types/index.ts';
import { resultColumn, rowsResult, sessionCatalogOf } from './context.ts';
import { indexOf } from './named.ts';
import { keyText, spanOfIndex, tableSpan } from './range-keys.ts';
import { keyColumns, keyOfRow, runNode } from './range-rows.ts';

type Relocation = Pick<Extract<RangeStatement, { kind: 'relocate' }>, 'what' | 'from' | 'to'>;

export const relocationColumns = [
  resultColumn('range_id', oids.int8),
  resultColumn('pretty', oids.text),
  resultColumn('result', oids.text),
];

/** ALTER RANGE: one row per range; what keeps a range from moving stands in it. Throws 42704 for a range that is not there. */
export async function relocate(
  statement: Extract<RangeStatement, { kind: 'relocate' }>,
  context: StatementContext,
): Promise<StatementResult> {
  const { snapshot } = sessionCatalogOf(context);
  const ids = await rangeIds(statement.ranges, context);
  const ranges = await rangesById(ids, context);
  const results: Row[] = [];
  for (const range of ranges) {
    context.checkCanceled();
    const result = await outcomeOf(relocateRange(range, statement, context));
    results.push([BigInt(range.rangeId), keyText(snapshot, range.startKey), result]);
  }
  return rowsResult(relocationColumns, results);
}

async function rangeIds(
  ranges: Extract<RangeStatement, { kind: 'relocate' }>['ranges'],
  context: StatementContext,
): Promise<RangeId[]> {
  if (typeof ranges === 'number') return [asRangeId(ranges)];
  const { types, rows } = await runNode(ranges, context);
  const [type] = types;
  if (types.length !== 1 || type === undefined || typeOf(type).category !== 'N') {
    throw sqlError('datatypeMismatch', 'RELOCATE: the query must return one column of range ids');
  }
  return rows.map(([id]) => asRangeId(wholeNumber(id ?? null, 'a range id')));
}

async function rangesById(
  ids: readonly RangeId[],
  context: StatementContext,
): Promise<RangeDescriptor[]> {
  const all = await context.db.rangeDescriptors(keyMin, keyMax);
  const byId = new Map(all.map((range) => [range.rangeId, range]));
  return ids.map((id) => {
    const range = byId.get(id);
    if (range !== undefined) return range;
    throw sqlError('undefinedObject', `range r${id} does not exist`);
  });
}

function relocateRange(
  range: RangeDescriptor,
  { what, from, to }: Relocation,
  { db }: StatementContext,
): Promise<void> {
  const target = asStoreId(to);
  if (what === 'lease') return db.transferLease(range.startKey, target);
  const kind = what === 'voters' ? 'voter' : 'non-voter';
  const stores = range.replicas.filter((each) => each.kind === kind).map((each) => each.storeId);
  const source = asStoreId(must(from));
  if (!stores.includes(source)) {
    const reason = range.replicas.some(({ storeId }) => storeId === source)
      ? `store ${source} has no ${kind} ${inRange(range)}`
      : `unable to find store ${source} ${inRange(range)}`;
    return Promise.reject(new KvFailure({ kind: 'invalid-request', reason }));
  }
  const moved = stores.map((store) => (store === source ? target : store));
  return db.relocateRange(range.startKey, placing(what, moved));
}

function placing(
  what: Exclude<RelocatedReplicas, 'lease'>,
  stores: readonly StoreId[],
): { readonly voters: readonly StoreId[] } | { readonly nonVoters: readonly StoreId[] } {
  return what === 'voters' ? { voters: stores } : { nonVoters: stores };
}

/** `ok`, or why not; other failures end the statement. */
async function outcomeOf(work: Promise<void>): Promise<string> {
  try {
    await work;
    return 'ok';
  } catch (error) {
    if (error instanceof KvFailure && error.kvError.kind === 'invalid-request') {
      return error.kvError.reason;
    }
    throw error;
  }
}

/** EXPERIMENTAL_RELOCATE: the range that holds the key goes to exactly these stores. */
export async function relocateRows(
  statement: Extract<RangeStatement, { kind: 'relocate-rows' }>,
  context: StatementContext,
): Promise<StatementResult> {
  const catalog = sessionCatalogOf(context);
  const of = indexOf(catalog, statement.of);
  const { types, rows } = await runNode(statement.rows, context);
  const targets = rows.map((row) => ({
    stores: storesOf(statement.what, row[0] ?? null),
    key: keyOfRow(context, of, 'RELOCATE', types.slice(1), row.slice(1)),
  }));
  for (const { stores, key } of targets) {
    context.checkCanceled();
    if (statement.what === 'lease') await context.db.transferLease(key, must(stores[0]));
    else await context.db.relocateRange(key, placing(statement.what, stores));
  }
  return keyRows(
    context,
    targets.map(({ key }) => key),
  );
}

function storesOf(what: RelocatedReplicas, value: Datum): StoreId[] {
  if (what === 'lease') return [asStoreId(wholeNumber(value, 'a store'))];
  if (value instanceof ArrayDatum) {
    return value.elements.map((each) => asStoreId(wholeNumber(each, 'a store')));
  }
  throw sqlError('datatypeMismatch', 'RELOCATE: the first column must be an array of stores');
}

function wholeNumber(value: Datum, what: string): number {
  const number = typeof value === 'bigint' ? Number(value) : value;
  if (typeof number === 'number' && Number.isSafeInteger(number) && number > 0) return number;
  throw sqlError('invalidParameterValue', `RELOCATE: ${what} is expected`);
}

function keyRows(context: StatementContext, keys: readonly Buffer[]): StatementResult {
  const { snapshot } = sessionCatalogOf(context);
  return rowsResult(
    keyColumns,
    keys.map((key) => [key, keyText(snapshot, key)]),
  );
}

/** Replicas and leases of the ranges are spread at random; what cannot be moved stays. One row per range. */
export async function scatter(
  { of: target, span }: Extract<RangeStatement, { kind: 'scatter' }>,
  context: StatementContext,
): Promise<StatementResult> {
  const of = indexOf(sessionCatalogOf(context), target);
  const keyAt = async (row: Node): Promise<Buffer> => {
    const { types, rows } = await runNode(row, context);
    return keyOfRow(context, of, 'SCATTER', types, must(rows[0]));
  };
  const whole = target.kind === 'table' ? tableSpan(of.table) : spanOfIndex(of);
  const { start, end } =
    span === undefined ? whole : { start: await keyAt(span.from), end: await keyAt(span.to) };
  if (start.compare(end) >= 0) {
    throw sqlError('invalidParameterValue', 'SCATTER: the end is not behind the start');
  }
  await context.db.scatter(start, end);
  const ranges = await context.db.rangeDescriptors(start, end);
  return keyRows(
    context,
    ranges.map(({ startKey }) => startKey),
  );
}
