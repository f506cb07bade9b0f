/** Cluster statements: ranges, splits, settings, zones. SHOW of objects is in show.ts. */
import { type Node } from '@pgsql/types';
import { must, prefixEnd } from '../../util/index.ts';
import { decodeIndexPrefix, tableKeyPrefix } from '../../encoding/index.ts';
import { gossipKeys, maxTimestamp, type NodeInfo, type RangeInfo } from '../../kv/index.ts';
import {
  checkZone,
  findSetting,
  formatSetting,
  fullZone,
  ownZone,
  parseSetting,
  rangeZones,
  settingText,
  clusterSettings,
  systemIds,
  zoneAssignments,
  zoneChain,
  zoneFields,
  type CatalogSnapshot,
  type IndexDescriptor,
  type SessionCatalog,
  type TableDescriptor,
  type ZoneConfig,
  type ZoneId,
  quoteIdentifier,
} from '../catalog/index.ts';
import { sqlError } from '../errors.ts';
import { type ClusterStatement, type NameParts, type ZoneTarget } from '../parse/types.ts';
import { planStatement } from '../plan/index.ts';
import { tableCodec } from '../row/index.ts';
import { type StatementContext, type StatementResult } from '../session/types.ts';
import { makeArray, oids, typeOps, type Datum, type Row } from '../types/index.ts';
import {
  done,
  noRelation,
  resultColumn,
  rowsResult,
  sessionCatalogOf,
  startDdl,
} from './context.ts';
import { indexSpan } from './backfill.ts';
import { nowMicros } from './jobs.ts';
import { constantText, nameOf } from './nodes.ts';
import { showObjects } from './show.ts';

export async function runCluster(
  statement: ClusterStatement,
  context: StatementContext,
): Promise<StatementResult> {
  switch (statement.kind) {
    case 'show-ranges':
      return showRanges(statement.from, context);
    case 'split-at':
      return splitAt(statement, context);
    case 'show-cluster-setting':
      return showSetting(statement.name, context);
    case 'show-cluster-settings':
      return showSettings(statement.all, context);
    case 'set-cluster-setting':
      return setSetting(statement.name, statement.value, context);
    case 'configure-zone':
      return configureZone(statement, context);
    case 'show-zone':
      return showZone(statement.target, context);
    case 'show-zones':
      return showZones(context);
    case 'show-objects':
      return showObjects(statement.what, statement.of, context);
  }
}

// Ranges.

function tableNamed(catalog: SessionCatalog, parts: NameParts): TableDescriptor {
  const name = nameOf(parts);
  const found = catalog.findNamed(name);
  if (found === undefined) throw noRelation(name);
  if (found.kind === 'table') return found;
  throw sqlError('wrongObjectType', `"${name.name}" is not a table`);
}

function indexNamed(table: TableDescriptor, name: string): IndexDescriptor {
  const index = [table.primaryIndex, ...table.indexes].find((candidate) => candidate.name === name);
  if (index === undefined) throw sqlError('undefinedObject', `index "${name}" does not exist`);
  return index;
}

/** `region=eu,zone=a`. */
export function localityText(context: StatementContext, nodeId: number | undefined): string {
  if (nodeId === undefined) return '';
  const entries = context.gossip?.list(gossipKeys.nodePrefix) ?? [];
  for (const [, value] of entries) {
    const info = value as NodeInfo | undefined;
    if (info?.nodeId === nodeId) return info.locality.map((tier) => tier.join('=')).join(',');
  }
  return '';
}

const int8Array = 1016;
const textArray = 1009;

const rangeColumns = [
  resultColumn('start_key', oids.text),
  resultColumn('end_key', oids.text),
  resultColumn('range_id', oids.int8),
  resultColumn('range_size_mb', oids.float8),
  resultColumn('lease_holder', oids.int8),
  resultColumn('lease_holder_locality', oids.text),
  resultColumn('replicas', int8Array),
  resultColumn('replica_localities', textArray),
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

async function showRanges(
  from: Extract<ClusterStatement, { kind: 'show-ranges' }>['from'],
  context: StatementContext,
): Promise<StatementResult> {
  const catalog = sessionCatalogOf(context);
  switch (from.kind) {
    case 'table':
    case 'index': {
      const table = tableNamed(catalog, from.kind === 'table' ? from.name : from.table);
      const index = from.kind === 'table' ? table.primaryIndex : indexNamed(table, from.index);
      const span = indexSpan(table.id, index.id);
      const infos = await context.db.ranges(span.start, span.end);
      const rows = infos.map((info) =>
        rangeRow(context, info, span, (key) => prettyKey(table, key)),
      );
      return rowsResult(rangeColumns, rows);
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
      return rowsResult([resultColumn('table_name', oids.text), ...rangeColumns], rows);
    }
  }
}

async function splitAt(
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

// Settings.

function showSetting(name: string, context: StatementContext): StatementResult {
  const setting = findSetting(name);
  const { snapshot } = sessionCatalogOf(context);
  const text = formatSetting(setting, settingText(snapshot, setting));
  return rowsResult([resultColumn(setting.name, oids.text)], [[text]]);
}

export function settingRows(snapshot: CatalogSnapshot): Row[] {
  return clusterSettings.map((setting) => [
    setting.name,
    formatSetting(setting, settingText(snapshot, setting)),
    setting.type,
    true,
    setting.description,
    formatSetting(setting, String(setting.defaultValue)),
    snapshot.data.settings.has(setting.name) ? 'override' : 'default',
  ]);
}

function showSettings(all: boolean, context: StatementContext): StatementResult {
  const columns = [
    resultColumn('variable', oids.text),
    resultColumn('value', oids.text),
    resultColumn('setting_type', oids.text),
    resultColumn('public', oids.bool),
    resultColumn('description', oids.text),
    resultColumn('default_value', oids.text),
    resultColumn('origin', oids.text),
  ];
  const rows = settingRows(sessionCatalogOf(context).snapshot);
  if (all) return rowsResult(columns, rows);
  const without = <T>(list: readonly T[]): T[] => list.filter((_, at) => at !== 3);
  return rowsResult(without(columns), rows.map(without));
}

async function setSetting(
  name: string,
  value: Node | 'default',
  context: StatementContext,
): Promise<StatementResult> {
  if (!context.autocommit) {
    throw sqlError(
      'activeSqlTransaction',
      'SET CLUSTER SETTING cannot run inside a transaction block',
    );
  }
  const setting = findSetting(name);
  if (setting.name === 'version') {
    throw sqlError('cantChangeRuntimeParam', 'the cluster version cannot be set');
  }
  const { writer } = await startDdl(context, 'SET CLUSTER SETTING');
  const text = value === 'default' ? undefined : constantText(value);
  const stored = text === undefined ? undefined : parseSetting(setting, text);
  writer.putSetting(setting.name, setting.type, stored, nowMicros(context.env));
  return done('SET CLUSTER SETTING');
}

// Zones.

interface NamedZone {
  readonly zone: ZoneId;
  /** `TABLE db.public.t`, as ALTER writes it. */
  readonly text: string;
}

/** `TABLE db.public.t`, `INDEX db.public.t@i`, `DATABASE d`, `RANGE default`. Undefined for what is gone. */
export function zoneText(snapshot: CatalogSnapshot, zone: ZoneId): string | undefined {
  const range = rangeZones.find(({ id }) => id === zone.id);
  if (range !== undefined) return `RANGE ${range.name}`;
  const descriptor = snapshot.byId(zone.id);
  if (descriptor?.kind === 'database') return `DATABASE ${quoteIdentifier(descriptor.name)}`;
  if (descriptor?.kind !== 'table') return undefined;
  const database = snapshot.byId(descriptor.databaseId)?.name ?? '';
  const path = [database, snapshot.schemaName(descriptor.schemaId), descriptor.name];
  const name = path.map(quoteIdentifier).join('.');
  if (zone.subId === 0) return `TABLE ${name}`;
  const index = [descriptor.primaryIndex, ...descriptor.indexes].find(
    ({ id }) => id === zone.subId,
  );
  return index === undefined ? undefined : `INDEX ${name}@${quoteIdentifier(index.name)}`;
}

function zoneTarget(catalog: SessionCatalog, target: ZoneTarget): NamedZone {
  const { snapshot } = catalog;
  const named = (zone: ZoneId): NamedZone => ({ zone, text: zoneText(snapshot, zone) ?? '' });
  switch (target.kind) {
    case 'range': {
      const range = rangeZones.find(({ name }) => name === target.name.toLowerCase());
      if (range !== undefined) return named({ id: range.id, subId: 0 });
      throw sqlError('invalidParameterValue', `there is no zone named "${target.name}"`, {
        hint: `Zones: ${rangeZones.map(({ name }) => name).join(', ')}.`,
      });
    }
    case 'database': {
      const database = snapshot.database(target.name);
      if (database !== undefined) return named({ id: database.id, subId: 0 });
      throw sqlError('invalidCatalogName', `database "${target.name}" does not exist`);
    }
    case 'table':
      return named({ id: tableNamed(catalog, target.name).id, subId: 0 });
    case 'index': {
      const table = tableNamed(catalog, target.table);
      return named({ id: table.id, subId: indexNamed(table, target.index).id });
    }
  }
}

async function configureZone(
  statement: Extract<ClusterStatement, { kind: 'configure-zone' }>,
  context: StatementContext,
): Promise<StatementResult> {
  const { catalog, writer } = await startDdl(context, 'CONFIGURE ZONE');
  const { zone } = zoneTarget(catalog, statement.target);
  const descriptor = catalog.snapshot.byId(zone.id);
  if (descriptor?.kind === 'table' && descriptor.databaseId === systemIds.systemDatabase) {
    throw sqlError(
      'insufficientPrivilege',
      `the zone of system table "${descriptor.name}" cannot be configured`,
    );
  }
  const key = `${zone.id}/${zone.subId}`;
  if (statement.change.kind === 'discard') {
    if (zone.id === 0) throw sqlError('checkViolation', 'the default zone cannot be removed');
    writer.putZone(zone, undefined);
    return done('CONFIGURE ZONE 1');
  }
  let own: ZoneConfig = catalog.snapshot.data.zones.get(key) ?? {};
  const parent = zoneChain(catalog.snapshot, zone)[1] ?? { id: 0, subId: 0 };
  const seen = new Set<string>();
  for (const { name, value } of statement.change.values) {
    const known = zoneFields.find((field) => field.name === name.toLowerCase());
    if (known === undefined) {
      const isPlacement = [
        'constraints',
        'lease_preferences',
        'voter_constraints',
        'num_voters',
        'global_reads',
      ].includes(name);
      throw isPlacement
        ? sqlError('featureNotSupported', `zone parameter "${name}" is not supported`)
        : sqlError('invalidParameterValue', `unknown zone parameter "${name}"`);
    }
    if (seen.has(known.name)) {
      throw sqlError('invalidParameterValue', `zone parameter "${known.name}" is given twice`);
    }
    seen.add(known.name);
    own = {
      ...own,
      [known.field]: zoneNumber(known.name, value, fullZone(catalog.snapshot, parent)[known.field]),
    };
  }
  const zones = new Map(catalog.snapshot.data.zones).set(key, own);
  checkZone(own, fullZone(catalog.snapshot.with(new Map(), { zones }), zone));
  writer.putZone(zone, own);
  return done('CONFIGURE ZONE 1');
}

function zoneNumber(name: string, value: Node | 'copy-from-parent', inherited: number): number {
  if (value === 'copy-from-parent') return inherited;
  const text = constantText(value);
  if (text === undefined)
    throw sqlError('invalidParameterValue', `zone parameter "${name}" cannot be NULL`);
  const number = Number(text);
  if (!Number.isSafeInteger(number)) {
    throw sqlError(
      'invalidParameterValue',
      `zone parameter "${name}" must be an integer, not "${text}"`,
    );
  }
  return number;
}

export function zoneSql(text: string, config: ZoneConfig): string {
  return `ALTER ${text} CONFIGURE ZONE USING\n\t${zoneAssignments(config).join(',\n\t')}`;
}

const zoneColumns = [resultColumn('target', oids.text), resultColumn('raw_config_sql', oids.text)];

function showZone(target: ZoneTarget, context: StatementContext): StatementResult {
  const catalog = sessionCatalogOf(context);
  const { zone } = zoneTarget(catalog, target);
  const { snapshot } = catalog;
  const source = zoneChain(snapshot, zone).find(
    (step) => ownZone(snapshot, step) !== undefined,
  ) ?? { id: 0, subId: 0 };
  const text = zoneText(snapshot, source) ?? 'RANGE default';
  return rowsResult(zoneColumns, [[text, zoneSql(text, fullZone(snapshot, zone))]]);
}

/** Every zone that has something set, named zones first. */
export function configuredZones(
  snapshot: CatalogSnapshot,
): { readonly zone: ZoneId; readonly text: string; readonly config: ZoneConfig }[] {
  const ids: ZoneId[] = rangeZones.map(({ id }) => ({ id, subId: 0 }));
  for (const key of snapshot.data.zones.keys()) {
    const [id = 0, subId = 0] = key.split('/').map(Number);
    if (!ids.some((zone) => zone.id === id && zone.subId === subId)) ids.push({ id, subId });
  }
  return ids.flatMap((zone) => {
    const text = zoneText(snapshot, zone);
    const config = ownZone(snapshot, zone);
    return text === undefined || config === undefined ? [] : [{ zone, text, config }];
  });
}

function showZones(context: StatementContext): StatementResult {
  const rows = configuredZones(sessionCatalogOf(context).snapshot).map(({ text, config }) => [
    text,
    zoneSql(text, config),
  ]);
  return rowsResult(zoneColumns, rows);
}
