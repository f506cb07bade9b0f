/** Ranges: SHOW RANGES, SPLIT AT. */
import { type Node } from '@pgsql/types';
import { must, prefixEnd } from '../../util/index.ts';
import { decodeIndexPrefix, tableKeyPrefix } from '../../encoding/index.ts';
import { gossipKeys, maxTimestamp, type NodeInfo, type RangeInfo } from '../../kv/index.ts';
import { type TableDescriptor } from '../catalog/index.ts';
import { sqlError } from '../errors.ts';
import { type ClusterStatement } from '../parse/index.ts';
import { planStatement } from '../plan/index.ts';
import { tableCodec } from '../row/index.ts';
import { type StatementContext, type StatementResult } from '../session/types.ts';
import { makeArray, oids, typeOps, type Datum, type Row } from '../types/index.ts';
import { indexSpan } from './backfill.ts';
import { resultColumn, rowsResult, sessionCatalogOf } from './context.ts';
import { indexNamed, tableNamed } from './named.ts';
import { constantText } from './nodes.ts';
import { type Shown } from './types.ts';

/** `region=eu,zone=a`. */
function localityText(context: StatementContext, nodeId: number | undefined): string {
  if (nodeId === undefined) return '';
  const entries = context.gossip?.list(gossipKeys.nodePrefix) ?? [];
  for (const [, value] of entries) {
    const info = value as NodeInfo | undefined;
    if (info?.nodeId === nodeId) return info.locality.map((tier) => tier.join('=')).join(',');
  }
  return '';
}

const rangeColumns = [
  resultColumn('start_key', oids.text),
  resultColumn('end_key', oids.text),
  resultColumn('range_id', oids.int8),
  resultColumn('range_size_mb', oids.float8),
  resultColumn('lease_holder', oids.int8),
  resultColumn('lease_holder_locality', oids.text),
  resultColumn('replicas', oids.int8Array),
  resultColumn('replica_localities', oids.textArray),
];

function rangeRow(
  context: StatementContext,
  info: RangeInfo,
  span: { readonly start: Buffer; readonly end: Buffer },
  pretty: (key: Buffer) => string,
): Row {
  const { range, leaseholder } = info;
  const nodes = range.replicas.map((replica) => Number(replica.nodeId)).sort((a, b) => a - b);
  return [
    range.startKey.compare(span.start) <= 0 ? null : pretty(range.startKey),
    range.endKey.compare(span.end) >= 0 ? null : pretty(range.endKey),
    BigInt(range.rangeId),
    info.sizeBytes / 1e6,
    leaseholder === undefined ? null : BigInt(leaseholder.nodeId),
    localityText(context, leaseholder?.nodeId),
    makeArray(oids.int8, nodes.map(BigInt)),
    makeArray(
      oids.text,
      nodes.map((nodeId) => localityText(context, nodeId)),
    ),
  ];
}

/** The key without table and index; an index other than the one shown keeps its number. */
function prettyKey(table: TableDescriptor, key: Buffer): string {
  const place = decodeIndexPrefix(key);
  if (place?.tableId !== table.id || place.indexId === undefined)
    return `/0x${key.toString('hex')}`;
  const indexes = [table.primaryIndex, ...table.indexes];
  if (!indexes.some(({ id }) => id === place.indexId)) return `/0x${key.toString('hex')}`;
  return tableCodec(table).index(place.indexId).prettyKey(key);
}

type RangesFrom = Extract<ClusterStatement, { kind: 'show-ranges' }>['from'];

export function showRanges(from: RangesFrom): Shown {
  const isDatabase = from.kind === 'database' || from.kind === 'current-catalog';
  return {
    columns: isDatabase ? [resultColumn('table_name', oids.text), ...rangeColumns] : rangeColumns,
    rows: (context) => rangeRows(from, context),
  };
}

async function rangeRows(from: RangesFrom, context: StatementContext): Promise<Row[]> {
  const catalog = sessionCatalogOf(context);
  switch (from.kind) {
    case 'table':
    case 'index': {
      const table = tableNamed(catalog, from.kind === 'table' ? from.name : from.table);
      const index = from.kind === 'table' ? table.primaryIndex : indexNamed(table, from.index);
      const span = indexSpan(table.id, index.id);
      const infos = await context.db.ranges(span.start, span.end);
      return infos.map((info) => rangeRow(context, info, span, (key) => prettyKey(table, key)));
    }
    case 'database':
    case 'current-catalog': {
      const name = from.kind === 'database' ? from.name : catalog.databaseName;
      const database = catalog.snapshot.database(name);
      if (database === undefined)
        throw sqlError('invalidCatalogName', `database "${name}" does not exist`);
      const rows: Row[] = [];
      const tables = [...catalog.snapshot.contents(database.id).tables];
      tables.sort((a, b) => (a.name < b.name ? -1 : 1));
      for (const table of tables) {
        const start = tableKeyPrefix(table.id);
        const span = { start, end: must(prefixEnd(start)) };
        for (const info of await context.db.ranges(span.start, span.end)) {
          rows.push([table.name, ...rangeRow(context, info, span, (key) => prettyKey(table, key))]);
        }
      }
      return rows;
    }
  }
}

export async function splitAt(
  statement: Extract<ClusterStatement, { kind: 'split-at' }>,
  context: StatementContext,
): Promise<StatementResult> {
  const catalog = sessionCatalogOf(context);
  const table = tableNamed(catalog, statement.table);
  const index =
    statement.index === undefined ? table.primaryIndex : indexNamed(table, statement.index);
  const columns = index.columns.map(({ columnId }) =>
    must(table.columns.find(({ id }) => id === columnId)),
  );
  const rows = await runNode(statement.rows, context);
  if (rows.types.length > columns.length) {
    throw sqlError(
      'syntaxError',
      `SPLIT AT data column count ${rows.types.length} exceeds the ${columns.length} columns of index "${index.name}"`,
    );
  }
  const expiration =
    statement.expiration === undefined ? undefined : constantText(statement.expiration);
  const until =
    expiration === undefined
      ? undefined
      : typeOps(oids.timestamptz).parse(expiration, -1, context.eval);
  const codec = tableCodec(table).index(index.id);
  const results: Row[] = [];
  for (const row of rows.rows) {
    const values = row.map((value, at): Datum => {
      const column = must(columns[at]);
      const from = must(rows.types[at]);
      if (value === null || from === column.typeOid) return value;
      const text = typeOps(from).format(value, context.eval);
      return typeOps(column.typeOid).parse(text, column.typmod, context.eval);
    });
    const key = codec.encodeKeyPrefix(values);
    await context.db.split(key, {
      expiration:
        typeof until === 'bigint'
          ? { wall: Number(until) + 946_684_800_000_000, logical: 0 }
          : maxTimestamp,
    });
    results.push([key, `/Table/${table.id}/${index.id}${codec.prettyKey(key)}`, until ?? null]);
  }
  return rowsResult(
    [
      resultColumn('key', oids.bytea),
      resultColumn('pretty', oids.text),
      resultColumn('split_enforced_until', oids.timestamptz),
    ],
    results,
  );
}

async function runNode(
  node: Node,
  context: StatementContext,
): Promise<{ readonly types: readonly number[]; readonly rows: readonly Row[] }> {
  const plan = await planStatement({
    statement: node,
    parameterTypes: [],
    catalog: context.catalog,
    eval: context.eval,
  });
  const result = await plan.execute({ ...context, autocommit: false });
  const rows: Row[] = [];
  while (true) {
    const batch = await result.next();
    if (batch === undefined) return { types: plan.columns.map((column) => column.typeOid), rows };
    rows.push(...batch);
  }
}
