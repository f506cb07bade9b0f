/** What every utility statement works with, and the few ways it answers. */
import { type RangeVar } from '@pgsql/types';
import {
  SessionCatalog,
  type CatalogWriter,
  type NamedRelation,
  type QualifiedName,
  type SchemaDescriptor,
  type TableDescriptor,
  quoteIdentifier,
} from '../catalog/index.ts';
import { sqlError } from '../errors.ts';
import { type StatementEvents } from '../events/index.ts';
import { planStatement, type PreparedPlan } from '../plan/index.ts';
import {
  type ResultColumn,
  type StatementContext,
  type StatementResult,
} from '../session/types.ts';
import { type Datum, type Row } from '../types/index.ts';
import { nameText, position, rangeName } from './nodes.ts';
import { type Shown } from './types.ts';
import { parseOwn } from '../parse/index.ts';

/** A statement that may change what the event log tells of. */
export interface UtilityContext extends StatementContext {
  readonly events: StatementEvents;
}

export interface Ddl {
  readonly context: UtilityContext;
  readonly catalog: SessionCatalog;
  readonly writer: CatalogWriter;
}

/** The session's catalog with the methods that statements changing it need. */
export function sessionCatalogOf(context: StatementContext): SessionCatalog {
  if (context.catalog instanceof SessionCatalog) return context.catalog;
  throw sqlError('internalError', 'utility statements need the catalog of a session');
}

/** For statements that PostgreSQL runs in no transaction but their own. */
export function refuseInBlock({ autocommit }: StatementContext, command: string): void {
  if (autocommit) return;
  throw sqlError('activeSqlTransaction', `${command} cannot run inside a transaction block`);
}

const published = new WeakSet<CatalogWriter>();

/** Opens the catalog for changes. Refuses in a read-only transaction. */
export async function startDdl(context: UtilityContext, command: string): Promise<Ddl> {
  if (context.readOnly) {
    throw sqlError(
      'readOnlySqlTransaction',
      `cannot execute ${command} in a read-only transaction`,
    );
  }
  const catalog = sessionCatalogOf(context);
  const writer = await catalog.writer(context.txn);
  if (!published.has(writer)) {
    published.add(writer);
    context.ddl.add({
      description: 'tell all nodes the new catalog version',
      run: () => catalog.publish(),
      isGround: true,
    });
  }
  return { context, catalog, writer };
}

// Answers.

export function done(tag: string): StatementResult {
  return rowsResult([], [], tag);
}

export function rowsResult(
  columns: readonly ResultColumn[],
  rows: readonly Row[],
  tag = `SELECT ${rows.length}`,
): StatementResult {
  let at = 0;
  return {
    columns,
    next: async () => {
      if (at >= rows.length) return undefined;
      const batch = rows.slice(at, at + 1024);
      at += batch.length;
      return batch;
    },
    tag: () => tag,
    close: async () => {},
  };
}

export function visibleColumns({ columns }: Shown): readonly ResultColumn[] {
  return columns.filter(({ hidden }) => hidden !== true);
}

export function shownResult(shown: Shown, rows: readonly Row[]): StatementResult {
  const { columns } = shown;
  const visible = visibleColumns(shown);
  if (visible.length === columns.length) return rowsResult(columns, rows);
  const cut = (row: Row): Row => row.filter((_, at) => columns[at]?.hidden !== true);
  return rowsResult(visible, rows.map(cut));
}

export function resultColumn(name: string, typeOid: number): ResultColumn {
  return { name, typeOid, typmod: -1, tableOid: 0, columnNumber: 0 };
}

// SQL from inside.

/** Binds a query of our own without running it: names and types that do not fit fail. */
export async function bindQuery(context: StatementContext, sql: string): Promise<void> {
  await planQuery(context, sql, []);
}

async function planQuery(
  context: StatementContext,
  sql: string,
  parameterTypes: readonly number[],
): Promise<PreparedPlan> {
  return planStatement({
    statement: await parseOwn(sql),
    parameterTypes,
    catalog: context.catalog,
    eval: context.eval,
  });
}

/** Runs a query of our own in the statement's transaction and returns all its rows. */
export async function runQuery(
  context: StatementContext,
  sql: string,
  parameters: readonly { readonly oid: number; readonly value: Datum }[] = [],
): Promise<Row[]> {
  const types = parameters.map(({ oid }) => oid);
  const plan = await planQuery(context, sql, types);
  const result = await plan.execute({
    ...context,
    autocommit: false,
    params: parameters.map(({ value }) => value),
  });
  const rows: Row[] = [];
  while (true) {
    const batch = await result.next();
    if (batch === undefined) return rows;
    rows.push(...batch);
  }
}

// Names.

export function relationExists(name: string): Error {
  return sqlError('duplicateTable', `relation "${name}" already exists`);
}

export function noRelation(name: QualifiedName, location?: number): Error {
  return sqlError('undefinedTable', `relation "${nameText(name)}" does not exist`, {
    position: position(location),
  });
}

/** The schema a new object goes to. Throws 3F000, 3D000, 42501. */
export function schemaForCreate(ddl: Ddl, name: QualifiedName): SchemaDescriptor {
  const { catalog } = ddl;
  if (name.schema !== undefined && catalog.virtual.has(name.schema)) {
    throw sqlError('insufficientPrivilege', `permission denied for schema ${name.schema}`);
  }
  if (name.catalog !== undefined && catalog.snapshot.database(name.catalog) === undefined) {
    throw sqlError('invalidCatalogName', `database "${name.catalog}" does not exist`);
  }
  const schema = catalog.schemasFor(name)[0];
  if (schema === undefined && name.schema !== undefined) {
    throw sqlError('invalidSchemaName', `schema "${name.schema}" does not exist`);
  }
  if (schema === undefined) {
    throw sqlError('invalidSchemaName', 'no schema has been selected to create in');
  }
  if (schema.databaseId === 1) {
    throw sqlError('insufficientPrivilege', 'permission denied for database system');
  }
  return schema;
}

/** A relation or index; throws 42P01 (3F000 for an unknown schema). */
export function findNamed(ddl: Ddl, range: RangeVar | undefined): NamedRelation {
  const name = rangeName(range);
  const found = ddl.catalog.findNamed(name);
  if (found !== undefined) return found;
  if (ddl.catalog.findVirtual(name) !== undefined) {
    throw sqlError(
      'insufficientPrivilege',
      `permission denied: "${name.name}" is a system catalog`,
    );
  }
  throw noRelation(name, range?.location);
}

/** A table that may be changed; throws 42P01, 42809, 42501. */
export function findTable(ddl: Ddl, range: RangeVar | undefined): TableDescriptor {
  const found = findNamed(ddl, range);
  if (found.kind !== 'table') {
    throw sqlError('wrongObjectType', `"${range?.relname ?? ''}" is not a table`);
  }
  refuseSystemTable(found);
  return found;
}

export function refuseSystemTable(table: {
  readonly databaseId: number;
  readonly name: string;
}): void {
  if (table.databaseId !== 1) return;
  throw sqlError('insufficientPrivilege', `permission denied: "${table.name}" is a system catalog`);
}

/** Somebody is building an index that he knows by its id. Throws 55006. */
export function refuseUnbuilt({ name, indexes }: TableDescriptor): void {
  if (indexes.every(({ state }) => state === 'public')) return;
  throw sqlError('objectInUse', `table "${name}" is being altered: an index is still being built`);
}

/** Its indexes are what another statement is exchanging. Throws 55006. */
export function refuseNewPrimaryKey({ name, indexes }: TableDescriptor): void {
  if (indexes.every(({ replaces }) => replaces === undefined)) return;
  throw sqlError(
    'objectInUse',
    `table "${name}" is being altered: its primary key is still being built`,
  );
}

/** `schema.table`, quoted where needed. */
export function qualifiedText(
  catalog: SessionCatalog,
  relation: { readonly schemaId: number; readonly name: string },
): string {
  const schema = catalog.snapshot.schemaName(relation.schemaId);
  return `${quoteIdentifier(schema)}.${quoteIdentifier(relation.name)}`;
}

const maxNameBytes = 63;

/** PostgreSQL cuts identifiers at 63 bytes; the parser has cut those that users wrote. */
export function truncateName(name: string): string {
  let cut = name;
  while (Buffer.byteLength(cut) > maxNameBytes) cut = cut.slice(0, -1);
  return cut;
}

/**
 * `table_column_suffix`, shortened like makeObjectName() (the longer of table and columns first), with a number
 * behind it while `isTaken`.
 */
export function chooseName(
  parts: { readonly table: string; readonly columns?: readonly string[]; readonly suffix: string },
  isTaken: (name: string) => boolean,
): string {
  for (let pass = 0; ; pass++) {
    const suffix = pass === 0 ? parts.suffix : `${parts.suffix}${pass}`;
    let first = parts.table;
    let second = (parts.columns ?? []).join('_');
    const length = (): number =>
      Buffer.byteLength(first) +
      (second === '' ? 0 : Buffer.byteLength(second) + 1) +
      suffix.length +
      1;
    while (length() > maxNameBytes) {
      if (Buffer.byteLength(first) > Buffer.byteLength(second)) first = first.slice(0, -1);
      else second = second.slice(0, -1);
    }
    const name = [first, second, suffix].filter((part) => part !== '').join('_');
    if (!isTaken(name)) return name;
  }
}
