/**
 * Partitions of indexes: names for spans of keys, on which zones can be set. They change nothing about which rows a
 * table may hold, nor how these are found.
 */
import { type Node } from '@pgsql/types';
import { must } from '../../util/index.ts';
import {
  fullZone,
  indexesOf,
  ownZone,
  partitionSpans,
  partitionValues,
  shownConfig,
  zoneYaml,
  type IndexDescriptor,
  type PartitionDescriptor,
  type Partitioning,
  type PartitionValue,
  type TableDescriptor,
} from '../catalog/index.ts';
import { sqlError } from '../errors.ts';
import {
  type ClusterStatement,
  type IndexTarget,
  type PartitionBound,
  type PartitionBy,
} from '../parse/index.ts';
import { storedFormat } from '../row/index.ts';
import { type StatementContext, type StatementResult } from '../session/types.ts';
import { oids, typeOps, type FormatSettings, type Row } from '../types/index.ts';
import {
  done,
  findNamed,
  refuseSystemTable,
  resultColumn,
  sessionCatalogOf,
  startDdl,
  type Ddl,
  type UtilityContext,
} from './context.ts';
import { createTable } from './create-table.ts';
import { columnById, requireColumn, type TableDraft } from './draft.ts';
import { indexOf, tableNamed } from './named.ts';
import { constantText } from './nodes.ts';
import { recordIndex, recordObject } from './object-events.ts';
import { type Shown } from './types.ts';

type CreatePartitioned = Extract<ClusterStatement, { kind: 'create-partitioned' }>;
type Alter = Extract<ClusterStatement, { kind: 'partition-by' }>;

export async function createPartitionedTable(
  { table: node, by }: CreatePartitioned,
  context: UtilityContext,
): Promise<StatementResult> {
  if (!('CreateStmt' in node)) throw sqlError('syntaxError', 'only tables have partitions');
  const ddl = await startDdl(context, 'CREATE TABLE');
  const result = await createTable(ddl, node.CreateStmt);
  const table = findNamed(ddl, node.CreateStmt.relation);
  // Otherwise it was there before (IF NOT EXISTS).
  if (table.kind === 'table' && ddl.writer.isNew(table.id)) {
    partitionIndex(ddl, table, table.primaryIndex, by);
  }
  return result;
}

export async function alterPartitions(
  { of, by }: Alter,
  context: UtilityContext,
): Promise<StatementResult> {
  const ddl = await startDdl(context, 'ALTER TABLE');
  const { table, index } = indexOf(ddl.catalog, of);
  refuseSystemTable(table);
  partitionIndex(ddl, table, index, by);
  if (of.kind === 'table') recordObject(ddl, 'alter', table);
  else recordIndex(ddl, 'alter', table, index);
  return done(of.kind === 'table' ? 'ALTER TABLE' : 'ALTER INDEX');
}

function partitionIndex(
  ddl: Ddl,
  table: TableDescriptor,
  index: IndexDescriptor,
  by: PartitionBy | 'nothing',
): void {
  const draft: TableDraft = { ...table };
  const { partitioning: _former, ...plain } = index;
  const target = by === 'nothing' ? undefined : { table, index, by, settings: ddl.context.eval };
  const changed: IndexDescriptor =
    target === undefined ? plain : { ...plain, partitioning: makePartitioning(draft, target) };
  if (index.id === draft.primaryIndex.id) draft.primaryIndex = changed;
  else draft.indexes = draft.indexes.map((each) => (each.id === index.id ? changed : each));
  ddl.writer.replace({ ...draft }, { drain: false });
}

function invalid(message: string): Error {
  return sqlError('invalidObjectDefinition', message);
}

/** What a partition's bounds are checked against. */
interface Target {
  readonly table: TableDescriptor;
  readonly index: IndexDescriptor;
  readonly by: PartitionBy;
  readonly settings: FormatSettings;
}

/** A partition that had its name before keeps its id, and with it its zone. Throws 42P17. */
function makePartitioning(draft: TableDraft, target: Target): Partitioning {
  const { index, by } = target;
  for (const [at, name] of by.columns.entries()) {
    const column = requireColumn(draft, name);
    if (index.columns[at]?.columnId === column.id) continue;
    throw invalid(
      `column "${name}" of the partitions is not column ${at + 1} of index "${index.name}"`,
    );
  }
  const partitions: PartitionDescriptor[] = [];
  for (const { name, rows } of by.partitions) {
    if (partitions.some((other) => other.name === name)) {
      throw invalid(`partition "${name}" is defined twice`);
    }
    const known = index.partitioning?.partitions.find((partition) => partition.name === name);
    partitions.push({
      id: known?.id ?? draft.nextIndexId++,
      name,
      bounds: rows.map((row) => boundValues(target, name, row)),
    });
  }
  const partitioning: Partitioning = { kind: by.kind, columns: by.columns.length, partitions };
  if (by.kind === 'list') refuseSameRows(target, partitioning);
  else refuseOverlaps(target, partitioning);
  return partitioning;
}

const openWords = { default: 'DEFAULT', min: 'MINVALUE', max: 'MAXVALUE' } as const;

function boundValues(
  target: Target,
  name: string,
  row: readonly PartitionBound[],
): PartitionValue[] {
  const { kind, columns } = target.by;
  // Behind MINVALUE, MAXVALUE and DEFAULT nothing counts.
  const open = row.findIndex((bound) => bound.kind !== 'expression');
  if (row.length > columns.length || (row.length < columns.length && open === -1)) {
    throw invalid(`partition "${name}" has ${row.length} values for ${columns.length} columns`);
  }
  return row.map((bound, at): PartitionValue => {
    if (bound.kind === 'expression') {
      if (open === -1 || at < open) return constantValue(target, at, bound.expression);
      throw invalid(`partition "${name}" has a value behind an open one`);
    }
    if ((bound.kind === 'default') === (kind === 'list')) return bound;
    throw invalid(`${openWords[bound.kind]} cannot stand in a ${kind} partition`);
  });
}

function constantValue(
  { table, index, settings }: Target,
  at: number,
  expression: Node,
): PartitionValue {
  const text = constantText(expression);
  if (text === undefined) return { kind: 'null' };
  const column = must(columnById(table, must(index.columns[at]).columnId));
  const ops = typeOps(column.typeOid);
  const value = ops.parse(text, column.typmod, settings);
  return { kind: 'value', text: ops.format(value, storedFormat) };
}

function refuseSameRows({ table, index }: Target, { kind, partitions }: Partitioning): void {
  const seen = new Set<string>();
  for (const partition of partitions) {
    for (const [at, { start }] of partitionSpans(table, index, kind, partition).entries()) {
      const key = start.toString('latin1');
      if (seen.has(key)) {
        const values = partitionValues('list', { bounds: [must(partition.bounds[at])] });
        throw invalid(`${values} is in two partitions, the second is "${partition.name}"`);
      }
      seen.add(key);
    }
  }
}

function refuseOverlaps({ table, index }: Target, { kind, partitions }: Partitioning): void {
  const spans = partitions.flatMap((partition) =>
    partitionSpans(table, index, kind, partition).map((span) => ({
      ...span,
      name: partition.name,
    })),
  );
  spans.sort((a, b) => a.start.compare(b.start));
  for (const [at, { start, end, name }] of spans.entries()) {
    if (start.compare(end) >= 0)
      throw invalid(`partition "${name}" is empty: FROM must be below TO`);
    const before = spans[at - 1];
    if (before !== undefined && before.end.compare(start) > 0) {
      throw invalid(`partitions "${before.name}" and "${name}" overlap`);
    }
  }
}

/** SHOW PARTITIONS FROM TABLE | INDEX | DATABASE. */
export function showPartitions(from: IndexTarget | { kind: 'database'; name: string }): Shown {
  return {
    columns: [
      'database_name',
      'table_name',
      'partition_name',
      'parent_partition',
      'column_names',
      'index_name',
      'partition_value',
      'zone_config',
      'full_zone_config',
    ].map((name) => resultColumn(name, oids.text)),
    rows: (context) => {
      const catalog = sessionCatalogOf(context);
      const rowsOf = (table: TableDescriptor, indexes: readonly IndexDescriptor[]): Row[] =>
        indexes.flatMap((index) => partitionRows(context, table, index));
      switch (from.kind) {
        case 'database': {
          const database = catalog.snapshot.database(from.name);
          if (database === undefined) {
            throw sqlError('invalidCatalogName', `database "${from.name}" does not exist`);
          }
          const { tables } = catalog.snapshot.contents(database.id);
          return tables.flatMap((table) => rowsOf(table, indexesOf(table)));
        }
        case 'table': {
          const table = tableNamed(catalog, from.name);
          return rowsOf(table, indexesOf(table));
        }
        default: {
          const { table, index } = indexOf(catalog, from);
          return rowsOf(table, [index]);
        }
      }
    },
  };
}

function partitionRows(
  context: StatementContext,
  table: TableDescriptor,
  index: IndexDescriptor,
): Row[] {
  const { snapshot } = sessionCatalogOf(context);
  const { partitioning } = index;
  if (partitioning === undefined) return [];
  const names = index.columns
    .slice(0, partitioning.columns)
    .map(({ columnId }) => columnById(table, columnId)?.name ?? '');
  return partitioning.partitions.map((partition) => {
    const zone = { id: table.id, subId: partition.id };
    const own = ownZone(snapshot, zone);
    return [
      snapshot.byId(table.databaseId)?.name ?? null,
      table.name,
      partition.name,
      null,
      names.join(', '),
      `${table.name}@${index.name}`,
      partitionValues(partitioning.kind, partition),
      own === undefined ? null : zoneYaml(own),
      zoneYaml(shownConfig(fullZone(snapshot, zone))),
    ];
  });
}
