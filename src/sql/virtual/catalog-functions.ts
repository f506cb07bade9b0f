/** Functions that ask the catalog (PostgreSQL chapter 9.26, 9.27): pg_get_indexdef, obj_description, has_*_privilege, ... */
import { must, prefixEnd, sleep } from '../../util/index.ts';
import { indexPrefix, tableKeyPrefix } from '../../encoding/index.ts';
import {
  displayExpression,
  holdsPrivilege,
  indexDefinition,
  qualifiedNames,
  quoteIdentifier,
  rolesOf,
  ruleOid,
  type Descriptor,
  type TableDescriptor,
} from '../catalog/index.ts';
import { lastValue } from '../ddl/index.ts';
import { sqlError } from '../errors.ts';
import { allFunctions } from '../functions/index.ts';
import { type StatementContext } from '../session/types.ts';
import { formatType, typeByOid, type Datum } from '../types/index.ts';
import { callAdvisoryFunction } from './advisory-functions.ts';
import { type AdvisoryLocks } from './advisory-locks.ts';
import { sourceOf, type Source } from './build.ts';
import { parseName } from './names.ts';
import { constraintsOf } from './pg-catalog.ts';
import { relationsOf, schemaOids, type Entry } from './relations.ts';
import { signalSession } from './signals.ts';
import { fullXidOf } from './xid.ts';

function numberOf(value: Datum | undefined): number {
  return typeof value === 'number' ? value : typeof value === 'bigint' ? Number(value) : 0;
}

function textOf(value: Datum | undefined): string {
  return typeof value === 'string' ? value : '';
}

function relation(source: Source, value: Datum | undefined): Entry | undefined {
  const { byOid, all } = relationsOf(source, source.catalog.virtual.tables);
  if (typeof value !== 'string') return byOid.get(numberOf(value));
  const named = source.catalog.findNamed(parseName(value));
  if (named === undefined) return undefined;
  if (named.kind !== 'index') return byOid.get(named.id);
  return all.find(
    (entry) =>
      entry.kind === 'i' && entry.index.id === named.index.id && entry.table.id === named.table.id,
  );
}

export async function callCatalogFunction(
  name: string,
  args: readonly Datum[],
  context: StatementContext,
  locks: AdvisoryLocks,
): Promise<Datum> {
  const source = sourceOf(context);
  if (name.startsWith('has_') || name === 'pg_has_role') return privilege(source, name, args);
  if (name.includes('advisory')) return callAdvisoryFunction(name, args, context, locks);
  if (name.endsWith('_is_visible')) return isVisible(source, name, args[0]);
  switch (name) {
    case 'pg_get_indexdef':
      return indexText(source, args);
    case 'pg_get_constraintdef':
      return constraintText(source, args);
    case 'pg_get_viewdef': {
      const entry = relation(source, args[0]);
      return entry?.kind === 'v' ? ` ${entry.view.query};` : entry === undefined ? null : '';
    }
    case 'pg_get_ruledef': {
      const view = source.snapshot
        .contents(source.databaseId)
        .views.find(({ id }) => ruleOid(id) === numberOf(args[0]));
      return view === undefined
        ? null
        : `CREATE RULE "_RETURN" AS\n    ON SELECT TO ${source.catalog.nameText(view)} DO INSTEAD ${view.query};`;
    }
    case 'pg_get_expr':
      return args[0] === null || args[0] === undefined
        ? null
        : displayExpression(textOf(args[0]), source.catalog.searchPath);
    case 'pg_get_userbyid':
      return roleName(source, numberOf(args[0])) ?? `unknown (OID=${numberOf(args[0])})`;
    case 'pg_get_serial_sequence':
      return serialSequence(source, textOf(args[0]), textOf(args[1]));
    case 'pg_get_function_arguments':
    case 'pg_get_function_identity_arguments': {
      const fn = allFunctions().find(({ oid }) => oid === numberOf(args[0]));
      if (fn === undefined) return null;
      const last = fn.args.length - 1;
      return fn.args
        .map(
          (oid, at) =>
            `${at === last && 'variadic' in fn && fn.variadic ? 'VARIADIC ' : ''}${formatType(oid)}`,
        )
        .join(', ');
    }
    case 'pg_get_function_result': {
      const fn = allFunctions().find(({ oid }) => oid === numberOf(args[0]));
      return fn === undefined
        ? null
        : `${fn.kind === 'set' ? 'SETOF ' : ''}${formatType(fn.result)}`;
    }
    case 'obj_description':
      return description(source, numberOf(args[0]));
    case 'shobj_description':
      return source.snapshot.byId(numberOf(args[0]))?.comment ?? null;
    case 'col_description':
      return columnDescription(source, numberOf(args[0]), numberOf(args[1]));
    case 'pg_relation_size':
    case 'pg_table_size':
    case 'pg_indexes_size':
    case 'pg_total_relation_size':
      return relationSize(source, name, args[0]);
    case 'pg_database_size':
      return databaseSize(source, args[0]);
    case 'pg_tablespace_size':
      return 0n;
    case 'pg_relation_filenode':
      return numberOf(args[0]);
    case 'pg_relation_is_publishable':
      return relation(source, args[0])?.kind === 'r';
    case 'pg_sequence_last_value': {
      const entry = relation(source, args[0]);
      return entry?.kind === 'S' ? ((await lastValue(context.db, entry.sequence)) ?? null) : null;
    }
    case 'pg_column_is_updatable':
      return relation(source, args[0])?.kind === 'r';
    case 'pg_relation_is_updatable':
      return relation(source, args[0])?.kind === 'r' ? 28 : 0;
    case 'pg_index_column_has_property':
      return indexProperty(source, args);
    case 'pg_sleep':
      await pause(context, Number(args[0]));
      return '';
    case 'pg_cancel_backend':
      return signalSession(context, 'cancel', numberOf(args[0]));
    case 'pg_terminate_backend':
      return signalSession(context, 'terminate', numberOf(args[0]), numberOf(args[1]));
    case 'txid_current':
      return fullXidOf(context.txn.meta.id);
    case 'row_security_active':
      return false;
    case 'pg_stat_get_numscans':
      return 0n;
    case 'pg_tablespace_location':
      return '';
    case 'pg_describe_object':
    case 'pg_identify_object': {
      const entry = relation(source, args[1]);
      return entry === undefined
        ? null
        : `${entry.kind === 'i' ? 'index' : entry.kind === 'v' ? 'view' : entry.kind === 'S' ? 'sequence' : 'table'} ${entry.name}`;
    }
    case 'pg_partition_root':
    case 'pg_get_replica_identity_index':
    case 'pg_get_statisticsobjdef_columns':
    case 'pg_get_statisticsobjdef_expressions':
    case 'pg_get_function_sqlbody':
    case 'pg_get_function_arg_default':
    case 'pg_get_functiondef':
    case 'pg_get_triggerdef':
    case 'pg_get_partkeydef':
    case 'pg_get_partition_constraintdef':
    case 'pg_get_statisticsobjdef':
    case 'pg_relation_filepath':
      return null;
    default:
      throw sqlError('featureNotSupported', `function ${name}() is not supported`);
  }
}

function roleName(source: Source, oid: number): string | undefined {
  return [...source.snapshot.data.roles.values()].find((role) => role.oid === oid)?.name;
}

function indexText(source: Source, args: readonly Datum[]): Datum {
  const entry = relation(source, args[0]);
  if (entry?.kind !== 'i') return null;
  const at = numberOf(args[1]);
  if (at === 0) {
    const pretty = args[2] === true;
    const names = pretty
      ? source.catalog.nameText.bind(source.catalog)
      : qualifiedNames(source.snapshot);
    const text = indexDefinition(entry.table, entry.index, names);
    return pretty
      ? text.replace(/ WHERE (\(.*\))$/s, (_all, sql: string) => ` WHERE ${unwrap(sql)}`)
      : text;
  }
  const ids = [
    ...entry.index.columns.map(({ columnId }) => columnId),
    ...entry.index.storedColumnIds,
  ];
  const column = entry.table.columns.find(({ id }) => id === ids[at - 1]);
  return column === undefined ? '' : quoteIdentifier(column.name);
}

/** Without the parentheses around the whole: `(a > 1)`, but not `(a > 1) AND (b > 2)`. */
function unwrap(sql: string): string {
  let depth = 0;
  for (let i = 0; i < sql.length; i++) {
    const c = sql[i];
    if (c === "'" || c === '"') {
      const end = sql.indexOf(c, i + 1);
      if (end < 0) return sql;
      i = end;
    } else if (c === '(') depth++;
    else if (c === ')' && --depth === 0 && i < sql.length - 1) return sql;
  }
  return sql.slice(1, -1);
}

function constraintText(source: Source, args: readonly Datum[]): Datum {
  const oid = numberOf(args[0]);
  for (const table of source.snapshot.contents(source.databaseId).tables) {
    const found = constraintsOf(source, table).find((constraint) => constraint.oid === oid);
    if (found !== undefined) {
      const text = found.definition(true);
      return args[1] === true
        ? text.replace(/^CHECK \((\(.*\))\)/s, (_all, sql: string) => `CHECK (${unwrap(sql)})`)
        : text;
    }
  }
  return null;
}

function serialSequence(source: Source, tableName: string, columnName: string): Datum {
  const found = source.catalog.findNamed(parseName(tableName));
  if (found === undefined)
    throw sqlError('undefinedTable', `relation "${tableName}" does not exist`);
  if (found.kind !== 'table') return null;
  const column = found.columns.find(({ name }) => name === columnName);
  if (column === undefined) {
    throw sqlError(
      'undefinedColumn',
      `column "${columnName}" of relation "${found.name}" does not exist`,
    );
  }
  const sequence = source.snapshot.byId(column.ownedSequenceIds?.[0] ?? 0);
  return sequence?.kind === 'sequence' ? qualifiedNames(source.snapshot)(sequence) : null;
}

function description(source: Source, oid: number): Datum {
  const descriptor = source.snapshot.byId(oid);
  if (descriptor !== undefined) return descriptor.comment ?? null;
  const entry = relation(source, oid);
  return entry?.kind === 'i' ? (entry.index.comment ?? null) : null;
}

function columnDescription(source: Source, oid: number, number: number): Datum {
  const table = source.snapshot.tableById(oid);
  return table?.columns.find(({ id }) => id === number)?.comment ?? null;
}

async function spanSize(source: Source, start: Buffer): Promise<bigint> {
  const end = must(prefixEnd(start));
  let total = 0;
  for (const { range, sizeBytes } of await source.context.db.ranges(start, end)) {
    const isInside = range.startKey.compare(start) >= 0 && range.endKey.compare(end) <= 0;
    // A range shared with other tables: sizes inside a range are not known; count it in whole when it is the only one.
    total += isInside ? sizeBytes : 0;
  }
  return BigInt(total);
}

async function relationSize(
  source: Source,
  name: string,
  value: Datum | undefined,
): Promise<Datum> {
  const entry = relation(source, value);
  if (entry === undefined) return null;
  if (entry.kind === 'i')
    return spanSize(source, indexPrefix({ tableId: entry.table.id, indexId: entry.index.id }));
  if (entry.kind !== 'r') return 0n;
  const { table } = entry;
  if (name === 'pg_total_relation_size') return spanSize(source, tableKeyPrefix(table.id));
  const primary = { tableId: table.id, indexId: table.primaryIndex.id };
  if (name !== 'pg_indexes_size') return spanSize(source, indexPrefix(primary));
  let total = 0n;
  for (const index of table.indexes) {
    total += await spanSize(source, indexPrefix({ tableId: table.id, indexId: index.id }));
  }
  return total;
}

async function databaseSize(source: Source, value: Datum | undefined): Promise<Datum> {
  const database =
    typeof value === 'string'
      ? source.snapshot.database(value)
      : source.snapshot.byId(numberOf(value));
  if (database?.kind !== 'database') {
    throw sqlError(
      'invalidCatalogName',
      `database "${String(numberOf(value) || textOf(value))}" does not exist`,
    );
  }
  let total = 0n;
  for (const table of source.snapshot.contents(database.id).tables) {
    total += await spanSize(source, tableKeyPrefix(table.id));
  }
  return total;
}

function isVisible(source: Source, name: string, value: Datum | undefined): Datum {
  const oid = numberOf(value);
  if (name === 'pg_type_is_visible') {
    const table = source.snapshot.byId(oid);
    return typeByOid(oid) !== undefined || table !== undefined;
  }
  if (name !== 'pg_table_is_visible') return true;
  const entry = relation(source, oid);
  if (entry === undefined) return null;
  if (entry.kind === 'virtual') {
    return (
      entry.virtual.schema === 'pg_catalog' ||
      source.catalog.searchPath.includes(entry.virtual.schema)
    );
  }
  return !source.catalog.nameText({ schemaId: entry.schemaOid, name: entry.name }).includes('.');
}

function indexProperty(source: Source, args: readonly Datum[]): Datum {
  const entry = relation(source, args[0]);
  const column = entry?.kind === 'i' ? entry.index.columns[numberOf(args[1]) - 1] : undefined;
  if (column === undefined) return null;
  switch (textOf(args[2]).toLowerCase()) {
    case 'asc':
    case 'nulls_last':
      return !column.descending;
    case 'desc':
    case 'nulls_first':
      return column.descending;
    case 'orderable':
    case 'returnable':
    case 'search_array':
    case 'search_nulls':
      return true;
    case 'distance_orderable':
      return false;
    default:
      return null;
  }
}

const sleepSliceMs = 100;

async function pause(context: StatementContext, seconds: number): Promise<void> {
  const endMs = context.env.clock.monotonicMs() + seconds * 1000;
  while (true) {
    context.checkCanceled();
    const restMs = endMs - context.env.clock.monotonicMs();
    if (!(restMs > 0)) return;
    await sleep(context.env, Math.min(restMs, sleepSliceMs));
  }
}

// Privileges.

/**
 * has_x_privilege([user,] object, privilege): superusers and owners may do everything, others what was granted to them, to
 * their roles or to public. Built-in objects may be read by everybody.
 */
function privilege(source: Source, name: string, args: readonly Datum[]): Datum {
  if (args.some((arg) => arg === null)) return null;
  const objectCount = name === 'has_column_privilege' ? 2 : 1;
  const hasUser = args.length > objectCount + 1;
  const user = hasUser ? userOf(source, args[0]) : source.catalog.userName;
  const object = args[hasUser ? 1 : 0];
  const wanted = textOf(args.at(-1))
    .toLowerCase()
    .split(',')
    .map((word) => word.trim().replace(/ with grant option$/, ''));
  const { snapshot } = source;
  if (snapshot.data.roles.get(user)?.options.superuser === true) return true;
  if (name === 'pg_has_role') return rolesOf(snapshot, user).has(userOf(source, object));
  const target = objectOf(source, name, object);
  if (target === undefined) return true;
  return wanted.some(
    (word) =>
      holdsPrivilege(snapshot, user, target, word === 'temp' ? 'temporary' : word) ||
      (target.kind === 'database' && (word === 'connect' || word.startsWith('temp'))) ||
      (target.kind === 'schema' && target.name === 'public' && word === 'usage'),
  );
}

function userOf(source: Source, value: Datum | undefined): string {
  const name = typeof value === 'string' ? value : roleName(source, numberOf(value));
  if (name !== undefined && (name === 'public' || source.snapshot.data.roles.has(name)))
    return name;
  throw sqlError('undefinedObject', `role "${name ?? numberOf(value)}" does not exist`);
}

/** Undefined for what is built in and open to all. Throws when a name does not exist. */
function objectOf(source: Source, name: string, value: Datum | undefined): Descriptor | undefined {
  switch (name) {
    case 'has_table_privilege':
    case 'has_any_column_privilege':
    case 'has_column_privilege':
    case 'has_sequence_privilege': {
      const entry = relation(source, value);
      if (entry === undefined && typeof value === 'string') {
        const parsed = parseName(value);
        if (source.catalog.virtual.find(parsed.schema ?? 'pg_catalog', parsed.name) !== undefined)
          return undefined;
        throw sqlError('undefinedTable', `relation "${value}" does not exist`);
      }
      return entry === undefined || entry.kind === 'virtual' ? undefined : ownerOf(entry);
    }
    case 'has_schema_privilege': {
      if (typeof value !== 'string') return source.snapshot.byId(numberOf(value));
      if (schemaOids[value] !== undefined) return undefined;
      const schema = source.snapshot.schema(source.databaseId, value);
      if (schema === undefined)
        throw sqlError('invalidSchemaName', `schema "${value}" does not exist`);
      return schema;
    }
    case 'has_database_privilege': {
      if (typeof value !== 'string') return source.snapshot.byId(numberOf(value));
      const database = source.snapshot.database(value);
      if (database === undefined)
        throw sqlError('invalidCatalogName', `database "${value}" does not exist`);
      return database;
    }
    default:
      return undefined;
  }
}

function ownerOf(entry: Exclude<Entry, { kind: 'virtual' }>): Descriptor | TableDescriptor {
  switch (entry.kind) {
    case 'r':
    case 'i':
      return entry.table;
    case 'v':
      return entry.view;
    case 'S':
      return entry.sequence;
  }
}
