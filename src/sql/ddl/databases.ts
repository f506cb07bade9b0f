/** CREATE, ALTER and DROP DATABASE; CREATE SCHEMA; owners of objects. */
import {
  type AlterDatabaseStmt,
  type AlterOwnerStmt,
  type CreateSchemaStmt,
  type CreatedbStmt,
  type DropdbStmt,
} from '@pgsql/types';
import {
  countPreparedIn,
  type DatabaseDescriptor,
  type SchemaDescriptor,
} from '../catalog/index.ts';
import { sqlError } from '../errors.ts';
import { type StatementResult } from '../session/types.ts';
import { done, findNamed, type Ddl } from './context.ts';
import { DropSet, relationsIn } from './drop.ts';
import { defText, nameParts } from './nodes.ts';
import { recordObject } from './object-events.ts';
import { changeOwner, roleName } from './owners.ts';

export async function createDatabase(ddl: Ddl, stmt: CreatedbStmt): Promise<StatementResult> {
  const name = stmt.dbname ?? '';
  const { catalog, context, writer } = ddl;
  let owner = context.eval.currentUser;
  for (const node of stmt.options ?? []) {
    if (!('DefElem' in node)) continue;
    const { defname = '', arg } = node.DefElem;
    const value = defText(arg) ?? '';
    switch (defname) {
      case 'owner':
        owner = roleName(ddl, { roletype: 'ROLESPEC_CSTRING', rolename: value });
        break;
      case 'encoding':
        if (!['utf8', 'utf-8', 'unicode', 'default', '', '6'].includes(value.toLowerCase())) {
          throw sqlError('featureNotSupported', `encoding "${value}" is not supported: only UTF8`);
        }
        break;
      case 'template':
        if (!['template0', 'template1', 'default', ''].includes(value)) {
          throw sqlError('featureNotSupported', `template database "${value}" is not supported`);
        }
        break;
      // Collations and places mean nothing here; tools send them as a matter of course.
      case 'lc_collate':
      case 'lc_ctype':
      case 'locale':
      case 'locale_provider':
      case 'icu_locale':
      case 'tablespace':
      case 'connection_limit':
      case 'allow_connections':
      case 'is_template':
      case 'strategy':
      case 'oid':
      case 'collation_version':
        break;
      default:
        throw sqlError('syntaxError', `option "${defname}" not recognized`);
    }
  }
  if (catalog.snapshot.database(name) !== undefined) {
    throw sqlError('duplicateDatabase', `database "${name}" already exists`);
  }
  const id = await writer.newId();
  const database: DatabaseDescriptor = { kind: 'database', id, version: 1, name, owner };
  writer.create(database);
  const schemaId = await writer.newId();
  writer.create({
    kind: 'schema',
    id: schemaId,
    version: 1,
    databaseId: id,
    name: 'public',
    owner,
  });
  recordObject(ddl, 'create', database);
  return done('CREATE DATABASE');
}

export async function dropDatabase(ddl: Ddl, stmt: DropdbStmt): Promise<StatementResult> {
  const name = stmt.dbname ?? '';
  const { catalog, context, writer } = ddl;
  const database = catalog.snapshot.database(name);
  if (database === undefined) {
    if (stmt.missing_ok !== true)
      throw sqlError('invalidCatalogName', `database "${name}" does not exist`);
    context.notice('NOTICE', '00000', `database "${name}" does not exist, skipping`);
    return done('DROP DATABASE');
  }
  if (name === catalog.databaseName) {
    throw sqlError('objectInUse', 'cannot drop the currently open database');
  }
  if (name === 'system')
    throw sqlError('insufficientPrivilege', 'database "system" cannot be dropped');
  await refusePreparedIn(ddl, name);
  const drop = new DropSet(ddl, 'DROP_CASCADE');
  for (const relation of relationsIn(ddl, (other) => other.databaseId === database.id))
    drop.add(relation);
  await drop.run();
  for (const schema of catalog.snapshot.contents(database.id).schemas) {
    // That of every database comes and goes with it.
    if (schema.name !== 'public') recordObject(ddl, 'drop', schema);
    writer.remove(schema.id);
  }
  if (catalog.snapshot.data.zones.has(`${database.id}/0`)) {
    writer.putZone({ id: database.id, subId: 0 }, undefined);
  }
  recordObject(ddl, 'drop', database);
  writer.remove(database.id);
  return done('DROP DATABASE');
}

/** They are found by the name of their database, and what they have written is in it. */
export async function refusePreparedIn({ context }: Ddl, database: string): Promise<void> {
  const count = await countPreparedIn(context.db, context.txn, database);
  if (count === 0) return;
  const them = count === 1 ? 'is 1 prepared transaction' : `are ${count} prepared transactions`;
  throw sqlError('objectInUse', `database "${database}" is being accessed by other users`, {
    detail: `There ${them} using the database.`,
  });
}

/** Options such as CONNECTION LIMIT are accepted; there is nothing to change. */
export function alterDatabase(ddl: Ddl, stmt: AlterDatabaseStmt): StatementResult {
  if (ddl.catalog.snapshot.database(stmt.dbname ?? '') === undefined) {
    throw sqlError('invalidCatalogName', `database "${stmt.dbname ?? ''}" does not exist`);
  }
  return done('ALTER DATABASE');
}

/** `elements` are the statements written inside CREATE SCHEMA. */
export async function createSchema(
  ddl: Ddl,
  stmt: CreateSchemaStmt,
  runElement: (node: NonNullable<CreateSchemaStmt['schemaElts']>[number]) => Promise<unknown>,
): Promise<StatementResult> {
  const { catalog, context, writer } = ddl;
  const owner =
    stmt.authrole === undefined ? context.eval.currentUser : roleName(ddl, stmt.authrole);
  const name = stmt.schemaname ?? owner;
  const { database } = catalog;
  if (database === undefined) {
    throw sqlError('invalidCatalogName', `database "${catalog.databaseName}" does not exist`);
  }
  if (name.startsWith('pg_')) {
    throw sqlError('reservedName', `unacceptable schema name "${name}"`, {
      detail: 'The prefix "pg_" is reserved for system schemas.',
    });
  }
  if (catalog.virtual.has(name) || catalog.snapshot.schema(database.id, name) !== undefined) {
    if (stmt.if_not_exists !== true)
      throw sqlError('duplicateSchema', `schema "${name}" already exists`);
    context.notice('NOTICE', '42P06', `schema "${name}" already exists, skipping`);
    return done('CREATE SCHEMA');
  }
  const id = await writer.newId();
  const schema: SchemaDescriptor = {
    kind: 'schema',
    id,
    version: 1,
    databaseId: database.id,
    name,
    owner,
  };
  writer.create(schema);
  recordObject(ddl, 'create', schema);
  for (const node of stmt.schemaElts ?? []) await runElement(inSchema(node, name));
  return done('CREATE SCHEMA');
}

type Element = NonNullable<CreateSchemaStmt['schemaElts']>[number];

/** Objects of a CREATE SCHEMA are made in that schema. */
function inSchema(node: Element, schemaname: string): Element {
  if ('CreateStmt' in node) {
    return {
      CreateStmt: { ...node.CreateStmt, relation: { ...node.CreateStmt.relation, schemaname } },
    };
  }
  if ('ViewStmt' in node)
    return { ViewStmt: { ...node.ViewStmt, view: { ...node.ViewStmt.view, schemaname } } };
  if ('CreateSeqStmt' in node) {
    return {
      CreateSeqStmt: {
        ...node.CreateSeqStmt,
        sequence: { ...node.CreateSeqStmt.sequence, schemaname },
      },
    };
  }
  if ('IndexStmt' in node) {
    return {
      IndexStmt: { ...node.IndexStmt, relation: { ...node.IndexStmt.relation, schemaname } },
    };
  }
  return node;
}

export function alterOwner(ddl: Ddl, stmt: AlterOwnerStmt): StatementResult {
  const { catalog } = ddl;
  const name = nameParts(stmt.object).at(-1) ?? '';
  switch (stmt.objectType) {
    case 'OBJECT_DATABASE': {
      const database = catalog.snapshot.database(name);
      if (database === undefined)
        throw sqlError('invalidCatalogName', `database "${name}" does not exist`);
      changeOwner(ddl, database, stmt.newowner);
      return done('ALTER DATABASE');
    }
    case 'OBJECT_SCHEMA': {
      const { database } = catalog;
      const schema =
        database === undefined ? undefined : catalog.snapshot.schema(database.id, name);
      if (schema === undefined)
        throw sqlError('invalidSchemaName', `schema "${name}" does not exist`);
      changeOwner(ddl, schema, stmt.newowner);
      return done('ALTER SCHEMA');
    }
    default: {
      if (stmt.relation === undefined) {
        throw sqlError(
          'featureNotSupported',
          `owner of ${(stmt.objectType ?? '').replace('OBJECT_', '')} is not supported`,
        );
      }
      const relation = findNamed(ddl, stmt.relation);
      changeOwner(ddl, relation.kind === 'index' ? relation.table : relation, stmt.newowner);
      return done(`ALTER ${(stmt.objectType ?? 'TABLE').replace('OBJECT_', '')}`);
    }
  }
}
