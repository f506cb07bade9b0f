/** SHOW DATABASES, SCHEMAS, TABLES, COLUMNS, INDEXES, CONSTRAINTS, CREATE TABLE, SEQUENCES, USERS, JOBS, NODES. */
import { gossipKeys, type NodeInfo } from '../../kv/index.ts';
import {
  checkDefinition,
  createTableText,
  foreignKeyDefinition,
  isImplicitKey,
  keyConstraintDefinition,
  qualifiedNames,
  quoteIdentifier,
  type SessionCatalog,
  type TableDescriptor,
} from '../catalog/index.ts';
import { sqlError } from '../errors.ts';
import { type ClusterStatement, type NameParts } from '../parse/types.ts';
import { type StatementContext } from '../session/types.ts';
import { formatType, makeArray, oids, type Row, timestampOfWall } from '../types/index.ts';
import { noRelation, resultColumn, sessionCatalogOf } from './context.ts';
import { type Shown } from './types.ts';
import { columnNames } from './draft.ts';
import { nameOf } from './nodes.ts';

type What = Extract<ClusterStatement, { kind: 'show-objects' }>['what'];

type Columns = readonly (string | readonly [string, number])[];

/** Names with types; text when no type is given. */
function table(
  columns: Columns,
  rows: (catalog: SessionCatalog, context: StatementContext) => readonly Row[] | Promise<Row[]>,
): Shown {
  return {
    columns: columns.map((column) =>
      typeof column === 'string'
        ? resultColumn(column, oids.text)
        : resultColumn(column[0], column[1]),
    ),
    rows: (context) => rows(sessionCatalogOf(context), context),
  };
}

export function showObjects(what: What, of: NameParts | undefined): Shown {
  switch (what) {
    case 'databases':
      return table(['database_name', 'owner'], ({ snapshot }) =>
        byFirst(snapshot.contents(0).databases.map(({ name, owner }) => [name, owner])),
      );
    case 'schemas':
      return table(['schema_name', 'owner'], (catalog) => {
        const rows: Row[] = inDatabase(catalog, of).schemas.map(({ name, owner }) => [name, owner]);
        const virtual = catalog.virtual.names.map((name): Row => [name, null]);
        return byFirst([...rows, ...virtual]);
      });
    case 'tables':
      return table(['schema_name', 'table_name', 'type', 'owner'], (catalog) =>
        tableRows(catalog, of),
      );
    case 'columns':
      return table(columnColumns, (catalog) => columnRows(tableOf(catalog, of)));
    case 'indexes':
      return table(indexColumns, (catalog) => indexRows(tableOf(catalog, of)));
    case 'constraints':
      return table(constraintColumns, (catalog) => constraintRows(catalog, tableOf(catalog, of)));
    case 'create-table':
      return table(['table_name', 'create_statement'], (catalog) => createRows(catalog, of));
    case 'sequences':
      return table(['sequence_schema', 'sequence_name'], (catalog) =>
        inDatabase(catalog, of).sequences.map((sequence) => [
          catalog.snapshot.schemaName(sequence.schemaId),
          sequence.name,
        ]),
      );
    case 'users':
      return table(['username', 'options', ['member_of', oids.textArray]], userRows);
    case 'nodes':
      return table(nodeColumns, (_catalog, context) => nodeRows(context));
  }
}

function textAt(row: Row, at: number): string {
  const value = row[at];
  return typeof value === 'string' ? value : '';
}

function byFirst(rows: readonly Row[]): Row[] {
  return [...rows].sort((a, b) => (textAt(a, 0) < textAt(b, 0) ? -1 : 1));
}

function inDatabase(
  catalog: SessionCatalog,
  of: NameParts | undefined,
): ReturnType<SessionCatalog['snapshot']['contents']> {
  const name = of?.[0] ?? catalog.databaseName;
  const database = catalog.snapshot.database(name);
  if (database === undefined)
    throw sqlError('invalidCatalogName', `database "${name}" does not exist`);
  return catalog.snapshot.contents(database.id);
}

function tableOf(catalog: SessionCatalog, of: NameParts | undefined): TableDescriptor {
  const name = nameOf(of ?? []);
  const found = catalog.findNamed(name);
  if (found === undefined) throw noRelation(name);
  if (found.kind !== 'table') throw sqlError('wrongObjectType', `"${name.name}" is not a table`);
  return found;
}

/** FROM db, db.schema, or a schema of the current database. */
function tableRows(catalog: SessionCatalog, of: NameParts | undefined): Row[] {
  const { snapshot, database } = catalog;
  const first = of?.[0];
  const asSchema =
    database === undefined || first === undefined ? undefined : snapshot.schema(database.id, first);
  const isSchema = of?.length === 1 && asSchema !== undefined;
  const contents = inDatabase(catalog, isSchema ? undefined : of);
  const schemaName = isSchema ? first : of?.[1];
  const rows: Row[] = [];
  for (const relation of [...contents.tables, ...contents.views, ...contents.sequences]) {
    const schema = snapshot.schemaName(relation.schemaId);
    if (schemaName !== undefined && schema !== schemaName) continue;
    rows.push([schema, relation.name, relation.kind, relation.owner]);
  }
  return rows.sort((a, b) =>
    `${textAt(a, 0)}\0${textAt(a, 1)}` < `${textAt(b, 0)}\0${textAt(b, 1)}` ? -1 : 1,
  );
}

const columnColumns: Columns = [
  'column_name',
  'data_type',
  ['is_nullable', oids.bool],
  'column_default',
  'generation_expression',
  ['indices', oids.textArray],
  ['is_hidden', oids.bool],
];

function columnRows(descriptor: TableDescriptor): Row[] {
  const indexes = [descriptor.primaryIndex, ...descriptor.indexes];
  return descriptor.columns
    .filter((column) => column.state === 'public')
    .map((column): Row => {
      const within = indexes.filter((index) =>
        index.columns.some(({ columnId }) => columnId === column.id),
      );
      return [
        column.name,
        formatType(column.typeOid, column.typmod),
        column.nullable,
        column.defaultSql ?? null,
        column.generatedSql ?? '',
        makeArray(
          oids.text,
          within.map(({ name }) => name),
        ),
        column.hidden === true,
      ];
    });
}

const indexColumns: Columns = [
  'table_name',
  'index_name',
  ['non_unique', oids.bool],
  ['seq_in_index', oids.int8],
  'column_name',
  'direction',
  ['storing', oids.bool],
  ['implicit', oids.bool],
];

function indexRows(descriptor: TableDescriptor): Row[] {
  const rows: Row[] = [];
  for (const index of [descriptor.primaryIndex, ...descriptor.indexes]) {
    let seq = 0n;
    const add = (name: string, direction: string, storing: boolean, implicit: boolean): void => {
      seq += 1n;
      rows.push([
        descriptor.name,
        index.name,
        !index.unique,
        seq,
        name,
        direction,
        storing,
        implicit,
      ]);
    };
    const nameOfColumn = (id: number): string => columnNames(descriptor, [id])[0] ?? '?';
    for (const { columnId, descending } of index.columns) {
      add(nameOfColumn(columnId), descending ? 'DESC' : 'ASC', false, false);
    }
    for (const id of index.storedColumnIds) add(nameOfColumn(id), 'N/A', true, false);
    for (const id of index.suffixColumnIds) add(nameOfColumn(id), 'ASC', false, true);
  }
  return rows;
}

const constraintColumns: Columns = [
  'table_name',
  'constraint_name',
  'constraint_type',
  'details',
  ['validated', oids.bool],
];

function constraintRows(catalog: SessionCatalog, descriptor: TableDescriptor): Row[] {
  const rows: Row[] = [];
  const add = (name: string, kind: string, details: string, validated: boolean): void => {
    rows.push([descriptor.name, name, kind, details, validated]);
  };
  for (const index of [descriptor.primaryIndex, ...descriptor.indexes]) {
    if (!index.isConstraint) continue;
    const isPrimary = index === descriptor.primaryIndex;
    if (isPrimary && isImplicitKey(descriptor)) continue;
    add(
      index.name,
      isPrimary ? 'PRIMARY KEY' : 'UNIQUE',
      keyConstraintDefinition(descriptor, index),
      true,
    );
  }
  for (const check of descriptor.checks)
    add(check.name, 'CHECK', checkDefinition(check), check.validated);
  const names = qualifiedNames(catalog.snapshot);
  for (const key of descriptor.foreignKeys) {
    add(
      key.name,
      'FOREIGN KEY',
      foreignKeyDefinition(catalog.snapshot, descriptor, key, names),
      key.validated,
    );
  }
  return rows;
}

function createRows(catalog: SessionCatalog, of: NameParts | undefined): Row[] {
  const name = nameOf(of ?? []);
  const found = catalog.findNamed(name);
  if (found?.kind === 'view') {
    const names = qualifiedNames(catalog.snapshot);
    const list = found.columns.map((column) => quoteIdentifier(column.name)).join(', ');
    return [[found.name, `CREATE VIEW ${names(found)} (${list}) AS ${found.query}`]];
  }
  const descriptor = tableOf(catalog, of);
  return [[descriptor.name, createTableText(catalog.snapshot, descriptor)]];
}

function userRows(catalog: SessionCatalog): Row[] {
  const { roles, memberships } = catalog.snapshot.data;
  const rows = [...roles.values()].map(({ name, options }): Row => {
    const words: string[] = [];
    if (options.superuser) words.push('SUPERUSER');
    if (options.createDb) words.push('CREATEDB');
    if (options.createRole) words.push('CREATEROLE');
    if (!options.login) words.push('NOLOGIN');
    const of = memberships.filter((entry) => entry.member === name).map((entry) => entry.role);
    return [name, words.join(', '), makeArray(oids.text, of)];
  });
  return byFirst(rows);
}

const nodeColumns: Columns = [
  ['node_id', oids.int8],
  'address',
  'sql_address',
  'http_address',
  'locality',
  'build',
  ['started_at', oids.timestamptz],
];

/** Nodes as gossip knows them. */
export function nodeRows(context: StatementContext): Row[] {
  const entries = context.gossip?.list(gossipKeys.nodePrefix) ?? [];
  return entries.flatMap(([, value]): Row[] => {
    const info = value as NodeInfo | undefined;
    if (info === undefined) return [];
    return [
      [
        BigInt(info.nodeId),
        info.rpcAddress,
        info.sqlAddress,
        info.httpAddress,
        info.locality.map((tier) => tier.join('=')).join(','),
        info.version,
        timestampOfWall(info.startedAtMicros),
      ],
    ];
  });
}
