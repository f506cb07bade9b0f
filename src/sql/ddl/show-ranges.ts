/**
 * SHOW RANGES and SHOW RANGE. A statement is a list of columns, each with the way its value is found, over one row per
 * range or, WITH TABLES or INDEXES, per range and object in it.
 */
import { keyMax, keyMin } from '../../encoding/index.ts';
import { type NodeId, type SpanStats } from '../../kv/index.ts';
import { maxBytes, minBytes, must } from '../../util/index.ts';
import { type SessionCatalog } from '../catalog/index.ts';
import { sqlError } from '../errors.ts';
import { type IndexTarget, type RangesFrom, type RangesOption } from '../parse/index.ts';
import { type StatementContext } from '../session/types.ts';
import {
  Jsonb,
  makeArray,
  makeJsonObject,
  numericFromInt,
  oids,
  type Datum,
} from '../types/index.ts';
import { resultColumn, sessionCatalogOf } from './context.ts';
import { indexOf, tableNamed } from './named.ts';
import { hull, objectsOf, overlapping, type RangeObject } from './range-objects.ts';
import {
  fullScope,
  type KeyScope,
  type KeySpan,
  objectScope,
  shortScope,
  spanOfIndex,
  tableSpan,
} from './range-keys.ts';
import {
  enforcedUntil,
  localities,
  type RangePicture,
  rangePictures,
  replicaNodes,
} from './range-pictures.ts';
import { keyOfRow, runNode } from './range-rows.ts';
import { type Shown } from './types.ts';

interface RangeRow extends RangePicture {
  readonly scope: KeyScope;
  readonly locality: (nodeId: NodeId) => string;
  readonly object: RangeObject | undefined;
  /** Of the object's part of the range; without an object, of the range. */
  readonly stats: SpanStats | undefined;
}

interface RangeColumn {
  readonly name: string;
  readonly typeOid: number;
  readonly value: (row: RangeRow) => Datum;
}

function column(name: string, typeOid: number, value: RangeColumn['value']): RangeColumn {
  return { name, typeOid, value };
}

// Columns.

const startAndEnd: readonly RangeColumn[] = [
  column('start_key', oids.text, ({ scope, range }) => scope.start(range.startKey)),
  column('end_key', oids.text, ({ scope, range }) => scope.end(range.endKey)),
];

const rawKeys: readonly RangeColumn[] = [
  column('raw_start_key', oids.bytea, ({ range }) => range.startKey),
  column('raw_end_key', oids.bytea, ({ range }) => range.endKey),
];

const rangeId = column('range_id', oids.int8, ({ range }) => BigInt(range.rangeId));

const megabytes = column('range_size_mb', oids.float8, ({ info }) =>
  info === undefined ? null : info.sizeBytes / 1e6,
);

const lease: readonly RangeColumn[] = [
  column('lease_holder', oids.int8, ({ info }) =>
    info?.leaseholder === undefined ? null : BigInt(info.leaseholder.nodeId),
  ),
  column('lease_holder_locality', oids.text, ({ info, locality }) =>
    info?.leaseholder === undefined ? null : locality(info.leaseholder.nodeId),
  ),
];

const replicas: readonly RangeColumn[] = [
  column('replicas', oids.int8Array, ({ range }) => nodeArray(replicaNodes(range, 'all'))),
  column('replica_localities', oids.textArray, ({ range, locality }) =>
    makeArray(oids.text, replicaNodes(range, 'all').map(locality)),
  ),
];

const replicaKinds: readonly RangeColumn[] = [
  column('voting_replicas', oids.int8Array, ({ range }) =>
    nodeArray(replicaNodes(range, 'voting')),
  ),
  column('non_voting_replicas', oids.int8Array, ({ range }) =>
    nodeArray(replicaNodes(range, 'non-voting')),
  ),
  column('learner_replicas', oids.int8Array, ({ range }) =>
    nodeArray(replicaNodes(range, 'learner')),
  ),
  column('split_enforced_until', oids.timestamp, ({ range }) => enforcedUntil(range.stickyUntil)),
];

const details: readonly RangeColumn[] = [
  column('range_size', oids.int8, ({ info }) =>
    info === undefined ? null : BigInt(info.sizeBytes),
  ),
  column('span_stats', oids.jsonb, ({ stats }) => (stats === undefined ? null : statsJson(stats))),
];

const shortColumns: readonly RangeColumn[] = [
  ...startAndEnd,
  rangeId,
  megabytes,
  ...lease,
  ...replicas,
];

function nodeArray(nodes: readonly NodeId[]): Datum {
  return makeArray(oids.int8, nodes.map(BigInt));
}

/** What is counted; names as in other databases of this kind. */
function statsJson(stats: SpanStats): Datum {
  const counts: readonly (readonly [string, number])[] = [
    ['approximate_disk_bytes', stats.sizeBytes],
    ['intent_bytes', stats.intentBytes],
    ['intent_count', stats.intentCount],
    ['key_bytes', stats.keyBytes],
    ['key_count', stats.keyCount],
    ['live_bytes', stats.liveBytes],
    ['live_count', stats.liveCount],
    ['sys_bytes', stats.systemBytes],
    ['sys_count', stats.systemCount],
    ['val_bytes', stats.sizeBytes - stats.keyBytes],
    ['val_count', stats.versionCount],
  ];
  return new Jsonb(makeJsonObject(counts.map(([name, count]) => [name, numericFromInt(count)])));
}

type ObjectValue = (object: RangeObject) => Datum;

function objectColumn(name: string, typeOid: number, value: ObjectValue): RangeColumn {
  return column(name, typeOid, ({ object }) => (object === undefined ? null : value(object)));
}

/** Columns of the objects in a range, in front of its replicas. */
function objectColumns(from: RangesFrom, options: readonly RangesOption[]): RangeColumn[] {
  const perIndex = options.includes('indexes');
  if (!perIndex && !options.includes('tables')) return [];
  const named =
    from.kind === 'database' || from.kind === 'current-catalog' || from.kind === 'cluster';
  const word = perIndex ? 'index' : 'table';
  const columns: RangeColumn[] = [];
  if (from.kind === 'cluster') {
    columns.push(objectColumn('database_name', oids.text, ({ database }) => database));
  }
  if (named) {
    columns.push(
      objectColumn('schema_name', oids.text, ({ schema }) => schema),
      objectColumn('table_name', oids.text, ({ table }) => table),
      objectColumn('table_id', oids.int8, ({ tableId }) => BigInt(tableId)),
    );
  }
  if (perIndex) {
    columns.push(
      objectColumn('index_name', oids.text, ({ index }) => index?.name ?? null),
      objectColumn('index_id', oids.int8, ({ index }) =>
        index === undefined ? null : BigInt(index.id),
      ),
    );
  }
  columns.push(
    objectColumn(`${word}_start_key`, oids.text, ({ startText }) => startText),
    objectColumn(`${word}_end_key`, oids.text, ({ endText }) => endText),
  );
  if (options.includes('keys')) {
    columns.push(
      objectColumn(`raw_${word}_start_key`, oids.bytea, ({ span }) => span.start),
      objectColumn(`raw_${word}_end_key`, oids.bytea, ({ span }) => span.end),
    );
  }
  return columns;
}

function columnsFor(from: RangesFrom, options: readonly RangesOption[]): RangeColumn[] {
  const isDetailed = options.includes('details');
  return [
    ...startAndEnd,
    ...(options.includes('keys') ? rawKeys : []),
    rangeId,
    ...objectColumns(from, options),
    ...(isDetailed ? [megabytes, ...lease] : []),
    ...replicas,
    ...replicaKinds,
    ...(isDetailed ? details : []),
  ];
}

function shown(columns: readonly RangeColumn[], rows: RowsOf): Shown {
  return {
    columns: columns.map(({ name, typeOid }) => resultColumn(name, typeOid)),
    rows: async (context) =>
      (await rows(context)).map((row) => columns.map(({ value }) => value(row))),
  };
}

type RowsOf = (context: StatementContext) => Promise<RangeRow[]>;

// Rows.

export function showRanges(from: RangesFrom, options: readonly RangesOption[]): Shown {
  checkOptions(from, options);
  if (options.length > 0) {
    return shown(columnsFor(from, options), (context) => rowsWith(from, options, context));
  }
  switch (from.kind) {
    case 'database':
    case 'current-catalog': {
      const name = objectColumn('table_name', oids.text, ({ table }) => table);
      return shown([name, ...shortColumns], (context) => rowsOfDatabase(from, context));
    }
    case 'cluster':
      return shown(shortColumns, async (context) => {
        const { snapshot } = sessionCatalogOf(context);
        return plainRows(context, { start: keyMin, end: keyMax }, fullScope(snapshot));
      });
    default:
      return shown(shortColumns, async (context) => {
        const catalog = sessionCatalogOf(context);
        const span = spanOfIndex(indexOf(catalog, from));
        return plainRows(context, span, shortScope(catalog.snapshot, span));
      });
  }
}

function checkOptions(from: RangesFrom, options: readonly RangesOption[]): void {
  const refuse = (what: string): never => {
    throw sqlError('syntaxError', `SHOW RANGES: ${what}`);
  };
  if (options.includes('tables') && options.includes('indexes')) {
    refuse('TABLES and INDEXES exclude each other');
  }
  if (from.kind === 'table' && options.includes('tables')) {
    refuse('WITH TABLES says nothing about a single table');
  }
  if (from.kind === 'index' || from.kind === 'index-name') {
    if (options.includes('tables')) refuse('WITH TABLES says nothing about an index');
    if (options.includes('indexes')) refuse('WITH INDEXES says nothing about a single index');
  }
}

async function plainRows(
  context: StatementContext,
  span: KeySpan,
  scope: KeyScope,
  isDetailed = true,
): Promise<RangeRow[]> {
  const locality = localities(context);
  const pictures = await rangePictures(context, span, isDetailed);
  return pictures.map((picture) => ({
    ...picture,
    scope,
    locality,
    object: undefined,
    stats: picture.info,
  }));
}

/** Tables by name, each with its ranges; what TRUNCATE left behind belongs to the table, too. */
async function rowsOfDatabase(from: RangesFrom, context: StatementContext): Promise<RangeRow[]> {
  const catalog = sessionCatalogOf(context);
  const objects = objectsOf(catalog, from, false);
  const rows: RangeRow[] = [];
  const ranges = await plainRows(context, hull(objects), fullScope(catalog.snapshot));
  for (const object of [...objects].sort((a, b) => (a.table < b.table ? -1 : 1))) {
    const scope = shortScope(catalog.snapshot, object.span);
    for (const row of overlapping(ranges, spanOfRange, object.span)) {
      rows.push({ ...row, object, scope });
    }
  }
  return rows;
}

async function rowsWith(
  from: RangesFrom,
  options: readonly RangesOption[],
  context: StatementContext,
): Promise<RangeRow[]> {
  const catalog = sessionCatalogOf(context);
  const { span, scope } = lookedAt(catalog, from);
  const isDetailed = options.includes('details');
  const ranges = await plainRows(context, span, scope, isDetailed);
  const perIndex = options.includes('indexes');
  const perObject = perIndex || options.includes('tables');
  const tables = objectsOf(catalog, from, false);
  const objects = perIndex ? objectsOf(catalog, from, true) : tables;
  const rows: RangeRow[] = [];
  for (const row of ranges) {
    const inside = (of: readonly RangeObject[]): readonly RangeObject[] =>
      overlapping(of, ({ span }) => span, spanOfRange(row));
    // Between the tables of a database lie those of others.
    if (from.kind !== 'cluster' && inside(tables).length === 0) continue;
    const found = perObject ? inside(objects) : [];
    if (found.length === 0) rows.push(row);
    for (const object of found) rows.push({ ...row, object });
  }
  return isDetailed && perObject ? countObjects(context, rows) : rows;
}

/** What the statement is about: its span, and how keys are written there. */
function lookedAt(
  catalog: SessionCatalog,
  from: RangesFrom,
): { readonly span: KeySpan; readonly scope: KeyScope } {
  const { snapshot } = catalog;
  switch (from.kind) {
    case 'table': {
      const table = tableNamed(catalog, from.name);
      return { span: tableSpan(table), scope: objectScope(snapshot, table, undefined) };
    }
    case 'index':
    case 'index-name': {
      const of = indexOf(catalog, from);
      return { span: spanOfIndex(of), scope: objectScope(snapshot, of.table, of) };
    }
    case 'cluster':
      return { span: { start: keyMin, end: keyMax }, scope: fullScope(snapshot) };
    default:
      return { span: hull(objectsOf(catalog, from, false)), scope: fullScope(snapshot) };
  }
}

function spanOfRange({ range }: RangePicture): KeySpan {
  return { start: range.startKey, end: range.endKey };
}

const countedAtOnce = 16;

/** Ranges that hold an object whole or in part are asked what is the object's; those that hold nothing else know it. */
async function countObjects(
  context: StatementContext,
  rows: readonly RangeRow[],
): Promise<RangeRow[]> {
  const counted: RangeRow[] = [];
  for (let at = 0; at < rows.length; at += countedAtOnce) {
    context.checkCanceled();
    const some = rows.slice(at, at + countedAtOnce);
    counted.push(...(await Promise.all(some.map((row) => countObject(context, row)))));
  }
  return counted;
}

async function countObject(context: StatementContext, row: RangeRow): Promise<RangeRow> {
  const { range, object } = row;
  // Without a leaseholder there is nobody to ask.
  if (object === undefined || row.info === undefined) return row;
  const start = maxBytes(range.startKey, object.span.start);
  const end = minBytes(range.endKey, object.span.end);
  if (start.equals(range.startKey) && end.equals(range.endKey)) return row;
  return { ...row, stats: await context.db.spanStats(start, end) };
}

// One row of a table.

const rowColumns = [...startAndEnd, rangeId, ...lease, ...replicas];

export function showRange(of: IndexTarget, row: Parameters<typeof runNode>[0]): Shown {
  return shown(rowColumns, async (context) => {
    const catalog = sessionCatalogOf(context);
    const index = indexOf(catalog, of);
    const values = await runNode(row, context);
    const key = keyOfRow(context, index, 'FOR ROW', values.types, must(values.rows[0]));
    if (values.types.length < index.index.columns.length) {
      throw sqlError(
        'syntaxError',
        `FOR ROW needs a value for each of the ${index.index.columns.length} columns of index "${index.index.name}", not ${values.types.length}`,
      );
    }
    const at = { start: key, end: Buffer.concat([key, Buffer.from([0])]) };
    return plainRows(context, at, shortScope(catalog.snapshot, spanOfIndex(index)));
  });
}
